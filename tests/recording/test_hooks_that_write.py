"""Hooks that write to the gradient that they are handed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import gradviz
from gradviz.graph import GradGraph

SIZES = [3, 300_000, 3_000_000]
"""The contributions of the largest are computed again where they can be, instead of being kept."""


def _write(gradient: Tensor) -> None:
    gradient.mul_(10)


def _change(gradient: Tensor) -> Tensor:
    return gradient * 10


def _write_first(gradients: tuple[Tensor, ...]) -> None:
    gradients[0].mul_(10)


def _traced(size: int, on_value: Any = None, on_leaf: Any = None, on_node: Any = None) -> GradGraph:
    def function(x: Tensor) -> Tensor:
        y = 2 * x
        if on_value is not None:
            y.register_hook(on_value)
        if on_node is not None:
            assert y.grad_fn is not None
            y.grad_fn.register_prehook(on_node)
        return (3 * y).sum()

    x = torch.ones(size, requires_grad=True)
    if on_leaf is not None:
        x.register_hook(on_leaf)
    return gradviz.trace(function, x)


def _first(tensor: Tensor | None) -> float:
    assert tensor is not None
    return float(tensor.reshape(-1)[0])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("hooks", [{"on_value": _write}, {"on_value": _change}, {"on_node": _write_first}])
def test_a_contribution_is_as_it_was_before_a_hook_wrote_to_it(hooks: dict[str, Any], size: int) -> None:
    graph = _traced(size, **hooks)
    y = graph.node("y")
    assert [_first(use.contribution) for use in graph.uses_of(y)] == [3.0]
    assert _first(graph.nodes[y]["cotangent"]) == 30.0 and _first(graph.gradients()["x"]) == 60.0


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("hook", [_write, _change])
def test_so_is_that_of_a_leaf_whose_hook_writes_to_its_gradient(hook: Any, size: int) -> None:
    graph = _traced(size, on_leaf=hook)
    assert [_first(use.contribution) for use in graph.uses_of(graph.leaves["x"])] == [6.0]
    assert _first(graph.gradients()["x"]) == 60.0


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("writes", [True, False])
def test_so_is_that_of_a_leaf_where_a_hook_on_the_node_that_gathers_it_writes(writes: bool, size: int) -> None:
    x = torch.ones(size, requires_grad=True)
    gathers = x.view_as(x).grad_fn.next_functions[0][0]  # type: ignore[union-attr]
    assert gathers is not None
    gathers.register_prehook(_write_first if writes else lambda gradients: (gradients[0] * 10,))
    graph = gradviz.trace(lambda x: (6 * x).sum(), x)
    assert [_first(use.contribution) for use in graph.uses_of(graph.leaves["x"])] == [6.0]
    assert _first(graph.gradients()["x"]) == 60.0


def test_a_hook_after_accumulation_that_scales_the_gradient_leaves_the_contribution() -> None:
    x = torch.ones(3, requires_grad=True)
    x.register_post_accumulate_grad_hook(lambda leaf: _write(leaf.grad))
    graph = gradviz.trace(lambda x: (6 * x).sum(), x)
    assert [_first(use.contribution) for use in graph.uses_of(graph.leaves["x"])] == [6.0]
    assert _first(graph.gradients()["x"]) == 60.0 and x.grad is None


@pytest.mark.parametrize("place", ["on_value", "on_leaf"])
def test_the_check_puts_a_write_down_to_the_hook_and_to_no_derivative(place: str) -> None:
    report = _traced(300, **{place: _write}).check()
    assert all(edge.verdict == "match" for edge in report.edges), report
    (wrong,) = report.mismatches
    assert "the hook _write at" in wrong.reason
