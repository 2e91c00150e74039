"""What is told of what a CTC loss is computed from."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gradviz


def steps_of(normalised: Callable[[Tensor], Tensor], lengths: list[int]) -> gradviz.GradGraph:
    torch.manual_seed(0)
    head, frames = nn.Linear(8, 6), torch.randn(20, 4, 8)
    targets, sizes = torch.randint(1, 6, (4, 5)), torch.full((4,), 5)
    return gradviz.trace(lambda: F.ctc_loss(normalised(head(frames)), targets, torch.tensor(lengths), sizes))


def padded(scores: Tensor) -> Tensor:
    """Log-probabilities of the first 8 frames, and numbers that nobody reads behind them."""
    return torch.cat([scores[:8].log_softmax(2), scores[8:] * 0])


@pytest.mark.parametrize(
    ("normalised", "lengths", "kinds"),
    [
        (lambda scores: scores.log_softmax(2), [20] * 4, []),
        (lambda scores: scores, [20] * 4, ["not-log-probabilities"]),
        (lambda scores: scores.softmax(2), [20] * 4, ["not-log-probabilities"]),
        (lambda scores: scores.log_softmax(1), [20] * 4, ["softmax-over-batch"]),
        (padded, [8] * 4, []),
        (padded, [20] * 4, ["not-log-probabilities"]),
    ],
)
def test_ctc_takes_log_probabilities_of_the_frames_within_the_lengths(
    normalised: Callable[[Tensor], Tensor], lengths: list[int], kinds: list[str]
) -> None:
    found = steps_of(normalised, lengths).diagnose()
    assert [finding.kind for finding in found] == kinds
    for finding in found:
        assert "ctc_loss" in finding.message and "cross_entropy" not in finding.hint
