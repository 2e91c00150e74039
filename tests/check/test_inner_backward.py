"""A custom Function whose backward runs a backward pass of its own, as reversible layers do: autograd's graph lacks it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

import gradviz
from gradviz import GradGraph
from gradviz.attributes import INNER_BACKWARD


class Residual(torch.autograd.Function):
    """x + layer(x), which is computed again on the way back with the same dropout; `layer` gets its gradient there."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: nn.Module) -> Tensor:
        ctx.layer, ctx.seed = layer, int(torch.randint(2**31, ()))
        torch.manual_seed(ctx.seed)
        y = x + layer(x)
        ctx.save_for_backward(x.detach())
        return y

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        x = ctx.saved_tensors[0].detach().requires_grad_()
        torch.manual_seed(ctx.seed)
        with torch.enable_grad():
            y = ctx.layer(x)
        y.backward(cotangent)
        torch.rand(3)
        return cotangent + x.grad, None


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 4)
        self.layer = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.3), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = Residual.apply(self.head(x), self.layer)  # type: ignore[no-untyped-call]
        return y.square().mean()


INSIDE = ("layer.0.weight", "layer.0.bias")


def traced() -> tuple[Model, Tensor, GradGraph]:
    torch.manual_seed(0)
    model, x = Model(), torch.randn(5, 3)
    torch.manual_seed(1)
    return model, x, gradviz.trace(model, x, device="cpu")


def test_the_gradients_are_those_of_torch_and_grad_and_random_numbers_stay() -> None:
    model, x, graph = traced()
    graph.check()
    graph.diagnose()
    after = torch.get_rng_state()
    assert all(parameter.grad is None for parameter in model.parameters())
    torch.manual_seed(1)
    loss = model(x)
    assert torch.equal(torch.get_rng_state(), after)
    loss.backward()
    gradients = graph.gradients()
    assert set(gradients) == {name for name, _ in model.named_parameters()}
    for name, parameter in model.named_parameters():
        gradient = gradients[name]
        assert gradient is not None and parameter.grad is not None and torch.equal(gradient, parameter.grad)


def test_a_gradient_that_was_there_is_not_added_to() -> None:
    model, x, _ = traced()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    graph = gradviz.trace(model, x, device="cpu")
    graph.check()
    (use,) = [use for use in graph.arguments_of(graph.node("y")) if use.partial is not None]
    assert use.contribution is not None and use.partial is not None
    assert torch.equal(use.partial.vjp(graph.cotangent(graph.node("y"))), use.contribution)
    assert all(torch.equal(parameter.grad, torch.ones_like(parameter)) for parameter in model.parameters())  # type: ignore[arg-type]


def test_nothing_of_it_is_called_wrong_or_verified() -> None:
    _, _, graph = traced()
    report = graph.check()
    assert report.ok and not report.verified
    (into,) = [entry for entry in report.edges if graph.nodes[entry.edge[1]]["op"] == "Residual"]
    assert into.verdict == "unverified" and "Residual.backward() runs a backward pass of its own" in into.reason
    assert {entry.name for entry in report.sums if entry.verdict == "unverified"} == set(INSIDE)
    assert [str(finding) for finding in graph.diagnose()] == []


def test_the_graph_and_explanations_say_where_the_gradient_comes_from() -> None:
    _, _, graph = traced()
    for name in INSIDE:
        assert [use.cut for use in graph.uses_of(graph.node(name))] == [INNER_BACKWARD]
        assert "Residual.backward() runs a backward pass of its own" in str(graph.explain(name))


class SavedDetached(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = torch.exp(nn.functional.dropout(x, 0.25))
        ctx.save_for_backward(x.detach(), y.detach())
        return y * x

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:  # type: ignore[override]
        return cotangent


def test_what_is_detached_to_be_saved_has_not_left_torch() -> None:
    graph = gradviz.trace(SavedDetached.apply, torch.randn(6, requires_grad=True), grad_output=torch.ones_like)
    (function,) = graph.graph["functions"].values()
    assert function.read == ()


class Dropped(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = nn.functional.dropout(x, 0.5).sin()
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:  # type: ignore[override]
        x, y = ctx.saved_tensors
        return torch.where(y == 0, 0.0, 2 * (2 * x).cos() * cotangent)


def test_random_numbers_that_a_forward_drew_are_taken_as_they_are() -> None:
    graph = gradviz.trace(Dropped.apply, torch.randn(300, requires_grad=True), grad_output=torch.ones_like)
    (entry,) = graph.check().edges
    assert entry.verdict == "match" and "all elements against torch's own formulas in float64" in entry.how


class Layered(torch.autograd.Function):
    """Leaves torch within a module that counts its calls."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: nn.BatchNorm1d) -> Tensor:
        return layer(x) * x.abs().max().item()

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return cotangent, None


def test_a_forward_with_modules_does_not_run_again() -> None:
    layer = nn.BatchNorm1d(2)
    x = torch.randn(4, 2, requires_grad=True)
    report = gradviz.trace(lambda: Layered.apply(x, layer).sum()).check()  # type: ignore[no-untyped-call]
    assert layer.num_batches_tracked == 1
    (entry,) = [entry for entry in report.edges if "was handed modules" in entry.reason]
    assert entry.verdict == "unverified"
