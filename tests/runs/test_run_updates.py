"""Findings on what updates do: each of a loop that really does it, with a healthy twin of which nothing is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from runs.loops import one_step, small_model, watched
from torch import Tensor, nn

import gradviz
from gradviz.errors import InputError
from gradviz.runs import Run

Optimizer = torch.optim.Optimizer


def classifier() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 24), nn.ReLU(), nn.Dropout(0.1), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 3))


def samples() -> tuple[Tensor, Tensor]:
    x = torch.randn(32, 6)
    return x, x[:, :3].argmax(1)


def loss_of_samples(model: nn.Module) -> Tensor:
    x, labels = samples()
    return nn.functional.cross_entropy(model(x), labels)


def kinds(run: Run) -> list[str]:
    return [finding.kind for finding in run.diagnose()]


def trained(
    directory: Path,
    *,
    lr: float = 1e-3,
    model: nn.Module | None = None,
    held: Callable[[nn.Module], list[nn.Parameter]] = lambda model: list(model.parameters()),
    zero_grad: bool = True,
    before_step: Callable[[nn.Module, int], object] = lambda model, step: None,
    every: int = 2,
    steps: int = 12,
) -> Run:
    """What was recorded of an ordinary loop with Adam."""
    torch.manual_seed(0)
    model = classifier() if model is None else model
    optimizer = torch.optim.Adam(held(model), lr=lr)
    with gradviz.watch(model, directory, every=every, overwrite=True) as watcher:
        for step in range(steps):
            before_step(model, step)
            loss = loss_of_samples(model)
            if zero_grad:
                optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return watcher.run


def test_healthy_loop_gives_no_finding(tmp_path: Path) -> None:
    run = trained(tmp_path)
    assert kinds(run) == []
    assert run.steps[-1].unmoved == () and run.steps[-1].unheld == ()


@pytest.mark.parametrize(("lr", "expected"), [(1e-3, []), (1e-2, []), (0.3, ["large-update"])])
def test_learning_rate_that_is_far_too_large_is_told(tmp_path: Path, lr: float, expected: list[str]) -> None:
    found = [kind for kind in kinds(trained(tmp_path, lr=lr, every=4)) if kind != "dead-relu"]
    assert found == expected


@pytest.mark.parametrize(("lr", "expected"), [(0.1, []), (0.25, ["large-update"])])
def test_of_two_layers_the_last_may_move_more(tmp_path: Path, lr: float, expected: list[str]) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)  # of 0.1 no loss is larger than the first; 0.3 ends in NaN
    with gradviz.watch(model, tmp_path, every=10) as watcher:
        for _ in range(11 if not expected else 1):
            x = torch.randn(32, 4)
            optimizer.zero_grad()
            (model(x) - x.sum(1, keepdim=True)).square().mean().backward()
            optimizer.step()
    first, last = (note.update or 0.0 for note in watcher.run.steps[0].parameters if len(note.shape) > 1)
    assert last > 20 * first and kinds(watcher.run) == expected


def test_weights_that_grow_after_a_warm_up_are_told(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = classifier()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.3)
    warm_up = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, step / 10))
    with gradviz.watch(model, tmp_path, every=20) as watcher:
        for _ in range(21):
            optimizer.zero_grad()
            loss_of_samples(model).backward()
            optimizer.step()
            warm_up.step()
    (finding,) = [finding for finding in watcher.run.diagnose() if finding.kind == "large-update"]
    assert finding.step == 20 and "times the norm that they began with, 3.weight by" in finding.message


def test_weights_that_grow_while_a_model_learns_by_heart_are_not_told(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 128), nn.ReLU(), nn.Linear(128, 5))
    x, labels = torch.randn(64, 6), torch.randint(0, 5, (64,))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    with gradviz.watch(model, tmp_path, every=10) as watcher:
        for _ in range(101):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), labels).backward()
            optimizer.step()
    weights = [step.parameters[2].weight or 0.0 for step in watcher.run.steps]
    assert weights[-1] > 6 * weights[0] and kinds(watcher.run) == []


def test_update_is_measured_beside_the_weight(tmp_path: Path) -> None:
    def loop(model: nn.Module, _: Optimizer) -> None:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        before = model.weight.detach().clone()  # type: ignore[operator, union-attr]
        model(torch.ones(1, 3)).sum().backward()
        optimizer.step()
        moved.append(float((model.weight.detach() - before).norm() / before.norm()))  # type: ignore[operator, arg-type]

    moved: list[float] = []
    (step,) = watched(loop, tmp_path, model=nn.Linear(3, 2)).steps
    assert step.parameters[0].update == pytest.approx(moved[0], rel=1e-5)


@pytest.mark.parametrize("every", [1, 5, 100])
def test_forgotten_zero_grad_is_told(tmp_path: Path, every: int) -> None:
    (finding,) = trained(tmp_path, zero_grad=False, every=every).diagnose()
    assert (finding.kind, finding.severity, finding.step) == ("gradients-not-cleared", "error", 1)
    assert finding.numbers["parameters"] == 6


def accumulates(model: nn.Module, optimizer: Optimizer) -> None:
    for number in range(12):
        (loss_of_samples(model) / 4).backward()
        if number % 4 == 3:
            optimizer.step()
            optimizer.zero_grad(set_to_none=False)


def clears_after_forward(model: nn.Module, optimizer: Optimizer) -> None:
    for _ in range(4):
        loss = loss_of_samples(model)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def has_an_optimizer_that_rests_every_other_step(model: nn.Module, _: Optimizer) -> None:
    first, second = (torch.optim.SGD(part.parameters(), lr=0.01) for part in (model[0], model[3:]))  # type: ignore[index]
    for number in range(6):
        first.zero_grad()
        loss_of_samples(model).backward()
        first.step()
        if number % 2:
            second.step()
            second.zero_grad()


def criticizes(model: nn.Module, optimizer: Optimizer) -> None:
    """As the critic of a GAN: the pass for the maker's sake leaves gradients in it, which it clears before its own."""
    maker = nn.Linear(6, 6)
    other = torch.optim.SGD(maker.parameters(), lr=0.01)
    for _ in range(4):
        made = maker(torch.randn(8, 6))
        optimizer.zero_grad()
        (model(made.detach()).mean() - model(torch.randn(8, 6)).mean()).backward()
        optimizer.step()
        other.zero_grad()
        model(made).mean().backward()
        other.step()


