"""A critic's scores of data and of samples oppose each other by design; features that are averaged and subtracted do not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import gradviz

DATA = torch.linspace(-1, 1, 128).view(16, 8)


def told(loss: Callable[[Tensor, Tensor], Tensor], *, outputs: int = 1) -> list[str]:
    """Of a network's answers to data, and to nearly the same."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 32), nn.Softplus(), nn.Linear(32, outputs))
    samples = DATA + 0.01 * torch.randn(16, 8)
    graph = gradviz.trace(lambda: loss(model(DATA), model(samples)))
    return [one.kind for one in graph.diagnose() if one.kind == "opposing-uses"]


@pytest.mark.parametrize(
    "loss",
    [
        lambda data, samples: samples.mean() - data.mean(),
        lambda data, samples: -(data.squeeze(1).mean() - samples.squeeze(1).mean()),
        lambda data, samples: data.mean() - samples.mean() + 0.001 * (data**2).mean(),
        lambda data, samples: 2 - data.sum() + samples.sum(),
    ],
)
def test_scores_of_data_and_of_samples_are_meant_to_oppose(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    assert told(loss) == []


def test_features_that_oppose_are_told() -> None:
    assert "opposing-uses" in told(lambda data, samples: data.mean() - samples.mean(), outputs=4)
