"""A loss that is minus the error of one model is told, as a hint; an adversary's, and what only looks alike, is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gradviz

X, Y, LABELS = torch.linspace(-1, 1, 48).view(8, 6), torch.linspace(-2, 1, 24).view(8, 3), torch.arange(8) % 3


def network(outputs: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, outputs))


def told(loss: Callable[[Tensor], Tensor]) -> list[tuple[str, str]]:
    """Of a loss of one model's answers."""
    graph = gradviz.trace(network(), X, loss=loss)
    return [(one.severity, one.message.partition(":")[0]) for one in graph.diagnose() if one.kind == "negated-loss"]


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (lambda out: -((out - Y) ** 2).mean(), "squared errors"),
        (lambda out: -0.5 * (Y - out).square().sum(1).mean(), "squared errors"),
        (lambda out: (out - Y).abs().mean() / -2, "absolute errors"),
        (lambda out: 0 - F.mse_loss(out, Y), "mse_loss"),
        (lambda out: -F.mse_loss(out, Y.view(8, 3, 1).expand(8, 3, 2).mean(-1)), "mse_loss"),
        (lambda out: -F.smooth_l1_loss(out, Y) - F.l1_loss(out, Y), "absolute errors"),
        (lambda out: -F.cross_entropy(out, LABELS), "nll_loss"),
        (lambda out: -F.binary_cross_entropy_with_logits(out, (Y > 0).float()), "binary_cross_entropy_with_logits"),
    ],
)
def test_minus_an_error_is_told(loss: Callable[[Tensor], Tensor], said: str) -> None:
    ((severity, message),) = told(loss)
    assert severity == "hint" and message.startswith("the loss is minus") and said in message
    assert told(lambda out: -loss(out)) == []


@pytest.mark.parametrize(
    "loss",
    [
        lambda out: F.cross_entropy(out, LABELS) - 0.1 * F.mse_loss(out, Y),
        lambda out: -F.mse_loss(out, torch.zeros(8, 3)),
        lambda out: -F.cross_entropy(out, torch.ones(8, dtype=torch.long)),
        lambda out: -((out - out.mean(0).detach()) ** 2).mean(),
        lambda out: -((out - Y.mean(0)) ** 2).mean(),
        lambda out: -F.mse_loss(out, Y.mean(0).expand(8, 3)),
        lambda out: -(out.square()).mean(),
        lambda out: -F.cosine_similarity(out, Y).mean(),
        lambda out: -(out * Y).sum(1).mean(),
        lambda out: -((out - Y) ** 2).mean().exp().neg().exp(),
        lambda out: -torch.distributions.Normal(out, 0.5).log_prob(Y).mean(),
    ],
)
def test_what_is_no_error_alone_is_not_told(loss: Callable[[Tensor], Tensor]) -> None:
    assert told(loss) == []


def kinds(step: Callable[[], Tensor]) -> list[str]:
    return [one.kind for one in gradviz.trace(step).diagnose() if one.kind == "negated-loss"]


def test_an_attack_and_an_adversary_are_meant() -> None:
    model, other = network(6), network()
    shift = torch.zeros(8, 6, requires_grad=True)
    assert kinds(lambda: -F.mse_loss(other(X), Y)) == ["negated-loss"]
    assert kinds(lambda: -F.mse_loss(other(X + shift), Y)) == []
    assert kinds(lambda: -F.mse_loss(other(model(X)), Y)) == []
    other.requires_grad_(False)
    assert kinds(lambda: -F.mse_loss(other(model(X)), Y)) == []
