"""The log-likelihood of yes and no, written out, is told without its minus; costs, divergences and generators are not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import gradviz

LABELS = (torch.arange(16) % 3 == 0).float()[:, None]
RATES = torch.full((16, 1), 0.05)
ZEROS = torch.zeros(16, 1)
Loss = Callable[[Tensor], Tensor]


def told(loss: Loss) -> list[str]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1), nn.Sigmoid())
    graph = gradviz.trace(model, torch.randn(16, 8), loss=loss)
    return [one.message for one in graph.diagnose() if one.kind == "missing-minus"]


@pytest.mark.parametrize(
    "loss",
    [
        lambda p: (LABELS * torch.log(p) + (1 - LABELS) * torch.log(1 - p)).mean(),
        lambda p: (LABELS * p.log() + (1 - LABELS) * (1 - p).log()).sum() / 16,
        lambda p: ((1 - LABELS) * (1 - p + 1e-7).log() + LABELS * (p + 1e-7).log()).squeeze(1).mean(),
    ],
)
def test_a_likelihood_of_yes_and_no_without_its_minus_is_told(loss: Loss) -> None:
    (message,) = told(loss)
    assert "the loss grows with the log-probabilities of the chosen classes" in message
    assert told(lambda p: -loss(p)) == []


@pytest.mark.parametrize(
    "loss",
    [
        lambda p: torch.log(1 - p).mean(),
        lambda p: (LABELS * torch.log(p)).mean(),
        lambda p: (LABELS * torch.log(p) + LABELS * torch.log(1 - p)).mean(),
        lambda p: (p * torch.log(p) + (1 - p) * torch.log(1 - p)).mean(),
        lambda p: (RATES * torch.log(RATES / p) + (1 - RATES) * torch.log((1 - RATES) / (1 - p))).mean(),
        lambda p: (LABELS * torch.log(1 / p) + (1 - LABELS) * torch.log(1 / (1 - p))).mean(),
        lambda p: (LABELS * torch.log(1 + p) + (1 - LABELS) * torch.log(2 - p)).mean(),
        lambda p: (ZEROS * torch.log(p) + (1 - ZEROS) * torch.log(1 - p)).mean(),
    ],
)
def test_generators_costs_divergences_and_entropies_are_meant(loss: Loss) -> None:
    assert told(loss) == []


def test_what_deceives_another_model_is_meant() -> None:
    torch.manual_seed(0)
    encoder, critic = nn.Linear(8, 4), nn.Sequential(nn.Linear(4, 1), nn.Sigmoid())

    def step() -> Tensor:
        p = critic(encoder(torch.randn(16, 8)))
        return (LABELS * torch.log(p) + (1 - LABELS) * torch.log(1 - p)).mean()

    assert [one.kind for one in gradviz.trace(step).diagnose() if one.kind == "missing-minus"] == []
