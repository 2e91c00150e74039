"""When a step begins and ends, where its numbers are written, and that the loop is none the wiser."""

from __future__ import annotations

import copy
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from runs.loops import Loop, batch, loss_of, one_step, small_model, steps, trained, watched
from torch import Tensor, nn
from torch.utils._python_dispatch import _len_torch_dispatch_stack
from torch.utils.checkpoint import checkpoint

import gradviz
from gradviz.errors import InputError


@pytest.mark.parametrize("accumulate", [1, 3])
def test_loop_computes_the_same_bits_with_and_without_a_watcher(tmp_path: Path, accumulate: int) -> None:
    plain, seen = trained(None, accumulate=accumulate), trained(tmp_path, accumulate=accumulate)
    assert plain[0] == seen[0]
    assert len(plain[1]) == len(seen[1])
    assert all(torch.equal(one, other) for one, other in zip(plain[1], seen[1], strict=True))
    run = gradviz.load_run(tmp_path)
    assert [(step.step, step.forwards, step.backwards) for step in run.steps] == [
        (number, accumulate, accumulate) for number in (0, 1, 2, 4)
    ]


def test_every_third_step_is_recorded_and_the_one_after_the_first(tmp_path: Path) -> None:
    run = watched(steps(8), tmp_path, every=3)
    assert [step.step for step in run.steps] == [0, 1, 3, 6]
    assert all(step.updated for step in run.steps)


def test_loop_that_goes_on_counts_on(tmp_path: Path) -> None:
    assert [step.step for step in watched(steps(5), tmp_path, every=5, first_step=98).steps] == [100, 101]


@pytest.mark.parametrize(
    ("count", "every", "said"),
    [
        (1, 10, "in 1 recorded step: gradients that nobody clears or that are cleared too early (2 steps), gradients that "
                "jump (4), losses that run away and updates that do next to nothing (5); choose a smaller every= for more."),
        (10, 10, "in 2 recorded steps: gradients that jump (4), losses that run away and updates that do next to "),
        (4, 1, "in 4 recorded steps: losses that run away and updates that do next to nothing (5)."),
    ],
)  # fmt: skip
def test_run_says_what_so_few_recorded_steps_cannot_show(tmp_path: Path, count: int, every: int, said: str) -> None:
    run = watched(steps(count), tmp_path, every=every)
    assert f"Nothing found. Not to be seen {said}" in run.diagnose().summary
    assert said in " ".join(str(run).split())
    run.save_report(tmp_path / "page.html")
    assert said in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_run_of_enough_steps_says_no_such_thing(tmp_path: Path) -> None:
    assert watched(steps(5), tmp_path).diagnose().summary == "Nothing found."


