"""Losses of one number that compare each row with each other row are told; rows with their own, and costs, are not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gradviz

TARGETS = torch.linspace(-1, 1, 24).view(8, 3)


def told(loss: Callable[[Tensor], Tensor]) -> list[str]:
    torch.manual_seed(0)
    graph = gradviz.trace(nn.Linear(5, 3), torch.randn(8, 5), loss=loss)
    return [one.message for one in graph.diagnose() if one.kind == "broadcast-pairs"]


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize(
    "loss",
    [
        lambda out: F.mse_loss(out, TARGETS[:, None]),
        lambda out: F.mse_loss(out[:, None], TARGETS),
        lambda out: F.smooth_l1_loss(out, TARGETS[:, None]),
        lambda out: F.huber_loss(out[:, :1], TARGETS[:, None, :1]),
        lambda out: F.mse_loss(out.view(8, 1, 3), TARGETS, reduction="sum"),
        lambda out: F.mse_loss(out[:, None, :1], out[:, 1:2]),
    ],
)
def test_rows_of_features_that_are_paired_in_a_loss_are_told(loss: Callable[[Tensor], Tensor]) -> None:
    (message,) = told(loss)
    assert "8 × 8 pairs of rows, where 8 were meant" in message


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize(
    "loss",
    [
        lambda out: F.mse_loss(out, TARGETS),
        lambda out: F.mse_loss(out[:, None], TARGETS[:, None]),
        lambda out: F.mse_loss(out[:, None], torch.stack([TARGETS, -TARGETS], 1)),
        lambda out: F.mse_loss(out, TARGETS[:1]),
        lambda out: F.mse_loss(out[:1, None], TARGETS[:1]),
        lambda out: F.mse_loss(out[:, None], TARGETS[None], reduction="none").mean(-1).amin(1).mean(),
        lambda out: F.mse_loss(out[:, None], out),
        lambda out: F.mse_loss(out.detach(), out.unsqueeze(1)),
        lambda out: (out[:, None] - TARGETS).square().sum(-1).amin(1).mean(),
    ],
)
def test_rows_with_their_rows_and_costs_of_all_pairs_are_meant(loss: Callable[[Tensor], Tensor]) -> None:
    assert told(loss) == []


@pytest.mark.parametrize(
    "loss",
    [
        lambda error: torch.where(error.abs() < 1, 0.5 * error**2, error.abs() - 0.5).mean(),
        lambda error: (error.abs() * (error.detach().abs() > 0.1)).mean(),
        lambda error: (error**2 * (1 + (error < 0))).mean(),
    ],
)
def test_pairs_whose_own_numbers_choose_among_them_are_told(loss: Callable[[Tensor], Tensor]) -> None:
    (message,) = told(lambda out: loss(out[:, 0] - TARGETS[:, :1]))
    assert "a 8 × 8 matrix, where 8 pairs were meant" in message
