"""Which tensors a graph keeps in full: puts stand-ins in the place of the others while the code still runs.

What counts is what the graph alone holds on to. A value that autograd saved for the backward pass, a leaf, or a tensor in a
variable of the user's is there anyway: it costs nothing twice, is not counted, and stays as it is. Of the rest, in the order
in which it was made, forward values first, as much is kept as the budget holds. Tensors of up to 1 KiB are always kept:
their statistics take as much.

That nobody else holds a recorded tensor is read off reference counts: those of the Python object and of the C++ tensor are
ours, and all tensors that look at the storage are such. Only then is the tensor given another, tiny storage: it stays the
same object with the same autograd node, so that whoever knows tensors by identity need not know of this.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from gradviz.errors import InputError
from gradviz.recording.nodes import is_leaf
from gradviz.recording.versions import Versions, memory_of
from gradviz.standin import StandIn
from gradviz.statistics import BINS, Statistics, statistics_of

Values = str | int
"""What `trace` takes for what is kept: "full", "statistics", a size such as "512MiB", or a number of bytes."""
Elements = tuple[object, ...]
BUDGET_BYTES = 4 * 2**30
"""How much a graph keeps in full unless told otherwise: a fixed number, so that the same code gives the same graph."""
SMALL_BYTES = 1024
_STEP_BYTES = 64 * 2**20  # looked again, once as much more was made
_UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_READ = {unit.lower(): size for unit, size in _UNITS.items()} | {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9}


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """What is kept of values, cotangents and contributions.

    Attributes:
        budget_bytes: how many bytes are kept in full; infinite for all.
        offload: whether what is kept is moved from an accelerator to main memory.
    """

    budget_bytes: float = BUDGET_BYTES
    offload: bool = False

    @property
    def reason(self) -> str:
        """Why elements are not there, as a sentence."""
        budget = f"over the budget of {size_text(int(self.budget_bytes))}"
        why = budget if self.budget_bytes else 'as values="statistics" says'
        return f'only statistics of the elements were kept, {why}; values="full" keeps all'

    @property
    def is_total(self) -> bool:
        """Whether all is kept where it is."""
        return self.budget_bytes == float("inf") and not self.offload


EVERYTHING = Keeping(budget_bytes=float("inf"))


def keeping_of(values: object, offload: bool) -> Keeping:
    """What the options of `trace` say; `values` may be anything that is handed in.

    Raises:
        InputError: an option is not accepted.

    >>> keeping_of(2**20, False).reason
    'only statistics of the elements were kept, over the budget of 1 MiB; values="full" keeps all'
    >>> keeping_of("1MiB", False) == keeping_of(2**20, False)
    True
    """
    budget_bytes: float | None = None
    if isinstance(values, str):
        budget_bytes = {"full": float("inf"), "statistics": 0}.get(values, size_of(values))
    elif isinstance(values, int) and not isinstance(values, bool) and values >= 0:
        budget_bytes = values
    if budget_bytes is not None:
        return Keeping(budget_bytes=budget_bytes, offload=offload)
    given = f"a {type(values).__name__}" if isinstance(values, Tensor) else repr(values)
    raise InputError(
        f'values={given}: what is kept of values; accepted: "full", "statistics", or a size up to which they are kept in '
        'full, such as "500MB", "512MiB", "4GiB" or a number of bytes; an input of your own of that name goes in at={...}'
    )


def size_text(size_bytes: int) -> str:
    """A number of bytes in the largest unit that it fills.

    >>> size_text(4 * 2**30), size_text(1536 * 2**20), size_text(100)
    ('4 GiB', '1.5 GiB', '100 bytes')
    """
    unit = next((name for name in reversed(_UNITS) if size_bytes >= _UNITS[name]), "")
    return f"{size_bytes / _UNITS[unit]:.4g} {unit}" if unit else f"{size_bytes} bytes"


def size_of(text: str) -> int | None:
    """The number of bytes that a text says; None where it says none.

    >>> size_of("4GiB"), size_of("1.5 MB"), size_of("100"), size_of("many")
    (4294967296, 1500000, 100, None)
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip().lower())
    return int(float(found[1]) * _READ[found[2]]) if found is not None and found[2] in _READ else None


