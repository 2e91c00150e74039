"""What is written down of a training run: small frozen records of numbers and names, without tensors.

    Header      of one process: its rank, and what it watched
    Step        one recorded training step on one rank; it holds the others
    ModuleNote, UnitsNote, ParameterNote, Origin
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gradviz.statistics import Statistics


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What one process watched.

    Attributes:
        rank, world_size: which process of how many.
        model: the class of the watched model.
        parallel: "DistributedDataParallel", "fully_shard", or "".
        every: every so manieth step is recorded.
        torch: the release that trained.
    """

    rank: int
    world_size: int
    model: str
    parallel: str
    every: int
    torch: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleNote:
    """All calls of one module in a step, taken together.

    Attributes:
        path: its dotted path, "" of the model itself.
        kind: its class.
        calls: how many there were.
        value: of all it returned; None where that cannot be read.
        arriving: the norm of the cotangents that came back to what it returned; None where none did.
        leaving: the norm of the cotangents that it handed on through its inputs; None where nothing that it was called
            with needs a gradient.
    """

    path: str
    kind: str
    calls: int
    value: Statistics | None
    arriving: float | None
    leaving: float | None

    @property
    def gain(self) -> float | None:
        """`leaving / arriving`: how much a gradient grows in the module on its way back; None where that is not known."""
        return None if self.leaving is None or not self.arriving else self.leaving / self.arriving


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitsNote:
    """The units of a ReLU in a step. One whose result has one dimension is not among them: that may count samples.

    Attributes:
        module: where it ran, by its dotted path.
        source: the user's line, "file.py:12", or "".
        units: how many there are.
        dead: how many of them were zero for every sample of the step.
    """

    module: str
    source: str
    units: int
    dead: int

    @property
    def name(self) -> str:
        return f"{self.module} {self.source}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterNote:
    """A parameter as the optimizer found it: after the backward passes, and after clipping where there is any.

    Attributes:
        name: its dotted name.
        shape: of the whole.
        shard: where it is split over processes, which piece this one holds; () where it holds all of it.
        weight: the norm of the parameter, or of the piece; NaN or infinite where it holds either.
        gradient: the norm of its gradient; None where it had none.
    """

    name: str
    shape: tuple[int, ...]
    shard: tuple[int, ...]
    weight: float | None
    gradient: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where NaN or infinities come from: the first call that made them, or the first that they came to.

    Attributes:
        what: "value" in the forward pass, "gradient" in the backward pass.
        number: which of the two it was.
        made: whether the call made them. Otherwise they came from outside: with what the model was called with or with its
            parameters, and back from the loss.
        op: the function.
        module: where it ran, by its dotted path.
        source: the user's line, "file.py:12", or "".
    """

    what: Literal["value", "gradient"]
    number: Literal["NaN", "infinity"]
    made: bool
    op: str
    module: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One recorded training step on one rank.

    Attributes:
        rank: which process.
        step: how many optimizer steps came before it.
        forwards, backwards: how many passes there were; several where gradients are accumulated.
        updated: whether the parameters were updated at its end: not where a gradient scaler skipped it, or the loop ended.
        modules, units: in the order of their first call.
        parameters: those that an optimizer got, in the model's order.
        origins: where NaN and infinities came from; at most one of values and one of gradients.
    """

    rank: int
    step: int
    forwards: int
    backwards: int
    updated: bool
    modules: tuple[ModuleNote, ...]
    units: tuple[UnitsNote, ...]
    parameters: tuple[ParameterNote, ...]
    origins: tuple[Origin, ...]
