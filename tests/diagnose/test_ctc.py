"""What is told of what a CTC loss is computed from."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

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


@pytest.mark.parametrize(("dim", "kinds"), [(2, []), (1, ["softmax-over-batch"]), (0, ["softmax-over-batch"])])
def test_the_classes_of_a_model_that_takes_the_batch_first_are_found(dim: int, kinds: list[str]) -> None:
    torch.manual_seed(0)
    head, frames = nn.Linear(8, 6), torch.randn(4, 20, 8)
    targets, lengths, sizes = torch.randint(1, 6, (4, 5)), torch.full((4,), 20), torch.full((4,), 5)
    turns: list[Callable[[Tensor], Tensor]] = [lambda logs: logs.permute(1, 0, 2), lambda logs: logs.transpose(0, -2)]
    for turned in turns:
        loss = partial(lambda turned: F.ctc_loss(turned(head(frames).log_softmax(dim)), targets, lengths, sizes), turned)
        graph = gradviz.trace(loss)
        found = graph.diagnose()
        assert [finding.kind for finding in found] == kinds
        assert all("pass dim=2 to the softmax" in finding.hint for finding in found)


@pytest.mark.parametrize(("dim", "kinds"), [(1, []), (2, ["softmax-over-batch"])])
def test_the_classes_of_a_convolution_are_found(dim: int, kinds: list[str]) -> None:
    torch.manual_seed(0)
    layer, frames, targets = nn.Conv1d(8, 6, 1), torch.randn(4, 8, 20), torch.randint(1, 6, (4, 5))
    lengths, sizes = torch.full((4,), 20), torch.full((4,), 5)
    graph = gradviz.trace(lambda: F.ctc_loss(layer(frames).log_softmax(dim).permute(2, 0, 1), targets, lengths, sizes))
    assert [finding.kind for finding in graph.diagnose()] == kinds


@pytest.mark.parametrize(("dim", "kinds"), [(1, []), (0, ["softmax-over-batch"])])
def test_the_classes_of_one_sequence_are_found(dim: int, kinds: list[str]) -> None:
    torch.manual_seed(0)
    head, frames, targets = nn.Linear(8, 6), torch.randn(20, 8), torch.randint(1, 6, (5,))
    graph = gradviz.trace(lambda: F.ctc_loss(head(frames).log_softmax(dim), targets, torch.tensor(20), torch.tensor(5)))
    assert [finding.kind for finding in graph.diagnose()] == kinds
