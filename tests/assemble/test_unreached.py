"""Leaves that a graph does not hold are listed with where their way ends; leaves that are filled stay leaves."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import gradviz


class Part(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.lost = nn.Linear(3, 1), nn.Linear(3, 1)


def lost_in(loss: object) -> dict[str, tuple[str, str, str]]:
    graph = gradviz.trace(loss)
    return {name: lost[:3] for name, lost in graph.graph["lost_leaves"].items()}


def test_each_way_out_of_the_graph_is_told() -> None:
    model, x = Part(), torch.ones(4, 3)

    def unused() -> Tensor:
        return model.used(x).mean()

    def item() -> Tensor:
        return model.used(x).mean() * model.lost(x).mean().item()

    def dropped() -> Tensor:
        model.lost(x)
        return model.used(x).mean()

    def wrapped() -> Tensor:
        return model.used(x).mean() * nn.Parameter(model.lost(x).mean())

    def dropped_with_a_mask_of_its_shape() -> Tensor:
        nn.functional.dropout(model.lost(x))
        return model.used(x).mean()

    assert lost_in(unused)["lost.weight"] == ("model", "unused", "")
    assert lost_in(item)["lost.weight"] == ("model", "item", "_local_scalar_dense")
    assert lost_in(dropped)["lost.weight"] == ("model", "dropped", "addmm")
    assert lost_in(wrapped)["lost.weight"] == ("model", "wrapped as a new leaf", "mean")
    assert lost_in(dropped_with_a_mask_of_its_shape)["lost.weight"] == ("model", "dropped", "mul")


def attention(x: Tensor) -> Tensor:
    parts = x.expand(1, 1, 4, 4).contiguous()
    return nn.functional.scaled_dot_product_attention(parts, parts, parts)


def orthogonal(x: Tensor) -> Tensor:
    return torch.linalg.qr(x).Q


def largest(x: Tensor) -> Tensor:
    return x.max(1).values


@pytest.mark.parametrize("function", [torch.tanh, torch.exp, torch.neg, attention, largest, orthogonal])
def test_what_autograd_keeps_of_a_result_for_its_backward_is_no_detach(function: Callable[[Tensor], Tensor]) -> None:
    model, x = Part(), torch.ones(4, 3)

    def dropped() -> Tensor:
        function(model.lost(x))
        return model.used(x).mean()

    def to_numpy() -> Tensor:
        function(model.lost(x)).detach().numpy()
        return model.used(x).mean()

    assert lost_in(dropped)["lost.weight"][1] == "dropped"
    assert lost_in(to_numpy)["lost.weight"][1] == "detach"


def test_modules_that_did_not_run_are_not_listed() -> None:
    model, other, x = nn.Linear(3, 1), nn.Linear(3, 1), torch.ones(4, 3)

    def loss() -> Tensor:
        assert other is not None
        return model(x).mean()

    assert lost_in(loss) == {}


def test_a_leaf_that_is_filled_while_recorded_stays_one_leaf() -> None:
    with gradviz.record() as tape:
        layer = nn.Linear(4, 4)
        nn.init.orthogonal_(layer.weight)  # writes to a view of the leaf, under no_grad
        cut = layer(torch.randn(2, 4)).detach()
        loss = (cut * nn.Parameter(torch.ones(4))).sum()
    graph = tape.trace(loss)
    found = [node for node in graph if "weight" in graph.nodes[node]["name"]]
    assert [graph.nodes[node]["kind"] for node in found] == ["leaf"]
    torch.testing.assert_close(graph.value(found[0]), layer.weight.detach())
