"""`watch`: an ordinary training loop -> a file of numbers, a line for every so manieth step.

A step is what leads to one update: all forward and backward passes between two steps of an optimizer that holds parameters
of the model. Its begin is the first forward pass of the model with gradients after such a step; so its end is known only
then, or when the watcher is left, and several optimizers, gradient accumulation and closures are right. Passes under
`no_grad` count nothing; of a pass and its repetition by a checkpoint the one counts that a backward pass goes through. Where
no optimizer is used, an update is what changed the parameters in place.

On the steps between, one function is called per forward pass and two per optimizer step, and each returns at once.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

import torch
from torch import nn
from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from gradviz.errors import InputError
from gradviz.runs.file import close_file, line_of, new_file, rank_file
from gradviz.runs.listening import Root, listen, stop_listening
from gradviz.runs.notes import End, Header
from gradviz.runs.run import Run, load_run
from gradviz.runs.tally import Tally
from gradviz.runs.weights import parameters_of

if TYPE_CHECKING:
    from gradviz.runs.step import OpenStep
    from gradviz.runs.units import DeadUnits
    from gradviz.runs.weights import Unmoved

DIRECTORY = "gradviz-run"
ATTEMPTS = 4
"""How often a step that is not followed by an update, as one that a gradient scaler skips, is recorded anew."""
PASSES = 64
"""The same where updates were seen before."""


class Watcher:
    """What `watch` yields. It records while its `with` block is open.

    Attributes:
        file: what this process writes.
    """

    def __init__(
        self,
        model: nn.Module,
        directory: Path,
        *,
        every: int,
        first_step: int,
        optimizers: tuple[Optimizer, ...],
        overwrite: bool,
    ) -> None:
        self._wrapped = model
        self._model: nn.Module = model.module if _is_data_parallel(model) else model  # type: ignore[assignment]
        self._directory = directory
        self._every = every
        self._overwrite = overwrite
        self._optimizers = optimizers
        self._step = first_step
        self._first_step = first_step
        self._parameters: list[nn.Parameter] = []
        self._names: dict[int, str] = {}
        self._held = {id(parameter) for optimizer in optimizers for parameter in parameters_of(optimizer)}
        self._updates: dict[int, int] = {}
        self._units: DeadUnits | None = None
        self._unmoved: Unmoved | None = None
        self._thread = threading.get_ident()
        self._handles: list[Any] = []
        self._out: TextIO | None = None
        self._open: OpenStep | None = None
        self._attempts = 0
        self._tally = Tally()
        self._updated = False
        self._saw_optimizer = False
        self._is_updating = False
        self._versions: int | None = None
        self._forwards = self._updates_made = self._opened = 0
        self._rank = 0
        self.file = directory / rank_file(0)

    def __enter__(self) -> Watcher:
        if self._handles:
            raise InputError("this watcher is already at work; call gradviz.watch again for another")
        header = self._header()
        self._rank = header.rank
        self.file = self._directory / rank_file(header.rank)
        self._out = new_file(self.file, overwrite=self._overwrite)
        self._write(line_of(header))
        from gradviz.runs.step import as_written  # not needed before: `import gradviz` stays cheap
        from gradviz.runs.units import DeadUnits
        from gradviz.runs.weights import Unmoved

        # Taken now: within a forward pass fully_shard has put other parameters in their place.
        self._parameters = list(self._model.parameters())
        self._names = {id(parameter): as_written(name) for name, parameter in self._model.named_parameters()}
        self._units, self._unmoved = DeadUnits(), Unmoved(self._parameters)
        self._handles = [
            self._model.register_forward_pre_hook(self._before_forward),
            register_optimizer_step_pre_hook(self._before_update),
            register_optimizer_step_post_hook(self._after_update),
        ]
        listen(self._before_backward, self._after_backward)
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: Any) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []
        stop_listening(self._before_backward)
        try:
            self._look_for_changes()
            self._end_step(is_cut_short=kind is not None)
            end = self._end()
            self._write(line_of(end))
        finally:
            if self._out is not None:
                close_file(self._out)
        if kind is None and end.moved:
            from gradviz.runs.absent import why_nothing

            warnings.warn(f"gradviz.watch recorded nothing: {why_nothing(end)}: watch each", stacklevel=2)
        if kind is None and self._forwards > 1 and self._step == self._first_step and not self._updated:
            warnings.warn(
                f"gradviz.watch saw {self._forwards} forward passes, but no update of the model's parameters: no step of a "
                "torch.optim optimizer that holds them, and no change in place; all of it counted as one step",
                stacklevel=2,
            )

    @property
    def run(self) -> Run:
        """What this process has recorded so far; other ranks write files of their own, see `gradviz.load_run`."""
        return load_run(self.file)

    def __deepcopy__(self, memo: dict[int, Any]) -> Watcher:
        """A copy of the model, as of its moving average, takes the hook along, which then lets other models pass."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """A model that is saved whole takes the hook along, which is idle where it is loaded."""
        return Idle, ()

    def _header(self) -> Header:
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        sharded = any(hasattr(parameter, "device_mesh") for parameter in self._model.parameters())
        return Header(
            rank=torch.distributed.get_rank() if distributed else int(os.environ.get("RANK", 0)),
            world_size=torch.distributed.get_world_size() if distributed else int(os.environ.get("WORLD_SIZE", 1)),
            model=type(self._model).__name__.removeprefix("FSDP"),
            parallel=type(self._wrapped).__name__ if _is_data_parallel(self._wrapped) else "fully_shard" if sharded else "",
            every=self._every,
            torch=str(torch.__version__),
            knows_optimizers=bool(self._optimizers),
        )

    def _end(self) -> End:
        """What came by in all. A model whose parts alone are called is known by what happened to their parameters."""
        moved: set[str] = set()
        if not self._forwards and self._unmoved is not None:
            still = self._unmoved.look()
            trained = [one for one in self._parameters if one.requires_grad]
            moved = {self._names[id(one)] for one in trained if one.grad is not None or id(one) not in still}
        return End(
            rank=self._rank,
            forwards=self._forwards,
            updates=self._updates_made,
            opened=self._opened,
            moved=tuple(path for path in parts_of(self._model) if any(name.startswith(f"{path}.") for name in moved)),
        )

    def _before_forward(self, module: nn.Module, args: Any) -> None:
        if module is not self._model or not torch.is_grad_enabled() or threading.get_ident() != self._thread:
            return
        self._forwards += 1
        self._look_for_changes()
        if self._updated:
            self._end_step()
            self._updated = False
            self._attempts = 0
            self._tally = Tally()
            self._step += 1
        elif self._open is not None and not self._is_updating and self._open.had_backward and self._has_no_gradients():
            self._end_step()  # a gradient scaler skipped the update
        if self._open is None and self._step % self._every == 0 and self._attempts < self._most_attempts:
            from gradviz.runs.step import OpenStep

            self._attempts += 1
            self._opened += 1
            self._open = OpenStep(self._step, self._model, self._names, self._held, self._tally)
        if self._open is not None:
            self._open.open_pass()

    def _before_backward(self, roots: tuple[Root, ...], frame: FrameType) -> None:
        if self._open is not None and threading.get_ident() == self._thread:
            self._open.begin_backward(roots, self._parameters, frame)

    def _after_backward(self) -> None:
        if self._open is not None and not self._is_updating and threading.get_ident() == self._thread:
            self._open.end_backward(self._parameters)

    @property
    def _most_attempts(self) -> int:
        """Where an optimizer is at work, gradients that are cleared between passes end no step: another update will come."""
        return PASSES if self._saw_optimizer else ATTEMPTS

    def _before_update(self, optimizer: Optimizer, *_: Any) -> None:
        if not self._is_ours(optimizer):
            return
        self._saw_optimizer = self._is_updating = True
        if self._open is not None and self._open.had_backward:
            self._open.begin_update(optimizer, again=self._updates.get(id(optimizer)) == self._step - 1)

    def _after_update(self, optimizer: Optimizer, *_: Any) -> None:
        if not self._is_ours(optimizer):
            return
        if self._open is not None:
            self._held.update(map(id, parameters_of(optimizer)))
            self._open.end_update(optimizer, self._parameters)
        self._updates[id(optimizer)] = self._step
        self._updates_made += 1
        self._updated, self._is_updating = True, False

    def _is_ours(self, optimizer: Optimizer) -> bool:
        return any(id(parameter) in self._names for group in optimizer.param_groups for parameter in group["params"])

    def _look_for_changes(self) -> None:
        """Where no optimizer was ever seen, a change in place is an update."""
        if self._saw_optimizer:
            return
        versions = sum(parameter._version for parameter in self._parameters)
        self._updated |= self._versions is not None and versions != self._versions
        self._versions = versions

    def _has_no_gradients(self) -> bool:
        return all(parameter.grad is None for parameter in self._parameters)

    def _end_step(self, *, is_cut_short: bool = False) -> None:
        """Writes the step that was open.

        Where an optimizer is at work and all is finite, one without an update is left out: it is what the update of another
        model left behind, as that of a generator in a watched discriminator, or what followed the last update.
        """
        if self._open is None or self._units is None or self._unmoved is None:
            return
        ended, self._open = self._open, None
        step = ended.finished(self._rank, updated=self._updated, units=self._units, unmoved=self._unmoved.look())
        if step is not None and (step.updated or step.origins or is_cut_short or not self._saw_optimizer):
            self._write(line_of(step))

    def _write(self, line: str) -> None:
        if self._out is not None:
            self._out.write(f"{line}\n")
            self._out.flush()


class Idle:
    """What is left of a watcher in a model that was saved while it was watched."""

    def _before_forward(self, module: nn.Module, args: Any) -> None:
        pass


def watch(
    model: nn.Module,
    directory: str | os.PathLike[str] = DIRECTORY,
    *,
    every: int = 100,
    first_step: int = 0,
    optimizer: Optimizer | Iterable[Optimizer] | None = None,
    overwrite: bool = False,
) -> Watcher:
    """Records every so manieth step of the training loop in its `with` block; the loop stays as it is.

    Parameters, gradients, losses and random numbers are bit for bit those of the loop without it. Numbers go to
    `directory`, one file for each rank: per module the statistics of what it returned and the gain of its backward pass, per
    ReLU its dead units, per parameter its weight, the gradient that the optimizer got and how far the update moved it, what
    `backward()` was called on and by which functions it came of what the model returned, and where NaN came from. Of a
    loss outside of the model no values between are seen, and no functions that autograd does not know. Of an optimizer that
    is none of torch.optim's, and of an update through `.data`, only that parameters have changed.

    Args:
        model: what the loop calls; under `torchrun` the DistributedDataParallel module, or one after `fully_shard`.
        directory: where to write; made where it is not there.
        every: record each step whose number it divides.
        first_step: the number of the first step, for a loop that goes on where an earlier one ended.
        optimizer: the loop's optimizer, or all of them. Not needed: an optimizer is known from its first step; but with it
            the first recorded step tells which parameters none holds.
        overwrite: replace the run that the directory holds.

    Raises:
        InputError: an argument is not accepted; on entering, the directory holds a run, is a file, cannot be written to, or
            another watcher writes to it.

    >>> import tempfile
    >>> _ = torch.manual_seed(0)
    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> with tempfile.TemporaryDirectory() as directory, watch(model, directory, every=10) as watcher:
    ...     for _ in range(30):
    ...         optimizer.zero_grad()
    ...         loss = (model(torch.randn(16, 4)) - 1).square().mean()
    ...         loss.backward()
    ...         _ = optimizer.step()
    ...     [step.step for step in watcher.run.steps]
    [0, 10, 20]
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"the model is {type(model).__name__}; accepted: a torch.nn.Module")
    if isinstance(every, bool) or not isinstance(every, int) or every < 1:
        raise InputError(f"every is {every!r}; accepted: 1, 2, 3, ...")
    if isinstance(first_step, bool) or not isinstance(first_step, int) or first_step < 0:
        raise InputError(f"first_step is {first_step!r}; accepted: 0, 1, 2, ...")
    given = () if optimizer is None else optimizer
    optimizers = tuple(given) if isinstance(given, Iterable) else (given,)
    if wrong := [one for one in optimizers if not isinstance(one, Optimizer)]:
        raise InputError(f"the optimizer is {type(wrong[0]).__name__}; accepted: a torch.optim.Optimizer, or several")
    return Watcher(model, Path(directory), every=every, first_step=first_step, optimizers=optimizers, overwrite=overwrite)


def parts_of(model: nn.Module) -> list[str]:
    """The outermost parts of a model that can be called, by their paths: lists and dicts of modules cannot.

    >>> parts_of(nn.ModuleDict({"a": nn.Linear(1, 1), "b": nn.ModuleList([nn.Tanh()])}))
    ['a', 'b.0']
    """
    found = []
    for name, part in model.named_children():
        is_container = isinstance(part, (nn.ModuleList, nn.ModuleDict))
        found += [f"{name}.{path}" for path in parts_of(part)] if is_container else [name]
    return found


def _is_data_parallel(model: nn.Module) -> bool:
    return isinstance(model, nn.parallel.DistributedDataParallel)
