"""Loops that update parameters by hand, `p -= lr * p.grad`: what they do is measured and told as that of an optimizer."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from runs.loops import Loop, watched
from runs.test_run_updates import Optimizer, classifier, kinds, loss_of_samples
from torch import Tensor, nn


def by_subtraction(parameter: Tensor, step: Tensor) -> None:
    with torch.no_grad():
        parameter -= step


def by_data(parameter: Tensor, step: Tensor) -> None:
    parameter.data -= step


def by_new_data(parameter: Tensor, step: Tensor) -> None:
    parameter.data = parameter.data - step


BY_HAND = pytest.mark.parametrize("move", [by_subtraction, by_data, by_new_data], ids=lambda move: move.__name__)


def by_hand(
    move: Callable[[Tensor, Tensor], None],
    *,
    clears: bool = True,
    first: int = 0,
    loss: Callable[[Tensor], Tensor] | None = None,
) -> Loop:
    """Six steps that move all parameters from the one numbered `first` on without an optimizer."""

    def loop(model: nn.Module, _: Optimizer) -> None:
        for _ in range(6):
            found = loss_of_samples(model)
            (found if loss is None else loss(found)).backward()
            for parameter in list(model.parameters())[first:]:
                assert parameter.grad is not None
                move(parameter, 0.01 * parameter.grad)
            if clears:
                model.zero_grad()

    return loop


@BY_HAND
def test_updates_by_hand_are_steps_that_are_measured(tmp_path: Path, move: Callable[[Tensor, Tensor], None]) -> None:
    run = watched(by_hand(move), tmp_path, model=classifier())
    assert [(step.step, step.updated, step.backwards) for step in run.steps] == [(number, True, 1) for number in range(6)]
    assert all(0 < (note.update or 0) < 0.1 for note in run.steps[0].parameters if len(note.shape) > 1)
    assert kinds(run) == []


@BY_HAND
def test_gradients_that_pile_up_between_updates_by_hand_are_told(
    tmp_path: Path, move: Callable[[Tensor, Tensor], None]
) -> None:
    finding = watched(by_hand(move, clears=False), tmp_path, model=classifier()).diagnose()[0]
    assert (finding.kind, finding.step) == ("gradients-not-cleared", 1) and "p.grad = None" in finding.hint


def times(parameter: nn.Parameter, factor: float) -> None:
    assert parameter.grad is not None
    parameter.grad *= factor


def anew(parameter: nn.Parameter, factor: float) -> None:
    assert parameter.grad is not None
    parameter.grad = parameter.grad * factor


def in_data(parameter: nn.Parameter, factor: float) -> None:
    assert parameter.grad is not None
    parameter.grad.data.mul_(factor)


def with_momentum(scale: Callable[[nn.Parameter, float], None], factor: float, *, by_hand: bool) -> Any:
    """Nine steps after each of which the gradients are scaled in place of being cleared."""

    def loop(model: nn.Module, optimizer: Optimizer) -> None:
        for _ in range(9):
            loss_of_samples(model).backward()
            if not by_hand:
                nn.utils.clip_grad_norm_(model.parameters(), 0.5)
                optimizer.step()
            for parameter in model.parameters():
                if by_hand:
                    by_subtraction(parameter, 0.01 * parameter.grad)  # type: ignore[operator]
                scale(parameter, factor)

    return loop


@pytest.mark.parametrize("by_hand", [True, False])
@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("scale", [times, anew, in_data])
def test_a_momentum_that_is_kept_in_the_gradients_is_no_forgotten_zero_grad(
    tmp_path: Path, scale: Callable[[nn.Parameter, float], None], every: int, by_hand: bool
) -> None:
    def told(factor: float) -> list[str]:
        loop = with_momentum(scale, factor, by_hand=by_hand)
        return kinds(watched(loop, tmp_path / str(factor), model=classifier(), every=every))

    assert told(0.9) == told(0.95) == []
    for factor in (1.0, 0.25, 0.87654):  # nothing, a mean over passes, a clip
        assert told(factor) == ["gradients-not-cleared"]


@BY_HAND
def test_parameter_that_updates_by_hand_leave_out_is_told(tmp_path: Path, move: Callable[[Tensor, Tensor], None]) -> None:
    (finding,) = watched(by_hand(move, first=1), tmp_path, model=classifier()).diagnose()
    assert finding.kind == "parameter-not-updated" and finding.message.endswith("although the update moved others")


def test_backward_passes_without_update_leave_nothing_measured(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="but no update"):
        run = watched(by_hand(lambda parameter, step: None), tmp_path, model=classifier())
    assert run.steps and not any(step.updated or step.parameters for step in run.steps)


@pytest.mark.parametrize("updates", [True, False])
def test_loss_that_is_nan_is_told_with_and_without_update(tmp_path: Path, updates: bool) -> None:
    move = by_data if updates else lambda parameter, step: None
    loop = by_hand(move, loss=lambda found: (-found).sqrt())
    with contextlib.nullcontext() if updates else pytest.warns(UserWarning, match="but no update"):
        finding = watched(loop, tmp_path, model=classifier()).diagnose()[0]
    assert (finding.kind, finding.severity, finding.step) == ("not-finite-gradient", "error", 0)
    assert "the loss at test_updates_by_hand.py" in finding.message and "is NaN" in finding.message


def test_loss_that_is_nan_with_finite_gradients_is_told(tmp_path: Path) -> None:
    loop = by_hand(by_data, loss=lambda found: found + math.nan)
    (finding,) = watched(loop, tmp_path, model=classifier()).diagnose()
    assert (finding.kind, finding.step) == ("not-finite-value", 0) and "so are the gradients" in finding.message


def test_of_several_losses_the_one_that_is_nan_is_told(tmp_path: Path) -> None:
    def loop(model: nn.Module, optimizer: Optimizer) -> None:
        for _ in range(3):
            found = loss_of_samples(model)
            (found + math.inf).backward(retain_graph=True)
            (found + math.nan).backward()
            optimizer.step()
            optimizer.zero_grad()

    (finding,) = watched(loop, tmp_path, model=classifier()).diagnose()
    assert " is NaN, by " in finding.message and "∞" not in finding.message
