"""`OpenStep`: a training step while it is recorded -> a `Step` of numbers."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping

import torch
from torch import nn

from gradviz.runs.forward import ForwardPass
from gradviz.runs.notes import ModuleNote, ParameterNote, Step, UnitsNote
from gradviz.runs.plain import plain, reading, shard_of
from gradviz.statistics import Statistics, norm_of


class OpenStep:
    """The forward passes of one step, and what the optimizer found.

    Attributes:
        number: how many steps came before it.
    """

    def __init__(self, number: int, model: nn.Module, names: Mapping[int, str]) -> None:
        """`names`: id of each parameter, as optimizers hold it, -> its dotted name."""
        self.number = number
        self._model = model
        self._paths = {id(module): as_written(path) for path, module in model.named_modules()}
        self._names = names
        self._passes: list[ForwardPass] = []
        self._parameters: dict[int, ParameterNote] = {}

    def open_pass(self) -> None:
        """Watches the forward pass that begins now."""
        self.close_pass()
        self._passes.append(ForwardPass(self._model, self._paths))
        self._passes[-1].open()

    def close_pass(self) -> None:
        """Stops watching a forward pass that was left by force, as by Ctrl-C."""
        if self._passes:
            self._passes[-1].close()

    @property
    def had_backward(self) -> bool:
        return any(one.backwards for one in self._passes)

    def read_parameters(self, held: Iterable[torch.Tensor]) -> None:
        """Notes those of an optimizer's parameters that are the model's, each the first time that it is held."""
        for parameter in held:
            name = self._names.get(id(parameter))
            if name is None or id(parameter) in self._parameters:
                continue
            gradient = parameter.grad
            self._parameters[id(parameter)] = ParameterNote(
                name=name,
                shape=tuple(parameter.shape),
                shard=shard_of(parameter),
                weight=_norm(parameter),
                gradient=None if gradient is None else _norm(gradient),
            )

    def finished(self, rank: int, *, updated: bool) -> Step | None:
        """The step as it is written down; None where no backward pass and no NaN was seen in it.

        A pass without a backward pass, of an evaluation, counts only where it made NaN.
        """
        self.close_pass()
        broken = {one: origin for one in self._passes if (origin := one.finish()) is not None}
        trained = [one for one in self._passes if one.backwards]
        # What was masked before the model returned, and left the gradients finite, did no harm.
        harmful = [one.nan for one in self._passes if one.nan is not None and (one.returned_nan or one in broken)]
        harmful += [one.infinity for one in broken if one.infinity is not None]
        if not trained and not harmful:
            return None
        return Step(
            rank=rank,
            step=self.number,
            forwards=len(trained),
            backwards=sum(one.backwards for one in trained),
            updated=updated,
            modules=_module_notes(trained),
            units=_units_notes(trained),
            parameters=tuple(self._parameters[key] for key in self._names if key in self._parameters),
            origins=(*harmful[:1], *list(broken.values())[:1]),
        )


def as_written(name: str) -> str:
    """A dotted name without what `torch.compile` put in between.

    >>> as_written("encoder._orig_mod.0.weight")
    'encoder.0.weight'
    """
    return name.replace("_orig_mod.", "")


def _norm(tensor: torch.Tensor) -> float | None:
    with reading():
        # Rows that an embedding's sparse gradient has twice add up.
        numbers = tensor.detach().coalesce().values() if tensor.layout is torch.sparse_coo else plain(tensor)
        return None if numbers is None else norm_of(numbers)


def _module_notes(passes: Collection[ForwardPass]) -> tuple[ModuleNote, ...]:
    found = []
    for path in dict.fromkeys(path for one in passes for path in one.modules):
        here = [one.modules[path] for one in passes if path in one.modules]
        calls = [call for totals in here for call in totals.calls]
        value: Statistics | None = None
        for totals in here:
            if totals.value is not None:
                value = totals.value if value is None else value.with_more(totals.value)
        found.append(
            ModuleNote(
                path=path,
                kind=here[0].kind,
                calls=len(calls),
                value=value,
                arriving=_root(call.arriving for call in calls),
                leaving=_root(call.leaving for call in calls),
            )
        )
    return tuple(found)


def _root(squares: Iterable[float | None]) -> float | None:
    known = [square for square in squares if square is not None]
    return math.sqrt(sum(known)) if known else None


def _units_notes(passes: Collection[ForwardPass]) -> tuple[UnitsNote, ...]:
    """A unit is dead where it was zero in all passes."""
    found = []
    for place in dict.fromkeys(place for one in passes for place in one.dead):
        masks = [one.dead[place] for one in passes if place in one.dead]
        dead = masks[0]
        for mask in masks[1:]:
            dead = dead & mask if mask.shape == dead.shape else dead
        found.append(UnitsNote(module=place[0], source=place[1], units=dead.numel(), dead=int(dead.sum())))
    return tuple(found)
