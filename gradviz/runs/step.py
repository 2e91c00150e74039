"""`OpenStep`: a training step while it is recorded -> a `Step` of numbers."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer

from gradviz.runs.forward import ForwardPass, source_at
from gradviz.runs.listening import Root
from gradviz.runs.loss import LossGraph
from gradviz.runs.notes import LossNote, ModuleNote, OutsiderNote, Pair, ParameterNote, Step
from gradviz.runs.plain import plain, reading, shard_of, tensors_in
from gradviz.runs.tally import Tally
from gradviz.runs.units import DeadUnits
from gradviz.runs.weights import moved_by, parameters_of, sample, share_unchanged
from gradviz.statistics import Statistics, norm_of

MOST_PASSES = 64
"""How many passes of one step are recorded: a loop that never makes an update would not stop being recorded."""


class OpenStep:
    """The forward passes of one step, and what the optimizer found.

    Attributes:
        number: how many steps came before it.
    """

    def __init__(self, number: int, model: nn.Module, names: Mapping[int, str], held: Collection[int],
                 tally: Tally) -> None:  # fmt: skip
        """What is known before the step.

        Args:
            number: how many steps came before it.
            model: what is watched.
            names: id of each parameter, as optimizers hold it, -> its dotted name.
            held: ids of the parameters that any optimizer held so far; it grows.
            tally: of the backward passes since the last update.
        """
        self.number = number
        self._model = model
        self._paths = {id(module): as_written(path) for path, module in model.named_modules()}
        self._names = names
        self._held = held
        self._passes: list[ForwardPass] = []
        self._parameters: dict[int, ParameterNote] = {}
        self._samples: dict[int, tuple[Tensor, Tensor | None]] = {}
        self._tally = tally
        self._maximizes = self._is_by_hand = False
        self._cleared: set[int] = set()
        self._had_gradient: set[int] = set()
        self._losses: dict[tuple[str, tuple[str, ...]], list[float | None]] = {}
        self._pairs: dict[Pair, None] = {}
        self._minus_of = ""
        self._reached: set[int] = set()
        self._given: dict[int, Tensor] = {}
        self._outsiders: dict[int, tuple[Tensor, OutsiderNote]] = {}

    def open_pass(self, given: Any) -> None:
        """Watches the forward pass that begins now, with `given`, unless the step has had very many."""
        self.close_pass()
        self._given |= {id(one): one for one in tensors_in(given) if one.is_leaf and one.requires_grad}
        if len(self._passes) < MOST_PASSES:
            self._passes.append(ForwardPass(self._model, self._paths))
            self._passes[-1].open()

    def close_pass(self) -> None:
        """Stops watching a forward pass that was left by force, as by Ctrl-C."""
        if self._passes:
            self._passes[-1].close()

    @property
    def had_backward(self) -> bool:
        return any(one.backwards for one in self._passes)

    def begin_backward(
        self, roots: Sequence[Root], parameters: Iterable[Tensor], frame: FrameType, *, decayed: Collection[int] = ()
    ) -> None:
        """Reads what `backward()` is called on, and what the gradients hold before it adds to them.

        Args:
            roots: what it is called on.
            parameters: the model's.
            frame: the one that calls it.
            decayed: ids of the parameters whose gradients were scaled down on purpose since the update before.
        """
        graph = LossGraph(roots, self._passes)
        if not graph.reaches_model:
            return
        self._cleared.update(decayed)
        self._cleared |= {id(one) for one in parameters if id(one) not in self._cleared and not _norm_of_gradient(one)}
        source = source_at(frame)
        self._tally.begin((source, graph.ops), parameters)
        self._losses.setdefault((source, graph.ops), []).append(_number(roots))
        self._minus_of = graph.minus_of
        self._pairs |= dict.fromkeys(graph.pairs(source))
        self._reached.update(id(leaf) for _, leaf in graph.leaves())
        self._note_outsiders(graph)

    def _note_outsiders(self, graph: LossGraph) -> None:
        """Notes the parameters that the model used and does not have: those of layers in a plain list, for instance."""
        own = {id(one) for one in self._model.parameters()} | self._given.keys()
        if any(hasattr(one, "device_mesh") for one in self._model.parameters()):
            return  # within a forward pass fully_shard has put other parameters in their place
        for leaf, module, source in graph.used_inside():
            if id(leaf) not in own and id(leaf) not in self._names:
                note = OutsiderNote(shape=tuple(leaf.shape), module=module, source=source)
                self._outsiders.setdefault(id(leaf), (leaf, note))

    def end_backward(self, parameters: Iterable[Tensor]) -> None:
        """Reads what a backward pass left."""
        self._tally.end({id(one): norm for one in parameters if (norm := _norm_of_gradient(one)) is not None}, parameters)

    def begin_update(self, optimizer: Optimizer, *, again: bool) -> None:
        """Notes an optimizer's parameters before it moves them.

        Args:
            optimizer: the one that will.
            again: whether it made the update before, so that gradients that were not cleared since are old ones.
        """
        self._begin(parameters_of(optimizer), optimizer.param_groups, again=again)
        self._tally.compare({key: note.gradient for key, note in self._parameters.items()})

    def begin_update_by_hand(self, parameters: Iterable[Tensor], *, again: bool) -> None:
        """The same after a backward pass that no optimizer may follow: of the parameters that have a gradient now."""
        self._parameters.clear()
        self._begin([one for one in parameters if one.grad is not None], (), again=again)
        self._is_by_hand = True

    def end_update(self, optimizer: Optimizer, parameters: Iterable[Tensor]) -> None:
        """Notes how far they moved, what a closure left of the gradients, and who else of `parameters` has a gradient."""
        held = parameters_of(optimizer)
        self._read(held, optimizer.param_groups, again=False)
        self._measure(held)
        self._had_gradient |= {id(one) for one in parameters if id(one) not in self._held and _norm_of_gradient(one)}

    def end_update_by_hand(self, parameters: Iterable[Tensor], *, updated: bool) -> None:
        """Notes how far they moved; where they did not, nothing is left of what was noted."""
        if self._is_by_hand and updated:
            self._measure(parameters)
        elif self._is_by_hand:
            self._parameters.clear()

    def _begin(self, parameters: Iterable[Tensor], groups: Sequence[Mapping[str, Any]], *, again: bool) -> None:
        if self._is_by_hand:  # it was not
            self._parameters.clear()
            self._is_by_hand = False
        for parameter in self._read(parameters, groups, again=again):
            if (taken := sample(parameter)) is not None:
                gradient = parameter.grad
                is_dense = gradient is not None and gradient.layout is torch.strided
                self._samples[id(parameter)] = (taken, sample(gradient) if is_dense and gradient is not None else None)

    def _measure(self, parameters: Iterable[Tensor]) -> None:
        for parameter in parameters:
            before, gradient = self._samples.pop(id(parameter), (None, None))
            after = None if before is None else sample(parameter)
            if before is not None and after is not None:
                note = self._parameters[id(parameter)]
                unchanged = None if gradient is None else share_unchanged(before, after, gradient)
                self._parameters[id(parameter)] = replace(note, update=moved_by(before, after), unchanged=unchanged)

    def _read(self, parameters: Iterable[Tensor], groups: Sequence[Mapping[str, Any]], *, again: bool) -> list[Tensor]:
        """Notes those that are the model's, each the first time that it is held; which ones these are."""
        new = [one for one in parameters if id(one) in self._names and id(one) not in self._parameters]
        rates = {id(one): group.get("lr") for group in groups for one in group["params"]}
        self._maximizes |= any(bool(group.get("maximize")) for group in groups)
        for parameter in new:
            gradient = _norm_of_gradient(parameter)
            self._parameters[id(parameter)] = ParameterNote(
                name=self._names[id(parameter)],
                shape=tuple(parameter.shape),
                frozen=not parameter.requires_grad,
                shard=shard_of(parameter),
                weight=_norm(parameter),
                gradient=gradient,
                update=None,
                dtype=str(parameter.dtype).removeprefix("torch."),
                lr=None if (rate := rates.get(id(parameter))) is None else float(rate),
                unchanged=None,
                carried=again and bool(self._losses) and gradient is not None and id(parameter) not in self._cleared,
            )
        return new

    def finished(
        self, rank: int, *, updated: bool, units: DeadUnits, unmoved: Collection[int], others: Collection[int]
    ) -> Step | None:
        """The step as it is written down; None where no backward pass and no NaN was seen in it.

        A pass without a backward pass, of an evaluation, counts only where it made NaN.

        Args:
            rank: of this process.
            updated: whether the parameters were updated.
            units: which units were dead at the steps before.
            unmoved: ids of the parameters that never changed so far.
            others: ids of the parameters that optimizers hold which have none of the model's.
        """
        self.close_pass()
        broken = {one: origin for one in self._passes if (origin := one.finish()) is not None}
        trained = [one for one in self._passes if one.backwards]
        # What was masked before the model returned, and left the gradients finite, did no harm.
        harmful = [one.nan for one in self._passes if one.nan is not None and (one.returned_nan or one in broken)]
        harmful += [one.infinity for one in broken if one.infinity is not None]
        if not trained and not harmful:
            return None
        minus_of = self._minus_of if len(self._losses) == 1 and self._trains_all() else ""
        in_all = set.intersection(*[set(one.in_eval) for one in trained]) if trained else set()
        return Step(
            rank=rank,
            step=self.number,
            forwards=len(trained),
            backwards=sum(one.backwards for one in trained),
            updated=updated,
            maximizes=self._maximizes,
            made=self._tally.made(self._parameters),
            thrown=self._tally.thrown if self._tally.is_used else 0,
            kept=self._tally.kept if self._tally.is_used else 0,
            modules=_module_notes(trained),
            units=units.notes([one.dead for one in trained]),
            parameters=tuple(self._parameters[key] for key in self._names if key in self._parameters),
            unheld=tuple(name for key, name in self._names.items() if key in self._had_gradient and key not in self._held),
            outsiders=tuple(
                note for key, (_, note) in self._outsiders.items() if key not in self._held and key not in others
            ),
            unmoved=tuple(name for key, name in self._names.items() if key in unmoved),
            in_eval=tuple(path for path in self._paths.values() if path in in_all),
            losses=tuple(
                LossNote(source=source, ops=ops, value=_mean(of), minus_of=minus_of)
                for (source, ops), of in self._losses.items()
            ),
            pairs=tuple(self._pairs),
            origins=(*harmful[:1], *list(broken.values())[:1]),
        )

    def _trains_all(self) -> bool:
        """Whether the updates were of all that the losses were computed of, and nothing of the model is frozen."""
        return self._reached <= self._parameters.keys() and all(one.requires_grad for one in self._model.parameters())


def as_written(name: str) -> str:
    """A dotted name without what `torch.compile` put in between.

    >>> as_written("encoder._orig_mod.0.weight")
    'encoder.0.weight'
    """
    return name.replace("_orig_mod.", "")


def _norm(tensor: Tensor) -> float | None:
    with reading():
        # Rows that an embedding's sparse gradient has twice add up.
        numbers = tensor.detach().coalesce().values() if tensor.layout is torch.sparse_coo else plain(tensor)
        return None if numbers is None else norm_of(numbers)


def _norm_of_gradient(parameter: Tensor) -> float | None:
    return None if parameter.grad is None else _norm(parameter.grad)


def _number(roots: Sequence[Root]) -> float | None:
    """The sum of what `backward()` was called on, where these are numbers."""
    with reading():
        numbers = [plain(root) for root in roots if isinstance(root, Tensor)]
        known = [one for one in numbers if one is not None and one.numel() == 1 and not one.is_complex()]
        return sum(map(float, known)) if len(known) == len(roots) else None


def _mean(values: Sequence[float | None]) -> float | None:
    """Of what is known; not finite where one of it is not."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


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