@pytest.mark.parametrize(
    "loop",
    [accumulates, clears_after_forward, has_an_optimizer_that_rests_every_other_step, criticizes],
    ids=lambda loop: loop.__name__,
)
def test_gradients_that_are_accumulated_on_purpose_are_not_told(
    tmp_path: Path, loop: Callable[[nn.Module, Optimizer], None]
) -> None:
    run = watched(loop, tmp_path, model=classifier())
    assert kinds(run) == []
    assert all(step.updated for step in run.steps), "no row is left of passes that led to no update"


def test_what_no_optimizer_holds_is_told(tmp_path: Path) -> None:
    (finding,) = trained(tmp_path, held=lambda model: list(model[3:].parameters())).diagnose()  # type: ignore[index]
    assert (finding.kind, finding.severity) == ("parameter-not-updated", "warning")
    assert finding.message.startswith("0.weight, 0.bias had a gradient, but never changed: no optimizer holds them")


def test_optimizer_that_is_given_tells_it_after_one_step(tmp_path: Path) -> None:
    for given, expected in ((False, []), (True, ["parameter-not-updated"])):
        model = classifier()
        optimizer = torch.optim.SGD(model[0].parameters(), lr=0.1)  # type: ignore[index]
        options = {"optimizer": optimizer} if given else {}
        with gradviz.watch(model, tmp_path, overwrite=True, **options) as watcher:  # type: ignore[arg-type]
            loss_of_samples(model).backward()
            optimizer.step()
        assert kinds(watcher.run) == expected


def test_what_is_given_as_optimizer_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the optimizer is Linear; accepted"):
        gradviz.watch(nn.Linear(1, 1), tmp_path, optimizer=[nn.Linear(1, 1)])  # type: ignore[list-item]
    with pytest.raises(InputError, match="the optimizer is float; accepted"):
        gradviz.watch(nn.Linear(1, 1), tmp_path, optimizer=0.1)  # type: ignore[arg-type]


def test_update_that_rounds_to_nothing_is_told(tmp_path: Path) -> None:
    model = classifier()
    groups = [{"params": model[0].parameters(), "lr": 1e-12}, {"params": model[3:].parameters()}]  # type: ignore[index]
    optimizer = torch.optim.Adam(groups, lr=1e-3)
    with gradviz.watch(model, tmp_path, every=1) as watcher:
        for _ in range(3):
            optimizer.zero_grad()
            loss_of_samples(model).backward()
            optimizer.step()
    (finding,) = watcher.run.diagnose()
    assert finding.kind == "parameter-not-updated" and "although an optimizer holds" in finding.message


