"""Findings on gradients that are cleared too early, losses that run away, and updates that are lost."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import gradviz
from gradviz.diagnose import Finding
from gradviz.runs import Run
from gradviz.runs.series import loss_values

Optimizer = torch.optim.Optimizer
Loop = Callable[[nn.Module, Optimizer], object]


def regression() -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    x = torch.randn(64, 4)
    return nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 1)), x, x.sum(1, keepdim=True)


def run_of(
    directory: Path,
    make: Callable[[list[nn.Parameter]], Optimizer] = lambda parameters: torch.optim.SGD(parameters, lr=1e-2),
    *,
    accumulate: int = 1,
    zero_at: tuple[str, ...] = ("begin",),
    clip: float | None = None,
    dtype: torch.dtype = torch.float32,
    loss_of: Callable[[Tensor, Tensor], Tensor] = nn.functional.mse_loss,
) -> Run:
    """What was recorded of 30 steps; `zero_at` says where `zero_grad` stands."""
    model, x, y = regression()
    model, x, y = model.to(dtype), x.to(dtype), y.to(dtype)
    optimizer = make(list(model.parameters()))

    def zero_grad(place: str) -> None:
        if place in zero_at:
            optimizer.zero_grad()

    with gradviz.watch(model, directory, every=5) as watcher:
        for _ in range(30):
            zero_grad("begin")
            for _ in range(accumulate):
                zero_grad("before forward")
                loss = loss_of(model(x), y) / accumulate
                zero_grad("before backward")
                loss.backward()
            zero_grad("before step")
            if clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
    return watcher.run


def found(run: Run) -> dict[str, Finding]:
    return {finding.kind: finding for finding in run.diagnose()}


def test_gradients_that_are_cleared_before_the_update_are_an_error(tmp_path: Path) -> None:
    (finding,) = run_of(tmp_path, zero_at=("before step",)).diagnose()
    assert (finding.kind, finding.severity) == ("gradients-cleared", "error")
    assert finding.message.startswith("backward() made gradients (norm ")
    assert finding.message.endswith("), they were cleared before optimizer.step()")


@pytest.mark.parametrize("place", ["before forward", "before backward"])
@pytest.mark.parametrize("passes", [4, 7])
def test_gradients_that_are_cleared_between_passes_are_counted(tmp_path: Path, place: str, passes: int) -> None:
    (finding,) = run_of(tmp_path, accumulate=passes, zero_at=(place,)).diagnose()
    assert (finding.kind, finding.severity) == ("gradients-thrown-away", "error")
    assert f"the gradients of {passes - 1} of {passes} backward passes were thrown away" in finding.message


def test_gradients_that_add_up_are_not_told(tmp_path: Path) -> None:
    run = run_of(tmp_path, accumulate=4, clip=0.1)
    assert not run.diagnose()
    assert {(step.thrown, step.kept) for step in run.steps} == {(0, 4)}


def test_passes_whose_gradients_are_used_by_hand_are_not_thrown_away(tmp_path: Path) -> None:
    """As sharpness-aware minimization moves the weights between two passes."""
    model, x, y = regression()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    with gradviz.watch(model, tmp_path, every=5) as watcher:
        for _ in range(20):
            for is_last in (False, True):
                optimizer.zero_grad()
                nn.functional.mse_loss(model(x), y).backward()
                with torch.no_grad():
                    for parameter in model.parameters():
                        assert parameter.grad is not None
                        parameter.add_(parameter.grad, alpha=-1e-3 if is_last else 1e-3)
            optimizer.step()
    assert not watcher.run.diagnose()


def test_loss_that_rises_by_orders_of_magnitude_is_an_error(tmp_path: Path) -> None:
    _, x, y = regression()
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.5)
    with gradviz.watch(model, tmp_path, every=5) as watcher:
        for _ in range(30):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(x), y).backward()
            optimizer.step()
    finding = found(watcher.run)["loss-rises"]
    assert finding.severity == "error" and finding.message.startswith("the loss rose from ")


def test_optimizer_that_climbs_is_named(tmp_path: Path) -> None:
    run = run_of(tmp_path, lambda parameters: torch.optim.SGD(parameters, lr=1e-2, maximize=True))
    finding = found(run)["loss-rises"]
    assert finding.severity == "warning" and "maximize=True" in finding.message


def test_loss_that_falls_without_bound_is_told(tmp_path: Path) -> None:
    run = run_of(tmp_path, loss_of=lambda output, _: 1 - (output - 1).square().mean() / 2)
    assert found(run)["loss-without-bound"].message.endswith("faster and faster: nothing holds it")


@pytest.mark.parametrize("scale", [1, 3])
def test_minus_a_loss_that_falls_on_and_on_is_told(tmp_path: Path, scale: int) -> None:
    run = run_of(
        tmp_path,
        lambda parameters: torch.optim.SGD(parameters, lr=1e-2 * scale),
        loss_of=lambda output, y: -nn.functional.mse_loss(output, y) / scale,
    )
    finding = found(run)["loss-without-bound"]
    assert finding.severity == "warning" and finding.message.startswith("the loss is minus the mse_loss, and fell from −")
    assert "remove the minus" in finding.hint


@pytest.mark.parametrize(("sign", "every"), [(-1, 5), (1, 5), (-1, 20)])
def test_minus_a_loss_that_falls_until_it_overflows_is_told(tmp_path: Path, sign: int, every: int) -> None:
    model, x, y = regression()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05 if sign < 0 else 2.0)
    with gradviz.watch(model, tmp_path, every=every) as watcher:
        for _ in range(60):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(x), y)
            (-loss if sign < 0 else loss).backward()
            optimizer.step()
    (series,) = loss_values(watcher.run)
    assert series.values[-1] is not None and not math.isfinite(series.values[-1])
    finding = found(watcher.run).get("loss-without-bound")
    assert (finding is not None) == (sign < 0 and len(series.known) >= 3)
    if finding is not None:
        assert finding.message.startswith("the loss is minus the mse_loss, and fell from −")
        assert "recorded steps, and then to what is not finite: nothing holds it" in finding.message
        assert finding.step == series.steps[len(series.known) - 1]


LOG_PROBABILITIES = {
    "gather": lambda output, y: output.log_softmax(1).gather(1, y).mean(),
    "index": lambda output, y: output.log_softmax(1)[torch.arange(len(y)), y[:, 0]].sum(),
    "sigmoid": lambda output, _: nn.functional.logsigmoid(output).mean(),
}


@pytest.mark.parametrize("kind", LOG_PROBABILITIES)
@pytest.mark.parametrize("sign", [1, -1])
def test_log_probability_without_its_minus_is_told_and_with_it_not(tmp_path: Path, kind: str, sign: int) -> None:
    torch.manual_seed(0)
    model, x, classes = nn.Linear(4, 3), torch.randn(32, 4), torch.randint(0, 3, (32, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    with gradviz.watch(model, tmp_path, every=5) as watcher:
        for _ in range(60):
            optimizer.zero_grad()
            loss = LOG_PROBABILITIES[kind](model(x), classes)
            (loss if sign > 0 else -loss).backward()
            optimizer.step()
    finding = found(watcher.run).get("loss-without-bound")
    assert (finding is None) == (sign < 0)
    if finding is not None:
        name = "log_sigmoid" if kind == "sigmoid" else "log_softmax"
        assert finding.message.startswith(f"the loss is the log-probability of {name}, and fell from −")
        assert finding.severity == "warning" and "put a minus before it" in finding.hint


def test_a_score_below_zero_that_is_to_be_large_is_not_told(tmp_path: Path) -> None:
    run = run_of(tmp_path, loss_of=lambda output, _: -(output - 1).square().mean())
    ((first, *_, last),) = (series.known for series in loss_values(run))
    assert last < 10 * first < 0 and last < -5
    assert "loss-without-bound" not in found(run)


def test_difference_of_scores_that_begins_next_to_zero_is_not_without_bound(tmp_path: Path) -> None:
    scores: list[float] = []

    def loss_of(output: Tensor, _: Tensor) -> Tensor:
        score = (4 * output + 3).sigmoid().mean()
        scores.append(score.item())
        return score - scores[0] + 0.002

    run = run_of(tmp_path, loss_of=loss_of)
    ((first, *_, half, _, _, last),) = (series.values for series in loss_values(run))
    assert first and half and last and last < -10 * first < 0 and half - last > first - half
    assert not run.diagnose()


def test_healthy_loss_is_not_told(tmp_path: Path) -> None:
    assert not run_of(tmp_path).diagnose()


def test_updates_that_are_next_to_nothing_are_told_with_the_learning_rate(tmp_path: Path) -> None:
    (finding,) = run_of(tmp_path, lambda parameters: torch.optim.SGD(parameters, lr=1e-7)).diagnose()
    assert finding.kind == "tiny-updates" and "(lr is 1e-07)" in finding.message
    assert finding.hint == "raise the learning rate"


def test_clipping_that_leaves_nothing_is_named(tmp_path: Path) -> None:
    finding = found(run_of(tmp_path, clip=1e-5))["tiny-updates"]
    assert "of the gradients of backward()" in finding.message and "clipped" in finding.hint


@pytest.mark.parametrize(("dtype", "kinds"), [(torch.bfloat16, ["updates-rounded"]), (torch.float32, [])])
def test_updates_that_round_to_nothing_name_dtype_rate_and_share(
    tmp_path: Path, dtype: torch.dtype, kinds: list[str]
) -> None:
    run = run_of(tmp_path, lambda parameters: torch.optim.AdamW(parameters, lr=1e-4), dtype=dtype)
    assert list(found(run)) == kinds
    for finding in run.diagnose():
        assert "(lr is 0.0001, dtype bfloat16)" in finding.message
        assert float(finding.numbers["share of elements unchanged"]) > 0.5


def test_learning_rate_of_zero_is_said(tmp_path: Path) -> None:
    (finding,) = run_of(tmp_path, lambda parameters: torch.optim.SGD(parameters, lr=0.0)).diagnose()
    assert finding.message.startswith("no parameter has changed in 7 recorded updates (lr is 0.0)")