class Holders(NamedTuple):
    """Who holds what was recorded.

    Attributes:
        alone: the ids of the tensors whose memory nobody but the recording holds, and no other tensor of it.
        in_variables: the memory (`memory_of`) of what variables hold: parameters, buffers, and what code keeps.
    """

    alone: set[int]
    in_variables: set[int]


class Keeper:
    """Keeps to the budget while forward values are recorded.

    Args:
        keeping: what is kept.
        versions: what the recorded tensors held when; it learns of the stand-ins.
        references: gives each recorded tensor as often as the recording refers to it, the first made first.

    Attributes:
        keeping: what is kept.
        made_bytes: how much was made until now, everything counted; to be added to by whoever records.
        look_at_bytes: when that is more, there may be something to set aside.
        is_over: whether the budget is spent.
    """

    def __init__(self, keeping: Keeping, versions: Versions, references: Callable[[], Iterable[Tensor]]) -> None:
        self.keeping = keeping
        self.made_bytes = 0
        self.is_over = not keeping.budget_bytes
        self.look_at_bytes = keeping.budget_bytes if keeping.budget_bytes else _STEP_BYTES
        if keeping.offload:
            self.look_at_bytes = min(self.look_at_bytes, _STEP_BYTES)
        self._versions = versions
        self._references = references
        self._elsewhere_bytes = 0
        self._kept_bytes = 0

    @property
    def may_compute_again(self) -> bool:
        """Whether what can be computed again need not be kept: not where it is asked for, nor where what it reads is not."""
        return not self.is_over and not self.keeping.offload and not self.keeping.is_total

    def has_room_for_copy(self, size_bytes: int) -> bool:
        """Whether a copy may be made, of what an in-place op is about to overwrite; if so it counts as made."""
        if size_bytes > SMALL_BYTES:
            if self.made_bytes + size_bytes > self.look_at_bytes:
                self.look()
            if self.is_over or self._kept_bytes + size_bytes > self.keeping.budget_bytes:
                return False
            self._elsewhere_bytes += size_bytes
            self._kept_bytes += size_bytes
            self.made_bytes += size_bytes
        return True

    def holders(self) -> Holders:
        """Who else than the recording holds what was recorded."""
        entries = self._counted()
        # Before the groups, which refer to their tensors once more.
        in_variables = {memory_of(entry[0]) for entry in entries if _is_in_variable(entry)}
        groups = _exclusive_groups(entries, self._versions) if self.may_compute_again else []
        return Holders(alone={id(group[0]) for group in groups if len(group) == 1}, in_variables=in_variables)

    def _counted(self) -> list[list[Any]]:
        """Each recorded tensor with the number of references that the recording has to it."""
        held: dict[int, list[Any]] = {}
        for tensor in chain(self._references(), self._versions.references()):
            held.setdefault(id(tensor), [tensor, 0])[1] += 1
        return list(held.values())

    def settle(self) -> None:
        """To be called when all is made."""
        if self.keeping.offload or self.made_bytes > self.keeping.budget_bytes:
            self.look()

    def look(self) -> float:
        """Sets aside what is over the budget, and says how many bytes of it are left."""
        budget = self.keeping.budget_bytes
        kept = self._elsewhere_bytes
        for group in _exclusive_groups(self._counted(), self._versions):
            size = group[0].untyped_storage().nbytes()
            fits = kept + size <= budget
            self.is_over |= not fits
            kept += size if fits else 0
            moves = fits and self.keeping.offload and is_elsewhere(group[0])
            if moves or not fits:
                self._elsewhere_bytes += size if moves else 0
                for tensor, standin in zip(group, moved(group) if moves else stand_ins(group, self.keeping), strict=True):
                    self._versions.put(tensor, standin)
        self._kept_bytes = kept
        room = 0 if self.is_over or self.keeping.offload else budget - kept
        self.look_at_bytes = self.made_bytes + max(room, _STEP_BYTES, self.made_bytes / 8)
        return budget - kept


