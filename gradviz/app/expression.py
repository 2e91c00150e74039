"""The expression page: text and values of its variables -> picture, check against sympy, gradients."""

from __future__ import annotations

import json
from typing import Any

import streamlit as st

import gradviz
from gradviz.expression import parse
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
TIME_LIMIT_S = 5.0


def expression_page() -> None:
    """Reads the widgets, traces, checks, draws."""
    st.title("gradviz")
    controls, canvas = st.columns([1, 3], gap="large")
    with controls:
        chosen = st.selectbox("Example", list(EXAMPLES))
        text, defaults = EXAMPLES[chosen]
        text = st.text_input("Expression", value=text, key=f"text of {chosen}", max_chars=2_000)
        values = _values(text, defaults)
        theme = st.selectbox("Theme", THEMES)
        direction = st.radio("Direction", list(DIRECTIONS), format_func=DIRECTIONS.__getitem__)
    if values is None:
        return
    try:
        graph = gradviz.trace(text, at=values)
    except gradviz.GradvizError as error:
        _show_error(controls, error)
        return
    report = graph.check(time_limit_s=TIME_LIMIT_S)
    with canvas:
        try:
            svg = graph.render(format="svg", theme=theme, direction=direction, report=report, time_limit_s=TIME_LIMIT_S)
        except gradviz.RenderError as error:
            st.error(str(error))
        else:
            st.image(svg.decode(), width="stretch")
        st.subheader("Check against sympy")
        st.code(str(report), language=None)


def _values(text: str, defaults: dict[str, str]) -> dict[str, Any] | None:
    """One field per variable of the expression; None where the text or a value cannot be read, which is said beside it."""
    try:
        variables = parse(text).variables
    except gradviz.ExpressionError as error:
        _show_error(st, error)
        return None
    values: dict[str, Any] = {}
    for name in variables:
        written = st.text_input(f"{name} =", value=defaults.get(name, "1"), key=f"{name} in {text}", max_chars=10_000)
        try:
            values[name] = json.loads(written)
        except json.JSONDecodeError:
            st.error(f"{name}: {written!r} is neither a number nor a nested list such as [[1, 2], [3, 4]]")
    return values if len(values) == len(variables) else None


def _show_error(place: Any, error: gradviz.GradvizError) -> None:
    """The sentence as text and, where there is a caret, the caret in a font of fixed width."""
    sentence, _, caret = str(error).partition("\n")
    place.error(sentence)
    if caret:
        place.code(caret, language=None)
