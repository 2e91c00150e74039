"""The expression and the values of its variables: text box, gallery, a field and a slider for each variable.

The session keeps what is typed, as text, under the keys of `text` and `value of NAME`. A slider only writes into its field.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import streamlit as st

import gradviz
from gradviz.app.examples import EXAMPLES
from gradviz.app.link import key_of, unless_left
from gradviz.app.sentences import show_below
from gradviz.app.tracing import Values, read_expression, read_value

HINT = "+ - * / ^ @, 2x, |x|, A.T and functions such as sin; z = x*y; log(z) names an intermediate."
T = TypeVar("T")
SPANS = (5.0, 20.0, 100.0, 1_000.0)
"""A slider goes from minus to plus the first of these that holds its value."""
STEPS = 200
FIELD_PX = 170
LIVE = "50ms"
"""How long a pause in typing is until what is typed is drawn."""


def load_example(title: str) -> None:
    """Puts an example into the fields."""
    text, values = EXAMPLES[title]
    st.session_state[key_of("text")] = text
    for name, written in values.items():
        st.session_state[_key(name)] = written


def load_first_example() -> None:
    """Chooses the example that is first in the list."""
    st.session_state[key_of("example")] = first = next(iter(EXAMPLES))
    load_example(first)


def load(text: str, values: dict[str, str]) -> None:
    """Puts a text and values into the fields, as a link gives them."""
    st.session_state[key_of("text")] = text
    named = (title for title, example in EXAMPLES.items() if example == (text, values))
    st.session_state[key_of("example")] = next(named, None)
    for name, written in values.items():
        st.session_state[_key(name)] = written


def expression_inputs(made: Callable[[str, Values], T]) -> T | None:
    """Draws the widgets; what is made of text and values, or None where they are not accepted, which is said below them.

    While the text cannot be read, the fields of the last variables stay.
    """
    left, right = st.columns([1, 3])
    left.selectbox(
        "Example",
        list(EXAMPLES),
        key=key_of("example"),
        placeholder="your own",
        on_change=unless_left(_chosen),
        index=None,
        filter_mode=None,  # the few examples are chosen, and nothing is typed here
        persist_state="session",
    )
    with right:
        text = str(
            st.text_input(
                "Expression",
                key=key_of("text"),
                on_change=unless_left(_edited),
                persist_state="session",
                live=LIVE,
            )
        )
        refusal = None
        try:
            st.session_state["variables"] = read_expression(text).variables
        except gradviz.GradvizError as error:
            refusal = error
        below = st.container()
    values, found = _values(st.session_state.get("variables", ())), None
    if refusal is None and values is not None:
        try:
            found = made(text, values)
        except gradviz.GradvizError as error:
            refusal = error
    with below:
        show_below(refusal, HINT, advice=_typed_as_lists(refusal, values or ()))
    return found


def _typed_as_lists(refusal: gradviz.GradvizError | None, values: Values) -> str:
    """How a matrix is typed, where a field holds a single number and the text needs a vector or matrix there; else ""."""
    single = refusal.single if isinstance(refusal, gradviz.ExpressionError) else ()
    fields = [name for name, _ in values if name in single]
    capitals = [name for name in fields if name[:1].isupper()]
    field = next(iter([*capitals, *fields]), "")
    return f"Into “{field} =” a matrix is typed as nested lists, [[1, 2], [3, 4]], and a vector as [1, 2]." if field else ""


def _values(variables: tuple[str, ...]) -> Values | None:
    written = {}
    if variables:
        with st.container(horizontal=True):
            for name in variables:
                with st.container(width=FIELD_PX, gap="small"):
                    if (typed := _field(name)) is not None:
                        written[name] = typed
    return tuple(written.items()) if len(written) == len(variables) else None


def _field(name: str) -> str | None:
    """The value of one variable as typed; None where it cannot be read, which is said below it."""
    key = _key(name)
    st.session_state.setdefault(key, "1")
    typed = str(st.text_input(f"{name} =", key=key, persist_state="session", live=LIVE))
    try:
        value = read_value(name, typed)
    except gradviz.InputError as error:
        show_below(error)
        return None
    if isinstance(value, float):
        _slider(name, value)
    return typed


def _slider(name: str, value: float) -> None:
    span = next((span for span in SPANS if abs(value) <= span), None) if math.isfinite(value) else None
    if span is None:
        return
    key = key_of(f"slider of {name} to {span:g}")
    st.session_state[key] = value
    st.slider(
        f"slider of {name}",
        -span,
        span,
        step=2 * span / STEPS,
        key=key,
        format="%.6g",
        label_visibility="collapsed",
        on_change=unless_left(_slid),
        args=(name, key, value),
    )


def _key(name: str) -> str:
    return key_of(f"value of {name}")


def _slid(name: str, key: str, shown: float) -> None:
    """A slider that was replaced meanwhile, by one that goes further, is called changed too, and says what it showed."""
    value = st.session_state.get(key, shown)
    if value != shown:
        st.session_state[_key(name)] = f"{value:.6g}"


def _chosen() -> None:
    chosen = st.session_state[key_of("example")]
    if chosen is not None:
        load_example(chosen)


def _edited() -> None:
    """Another text is no longer the example; the values of its variables stay."""
    st.session_state[key_of("example")] = None
