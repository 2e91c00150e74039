"""Text -> trace -> check -> float64 autograd -> central differences, on expressions that Hypothesis makes: all agree."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from random_expressions import VARIABLES, at_point, expressions, points

import gradviz
from gradviz.expression import parse


def central_difference(text: str, values: dict[str, float], name: str) -> float:
    """Richardson's extrapolation of two central differences, through gradviz's own forward pass only."""

    def value(shift: float) -> float:
        graph = gradviz.trace(text, at=values | {name: values[name] + shift}, device="cpu")
        return float(graph.value(graph.output))

    wide, narrow = ((value(step) - value(-step)) / (2 * step) for step in (2e-4, 1e-4))
    return (4 * narrow - wide) / 3


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(text=expressions(), point=st.tuples(points(), points(), points()))
def test_autograd_sympy_and_differences_agree_on_any_expression(text: str, point: tuple[float, float, float]) -> None:
    values = at_point(text, point)
    graph = gradviz.trace(text, at=values, device="cpu")
    output = float(graph.value(graph.output))
    gradients = {name: gradient for name, gradient in graph.gradients().items() if gradient is not None}
    assume(math.isfinite(output) and abs(output) < 1e6 and all(abs(float(g)) < 1e6 for g in gradients.values()))

    report = graph.check()
    assert report.ok, str(report)
    assert all(checked.verdict == "match" for checked in report.edges), str(report)
    for name, gradient in gradients.items():
        expected = central_difference(text, values, name)
        assert float(gradient) == pytest.approx(expected, rel=1e-5, abs=1e-5 * max(1.0, abs(output)))


@settings(max_examples=15, deadline=None)
@given(text=expressions(), point=st.tuples(points(), points(), points()), slip=st.sampled_from([1.001, 0.999, -1.0]))
def test_one_wrong_backward_inside_any_expression_is_found_and_nothing_else(
    text: str, point: tuple[float, float, float], slip: float
) -> None:
    class Slipped(torch.autograd.Function):
        @staticmethod
        def forward(ctx, value):
            ctx.save_for_backward(value)
            return torch.sin(value)

        @staticmethod
        def backward(ctx, cotangent):
            (value,) = ctx.saved_tensors
            return cotangent * torch.cos(value) * slip

    at_point(text, point)
    inner = parse(text, variables=VARIABLES)
    values = {
        name: torch.tensor(value, dtype=torch.float64, requires_grad=True)
        for name, value in zip(VARIABLES, point, strict=True)
    }

    def function(x, y, z):
        value = gradviz.expression.evaluate(inner, {name: {"x": x, "y": y, "z": z}[name] for name in inner.variables})
        return torch.tanh(Slipped.apply(value + x) * 0.5) + x

    graph = gradviz.trace(function, *values.values())
    slipped = next(node for node, attributes in graph.nodes(data=True) if attributes["op"] == "Slipped")
    argument = float(graph.value(graph.arguments_of(slipped)[0].edge[0]))
    assume(math.isfinite(argument) and abs(math.cos(argument)) > 1e-6 and abs(argument) < 1e3)
    report = graph.check()
    wrong = [checked.edge for checked in report.edges if checked.verdict == "mismatch"]
    assert [head for _, head, _ in wrong] == [slipped], str(report)
