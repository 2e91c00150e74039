"""log p[range(rows), labels] reads classes along the other dimension, so that a softmax over the rows is told."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import gradviz

LABELS = torch.tensor([0, 1, 2, 3, 0])


def kinds_of(dim: int, rows: Tensor, columns: Tensor) -> list[str]:
    layer, x = nn.Linear(3, 4), torch.randn(5, 3)
    graph = gradviz.trace(lambda: -layer(x).log_softmax(dim)[rows, columns].mean())
    return [finding.kind for finding in graph.diagnose()]


def test_a_softmax_over_the_rows_is_told() -> None:
    assert kinds_of(0, torch.arange(5), LABELS) == ["softmax-over-batch"]


def test_it_is_told_of_a_logarithm_of_a_softmax_too() -> None:
    layer, x = nn.Linear(3, 4), torch.randn(5, 3)
    graph = gradviz.trace(lambda: layer(x).softmax(0).log()[range(5), [0, 1, 2, 3, 0]].neg().mean())
    assert [finding.kind for finding in graph.diagnose()] == ["softmax-over-batch", "log-of-softmax"]


@pytest.mark.parametrize(
    ("dim", "rows", "columns"),
    [
        (1, torch.arange(5), LABELS),
        (0, torch.tensor([0, 1, 2, 4]), torch.arange(4)),  # one row for each column
        (0, LABELS[:3], LABELS[1:4]),  # pairs
    ],
)
def test_other_picks_are_silent(dim: int, rows: Tensor, columns: Tensor) -> None:
    assert kinds_of(dim, rows, columns) == []


def test_a_mask_of_two_rows_is_no_row_of_each() -> None:
    layer, x, mask = nn.Linear(3, 5), torch.randn(2, 3), torch.tensor([False, True])  # as numbers 0 and 1
    graph = gradviz.trace(lambda: -layer(x).log_softmax(0)[mask, torch.tensor([3])].mean())
    assert graph.diagnose() == []
