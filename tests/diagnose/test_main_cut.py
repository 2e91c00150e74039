"""Which of several cuts a finding names: that by which most numbers go on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gradviz


class Model(nn.Module):
    """An encoder, a head, and what lies between them."""

    def __init__(self, between: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.encoder, self.head, self.between = nn.Linear(4, 4), nn.Linear(4, 1), between

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.between(self.encoder(x)))  # type: ignore[no-any-return]


def lowered(critic: nn.Module, x: Tensor) -> Tensor:
    """A step of an attack."""
    (slope,) = torch.autograd.grad(critic(x).sum(), x)
    return critic((x + 0.1 * slope.sign()).detach())  # type: ignore[no-any-return]


def score_matched(critic: nn.Module, x: Tensor) -> Tensor:
    (slope,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
    return critic(x.detach()) - slope.detach().sum(-1, keepdim=True)  # type: ignore[no-any-return]


@pytest.mark.parametrize("step", [lowered, score_matched])
def test_an_input_that_requires_grad_for_a_derivative_in_the_step_may_be_detached(step: Callable[..., Tensor]) -> None:
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    points = torch.randn(8, 4, requires_grad=True)
    assert gradviz.trace(lambda: step(critic, points).square().mean()).diagnose() == []
    optimizer = torch.optim.SGD([points, *critic.parameters()], lr=0.1)
    found = gradviz.trace(lambda: step(critic, points).square().mean() + 0 * len(optimizer.param_groups)).diagnose()
    assert [one.kind for one in found] == ["detached"]


def mask_after(h: Tensor) -> Tensor:
    kept = h.detach()
    return kept * (h > 0)


def mask_before(h: Tensor) -> Tensor:
    mask = h > 0
    return h.detach() * mask


def count_after(h: Tensor) -> Tensor:
    kept = h.detach()
    return kept / (h.abs().sum(1) > 0).sum()


def statistic_after_a_cast(h: Tensor) -> Tensor:
    whole = (10 * h).long().float()
    return whole / h.detach().std()


def statistic_after_a_choice(h: Tensor) -> Tensor:
    chosen = F.one_hot(h.argmax(1), 4).float()
    return chosen * h.detach().std()


def statistic_after_a_comparison(h: Tensor) -> Tensor:
    gate = (h > 0).float()
    return gate / h.detach().std()


@pytest.mark.parametrize(
    ("between", "kind", "cut"),
    [
        *((mask_after, "detached", "detach"), (mask_before, "detached", "detach"), (count_after, "detached", "detach")),
        *((statistic_after_a_cast, "integer-cast", "_to_copy"), (statistic_after_a_choice, "step-function", "argmax")),
        (statistic_after_a_comparison, "step-function", "gt"),
    ],
)
def test_the_cut_by_which_most_numbers_go_on_is_named(between: Callable[[Tensor], Tensor], kind: str, cut: str) -> None:
    torch.manual_seed(0)
    x, target = torch.randn(8, 4), torch.randn(8, 1)
    (finding,) = gradviz.trace(Model(between), x, loss=lambda out: F.mse_loss(out, target)).diagnose()
    assert finding.kind == kind
    assert f"no gradient reaches encoder.weight, encoder.bias: {cut} cuts the way" in finding.message


@pytest.mark.parametrize(
    ("places", "op"),
    [
        (lambda h: h.max(1).indices, "max"),
        (lambda h: h.max(1).indices.view(-1, 1)[:, 0], "max"),
        (lambda h: h.topk(1).indices[:, 0], "topk"),
        (lambda h: h.sort(1).indices[:, 0], "sort"),
    ],
)
def test_of_places_the_call_that_finds_them_is_named_and_not_what_reads_them(
    places: Callable[[Tensor], Tensor], op: str
) -> None:
    torch.manual_seed(0)
    rows, x, target = torch.randn(4, 4), torch.randn(8, 4), torch.randn(8, 1)
    model = Model(lambda h: rows[places(h)])
    (finding,) = gradviz.trace(model, x, loss=lambda out: F.mse_loss(out, target)).diagnose()
    assert finding.kind == "step-function" and "argmax" in finding.hint
    assert f"no gradient reaches encoder.weight, encoder.bias: {op} finds" in finding.message
