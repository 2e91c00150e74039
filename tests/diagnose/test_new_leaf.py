"""A copy of a loss that requires a gradient of its own: nothing learns, and what a step makes for itself is left alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gradviz
from gradviz.diagnose import Diagnosis

Losses = Callable[[nn.Module, Tensor, Tensor], Tensor]


def of_its_number(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return torch.tensor(F.mse_loss(model(x), y).item(), requires_grad=True)


def of_numbers_in_double(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    losses = [F.mse_loss(model(one), other).item() for one, other in zip(x, y, strict=True)]
    return torch.tensor(losses, requires_grad=True, dtype=torch.float64).mean()


def of_a_sum_of_numbers(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return torch.tensor(sum(F.mse_loss(model(one), one[:1]).item() for one in x), requires_grad=True)


def of_a_list(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return F.mse_loss(torch.tensor(model(x).tolist(), requires_grad=True), y)


def without_grad(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    with torch.no_grad():
        loss = F.mse_loss(model(x), y)
    return loss.requires_grad_()


def told(loss: Losses, *, is_optimized: bool = True) -> Diagnosis:
    torch.manual_seed(0)
    model, x, y = nn.Linear(3, 1), torch.randn(8, 3), torch.randn(8, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1) if is_optimized else None
    found = gradviz.trace(lambda: loss(model, x, y)).diagnose()
    del optimizer
    return found


@pytest.mark.parametrize("loss", [of_its_number, of_numbers_in_double])
@pytest.mark.parametrize("is_optimized", [True, False])
def test_a_leaf_of_numbers_that_were_read_of_the_loss_is_an_error(loss: Losses, is_optimized: bool) -> None:
    (finding,) = told(loss, is_optimized=is_optimized)
    assert (finding.kind, finding.severity) == ("leaf-replaced", "error")
    assert "no gradient reaches weight, bias" in finding.message and "that were read of a tensor" in finding.message
    assert ("which optimizer holds" in finding.message) == is_optimized and "test_new_leaf.py" in finding.source


@pytest.mark.parametrize("loss", [of_a_sum_of_numbers, of_a_list, without_grad])
def test_a_leaf_beside_parameters_that_an_optimizer_holds_is_a_warning(loss: Losses) -> None:
    (finding,) = told(loss)
    assert (finding.kind, finding.severity) == ("leaf-replaced", "warning")
    assert "which optimizer holds: the loss is made of" in finding.message
    assert told(loss, is_optimized=False) == []


def by_an_attack(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    moved = (x + 0.1).requires_grad_()
    print(f"{F.mse_loss(model(x), y).item():.3f}")
    return -F.mse_loss(model(moved), y)


def by_a_point_of_its_own(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    print(f"{F.mse_loss(model(x), y).item():.3f}")
    return torch.ones(3, requires_grad=True).square().sum()


@pytest.mark.parametrize(
    ("loss", "is_optimized"), [(by_an_attack, True), (by_an_attack, False), (by_a_point_of_its_own, False)]
)
def test_what_a_step_makes_for_itself_is_left_alone(loss: Losses, is_optimized: bool) -> None:
    assert not [finding for finding in told(loss, is_optimized=is_optimized) if finding.kind == "leaf-replaced"]


def test_a_leaf_from_outside_of_the_step_is_left_alone() -> None:
    scale = torch.tensor(1.5, requires_grad=True)
    assert not [one for one in told(lambda model, x, y: scale * model(x).mean().item()) if one.kind == "leaf-replaced"]