def stand_ins(tensors: Sequence[Tensor], keeping: Keeping) -> list[StandIn]:
    """What says the statistics of tensors, which are those of views of the same elements too."""
    known: dict[Elements, Statistics | None] = {}
    with torch.no_grad(), _disable_current_modes():
        for tensor in tensors:
            if elements_of(tensor) not in known:
                known[elements_of(tensor)] = statistics_of(tensor, bins=BINS)
    return [StandIn(tensor, reason=keeping.reason, statistics=known[elements_of(tensor)]) for tensor in tensors]


def moved(tensors: Sequence[Tensor]) -> list[StandIn]:
    """What holds the elements of tensors, which all look at the same storage, in main memory."""
    with torch.no_grad(), _disable_current_modes():
        storage = tensors[0].untyped_storage().cpu()
        return [StandIn(tensor, held=_looking_at(storage, tensor)) for tensor in tensors]


def is_elsewhere(tensor: Tensor) -> bool:
    """Whether a tensor is not in main memory."""
    return tensor.device.type != "cpu"


def elements_of(tensor: Tensor) -> Elements:
    """Equal for views of the same elements, as far as that is seen at once, and as long as their storage is there."""
    place = (tensor.untyped_storage()._cdata, tensor.storage_offset())
    if tensor.is_contiguous():
        return (place, tensor.dtype, (1, tensor.numel()))
    axes: list[tuple[int, int]] = []
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size == 1:
            continue
        if axes and stride == axes[-1][0] * axes[-1][1]:  # goes on where the one before ends
            axes[-1] = (axes[-1][0], axes[-1][1] * size)
        else:
            axes.append((stride, size))
    return (place, tensor.dtype, *axes)


def is_plain(tensor: Tensor) -> bool:
    """Whether a tensor is one that a stand-in can stand for."""
    return (
        type(tensor) is Tensor
        and tensor.layout is torch.strided
        and not tensor.is_quantized
        and not tensor.is_nested
        and tensor.device.type != "meta"
        and tensor.dtype is not torch.complex32  # hardly anything can be computed from it
        and not tensor.is_conj()
        and not tensor.is_neg()
    )


def is_small(tensor: Tensor) -> bool:
    """Whether the storage that a plain tensor looks at is always kept: statistics would take as much."""
    return tensor.untyped_storage().nbytes() <= SMALL_BYTES


def _looking_at(storage: torch.UntypedStorage, tensor: Tensor) -> Tensor:
    empty = torch.empty(0, dtype=tensor.dtype)
    return empty.set_(storage, tensor.storage_offset(), tensor.size(), tensor.stride())


def _exclusive_groups(entries: Iterable[list[Any]], versions: Versions) -> list[list[Tensor]]:
    """The tensors of each storage of some size that only the recording holds, in the order in which it was first seen."""
    groups: dict[int, list[list[Any]]] = {}
    for entry in entries:
        if is_plain(entry[0]) and not is_small(entry[0]):
            groups.setdefault(entry[0].untyped_storage()._cdata, []).append(entry)
    return [[entry[0] for entry in group] for group in groups.values() if _is_exclusive(group, versions)]


def _is_exclusive(group: list[list[Any]], versions: Versions) -> bool:
    """Whether nobody else holds any of these tensors, or their storage, and no op wrote to what several look at."""
    storage = group[0][0].untyped_storage()
    if torch._C._storage_Use_Count(storage._cdata) != len(group) + 1:
        return False
    if len(group) > 1 and versions.was_written(group[0][0]):
        return False
    bases = Counter(id(tensor._base) for tensor, _ in group)
    return all(_is_ours(entry, bases[id(entry[0])]) for entry in group)


def _is_ours(entry: list[Any], views: int) -> bool:
    """Whether a tensor has no references but `entry[1]` of the recording's, and those of the views made of it."""
    if is_leaf(entry[0]):
        return False
    return bool(entry[0]._use_count() == 1 + views) and not _is_in_variable(entry)


def _is_in_variable(entry: list[Any]) -> bool:
    """Whether Python refers to a tensor more often than the recording does, which refers to it `entry[1]` times."""
    # By the list, and as an argument of getrefcount; torch holds the Python object once, as long as C++ holds the tensor.
    return bool(sys.getrefcount(entry[0]) != entry[1] + 2 + (entry[0]._use_count() > 1))
