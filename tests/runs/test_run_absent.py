"""A run of which no step was recorded says why, and is never called healthy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from runs.loops import batch, loss_of, one_step, small_model, watched
from torch import nn

import gradviz
from gradviz.diagnose import Finding
from gradviz.runs import Run

Optimizer = torch.optim.Optimizer


def only(run: Run) -> Finding:
    (finding,) = run.diagnose()
    return finding


def test_model_that_is_cut_from_its_loss_is_an_error(tmp_path: Path) -> None:
    def loop(model: nn.Module, optimizer: Optimizer) -> None:
        for _ in range(30):
            loss = loss_of(model(batch()).detach().requires_grad_())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    run = watched(loop, tmp_path, every=5)
    finding = only(run)
    assert (finding.kind, finding.severity) == ("no-gradient", "error")
    expected = "forward ran 30 times, the optimizer stepped 30 times, no gradient ever reached the model"
    assert finding.message.startswith(expected)
    assert "no gradient ever reached" in " ".join(str(run).split()) and "Nothing found" not in str(run)


@pytest.mark.parametrize("keeps_gradients", [False, True])
def test_parts_that_are_called_in_place_of_the_model_are_named(tmp_path: Path, keeps_gradients: bool) -> None:
    parts = nn.ModuleDict({"G": nn.Linear(3, 2), "D": nn.ModuleList([nn.Linear(2, 1)]), "unused": nn.Linear(1, 1)})

    def loop(model: nn.Module, optimizer: Optimizer) -> None:
        for _ in range(3):
            loss_of(parts["D"][0](parts["G"](torch.randn(4, 3)))).backward()  # type: ignore[index]
            if not keeps_gradients:
                optimizer.step()
                optimizer.zero_grad()

    with pytest.warns(UserWarning, match=r"the model itself was never called; its parts G, D.0 were: watch each"):
        run = watched(loop, tmp_path, model=parts)
    finding = only(run)
    assert (finding.kind, finding.severity) == ("nothing-recorded", "warning")
    assert finding.message.startswith("the model itself was never called; its parts G, D.0 were")
    assert finding.hint.startswith("watch each")


@pytest.mark.parametrize(
    ("loop", "options", "expected"),
    [
        (lambda model, optimizer: None, {}, "the model itself was never called with gradients switched on"),
        (one_step, {"every": 7, "first_step": 1}, "none of the steps has a number"),
    ],
)
def test_run_that_recorded_nothing_says_why(
    tmp_path: Path, loop: Callable[[nn.Module, Optimizer], object], options: dict[str, int], expected: str
) -> None:
    finding = only(watched(loop, tmp_path, **options))  # type: ignore[arg-type]
    assert finding.kind == "nothing-recorded" and finding.message.startswith(expected)


def test_run_that_has_only_begun_says_that_nothing_could_be_looked_at_yet(tmp_path: Path) -> None:
    with gradviz.watch(small_model(), tmp_path) as watcher:
        finding = only(watcher.run)
    assert finding.severity == "hint" and finding.message.startswith("no step was recorded so far")


def test_end_is_kept_when_ranks_are_put_together(tmp_path: Path) -> None:
    run = watched(lambda model, optimizer: one_step(model, optimizer), tmp_path)
    (end,) = run.ends
    assert (end.forwards, end.updates, end.opened, end.moved) == (1, 1, 1, ())
    assert gradviz.load_run(gradviz.runs.merge(tmp_path)) == run


def test_gradients_from_before_an_empty_block_are_no_call_of_a_part(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1))
    model(torch.ones(2, 4)).sum().backward()
    with gradviz.watch(model, tmp_path) as watcher:
        pass
    (found,) = watcher.run.diagnose()
    assert found.message.startswith("the model itself was never called with gradients switched on")
