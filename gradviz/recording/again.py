"""What is computed again when it is read, instead of being kept: its inputs are in memory anyway, and it costs one pass.

Large tensors that would otherwise be there for the graph alone: what an in-place op overwrites, and the result of an
elementwise op or a batch norm which autograd does not save; handed_on.py adds those of the backward pass. The same op on the
same inputs gives them once more, bit for bit, as long as nothing is written to these: what variables hold as well is not
relied on where there is a choice, and their versions are looked at before each reading.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from gradviz.opcall import WRITE_IN_TRAINING, flat_outputs, once_per_overload, tensors_of, written_arguments
from gradviz.recording.keeping import Holders, Keeper
from gradviz.recording.nodes import node_of
from gradviz.recording.versions import Versions, element_bytes, memory_of, storage_bytes
from gradviz.standin import StandIn, is_kept

if TYPE_CHECKING:
    from gradviz.recording.record import RecordedCall

AGAIN_BYTES = 256 * 2**10
"""Tensors from this size on are computed again; smaller ones take less time to keep."""
LARGE_BYTES = 2**20
"""Results from this size on are let go once all is recorded, where nobody else holds them."""
MAX_DEPTH = 4
"""How many calls at most, one on the other's result, are made for one that is read."""
WRITTEN_SINCE = "it was to be computed again when it is read, but what it is computed from was written to after the trace"
"""Why a tensor cannot be computed again any more."""
MAX_CALLS_BACK = 16
"""How many calls before a write that which made what it overwrites is looked for: an addition comes after another branch."""


class Repeatable:
    """The results of recorded calls that are made once more when they are read.

    Args:
        calls: those recorded until now.
        versions: what their tensors held when.

    Attributes:
        may_be_large: which calls gave a tensor of `LARGE_BYTES`, or several; to be added to by whoever records.
    """

    def __init__(self, calls: Sequence[RecordedCall], versions: Versions) -> None:
        self.may_be_large: list[int] = []
        self._calls = calls
        self._versions = versions
        self._overwritten: dict[_Result, StandIn] = {}
        self._depths: dict[int, int] = {}  # id of an overwritten tensor -> how many calls give what it held
        self._read: dict[int, Tensor] = {}  # by id: what these calls read, held so that nobody sets it aside

    def overwritten(self, tensor: Tensor) -> StandIn | None:
        """What stands for what `tensor` holds, whose memory nobody else looks at and which is about to be written to.

        None where it is small, or no call is known that can make it once more.
        """
        if type(tensor) is not Tensor or storage_bytes(tensor) < AGAIN_BYTES or id(tensor) in self._read:
            return None
        result = self._maker(tensor)
        if result is None or not _can_be_repeated(self._calls[result.call]):
            return None
        read = _tensors_read(self._calls[result.call])
        depth = 1 + max((self._depths.get(id(one), 0) for one in read), default=0)
        if depth > MAX_DEPTH:
            return None
        self._depths[id(tensor)] = depth
        self._read |= {id(one): one for one in read}
        standin = self._overwritten[result] = StandIn(tensor, reason="it is known when all is recorded")
        return standin

    def _maker(self, tensor: Tensor) -> _Result | None:
        """The call that made what a tensor holds, if it is one of the last."""
        now = len(self._calls)
        for index in range(now - 1, max(-1, now - 1 - MAX_CALLS_BACK), -1):
            for place, made in enumerate(self._calls[index].outputs):
                if made is tensor:
                    return _Result(index, place) if self._holds_it_since(index, tensor) else None
        return None

    def _holds_it_since(self, index: int, tensor: Tensor) -> bool:
        """Whether a tensor holds what call `index` returned."""
        return all(time <= index for time in self._versions.changes(tensor))

    def settle(self, keeper: Keeper) -> None:
        """To be called when all is recorded: what a call read is known only now, as it may be overwritten after it."""
        if keeper.made_bytes < LARGE_BYTES and not self._overwritten:
            return
        standins, self._overwritten = self._overwritten, {}
        self._read.clear()
        large = list(self._large())
        held = keeper.holders() if large else Holders(set(), set())
        may_go = (result for result in large if id(self._made(result)) in held.alone)
        results = {result for result in may_go if not self._reads(result, held.in_variables)}
        with _disable_current_modes() if standins or results else nullcontext():
            for result in sorted({*standins, *results}):
                self._compute_again(result, standins.get(result))

    def _compute_again(self, result: _Result, standin: StandIn | None) -> None:
        """Says how a result is made once more: one that was overwritten, or else one that is let go."""
        call, versions = self._calls[result.call], self._versions
        read = versions.op_call(result.call, call.overload, call.args, call.kwargs, ())
        tensors = [one.tensor for one in read.tensor_arguments()]
        depth = depth_of(tensors)
        if standin is None and depth <= MAX_DEPTH and all(map(is_kept, tensors)):
            standin = StandIn(self._made(result))
            versions.put(self._made(result), standin)
        if standin is not None:
            args, kwargs = read.arguments_with(_lasting)
            versions_read = versions_of([one for _, one in tensors_of(call.overload, args, kwargs)])
            standin.again = Repeated(args, kwargs, call.overload, result.place, depth, versions_read)

    def _reads(self, result: _Result, memory: Collection[int]) -> bool:
        """Whether the call of a result reads large tensors in any of this memory, which may be written to later on."""
        large = (read for read in _tensors_read(self._calls[result.call]) if element_bytes(read) >= AGAIN_BYTES)
        return any(memory_of(read) in memory for read in large)

    def _made(self, result: _Result) -> Tensor:
        made = self._calls[result.call].outputs[result.place]
        assert made is not None, "only tensors are made once more"
        return made

    def _large(self) -> Iterator[_Result]:
        """The results that are large, that calls can make once more, and that nothing was written to since."""
        for index in self.may_be_large:
            call = self._calls[index]
            made = call.outputs[0] if call.outputs else None
            if type(made) is not Tensor or element_bytes(made) < LARGE_BYTES or not _gives_the_same(call.overload):
                continue
            if storage_bytes(made) >= LARGE_BYTES and self._holds_it_since(index, made) and _can_be_repeated(call):
                yield _Result(index, 0)


