"""`Stepping`: what a training loop calls -> its steps, of which every so manieth is recorded, and the one after the first.

What an update leaves behind for the next one, as gradients that nobody clears, shows in two steps in a row, and in a short
loop no other comes.

A step is what leads to one update: all forward and backward passes between two steps of an optimizer that holds parameters
of the model. Its begin is the first forward pass of the model with gradients after such a step; so its end is known only
then, or when the watcher is left, and several optimizers, gradient accumulation and closures are right. Passes under
`no_grad` count nothing; of a pass and its repetition by a checkpoint the one counts that a backward pass goes through. Where
no optimizer is used, an update is what changed the parameters in place, also through `.data`.

On the steps between, one function is called per forward pass and two per optimizer step, and each returns at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any
from weakref import WeakSet

import torch
from torch import nn
from torch.optim.optimizer import Optimizer, register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from gradviz.runs.decay import Decay
from gradviz.runs.listening import Root, listen, stop_listening
from gradviz.runs.notes import Step
from gradviz.runs.step import OpenStep, as_written
from gradviz.runs.tally import Tally
from gradviz.runs.units import DeadUnits
from gradviz.runs.weights import Changes, Spoilt, Unmoved, digest, parameters_of

ATTEMPTS = 4
"""How often a step that is not followed by an update, as one that a gradient scaler skips, is recorded anew."""
PASSES = 64
"""The same where updates were seen before."""


class Stepping:
    """The steps of one loop, from the moment that this is made until `stop`.

    Attributes:
        rank: of this process.
        step: the number of the step that the loop is in.
        forwards, updates, opened: how many forward passes, optimizer steps and recordings there were.
        updated: whether that step has had its update.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        rank: int,
        every: int,
        first_step: int,
        optimizers: Iterable[Optimizer],
        write: Callable[[Step], None],
    ) -> None:
        """Begins to listen.

        Args:
            model: what is watched.
            rank: of this process.
            every: record each step whose number it divides, and the one after the first of these.
            first_step: the number of the first step.
            optimizers: those that are known to hold parameters of the model.
            write: takes each recorded step when it is over.
        """
        self._model, self._every, self._write = model, every, write
        self.rank = rank
        self.step = first_step
        self.forwards = self.updates = self.opened = 0
        self.updated = False
        # Taken now: within a forward pass fully_shard has put other parameters in their place.
        self._parameters = list(model.parameters())
        self._names = {id(parameter): as_written(name) for name, parameter in model.named_parameters()}
        self._held = {id(parameter) for optimizer in optimizers for parameter in parameters_of(optimizer)}
        self._last_update: dict[int, int] = {}
        self._others: WeakSet[Optimizer] = WeakSet()
        self._units, self._unmoved, self._spoilt = DeadUnits(), Unmoved(self._parameters), Spoilt(self._parameters)
        self._gradients = {id(one): _gradient_digest(one) for one in self._parameters}
        self._thread = threading.get_ident()
        self._open: OpenStep | None = None
        self._attempts = 0
        self._first: int | None = None
        self._tally, self._decay = Tally(), Decay()
        self._saw_optimizer = self._is_updating = False
        self._changes = Changes(self._parameters)
        self._last_by_hand: int | None = None
        self._handles: list[Any] = [
            model.register_forward_pre_hook(self._before_forward, with_kwargs=True),
            register_optimizer_step_pre_hook(self._before_update),
            register_optimizer_step_post_hook(self._after_update),
        ]
        listen(self._before_backward, self._after_backward)

    def stop_listening(self) -> None:
        """Takes away all that was put into the loop."""
        for handle in self._handles:
            handle.remove()
        stop_listening(self._before_backward)

    def end(self, *, is_cut_short: bool) -> None:
        """Ends the step that the loop was in when the watcher was left."""
        self._look_for_changes()
        self._end_step(is_cut_short=is_cut_short)

    def trained(self) -> set[str]:
        """The names of the parameters that have another gradient than in the beginning, or have moved since."""
        still = self._unmoved.look()
        asked = [one for one in self._parameters if one.requires_grad]
        return {
            self._names[id(one)]
            for one in asked
            if id(one) not in still or (one.grad is not None and _gradient_digest(one) != self._gradients[id(one)])
        }

    def broken(self) -> list[str]:
        """The names of the parameters that hold NaN or infinity now, and did not in the beginning."""
        return [self._names[id(one)] for one in self._spoilt.look()]

    def __deepcopy__(self, memo: dict[int, Any]) -> Stepping:
        """A copy of the model, as of its moving average, takes the hook along, which then lets other models pass."""
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        """A model that is saved whole takes the hook along, which is idle where it is loaded."""
        return Idle, ()

    def _before_forward(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        if module is not self._model or not torch.is_grad_enabled() or threading.get_ident() != self._thread:
            return
        self.forwards += 1
        self._look_for_changes()
        if self.updated:
            self._end_step()
            self._last_by_hand = None if self._saw_optimizer else self.step
            self.updated = False
            self._attempts = 0
            self._tally = Tally()
            self.step += 1
        elif self._open is not None and not self._is_updating and self._open.had_backward and self._has_no_gradients():
            self._end_step()  # a gradient scaler skipped the update
        if self._open is None and self._is_due and self._attempts < self._most_attempts:
            self._attempts += 1
            self.opened += 1
            self._open = OpenStep(self.step, self._model, self._names, self._held, self._tally)
        if self._open is not None:
            self._open.open_pass([args, kwargs])

    def _before_backward(self, roots: tuple[Root, ...], frame: FrameType) -> None:
        if self._open is not None and threading.get_ident() == self._thread:
            self._open.begin_backward(roots, self._parameters, frame, decayed=self._decay.scaled(self._parameters))

    def _after_backward(self) -> None:
        if not self._saw_optimizer and self._is_due_next and threading.get_ident() == self._thread:
            self._decay.take(self._parameters)  # what is an update shows only when the next step begins
        if self._open is not None and not self._is_updating and threading.get_ident() == self._thread:
            self._open.end_backward(self._parameters)
            if not self._saw_optimizer:
                self._open.begin_update_by_hand(self._parameters, again=self._last_by_hand == self.step - 1)

    @property
    def _is_due(self) -> bool:
        return self.step % self._every == 0 or (self._first is not None and self.step == self._first + 1)

    @property
    def _is_due_next(self) -> bool:
        """Whether the step after this one may be recorded; that an open one is the first is known only when it is over."""
        is_first = self._open is not None if self._first is None else self.step == self._first
        return is_first or (self.step + 1) % self._every == 0

    @property
    def _most_attempts(self) -> int:
        """Where an optimizer is at work, gradients that are cleared between passes end no step: another update will come."""
        return PASSES if self._saw_optimizer else ATTEMPTS

    def _before_update(self, optimizer: Optimizer, *_: Any) -> None:
        if not self._is_ours(optimizer):
            self._others.add(optimizer)
            return
        self._saw_optimizer = self._is_updating = True
        if self._open is not None and self._open.had_backward:
            self._open.begin_update(optimizer, again=self._last_update.get(id(optimizer)) == self.step - 1)

    def _after_update(self, optimizer: Optimizer, *_: Any) -> None:
        if not self._is_ours(optimizer):
            return
        if self._open is not None:
            self._held.update(map(id, parameters_of(optimizer)))
            self._open.end_update(optimizer, self._parameters)
        self._last_update[id(optimizer)] = self.step
        if self._is_due_next:
            self._decay.take(one for one in parameters_of(optimizer) if id(one) in self._names)
        self.updates += 1
        self.updated, self._is_updating = True, False

    def _is_ours(self, optimizer: Optimizer) -> bool:
        return any(id(parameter) in self._names for group in optimizer.param_groups for parameter in group["params"])

    def _look_for_changes(self) -> None:
        """Where no optimizer was ever seen, a change in place is an update."""
        if not self._saw_optimizer:
            self.updated |= self._changes.look()

    def _has_no_gradients(self) -> bool:
        return all(parameter.grad is None for parameter in self._parameters)

    def _end_step(self, *, is_cut_short: bool = False) -> None:
        """Hands on the step that was open.

        Where an optimizer is at work and all is finite, one without an update is left out: it is what the update of another
        model left behind, as that of a generator in a watched discriminator, or what followed the last update.
        """
        if self._open is None:
            return
        ended, self._open = self._open, None
        if not self._saw_optimizer:
            ended.end_update_by_hand(self._parameters, updated=self.updated)
        others = {id(parameter) for optimizer in self._others for parameter in parameters_of(optimizer)}
        step = ended.finished(
            self.rank, updated=self.updated, units=self._units, unmoved=self._unmoved.look(), others=others
        )
        if step is not None and (step.updated or step.origins or is_cut_short or not self._saw_optimizer):
            self._first = step.step if self._first is None and step.updated else self._first
            self._write(step)


def _gradient_digest(parameter: torch.Tensor) -> int | None:
    return None if parameter.grad is None or parameter.grad.layout is not torch.strided else digest(parameter.grad)


class Idle:
    """What is left of it in a model that was saved while it was watched."""

    def _before_forward(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        pass
