"""The divergence of a variational autoencoder with its sign turned round is told, as people write it rightly it is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gradviz

Divergence = Callable[[Tensor, Tensor], Tensor]


def told(divergence: Divergence, *, weight: float, split: bool = False) -> list[str]:
    """Of a loss that adds the divergence of mean and log variance [32, 4] this many times."""
    torch.manual_seed(0)
    encoder, mean_of, spread_of, decoder = nn.Linear(8, 8), nn.Linear(8, 4), nn.Linear(8, 4), nn.Linear(4, 8)
    x = torch.randn(32, 8)

    def loss() -> Tensor:
        hidden = encoder(x)
        mean, log_variance = hidden.chunk(2, 1) if split else (mean_of(hidden.tanh()), spread_of(hidden.tanh()))
        drawn = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        return F.mse_loss(decoder(drawn), x) + weight * divergence(mean, log_variance)

    return [f"{one.kind}: {one.message}" for one in gradviz.trace(loss).diagnose()]


DIVERGENCES: list[Divergence] = [
    lambda m, s: -0.5 * (1 + s - m**2 - s.exp()).sum(1).mean(),
    lambda m, s: -0.5 * torch.sum(1 + s - m.pow(2) - s.exp()) / 32,
    lambda m, s: 0.5 * (m.square() + s.exp() - s - 1).sum(-1).mean(0),
    lambda m, s: (-0.5 * (1 + s - m**2 - torch.exp(s)).sum(1)).mean(),
]


@pytest.mark.parametrize("split", [True, False])
@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_a_divergence_with_the_wrong_sign_is_told(divergence: Divergence, split: bool) -> None:
    (message,) = told(divergence, weight=-0.1, split=split)
    assert message.startswith("missing-minus: the divergence from a standard Gaussian stands in the loss with the wrong")
    assert told(divergence, weight=0.1, split=split) == []


@pytest.mark.parametrize(
    "added",
    [
        lambda loss, term: loss + torch.tensor(-0.1) * term,
        lambda loss, term: loss + term / torch.tensor(-10.0),
        lambda loss, term: loss + (term * torch.full((2,), -0.1)).mean(),
        lambda loss, term: torch.add(loss, term, alpha=-0.1),
        lambda loss, term: torch.addcmul(loss, term, torch.tensor(-0.1)),
    ],
)
def test_a_minus_within_a_tensor_or_an_option_counts(added: Callable[[Tensor, Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    encoder, decoder, x = nn.Linear(8, 8), nn.Linear(4, 8), torch.randn(32, 8)

    def loss() -> Tensor:
        m, s = encoder(x).chunk(2, 1)
        drawn = m + (0.5 * s).exp() * torch.randn_like(m)
        return added(F.mse_loss(decoder(drawn), x), 0.5 * (1 + s - m**2 - s.exp()).sum(1).mean())

    assert gradviz.trace(loss).diagnose() == []


@pytest.mark.parametrize(
    "other",
    [
        lambda m, s: (s.exp() - torch.ones(32, 4) * s).mean(),
        lambda m, s: 0.5 * (s + (m - 1) ** 2 / s.exp()).mean(),
        lambda m, s: -(s - s.exp()).mean(),
        lambda m, s: m.square().mean() - 0.01 * s.mean(),
    ],
)
def test_other_sums_of_logarithms_and_squares_are_not_told(other: Divergence) -> None:
    assert told(other, weight=1.0) == []


def test_log_probabilities_with_something_small_in_the_logarithm_are_told_without_their_minus() -> None:
    torch.manual_seed(0)
    layer, x, labels = nn.Linear(8, 3), torch.randn(32, 8), torch.randint(0, 3, (32,))

    def loss(sign: int) -> Tensor:
        logs = (layer(x).softmax(1) + 1e-9).log()
        return sign * (F.one_hot(labels, 3) * logs).sum(1).mean()

    kinds = [[one.kind for one in gradviz.trace(lambda: loss(sign)).diagnose()] for sign in (1, -1)]  # noqa: B023
    assert kinds == [["missing-minus", "log-of-softmax"], ["log-of-softmax"]]
