"""The expression page: text and values of its variables -> picture, check against sympy, gradients."""

from __future__ import annotations

import base64
from functools import partial
from typing import Any, Literal

import streamlit as st

import gradviz
from gradviz.app.tables import check_tables
from gradviz.check import CheckReport
from gradviz.expression import parse, typed_value
from gradviz.view import Direction, ThemeName

EXAMPLES = {
    "x·y + sin(πx)": ("x*y + sin(pi*x)", {"x": "2", "y": "3"}),
    "tanh(ln(1 + z·2x / sin y))": ("tanh(ln(1 + z*2x/sin y))", {"x": "1", "y": "2", "z": "3"}),
    "(y − tanh(wx + b))²": ("(y - tanh(wx+b))^2", {"w": "0.5", "x": "2", "b": "-0.25", "y": "1"}),
    "log(z) + exp(z), z = xy": ("z = x*y; log(z) + exp(z)", {"x": "5", "y": "3"}),
    "‖σ(Ax + b)‖": ("norm(sigmoid(A @ x + b))", {"A": "[[1, -2], [0.5, 0.25]]", "x": "[0.5, -1]", "b": "[0.1, 0.2]"}),
}
THEMES: list[ThemeName] = ["light", "dark", "slides"]
DIRECTIONS: dict[Direction, str] = {"LR": "left to right", "BT": "bottom up"}
FILES: dict[Literal["svg", "png", "pdf"], str] = {"svg": "image/svg+xml", "png": "image/png", "pdf": "application/pdf"}
READABLE = 0.7
"""A picture shrinks to the page, but not below this part of its own size."""
TIME_LIMIT_S = 5.0
MAX_VALUE = 10_000


def expression_page() -> None:
    """Reads the widgets, traces, checks, draws."""
    st.title("gradviz")
    if "text" not in st.session_state:
        st.session_state.example = next(iter(EXAMPLES))
        _load_example()
    controls, canvas = st.columns([1, 4], gap="large")
    with controls:
        st.selectbox("Example", list(EXAMPLES), key="example", placeholder="your own", on_change=_load_example, index=None)
        text = st.text_area("Expression", key="text", on_change=_forget_example, height=80)
        values = _values(text)
        like_app: ThemeName = "dark" if st.context.theme.type == "dark" else "light"
        theme = st.selectbox("Theme of the picture", THEMES, index=None, placeholder="like the page") or like_app
        direction = st.radio("Direction", list(DIRECTIONS), format_func=DIRECTIONS.__getitem__)
        full_size = st.toggle("Full size")
    if values is None:
        return
    try:
        graph = gradviz.trace(text, at=values)
    except gradviz.GradvizError as error:
        _show_error(controls, error)
        return
    report = graph.check(time_limit_s=TIME_LIMIT_S)
    with canvas:
        _show_picture(graph, report, theme=theme, direction=direction, full_size=full_size)
        st.subheader("Check against sympy")
        st.write(report.summary)
        st.html(check_tables(report))


def _show_picture(
    graph: gradviz.GradGraph, report: CheckReport, *, theme: ThemeName, direction: Direction, full_size: bool
) -> None:
    """The picture, and the same as files. It shrinks to the page while it stays readable, and scrolls beyond."""
    choices: dict[str, Any] = {"theme": theme, "direction": direction, "report": report, "time_limit_s": TIME_LIMIT_S}
    try:
        svg = graph.render(format="svg", **choices)
    except gradviz.RenderError as error:
        st.error(str(error))
        return
    points = float(svg.partition(b'width="')[2].partition(b"pt")[0])
    size = "max-width: none" if full_size else f"max-width: 100%; min-width: {READABLE * points:.0f}pt"
    source = f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
    picture = f'<img src="{source}" alt="computational graph" style="{size}; border-radius: 0.5rem">'
    st.html(f'<div style="overflow: auto; max-height: 85vh">{picture}</div>')
    with st.container(horizontal=True):
        for name, kind in FILES.items():
            st.download_button(
                name.upper(),
                svg if name == "svg" else partial(graph.render, format=name, **choices),
                file_name=f"gradviz.{name}",
                mime=kind,
                on_click="ignore",
                icon=":material/download:",
            )


def _load_example() -> None:
    """Puts the chosen example into the fields."""
    chosen = st.session_state.example
    if chosen is None:
        return
    text, values = EXAMPLES[chosen]
    st.session_state.text = text
    for name, written in values.items():
        st.session_state[f"value of {name}"] = written


def _forget_example() -> None:
    """Another text is no longer the example; the values of its variables stay."""
    st.session_state.example = None


def _values(text: str) -> dict[str, Any] | None:
    """One field per variable of the expression; None where the text or a value cannot be read, which is said beside it."""
    try:
        variables = parse(text).variables
    except gradviz.ExpressionError as error:
        _show_error(st, error)
        return None
    values: dict[str, Any] = {}
    for name in variables:
        key = f"value of {name}"
        st.session_state.setdefault(key, "1")
        written = st.text_input(f"{name} =", key=key, max_chars=MAX_VALUE)
        try:
            values[name] = typed_value(written)
        except gradviz.InputError as error:
            st.error(f"{name}: {str(error).partition(chr(10))[0]}")
    return values if len(values) == len(variables) else None


def _show_error(place: Any, error: gradviz.GradvizError) -> None:
    """The sentence as text and, where there is a caret, the caret in a font of fixed width."""
    sentence, _, caret = str(error).partition("\n")
    place.error(sentence)
    if caret:
        place.code(caret, language=None)
