"""`watch`: an ordinary training loop -> a file of numbers, a line for every so manieth step.

What is one step `stepping` tells; here the file is opened, begun with a header, ended and closed.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import torch
from torch import nn
from torch.optim.optimizer import Optimizer

from gradviz.errors import InputError
from gradviz.runs.file import close_file, line_of, new_file, rank_file
from gradviz.runs.notes import End, Header, Step
from gradviz.runs.run import Run, load_run

if TYPE_CHECKING:
    from gradviz.runs.stepping import Stepping

DIRECTORY = "gradviz-run"


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
        self._first_step = first_step
        self._optimizers = optimizers
        self._overwrite = overwrite
        self._out: TextIO | None = None
        self._stepping: Stepping | None = None
        self.file = directory / rank_file(0)

    def __enter__(self) -> Watcher:
        if self._stepping is not None:
            raise InputError("this watcher is already at work; call gradviz.watch again for another")
        header = self._header()
        self.file = self._directory / rank_file(header.rank)
        self._out = new_file(self.file, overwrite=self._overwrite)
        self._write(header)
        from gradviz.runs.stepping import Stepping  # not needed before: `import gradviz` stays cheap

        self._stepping = Stepping(
            self._model,
            rank=header.rank,
            every=self._every,
            first_step=self._first_step,
            optimizers=self._optimizers,
            write=self._write,
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: Any) -> None:
        stepping, self._stepping = self._stepping, None
        if stepping is None:
            return
        stepping.stop_listening()
        try:
            stepping.end(is_cut_short=kind is not None)
            end = self._end(stepping)
            self._write(end)
        finally:
            if self._out is not None:
                close_file(self._out)
        if kind is None and end.moved:
            from gradviz.runs.absent import why_nothing

            warnings.warn(f"gradviz.watch recorded nothing: {why_nothing(end)}: watch each", stacklevel=2)
        if kind is None and stepping.forwards > 1 and stepping.step == self._first_step and not stepping.updated:
            warnings.warn(
                f"gradviz.watch saw {stepping.forwards} forward passes, but no update of the model's parameters: no step of "
                "a torch.optim optimizer that holds them, and no change in place; all of it counted as one step",
                stacklevel=2,
            )

    @property
    def run(self) -> Run:
        """What this process has recorded so far; other ranks write files of their own, see `gradviz.load_run`."""
        return load_run(self.file)

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

    def _end(self, stepping: Stepping) -> End:
        """What came by in all. A model whose parts alone are called is known by what happened to their parameters."""
        moved = set() if stepping.forwards else stepping.trained()
        return End(
            rank=stepping.rank,
            forwards=stepping.forwards,
            updates=stepping.updates,
            opened=stepping.opened,
            moved=tuple(path for path in parts_of(self._model) if any(name.startswith(f"{path}.") for name in moved)),
            broken=tuple(stepping.broken()),
        )

    def _write(self, note: Header | Step | End) -> None:
        if self._out is not None:
            self._out.write(f"{line_of(note)}\n")
            self._out.flush()


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
    is none of torch.optim's, and of an update by hand, the gradients are those that the last backward pass left.

    Args:
        model: what the loop calls; under `torchrun` the DistributedDataParallel module, or one after `fully_shard`.
        directory: where to write; made where it is not there.
        every: record each step whose number it divides, and the one after the first of these: what an update leaves to the
            next shows in two in a row.
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
    [0, 1, 10, 20]
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
