"""What is seen of a loss that is computed outside of the model."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from runs.loops import watched
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge
from torch.nn import functional

import gradviz
from gradviz.runs import Run, listening

Loss = Callable[[Tensor], Tensor]
labels, targets = torch.arange(6) % 4, torch.randn(6, generator=torch.Generator().manual_seed(0))


def watched_loss(loss: Loss, directory: Path, *, width: int = 4, last: nn.Module | None = None) -> Run:
    def loop(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        for _ in range(2):
            optimizer.zero_grad()
            loss(model(torch.randn(6, 3))).backward()
            optimizer.step()

    return watched(loop, directory, model=nn.Sequential(nn.Linear(3, width), last or nn.Identity()))


def double_softmax(output: Tensor) -> Tensor:
    return functional.cross_entropy(output.softmax(-1), labels)


def sigmoid_before_logits(output: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(output.sigmoid().view(-1), torch.ones(24))


def squashed_logits(output: Tensor) -> Tensor:
    return functional.cross_entropy(output.relu(), labels)


def log_of_softmax(output: Tensor) -> Tensor:
    return functional.nll_loss((output.softmax(-1) + 1e-9).log(), labels)


def cross_entropy(output: Tensor) -> Tensor:
    return functional.cross_entropy(output, labels)


def log_softmax_and_temperature(output: Tensor) -> Tensor:
    return -(output / 2).log_softmax(-1)[:, 0].mean()


@pytest.mark.parametrize(
    ("loss", "severity"),
    [(double_softmax, "error"), (sigmoid_before_logits, "error"), (squashed_logits, "warning"), (log_of_softmax, "hint")],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_loss_that_takes_something_else_for_logits_is_told(tmp_path: Path, loss: Loss, severity: str) -> None:
    (finding,) = watched_loss(loss, tmp_path).diagnose()
    assert (finding.kind, finding.severity, finding.step) == (loss.__name__.replace("_", "-"), severity, 0)
    assert finding.source.startswith("test_run_losses.py:") and finding.message.endswith("the line is that of backward()")


@pytest.mark.parametrize("loss", [cross_entropy, log_softmax_and_temperature], ids=lambda loss: loss.__name__)
def test_healthy_loss_gives_no_finding(tmp_path: Path, loss: Loss) -> None:
    assert watched_loss(loss, tmp_path).diagnose() == []


def test_softmax_at_the_end_of_the_model_is_found_behind_the_loss(tmp_path: Path) -> None:
    (finding,) = watched_loss(cross_entropy, tmp_path, last=nn.Softmax(-1)).diagnose()
    assert finding.kind == "double-softmax"


@pytest.mark.parametrize(
    ("loss", "kinds"),
    [
        (lambda output: (output - targets).square().mean(), ["broadcast-pairs"]),
        (lambda output: (output.squeeze(-1) - targets[:, None]).square().mean(), ["broadcast-pairs"]),
        (lambda output: (output.squeeze(-1) - targets).square().mean(), []),
        (lambda output: (output - targets[:, None]).square().mean(), []),
        (lambda output: (output - output.T).relu().mean(), []),
        (lambda output: (output.view(-1)[:, None] - targets).square().mean(), []),
    ],
    ids=["column minus vector", "vector minus column", "vectors", "columns", "all pairs of outputs", "pairs written out"],
)
def test_column_that_meets_a_vector_is_told(tmp_path: Path, loss: Loss, kinds: list[str]) -> None:
    run = watched_loss(loss, tmp_path, width=1)
    assert [finding.kind for finding in run.diagnose()] == kinds


def test_value_and_functions_of_a_loss_are_noted_with_the_line_of_backward(tmp_path: Path) -> None:
    values: list[float] = []

    def loss(output: Tensor) -> Tensor:
        found = functional.cross_entropy(output, labels) + 0.1 * output.square().mean()
        values.append(found.item())
        return found

    first, second = watched_loss(loss, tmp_path).steps
    assert [step.losses[0].value for step in (first, second)] == values
    assert set(first.losses[0].ops) == {"log_softmax", "nll_loss", "pow", "mean", "mul", "add"}
    assert first.losses[0].source.startswith("test_run_losses.py:")


def test_loss_that_is_not_finite_is_named_where_the_model_is_not_to_blame(tmp_path: Path) -> None:
    run = watched_loss(lambda output: (output - output).log().mean(), tmp_path)
    (finding,) = run.diagnose()
    assert finding.kind == "not-finite-gradient"
    assert "; the loss at test_run_losses.py:" in finding.message and "is −∞, by sub, log, mean" in finding.message


def test_backward_from_a_gradient_edge_is_seen_without_a_value(tmp_path: Path) -> None:
    def loop(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        loss = model(torch.randn(6, 3)).square().mean()
        torch.autograd.backward(get_gradient_edge(loss), (torch.ones(()),))
        optimizer.step()

    (step,) = watched(loop, tmp_path, model=nn.Linear(3, 2)).steps
    assert [(note.value, note.ops) for note in step.losses] == [(None, ("pow", "mean"))]


def test_nan_of_one_pass_is_not_lost_in_the_mean_over_a_step(tmp_path: Path) -> None:
    def loop(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        for factor in (math.nan, 1.0):
            (model(torch.randn(6, 3)).mean() * factor).backward()
        optimizer.step()

    (step,) = watched(loop, tmp_path, model=nn.Linear(3, 2)).steps
    (note,) = step.losses
    assert note.value is not None and math.isnan(note.value)


def test_backward_of_torch_is_replaced_only_while_someone_watches(tmp_path: Path) -> None:
    of_torch = torch.autograd.backward
    model = nn.Linear(1, 1)
    with gradviz.watch(model, tmp_path / "first"):
        with gradviz.watch(nn.Linear(1, 1), tmp_path / "second"):
            assert torch.autograd.backward is not of_torch
        assert torch.autograd.backward is not of_torch
    assert torch.autograd.backward is of_torch


def test_what_another_library_puts_over_backward_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.autograd, "backward", torch.autograd.backward)  # put back, whatever happens here
    calls = []

    def counting(*arguments: Any, **options: Any) -> None:
        calls.append(1)
        below(*arguments, **options)

    for folder in ("first", "second"):
        with gradviz.watch(nn.Linear(1, 1), tmp_path / folder):
            if not calls:
                below, torch.autograd.backward = torch.autograd.backward, counting
            torch.ones((), requires_grad=True).backward()
    assert torch.autograd.backward is counting and len(calls) == 2
    listening._replaced.clear()  # what `counting` stands over goes with the test