def test_learning_rate_of_nothing_is_an_error(tmp_path: Path) -> None:
    (finding,) = trained(tmp_path, lr=0.0).diagnose()
    assert (finding.kind, finding.severity) == ("never-updated", "error")
    assert finding.message.startswith("no parameter has changed in 7 recorded updates")


def holds_another_model(model: nn.Module, _: Optimizer) -> None:
    optimizer = torch.optim.SGD(classifier().parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        loss_of_samples(model).backward()
        optimizer.step()


def clears_and_forgets_the_step(model: nn.Module, optimizer: Optimizer) -> None:
    for _ in range(3):
        optimizer.zero_grad()
        loss_of_samples(model).backward()


@pytest.mark.parametrize("loop", [holds_another_model, clears_and_forgets_the_step], ids=lambda loop: loop.__name__)
def test_loop_without_any_update_is_an_error(tmp_path: Path, loop: Callable[[nn.Module, Optimizer], None]) -> None:
    with pytest.warns(UserWarning, match="saw 3 forward passes, but no update"):
        run = watched(loop, tmp_path, model=classifier())
    (finding,) = run.diagnose()
    assert (finding.kind, finding.severity, finding.numbers) == (
        "never-updated", "error", {"backward passes": 3, "recorded updates": 0},
    )  # fmt: skip


def test_loop_without_updates_is_not_recorded_without_end(tmp_path: Path) -> None:
    def loop(model: nn.Module, _: Optimizer) -> None:
        for _ in range(70):
            loss_of_samples(model).backward()

    with pytest.warns(UserWarning, match="saw 70 forward passes"):
        (step,) = watched(loop, tmp_path, model=classifier()).steps
    assert step.forwards == 64


@pytest.mark.parametrize(
    ("mode", "since"), [(lambda model, step: model.eval(), 0), (lambda model, step: model.train(step < 5), 6)]
)
def test_model_that_is_trained_in_eval_mode_is_told(
    tmp_path: Path, mode: Callable[[nn.Module, int], object], since: int
) -> None:
    (finding,) = trained(tmp_path, before_step=mode).diagnose()
    assert (finding.kind, finding.module, finding.step) == ("trained-in-eval", "2", since)


def evaluates(model: nn.Module, step: int) -> None:
    model.eval()
    with torch.no_grad():
        model(samples()[0])
    model.train()


def freezes_a_part(model: nn.Module, step: int) -> None:
    model[2].eval()  # type: ignore[index]


@pytest.mark.parametrize("mode", [evaluates, freezes_a_part], ids=lambda mode: mode.__name__)
def test_eval_mode_of_an_evaluation_or_of_a_part_is_not_told(
    tmp_path: Path, mode: Callable[[nn.Module, int], object]
) -> None:
    assert kinds(trained(tmp_path, before_step=mode)) == []


def test_eval_mode_that_makes_no_difference_is_not_told(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(6, 24), nn.Dropout(0.0), nn.LayerNorm(24), nn.Linear(24, 3))
    assert kinds(trained(tmp_path, model=model, before_step=lambda model, step: model.eval())) == []


def test_frozen_parameters_are_a_hint_where_an_optimizer_holds_them(tmp_path: Path) -> None:
    model = classifier()
    model[0].requires_grad_(False)  # type: ignore[index]
    (finding,) = trained(tmp_path, model=model).diagnose()
    assert (finding.kind, finding.severity, finding.numbers["parameters"]) == ("frozen-parameter", "hint", 2)
    used = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert kinds(trained(tmp_path, model=model, held=lambda _: used)) == []


def test_relu_of_which_a_third_dies_on_the_way_is_told(tmp_path: Path) -> None:
    def kill(model: nn.Module, step: int) -> None:
        with torch.no_grad():
            model[3].bias[: 3 * step // 2] -= 10.0  # type: ignore[index]

    (finding,) = trained(tmp_path, before_step=kill, every=1).diagnose()
    assert (finding.kind, finding.module, finding.numbers["units"]) == ("dead-relu", "4", 24)
    assert "of them at the last 4 recorded steps; 1 were so at the first recorded step" in finding.message
    assert finding.message.startswith("16 of 24 units of this relu are zero for every sample, 12 of them")


def test_bias_before_a_batch_norm_that_does_not_move_is_not_told(tmp_path: Path) -> None:
    def loop(model: nn.Module, optimizer: Optimizer) -> None:
        for _ in range(4):
            one_step(model, optimizer)

    model = small_model()
    with torch.no_grad():
        model[0].bias.fill_(1.0)  # type: ignore[index]
    run = watched(loop, tmp_path, model=model)
    assert run.steps[-1].unmoved == ("0.bias",) and kinds(run) == []
