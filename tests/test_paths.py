"""Paths: their number, their products, and that all of them together are the gradient."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from random_expressions import expressions, points, traced

import gradviz
from gradviz import GradGraph


def products(graph: GradGraph, node: int) -> Iterator[tuple[list[int], float]]:
    """Every path from a node to the output with the product of its local partials, found by walking all of them."""
    if node == graph.output:
        yield [node], 1.0
    for use in graph.uses_of(node):
        if use.partial is not None:
            for nodes, factor in products(graph, use.edge[1]):
                yield [node, *nodes], float(use.partial) * factor


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(text=expressions(), point=st.tuples(points(), points(), points()), top=st.integers(0, 4))
def test_the_paths_are_those_that_walking_the_graph_finds(text: str, point: tuple[float, ...], top: int) -> None:
    graph = traced(text, point)
    for name, leaf in graph.leaves.items():
        walked = sorted(products(graph, leaf), key=lambda found: -abs(found[1]))
        largest = max((abs(product) for _, product in walked), default=0.0)
        assume(math.isfinite(largest) and largest < 1e12)
        found = graph.paths(name, top=top)
        near = {"rel": 1e-9, "abs": 1e-12 * max(largest, 1.0)}
        assert found.count == len(walked)
        assert [path.size for path in found.top] == pytest.approx([abs(product) for _, product in walked[:top]], **near)
        by_nodes = {tuple(nodes): product for nodes, product in walked}
        for path in found.top:
            if len(by_nodes) == len(walked):  # `x*x` has two paths over the same nodes
                assert float(path.contribution) == pytest.approx(by_nodes[path.nodes], **near)
        assert float(found.total) == pytest.approx(math.fsum(product for _, product in walked), **near)
        assert float(found.total) == pytest.approx(float(graph.gradients()[name]), **near)


def test_the_paths_of_a_lecture_example() -> None:
    graph = gradviz.trace("x*y + sin(pi*x)", x=2.0, y=3.0, device="cpu")
    found = graph.paths("x")
    assert [[graph.nodes[node]["name"] for node in path.nodes] for path in found.top] == [
        ["x", "b", "c", "d"],
        ["x", "a", "d"],
    ]
    assert [float(path.contribution) for path in found.top] == pytest.approx([math.pi, 3.0])
    assert found.rest is None
    assert found.is_largest


def test_a_square_has_two_paths_over_the_same_nodes() -> None:
    x = torch.tensor(3.0, requires_grad=True)
    found = gradviz.trace(x * x).paths("x")
    assert found.count == 2
    assert [path.edges for path in found.top] == [((0, 1, 0),), ((0, 1, 1),)]
    assert [float(path.contribution) for path in found.top] == [3.0, 3.0]


def test_more_paths_than_can_be_listed_are_counted_and_added() -> None:
    def doubled(x: torch.Tensor) -> torch.Tensor:
        for _ in range(100):
            x = (x + x) * 0.5
        return x

    found = gradviz.trace(doubled, torch.tensor(1.0, dtype=torch.float64, requires_grad=True)).paths("x", top=3)
    assert found.count == 2**100
    assert [path.size for path in found.top] == [2.0**-100] * 3
    assert found.rest is not None
    assert float(found.rest) == pytest.approx(1.0)
    assert float(found.total) == pytest.approx(1.0)


def test_paths_between_tensors_add_up_to_the_gradient_of_every_parameter() -> None:
    torch.manual_seed(0)
    model = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0).double()
    graph = gradviz.trace(model, torch.randn(2, 3, 8).double().requires_grad_(), loss=lambda out: out.square().sum())
    for name, gradient in graph.gradients().items():
        found = graph.paths(name, top=2)
        assert gradient is not None
        torch.testing.assert_close(found.total, gradient, rtol=1e-9, atol=1e-11)
        assert found.count >= len(found.top) > 0


def test_a_call_with_several_outputs_has_a_path_through_each() -> None:
    x = torch.tensor([3.0, 1.0, 2.0], requires_grad=True)
    left, right = x.split([1, 2])
    graph = gradviz.trace(left.sum() * right.sum())
    found = graph.paths("x")
    assert found.count == 2
    assert found.total.tolist() == [3.0, 3.0, 3.0]


def test_several_outputs_and_their_weights_are_where_paths_end() -> None:
    def both(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = x * 2
        return y, y * 5

    x = torch.tensor(1.0, requires_grad=True)
    graph = gradviz.trace(both, x, grad_output=[torch.tensor(10.0), torch.tensor(1.0)])
    found = graph.paths("x")
    assert sorted(float(path.contribution) for path in found.top) == [10.0, 20.0]


def test_what_is_kept_between_tensors_says_when_a_larger_path_may_exist() -> None:
    def wide(x: torch.Tensor) -> torch.Tensor:
        for _ in range(6):
            x = x.sin() + x.cos() + x
        return x.sum()

    found = gradviz.trace(wide, torch.ones(3, requires_grad=True)).paths("x", top=1)
    assert found.count == 3**6
    assert not found.is_largest


def test_a_value_on_the_way_has_paths_too() -> None:
    graph = gradviz.trace("x*y + sin(pi*x)", x=2.0, y=3.0, device="cpu")
    assert float(graph.paths("b").total) == pytest.approx(1.0)


def test_a_value_without_gradient_has_no_path() -> None:
    x, y = torch.tensor(1.0, requires_grad=True), torch.tensor(2.0, requires_grad=True)
    graph = gradviz.trace(lambda x, y: x * y.detach(), x, y)
    found = graph.paths("y")
    assert (found.count, found.top, found.gradient) == (0, (), None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "q"}, "no node called 'q'"),
        ({"name": "x", "top": -1}, "top is -1"),
        ({"name": "x", "top": "5"}, "top is '5'; accepted: 0 or more"),
    ],
)
def test_what_is_not_accepted_is_said(options: dict[str, object], message: str) -> None:
    graph = gradviz.trace("2x", x=1.0, device="cpu")
    with pytest.raises(gradviz.InputError, match=message):
        graph.paths(**options)  # type: ignore[arg-type]
