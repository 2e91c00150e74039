"""Hypothesis writes expressions: traced, checked, and compared with float64 autograd and central differences."""

from __future__ import annotations

import math
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import assume, given, reject, settings

import gradviz

FUNCTIONS = ["sin", "cos", "tanh", "exp", "sigmoid", "atan", "relu", "abs", "softplus", "erf"]
POSITIVE_FUNCTIONS = ["log", "sqrt"]


def expressions(depth: int) -> st.SearchStrategy[str]:
    atoms = st.sampled_from(["x", "y", "2", "0.5", "pi"])
    if depth == 0:
        return atoms
    inner = expressions(depth - 1)
    return st.one_of(
        atoms,
        st.tuples(inner, st.sampled_from(["+", "-", "*"]), inner).map(lambda parts: f"({parts[0]} {parts[1]} {parts[2]})"),
        st.tuples(st.sampled_from(FUNCTIONS), inner).map(lambda parts: f"{parts[0]}({parts[1]})"),
        st.tuples(st.sampled_from(POSITIVE_FUNCTIONS), inner).map(lambda parts: f"{parts[0]}(1.5 + {parts[1]}^2)"),
        st.tuples(inner, inner).map(lambda parts: f"({parts[0]} / (2 + {parts[1]}^2))"),
    )


NUMBERS = st.floats(-2, 2, allow_nan=False).filter(lambda number: abs(number) > 1e-3)


@settings(max_examples=60, deadline=None)
@given(text=expressions(3), x=NUMBERS, y=NUMBERS)
def test_every_expression_is_verified_and_agrees_with_differences(text: str, x: float, y: float) -> None:
    expression = f"{text} + x*y"
    graph = _traced(expression, x=x, y=y)
    value = graph.value(graph.output)
    assert value is not None
    assume(math.isfinite(value) and abs(value) < 1e6)
    report = graph.check()
    assert report.ok, report
    assert all(entry.verdict == "match" for entry in (*report.edges, *report.nodes)), report
    if any(entry.reason for entry in report.entries):  # on a kink, where differences say nothing
        return
    for name, other in (("x", {"y": y}), ("y", {"x": x})):
        at = x if name == "x" else y
        step = 1e-5
        sides = [_value(expression, {name: at + sign * step, **other}) for sign in (1, -1)]
        leaf = next(entry for entry in report.leaves if entry.name == name)
        assert leaf.reference is not None
        assert (sides[0] - sides[1]) / (2 * step) == pytest.approx(
            leaf.reference, rel=1e-4, abs=1e-4 * (1 + abs(float(value)))
        )


@settings(max_examples=30, deadline=None)
@given(text=expressions(3), x=NUMBERS, y=NUMBERS)
def test_every_expression_in_float32_is_no_mismatch(text: str, x: float, y: float) -> None:
    leaves = {"x": torch.tensor(x, dtype=torch.float32), "y": torch.tensor(y, dtype=torch.float32)}
    assert _traced(f"{text} + x*y", **leaves).check().ok


def _traced(expression: str, **at: Any) -> gradviz.GradGraph:
    """The graph; passed over is a text with constants that are too large to read: exp(exp(exp(2)))."""
    try:
        return gradviz.trace(expression, at=at, device="cpu")
    except gradviz.ExpressionError as error:
        assert "too large" in str(error), str(error)
        reject()


def _value(expression: str, at: dict[str, float]) -> float:
    graph = gradviz.trace(expression, at=at, device="cpu")
    value = graph.value(graph.output)
    assert value is not None
    return float(value)
