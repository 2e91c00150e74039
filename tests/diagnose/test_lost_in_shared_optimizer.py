"""A model that leaves torch, beside one that learns: told where one optimizer is to train both, and only there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import gradviz
from gradviz.diagnose import Diagnosis


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 5)
        self.second = nn.Linear(5, 6)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.first(x))
        return self.second(h)  # type: ignore[no-any-return]


def by_numpy(encoder: nn.Module, x: Tensor) -> Tensor:
    return torch.from_numpy(encoder(x).detach().numpy())


def by_list(encoder: nn.Module, x: Tensor) -> Tensor:
    return torch.tensor(encoder(x).tolist())


def by_number(encoder: nn.Module, x: Tensor) -> Tensor:
    return torch.full((8, 6), encoder(x).mean().item())


def under_no_grad(encoder: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return encoder(x)  # type: ignore[no-any-return]


def under_no_grad_by_numpy(encoder: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.from_numpy(encoder(x).numpy())


WAYS = pytest.mark.parametrize(
    ("way", "kind"),
    [
        (by_numpy, "left-torch"),
        (by_list, "unused-parameter"),
        (by_number, "left-torch"),
        (under_no_grad, "no-grad"),
        (under_no_grad_by_numpy, "no-grad"),
    ],
)


def told(way: Callable[[nn.Module, Tensor], Tensor], *, is_frozen: bool = False, is_shared: bool = True) -> Diagnosis:
    """What is found in a step of a head on what an encoder computes, of which one optimizer holds both, or each its own."""
    torch.manual_seed(0)
    encoder, head = Encoder(), nn.Linear(6, 1)
    encoder.requires_grad_(not is_frozen)
    both = [*encoder.parameters(), *head.parameters()]
    optimizers = [torch.optim.Adam(held) for held in ([both] if is_shared else [both[:4], both[4:]])]
    x, y = torch.randn(8, 4), torch.randn(8, 1)
    found = gradviz.trace(lambda: (head(way(encoder, x)) - y).square().mean()).diagnose()
    del optimizers
    return found


@WAYS
def test_a_model_that_leaves_torch_is_told_where_its_optimizer_trains_another_too(
    way: Callable[[nn.Module, Tensor], Tensor], kind: str
) -> None:
    found = told(way)
    assert {finding.kind for finding in found} == {kind}
    assert sum(int(finding.numbers["leaves without gradient"]) for finding in found) == 4
    assert all(finding.message.endswith("holds them together with parameters that learn") for finding in found)
    assert len(found) == (2 if way is under_no_grad else 1)  # what is in the graph is told line by line


@WAYS
def test_a_frozen_model_in_the_optimizer_is_meant(way: Callable[[nn.Module, Tensor], Tensor], kind: str) -> None:
    assert told(way, is_frozen=True) == []


@WAYS
def test_a_model_of_another_optimizer_is_meant(way: Callable[[nn.Module, Tensor], Tensor], kind: str) -> None:
    assert told(way, is_shared=False) == []
