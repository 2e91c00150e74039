"""What is written down of a training run: small frozen records of numbers and names, without tensors.

    Header      of one process: its rank, and what it watched
    End         of one process: what came by in all, recorded or not
    Step        one recorded training step on one rank; it holds the others
    ModuleNote, UnitsNote, ParameterNote, OutsiderNote, LossNote, Pair, Origin
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
        every: every so manieth step is recorded, and the one after the first of these.
        torch: the release that trained.
        knows_optimizers: whether `watch` was told which optimizers there are.
    """

    rank: int
    world_size: int
    model: str
    parallel: str
    every: int
    torch: str
    knows_optimizers: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """What came by until the watcher was left; a process that is killed writes none.

    Attributes:
        rank: which process.
        forwards: how many forward passes of the model with gradients there were.
        updates: how many steps of optimizers that hold its parameters.
        opened: how many steps were looked at; those without a gradient are not written down.
        moved: the outermost parts of the model whose parameters have changed or hold a gradient, by their paths; where there
            were forward passes it is empty.
        broken: the parameters that hold NaN or infinity at the end, and did not in the beginning, by their names.
    """

    rank: int
    forwards: int
    updates: int
    opened: int
    moved: tuple[str, ...]
    broken: tuple[str, ...]


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
        lasting: how many were so at this and at the recorded steps before it, up to three.
    """

    module: str
    source: str
    units: int
    dead: int
    lasting: int

    @property
    def name(self) -> str:
        return f"{self.module} {self.source}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterNote:
    """A parameter as the optimizer found it: after the backward passes, and after clipping where there is any.

    Of an update that no optimizer makes, as `p -= lr * p.grad`, as the last backward pass left it.

    Attributes:
        name: its dotted name.
        shape: of the whole.
        frozen: whether it is told to have no gradient.
        shard: where it is split over processes, which piece this one holds; () where it holds all of it.
        weight: the norm of the parameter, or of the piece; NaN or infinite where it holds either.
        gradient: the norm of its gradient; None where it had none.
        update: how far the update moved it, beside its own norm, measured on some of its elements; None where that is not
            known: no update, one that a closure makes, a weight that was 0.
        dtype: as "float32".
        lr: the learning rate of its group; None where that has none, and without an optimizer.
        unchanged: of its elements that had a gradient, the share that the update left as they were, measured on some; None
            where that is not known.
        carried: whether the gradient still held what its optimizer had used for the update before, not scaled down since.
    """

    name: str
    shape: tuple[int, ...]
    frozen: bool
    shard: tuple[int, ...]
    weight: float | None
    gradient: float | None
    update: float | None
    dtype: str
    lr: float | None
    unchanged: float | None
    carried: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LossNote:
    """What `backward()` was called on, at one line.

    Attributes:
        source: that line, "file.py:12", or "".
        value: its mean over the passes of the step, as `backward()` got it: scaled or divided where the loop does so; None
            where it is more than one number.
        ops: the differentiable functions between what the model returned and it, in their order; each once.
        minus_of: the loss of torch's that it is minus a multiple of, "mse_loss", where it is the only loss of a step whose
            optimizers train all that it was computed of, and nothing of the model is frozen; else "".
    """

    source: str
    value: float | None
    ops: tuple[str, ...]
    minus_of: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two functions in a row, or a shape and what became of it, that may not belong together: findings tell.

    Attributes:
        op: the function.
        before: the one whose result it takes, or the shape of that result where `op` made a larger one of it.
        made: the shape that `op` made of it, or "".
        module: where it ran, by its dotted path; "" for the model itself and outside of it.
        source: the user's line; outside of the model that of `backward()`.
        dim: of a softmax before a loss that takes log-probabilities, the dimension that it makes sum to 1, where that is not
            the one of the classes; else None.
    """

    op: str
    before: str
    made: str
    module: str
    source: str
    dim: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutsiderNote:
    """A parameter that the forward pass of the model used, and that is none of the model's.

    Attributes:
        shape: of it.
        module, source: where it was used.
    """

    shape: tuple[int, ...]
    module: str
    source: str


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
        maximizes: whether the optimizer climbs.
        made: the norm of the gradients that the last backward pass left in `parameters`; None where an update called it.
        thrown: how many backward passes, which did the same as the last one, were in vain: cleared before the update.
        kept: how many of the same kind were used; both 0 where the optimizer got something else than what they left.
        modules, units: in the order of their first call.
        parameters: those that an optimizer got, or that were updated by hand with a gradient, in the model's order.
        unheld: the parameters that had a gradient and that no optimizer held so far.
        outsiders: the parameters that a gradient reached within the model, though they are none of its own, and that no
            optimizer held so far.
        unmoved: those that require a gradient and at the end of the step still have the value that they began with.
        in_eval: the dropouts and batch norms that, in every pass, ran in eval mode because the whole model did.
        losses, pairs: what stands between the model and `backward()`.
        origins: where NaN and infinities came from; at most one of values and one of gradients.
    """

    rank: int
    step: int
    forwards: int
    backwards: int
    updated: bool
    maximizes: bool
    made: float | None
    thrown: int
    kept: int
    modules: tuple[ModuleNote, ...]
    units: tuple[UnitsNote, ...]
    parameters: tuple[ParameterNote, ...]
    unheld: tuple[str, ...]
    outsiders: tuple[OutsiderNote, ...]
    unmoved: tuple[str, ...]
    in_eval: tuple[str, ...]
    losses: tuple[LossNote, ...]
    pairs: tuple[Pair, ...]
    origins: tuple[Origin, ...]