def evaluates_between(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    for _ in range(3):
        one_step(model, optimizer)
        with torch.no_grad():
            model(batch())
        with torch.inference_mode():
            model(batch())
        model(batch())  # with gradients, by mistake


def has_two_optimizers(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    first, second = (torch.optim.SGD(part.parameters(), lr=0.01) for part in (model[0], model[5]))  # type: ignore[index]
    for _ in range(3):
        loss_of(model(batch())).backward()
        first.step()
        second.step()


def updates_by_hand(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    for _ in range(3):
        loss_of(model(batch())).backward()
        with torch.no_grad():
            for parameter in model.parameters():
                assert parameter.grad is not None
                parameter -= 0.01 * parameter.grad
                parameter.grad = None


def steps_within_backward(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    for parameter in model.parameters():
        own = torch.optim.SGD([parameter], lr=0.01)

        def step(_: Tensor, own: torch.optim.Optimizer = own) -> None:
            own.step()
            own.zero_grad()

        parameter.register_post_accumulate_grad_hook(step)
    for _ in range(3):
        loss_of(model(batch())).backward()


def has_another_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    other = nn.Parameter(torch.ones(1))
    stepper = torch.optim.SGD([other], lr=0.01)
    for _ in range(3):
        one_step(model, optimizer)
        other.square().sum().backward()
        stepper.step()


def is_called_by_another_module(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    outer = nn.Sequential(nn.Identity(), model, nn.Tanh())
    for _ in range(3):
        one_step(outer, optimizer)


def fails_and_goes_on(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    with pytest.raises(RuntimeError):
        model(torch.ones(1, 7))
    for _ in range(3):
        one_step(model, optimizer)


@pytest.mark.parametrize(
    "loop",
    [evaluates_between, has_two_optimizers, updates_by_hand, steps_within_backward, has_another_optimizer,
     is_called_by_another_module, fails_and_goes_on],
    ids=lambda loop: loop.__name__,
)  # fmt: skip
def test_loop_has_three_steps_of_one_pass(tmp_path: Path, loop: Loop) -> None:
    run = watched(loop, tmp_path)
    assert [(step.step, step.forwards, step.backwards) for step in run.steps] == [(number, 1, 1) for number in range(3)]
    assert all(step.updated for step in run.steps)
    assert all(note.gradient is not None for step in run.steps for note in step.parameters)


def test_closure_makes_all_its_passes_in_one_step(tmp_path: Path) -> None:
    def loop(model: nn.Module, _: torch.optim.Optimizer) -> None:
        optimizer = torch.optim.LBFGS(model.parameters(), lr=0.01, max_iter=3)

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = loss_of(model(batch()))
            loss.backward()
            return loss

        for _ in range(2):
            optimizer.step(closure)  # type: ignore[arg-type]

    run = watched(loop, tmp_path)
    assert [(step.step, step.forwards, len(step.parameters)) for step in run.steps] == [(0, 3, 8), (1, 3, 8)]


def test_step_that_a_scaler_skips_is_told_and_made_again(tmp_path: Path) -> None:
    def loop(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        (loss_of(model(batch())) * float("inf")).backward()
        optimizer.zero_grad()  # in place of optimizer.step(), as a gradient scaler does
        one_step(model, optimizer)

    run = watched(loop, tmp_path)
    assert [(step.step, step.updated) for step in run.steps] == [(0, False), (0, True)]
    assert "no update" in str(run)


def test_loop_without_any_update_is_told(tmp_path: Path) -> None:
    def loop(model: nn.Module, _: torch.optim.Optimizer) -> None:
        for _ in range(2):
            loss_of(model(batch())).backward()

    with pytest.warns(UserWarning, match="saw 2 forward passes, but no update"):
        run = watched(loop, tmp_path)
    assert [(step.forwards, step.updated) for step in run.steps] == [(2, False)]


def test_exception_in_the_loop_passes_and_what_was_recorded_is_kept(tmp_path: Path) -> None:
    def loop(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        one_step(model, optimizer)
        loss_of(model(batch())).backward()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watched(loop, tmp_path)
    assert [(step.step, step.updated) for step in gradviz.load_run(tmp_path).steps] == [(0, True), (1, False)]


def test_nothing_is_left_on_the_model_between_recorded_steps_and_afterwards(tmp_path: Path) -> None:
    def hooks() -> list[int]:
        from torch.nn.modules import module
        from torch.optim import optimizer

        tables = (module._global_forward_hooks, module._global_forward_pre_hooks, optimizer._global_optimizer_pre_hooks,
                  optimizer._global_optimizer_post_hooks, model._forward_hooks, model._forward_pre_hooks)  # fmt: skip
        return [*map(len, tables), _len_torch_dispatch_stack()]

    model = small_model()
    stepper = torch.optim.SGD(model.parameters(), lr=0.01)
    before = hooks()
    with gradviz.watch(model, tmp_path, every=2):
        one_step(model, stepper)
        with pytest.raises(RuntimeError):
            model(torch.ones(1, 7))
        between = hooks()
    assert [now - then for now, then in zip(between, before, strict=True)] == [0, 0, 1, 1, 0, 1, 0]
    assert hooks() == before


@pytest.mark.parametrize("first_step", [0, 1])
def test_nothing_is_read_on_steps_between(tmp_path: Path, first_step: int) -> None:
    model = small_model()
    stepper = torch.optim.SGD(model.parameters(), lr=0.01)

    def our_modules_in_a_step() -> set[str]:
        seen = set()
        sys.setprofile(lambda frame, event, argument: seen.add(frame.f_globals["__name__"]))
        try:
            one_step(model, stepper)
        finally:
            sys.setprofile(None)
        return {name for name in seen if name.startswith("gradviz.")}

    with gradviz.watch(model, tmp_path, every=10, first_step=first_step):
        called = {first_step + taken: our_modules_in_a_step() for taken in range(13)}
    counting = {"gradviz.runs.stepping", "gradviz.runs.listening", "gradviz.runs.tally"}
    recorded = {step.step for step in gradviz.load_run(tmp_path).steps}
    around = recorded | {step - 1 for step in recorded} | {step + 1 for step in recorded}
    between = set(called) - around - {first_step}  # on the first one nobody knows yet that there is an optimizer
    assert len(between) >= 6
    assert all(called[step] == counting for step in between)
    assert all(called[step] > counting for step in recorded)


def test_interrupt_in_the_forward_pass_leaves_no_dispatch_mode(tmp_path: Path) -> None:
    class Interrupted(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise KeyboardInterrupt

    model = Interrupted()
    with pytest.raises(KeyboardInterrupt), gradviz.watch(model, tmp_path):
        model(torch.ones(1))
    assert _len_torch_dispatch_stack() == 0


@pytest.mark.parametrize("reentrant", [False, True])
def test_pass_that_a_checkpoint_makes_again_counts_once(tmp_path: Path, reentrant: bool) -> None:
    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))

        def forward(self, x: Tensor) -> Tensor:
            return checkpoint(self.inner, x, use_reentrant=reentrant)  # type: ignore[no-any-return]

    def loop(of: Callable[[Checkpointed], nn.Module]) -> tuple[int, int, int]:
        model = Checkpointed()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        with gradviz.watch(of(model), tmp_path, overwrite=True) as watcher:
            (model(torch.randn(2, 3, requires_grad=True)) - 1).square().mean().backward()
            optimizer.step()
        (step,) = watcher.run.steps or [None]
        return (0, 0, 0) if step is None else (step.forwards, step.backwards, step.modules[0].calls)

    assert loop(lambda model: model) == loop(lambda model: model.inner) == (1, 1, 1)


def test_no_tensor_is_kept_alive_by_a_recorded_step(tmp_path: Path) -> None:
    import weakref

    kept: list[Any] = []
    model = small_model()
    model[5].hidden.register_forward_hook(lambda _, __, output: kept.append(weakref.ref(output)))  # type: ignore[index]
    with gradviz.watch(model, tmp_path):
        loss_of(model(batch())).backward()
        assert kept and all(one() is None for one in kept)


def test_copies_of_a_watched_model_are_not_watched(tmp_path: Path) -> None:
    def loop(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        file = io.BytesIO()
        torch.save(model, file)
        file.seek(0)
        copies = [copy.deepcopy(model), torch.load(file, weights_only=False)]
        for each in (model, *copies):
            loss_of(each(torch.randn(3, 4))).backward()
        optimizer.step()

    run = watched(loop, tmp_path, model=nn.Sequential(nn.Linear(4, 2), nn.Tanh()))
    assert [(step.forwards, step.backwards) for step in run.steps] == [(1, 1)]


def test_directory_that_holds_a_run_is_refused_unless_it_is_to_be_replaced(tmp_path: Path) -> None:
    watched(steps(1), tmp_path)
    with pytest.raises(InputError, match="holds an earlier run"):
        watched(steps(1), tmp_path)
    assert len(watched(steps(2), tmp_path, overwrite=True).steps) == 2


@pytest.mark.parametrize("overwrite", [False, True])
def test_file_in_place_of_the_directory_is_called_a_file_and_kept(tmp_path: Path, overwrite: bool) -> None:
    file = tmp_path / "train.py"
    file.write_text("kept")
    with pytest.raises(InputError, match=r"train.py' is a file; accepted: a directory"):
        watched(steps(1), file, overwrite=overwrite)
    assert file.read_text() == "kept"


def test_two_watchers_at_work_do_not_write_to_one_directory(tmp_path: Path) -> None:
    model = small_model()
    with gradviz.watch(model, tmp_path):
        with pytest.raises(InputError, match="another watcher writes to"):
            gradviz.watch(model, tmp_path, overwrite=True).__enter__()
        with gradviz.watch(model, tmp_path / "other"):
            pass
    with gradviz.watch(model, tmp_path, overwrite=True):
        pass


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"model": "a model"}, "the model is str"), ({"every": 0}, "every is 0"), ({"first_step": -1}, "first_step is -1")],
)
def test_arguments_that_are_not_accepted_are_refused(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    model = arguments.pop("model", nn.Linear(1, 1))
    with pytest.raises(InputError, match=message):
        gradviz.watch(model, tmp_path, **arguments)
