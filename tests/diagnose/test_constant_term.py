"""Terms of a loss made of derivatives without a graph are told; other constants, and updates of first order, are not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gradviz


def network(inputs: int, activation: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(inputs, 16), activation, nn.Linear(16, 1))


def told(step: Callable[[], Tensor]) -> list[str]:
    return [one.message for one in gradviz.trace(step).diagnose() if "made of a derivative" in one.message]


def equation(create_graph: bool) -> Tensor:
    """u'' + u = 0 with u(0) = 1."""
    model, x = network(1, nn.Tanh()), torch.linspace(0, 1, 9)[:, None].requires_grad_()
    u = model(x)
    (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
    (bend,) = torch.autograd.grad(slope.sum(), x, create_graph=create_graph, retain_graph=True)
    return ((bend + u) ** 2).mean() + (model(torch.zeros(1, 1)) - 1).square().mean()


def penalty(create_graph: bool, *, activation: nn.Module | None = None) -> Tensor:
    critic, x = network(4, activation or nn.Softplus()), torch.randn(8, 4).requires_grad_()
    scores = critic(x)
    (slopes,) = torch.autograd.grad(scores.sum(), x, create_graph=create_graph, retain_graph=True)
    return F.softplus(-scores).mean() + slopes.square().sum(1).mean() * 5


@pytest.mark.parametrize("step", [equation, penalty, lambda graph: penalty(graph, activation=nn.ReLU())])
def test_a_derivative_without_a_graph_is_told(step: Callable[[bool], Tensor]) -> None:
    assert len(told(lambda: step(False))) == 1
    assert told(lambda: step(True)) == []


@pytest.mark.parametrize("factor", [0, 0.0, torch.tensor(0.0), 0.5])
def test_a_penalty_that_is_switched_off_is_meant(factor: float) -> None:
    critic, x = network(4, nn.Tanh()), torch.randn(8, 4)

    def step() -> Tensor:
        loss = critic(x).square().mean()
        (slope,) = torch.autograd.grad(loss, critic[0].weight, retain_graph=True)  # type: ignore[index]
        return loss + factor * slope.norm()  # type: ignore[no-any-return]

    assert len(told(step)) == (factor == 0.5)


def test_an_update_of_first_order_is_meant() -> None:
    weight = torch.tensor([0.5, 1.0], requires_grad=True)

    def step() -> Tensor:
        inner = (weight.tanh() - 1).square().sum()
        (slope,) = torch.autograd.grad(inner, weight)
        return ((weight - 0.1 * slope) - 2).square().sum()

    assert told(step) == []


def test_several_updates_of_first_order_are_meant() -> None:
    weight = torch.tensor([0.5, 1.0], requires_grad=True)

    def step() -> Tensor:
        fast = weight
        for _ in range(2):
            (slope,) = torch.autograd.grad((fast.tanh() - 1).square().sum(), fast, retain_graph=True)
            fast = fast - 0.1 * slope
        return (fast - 2).square().sum()

    assert told(step) == []


@pytest.mark.parametrize("is_frozen", [True, False])
def test_a_score_of_a_model_that_learns_nothing_here_is_a_target(is_frozen: bool) -> None:
    energy, model = network(4, nn.Tanh()).requires_grad_(not is_frozen), nn.Linear(4, 4)

    def step() -> Tensor:
        x = torch.randn(8, 4, requires_grad=True)
        (score,) = torch.autograd.grad(energy(x).sum(), x)
        return (model(x) - score).square().mean()

    assert told(step) == []


def test_what_is_detached_is_meant() -> None:
    model, x = network(4, nn.Tanh()), torch.randn(8, 4, requires_grad=True)

    def step() -> Tensor:
        made = model(x)
        (slope,) = torch.autograd.grad(made.sum(), x, retain_graph=True)
        loss = made.square().mean()
        return loss + (slope.square().mean() - loss).detach()

    assert told(step) == []


def test_without_modules_it_is_told_too() -> None:
    weight, x = torch.randn(4, 1, requires_grad=True), torch.randn(8, 4, requires_grad=True)

    def step() -> Tensor:
        made = (x @ weight).tanh()
        (slope,) = torch.autograd.grad(made.sum(), x, retain_graph=True)
        return made.square().mean() + slope.square().mean()

    assert len(told(step)) == 1


def test_other_constants_are_meant() -> None:
    model, x = network(4, nn.Tanh()), torch.randn(8, 4)

    def step() -> Tensor:
        with torch.no_grad():
            before = model(x).mean()
        return model(x).square().mean() - before + x.square().mean()

    assert told(step) == []


def test_a_matrix_of_features_is_no_batch() -> None:
    """As in Barlow Twins: the loss is a sum over 16 × 16 correlations of 32 samples."""
    torch.manual_seed(0)
    model, x, one = nn.Linear(8, 16), torch.randn(32, 8), torch.eye(16)

    def loss(batch: int) -> Tensor:
        first, second = (F.normalize(model(x + noise), dim=0) for noise in (0, 0.1 * torch.randn_like(x)))
        return ((first.T @ second - one) ** 2).sum() if batch == 0 else (first - second).square().sum()

    assert [one.kind for one in gradviz.trace(lambda: loss(0)).diagnose()] == []
    assert [one.kind for one in gradviz.trace(lambda: loss(32)).diagnose()] == ["sum-reduction"]


@pytest.mark.parametrize("features", [16, 32])
def test_nor_is_one_of_as_many_features_as_samples(features: int) -> None:
    torch.manual_seed(0)
    model, x = nn.Linear(8, features), torch.randn(32, 8)

    def loss() -> Tensor:
        first, second = (F.normalize(model(x + 0.1 * torch.randn_like(x)), dim=0) for _ in range(2))
        return (first.T @ second - torch.eye(features)).pow(2).sum()

    assert [one.kind for one in gradviz.trace(loss).diagnose()] == []
