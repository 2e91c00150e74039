"""What an edge between tensors says of its Jacobian: kind, gain, share of zeros."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from gradviz import trace
from gradviz.view import ViewEdge

ROWS = torch.tensor([0, 1, 1, 0])
MASK = torch.tensor([True, False, False])


def edge_from_x(function: Callable[[Tensor], Tensor], x: Tensor) -> ViewEdge:
    graph = trace(lambda x: function(x).square().sum(), x.requires_grad_())
    return next(edge for edge in graph.view().edges if edge.edge[0] == graph.leaves["x"])


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (torch.tanh, "elementwise"),
        (lambda x: x + torch.ones(2, 4, 3), "broadcast"),
        (lambda x: x @ torch.ones(3, 2), "linear"),
        (lambda x: x.sum(0), "linear"),
        (lambda x: x.cumsum(0), "linear"),
        (lambda x: torch.zeros(2, 3).index_add(0, ROWS, x), "linear"),
        (lambda x: torch.zeros(2, 3).scatter_add(0, ROWS[:, None].expand(4, 3), x), "linear"),
        (lambda x: torch.complex(x, torch.ones(4, 3)).abs(), "elementwise"),
        (lambda x: torch.softmax(x, 1), "dense"),
        (lambda x: x.cumprod(0), "dense"),
    ],
)
def test_the_kind_of_a_jacobian_is_said_in_a_word(function: Callable[[Tensor], Tensor], kind: str) -> None:
    edge = edge_from_x(function, torch.rand(4, 3) + 0.5)
    assert edge.flow.startswith(f"{kind}, gain ")


@pytest.mark.parametrize(
    "function",
    [
        lambda x: functional.max_pool1d(x, 2),
        lambda x: functional.max_pool2d(x[None], 2),
        lambda x: functional.max_pool3d(x[None, None], (1, 2, 2)),
        lambda x: functional.adaptive_max_pool1d(x, 2),
        lambda x: functional.adaptive_max_pool2d(x[None], 2),
        lambda x: x.sort(1).values,
        lambda x: x.topk(2).values,
        lambda x: x.kthvalue(2).values,
        lambda x: x.max(0).values,
        torch.min,
        lambda x: x.amax(1),
        lambda x: torch.aminmax(x, dim=0)[0],
        lambda x: x.median(1).values,
        torch.nanmedian,
        lambda x: x.mode(1).values,
        lambda x: x.cummax(0).values,
        lambda x: x.gather(1, torch.zeros(4, 2, dtype=torch.long)),
        lambda x: torch.take_along_dim(x, torch.zeros(4, 2, dtype=torch.long), 1),
        lambda x: x.masked_select(x > 0.7),
    ],
)
def test_what_hands_on_some_elements_is_a_selection(function: Callable[[Tensor], Tensor]) -> None:
    graph = trace(lambda x: function(x).square().sum(), (torch.rand(4, 3) + 0.5).requires_grad_())
    jacobians = {edge.flow.split(",")[0] or edge.jacobian for edge in graph.view().edges}
    assert "dense" not in jacobians, jacobians
    assert "selection" in {word for edge in graph.view().edges for word in (edge.jacobian, edge.flow.split(",")[0])}


@pytest.mark.parametrize(
    ("function", "shape", "kind"),
    [
        (lambda x, w: functional.layer_norm(x, (3,), w, w), (3,), "broadcast"),
        (lambda x, w: functional.layer_norm(x, (4, 3), w, w), (4, 3), "elementwise"),
        (lambda x, w: functional.group_norm(x, 1, w, w), (3,), "broadcast"),
        (lambda x, w: functional.batch_norm(x, None, None, w, w, training=True), (3,), "broadcast"),
        (lambda x, w: functional.rms_norm(x, (3,), w), (3,), "broadcast"),
    ],
)
def test_each_element_of_a_norm_reads_one_of_its_weight(
    function: Callable[[Tensor, Tensor], Tensor], shape: tuple[int, ...], kind: str
) -> None:
    x, w = (torch.rand(size) + 0.5 for size in ((4, 3), shape))
    graph = trace(lambda w: function(x, w).square().sum(), w.requires_grad_())
    assert {edge.flow.split(",")[0] for edge in graph.view().edges if edge.edge[0] == graph.leaves["w"]} == {kind}


@pytest.mark.parametrize(("training", "kind"), [(True, "dense"), (False, "elementwise")])
def test_a_batch_norm_with_the_statistics_that_it_learned_is_elementwise(training: bool, kind: str) -> None:
    norm = torch.nn.BatchNorm1d(3).train(training)
    edge = edge_from_x(norm, torch.rand(4, 3))
    assert edge.flow.startswith(f"{kind}, gain ")


@pytest.mark.parametrize(
    "function",
    [
        functional.hardswish,
        functional.logsigmoid,
        lambda x: torch.rsub(x, torch.ones(3)),
        lambda x: x.masked_fill(MASK, torch.tensor(0.0)),
        lambda x: x.masked_fill_(MASK, 0.0),
        torch.Tensor.abs_,
        torch.ops.aten.gelu_,
        lambda x: functional.mish(x, inplace=True),
        lambda x: functional.threshold(x, 0.7, 0.0, inplace=True),
        lambda x: x.copysign_(torch.ones(3)),
    ],
)
def test_elementwise_functions_that_torch_does_not_list_are_no_dense_ones(function: Callable[[Tensor], Tensor]) -> None:
    x = torch.rand(4, 3, dtype=torch.float64) + 0.5
    graph = trace(lambda x: function(2 * x).square().sum(), x.requires_grad_())
    (doubled,) = graph.successors(graph.leaves["x"])
    (edge,) = [edge for edge in graph.view().edges if edge.edge[0] == doubled]
    jacobian = graph.edges[edge.edge]["partial"].jacobian().reshape(12, 12)
    assert torch.equal(jacobian, jacobian.diagonal().diag())
    assert edge.flow.startswith("elementwise, gain ")


@pytest.mark.parametrize(("reduction", "kind"), [("none", "elementwise"), ("mean", "dense")])
def test_a_loss_is_elementwise_unless_it_is_reduced(reduction: str, kind: str) -> None:
    edge = edge_from_x(lambda x: functional.mse_loss(x, torch.ones(4, 3), reduction=reduction), torch.rand(4, 3))
    assert edge.flow.startswith(f"{kind}, gain ")


def test_a_movement_that_keeps_every_element_has_a_word_and_no_gain() -> None:
    edge = edge_from_x(lambda x: x.reshape(6, 2), torch.rand(4, 3))
    assert (edge.text, edge.flow) == ("∂a/∂x: reshape", "")


def test_the_gain_is_that_of_the_contribution_over_the_cotangent_and_zeros_are_counted() -> None:
    x = torch.tensor([1.0, -2.0, 3.0, -4.0, 5.0])
    edge = edge_from_x(torch.relu, x)
    assert edge.flow == "elementwise, gain 1, 40 % zeros"
    assert edge_from_x(lambda x: 3 * x, x).flow == "elementwise, gain 3"


def test_elements_that_are_selected_leave_zeros_behind() -> None:
    edge = edge_from_x(lambda x: x[1:2], torch.ones(8))
    assert (edge.text, edge.flow) == ("∂a/∂x: selection", "gain 1, 88 % zeros")


def test_the_gain_of_a_call_with_several_outputs_counts_all_their_cotangents() -> None:
    def rejoined(x: Tensor) -> Tensor:
        first, second = x.split(2)
        return torch.cat([first, 2 * second])

    assert edge_from_x(rejoined, torch.ones(4)).flow == "gain 1"


def test_single_numbers_need_no_gain_and_it_can_be_left_out() -> None:
    graph = trace("x*y", x=2.0, y=3.0, device="cpu")
    assert {edge.flow for edge in graph.view().edges} == {""}
    graph = trace(lambda x: torch.tanh(x).sum(), torch.ones(5, requires_grad=True))
    assert all(edge.flow for edge in graph.view().edges)
    assert not any(edge.flow for edge in graph.view(show=["formula"]).edges)


def test_a_cotangent_of_zero_has_no_gain() -> None:
    edge = edge_from_x(lambda x: torch.tanh(x) * 0, torch.ones(5))
    assert edge.flow == "elementwise, all zeros"