class _Result(NamedTuple):
    """Result `place` of call number `call`."""

    call: int
    place: int


@once_per_overload
def _gives_the_same(overload: torch._ops.OpOverload) -> bool:
    """Whether the calls of an overload give the same from the same, at little cost."""
    is_pointwise = torch.Tag.pointwise in overload.tags and torch.Tag.nondeterministic_seeded not in overload.tags
    return is_pointwise or overload in WRITE_IN_TRAINING


def _can_be_repeated(call: RecordedCall) -> bool:
    """Whether a call can be made once more, from results of other calls, or from small tensors.

    Leaves and buffers, and what looks at their memory, are changed by optimizers and by the next pass.
    """
    return _gives_the_same(call.overload) and all(
        type(read) in (Tensor, torch.nn.Parameter)
        and read.layout is torch.strided
        and (element_bytes(read) < AGAIN_BYTES or is_result(read))
        for read in _tensors_read(call)
    )


def is_result(tensor: Tensor) -> bool:
    """Whether a recorded call made a tensor in memory of its own, and no view of a leaf or a constant."""
    return node_of(tensor) is not None and (tensor._base is None or node_of(tensor._base) is not None)


def _tensors_read(call: RecordedCall) -> list[Tensor]:
    return [tensor for _, tensor in tensors_of(call.overload, call.args, call.kwargs)]


def _lasting(position: int, tensor: Tensor) -> Tensor:
    """A parameter or a buffer may be stepped before it is read again."""
    return tensor.clone() if type(tensor) is Tensor and element_bytes(tensor) < AGAIN_BYTES else tensor


@dataclass(frozen=True, slots=True)
class Repeated:
    """One result of a call, by which it is made once more; the call leaves its arguments alone.

    `depth` says how many calls are made for it, one on the other's result; `versions`, what it reads and at which version.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    overload: torch._ops.OpOverload
    place: int
    depth: int
    versions: tuple[tuple[Tensor, int], ...]

    @property
    def why_lost(self) -> str:
        return _why_lost(self.versions, (one for _, one in tensors_of(self.overload, self.args, self.kwargs)))

    def __call__(self) -> Tensor:
        names = written_arguments(self.overload)
        written = {id(one) for name, one in tensors_of(self.overload, self.args, self.kwargs) if name in names}
        fresh = tuple(one.clone() if id(one) in written else one for one in self.args)
        with _as_in_the_pass():
            made = flat_outputs(self.overload(*fresh, **self.kwargs))[self.place]
        assert made is not None, "the call gave a tensor when it was recorded"
        return made


@dataclass(frozen=True, slots=True)
class Summed:
    """The sum of several contributions, added as the engine does it: in the order in which they arrived."""

    parts: tuple[Tensor, ...]
    depth: int
    versions: tuple[tuple[Tensor, int], ...]

    @property
    def why_lost(self) -> str:
        return _why_lost(self.versions, self.parts)

    def __call__(self) -> Tensor:
        first, *others = self.parts
        with _as_in_the_pass():
            total = first + others[0]
            for part in others[1:]:
                total += part
        return total


@contextmanager
def _as_in_the_pass() -> Iterator[None]:
    """No gradient, no modes, no autocast: around a reader it would compute powers of 16 bits in float32 on a GPU."""
    with torch.no_grad(), torch._C._DisableAutocast(), _disable_current_modes():
        yield


def _why_lost(versions: Iterable[tuple[Tensor, int]], read: Iterable[Tensor]) -> str:
    """Why what is computed from these tensors is lost; "" where it is not."""
    if any(tensor._version != version for tensor, version in versions):
        return WRITTEN_SINCE
    return next((one.reason for one in read if isinstance(one, StandIn) and one.reason), "")


def versions_of(read: Iterable[Any]) -> tuple[tuple[Tensor, int], ...]:
    return tuple([(one, one._version) for one in read if isinstance(one, Tensor) and not isinstance(one, StandIn)])


def depth_of(read: Iterable[Tensor]) -> int:
    """How many calls are made, one on the other's result, for what is computed from these tensors."""
    above = (one.again for one in read if isinstance(one, StandIn))
    return 1 + max((again.depth for again in above if isinstance(again, Repeated | Summed)), default=0)
