"""What is local to the traced code is called as its variables say: models, parameters, random inputs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import gradviz


def adversaries() -> Tensor:
    G, D = nn.Sequential(nn.Linear(2, 2)), nn.Sequential(nn.Linear(2, 1))
    z = torch.randn(3, 2)
    return D(G(z)).sum()  # type: ignore[no-any-return]


class Trainer:
    def __init__(self) -> None:
        self.maker, self.critics = nn.Linear(2, 2), [nn.Linear(2, 1)]

    def loss(self) -> Tensor:
        critics = self.critics
        return critics[0](self.maker(torch.ones(3, 2))).sum()  # type: ignore[no-any-return]


def parameters() -> Tensor:
    w = nn.Parameter(torch.ones(3))
    b = nn.Parameter(torch.zeros(3), requires_grad=True)
    c = nn.Parameter(torch.rand(3) * 0.5)
    x = torch.rand(3).requires_grad_()
    return (w * x + b - c).sum()


def unnamed() -> Tensor:
    return (nn.Parameter(torch.ones(3)) * 2).sum() + nn.Linear(3, 1)(torch.ones(3)).sum()


LAYERS = [nn.Linear(3, 3) for _ in range(3)]


def looped_over_globals() -> Tensor:
    h = torch.ones(2, 3)
    for layer in LAYERS:
        h = torch.tanh(layer(h))
    return h.sum()


def closed_over() -> Callable[[], Tensor]:
    layers, heads, first = [nn.Linear(3, 3), nn.Linear(3, 3)], {"mean": nn.Linear(3, 1)}, nn.Linear(3, 3)

    def loss() -> Tensor:
        h = first(torch.ones(2, 3))
        for layer in layers:
            h = torch.tanh(layer(h))
        return heads["mean"](h).sum()  # type: ignore[no-any-return]

    return loss


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (looped_over_globals, {f"LAYERS[{place}].{name}" for place in range(3) for name in ("weight", "bias")}),
        (
            closed_over(),
            {f"{of}.{name}" for of in ("layers[0]", "layers[1]", "heads.mean", "first") for name in ("weight", "bias")},
        ),
        (adversaries, {"G.0.weight", "G.0.bias", "D.0.weight", "D.0.bias"}),
        (Trainer().loss, {"maker.weight", "maker.bias", "critics[0].weight", "critics[0].bias"}),
        (parameters, {"w", "b", "c", "x"}),
        (unnamed, {"a", "weight", "bias"}),
    ],
)
def test_leaves_are_called_as_the_variables_of_the_traced_code(function: Callable[[], Tensor], names: set[str]) -> None:
    assert set(gradviz.trace(function).leaves) == names


def test_a_module_of_a_list_is_opened_and_closed_by_its_name() -> None:
    graph = gradviz.trace(looped_over_globals)
    closed = graph.view(collapse=1)
    assert [group.opens for group in closed.groups] == [("LAYERS[0]",), ("LAYERS[1]",), ("LAYERS[2]",)]
    assert [box.name for box in graph.view(collapse=1, unfold="LAYERS[1]").boxes] == ["LAYERS[1]"]
    assert [group.name for group in graph.view(collapse="none", fold="LAYERS[2]").groups] == ["LAYERS[2]"]


def test_a_module_that_has_a_variable_of_its_own_is_called_by_it_though_a_list_holds_it() -> None:
    first, second = nn.Linear(3, 3), nn.Linear(3, 1)
    both = [first, second]

    def loss() -> Tensor:
        return both[1](second.weight @ first(torch.ones(3)) + torch.ones(3)).sum()  # type: ignore[no-any-return]

    assert "first.weight" in gradviz.trace(loss).leaves


def test_a_wrapped_parameter_has_the_line_where_it_was_made() -> None:
    graph = gradviz.trace(parameters)
    source = graph.nodes[graph.node("w")]["source"]
    assert source == f"test_local_names.py:{parameters.__code__.co_firstlineno + 1}"


@pytest.mark.parametrize("make", [torch.rand, torch.randn, lambda size: torch.randint(0, 9, (size,))])
def test_random_inputs_are_constants_and_nothing_was_detached(make: Callable[[int], Tensor]) -> None:
    def loss(w: Tensor) -> Tensor:
        x = make(3)
        return (w * x).sum()

    graph = gradviz.trace(loss, torch.ones(3, requires_grad=True))
    kinds = {graph.nodes[node]["name"]: (graph.nodes[node]["kind"], graph.nodes[node]["op"]) for node in graph}
    assert "detach" not in {op for _, op in kinds.values()}
    assert ("x" in kinds) is (make in (torch.rand, torch.randn)) or kinds["x"] == ("constant", "")
    assert graph.check().verified


def test_what_the_code_itself_detaches_is_told() -> None:
    def loss(w: Tensor) -> Tensor:
        x = torch.rand(3).detach()
        h = (w * 2).detach()
        return (w * x * h).sum()

    graph = gradviz.trace(loss, torch.ones(3, requires_grad=True))
    assert "detach" in {graph.nodes[node]["op"] for node in graph}
