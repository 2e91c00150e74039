"""In-place writes as calls on whole tensors: what a write to one tensor makes of all others that look at its memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from gradviz.opcall import OpCall, tensors_of, written_tensors
from gradviz.recording.record import Recorder
from gradviz.recording.versions import share_memory
from gradviz.standin import StandIn, is_kept

aten = torch.ops.aten


class Write(NamedTuple):
    """An in-place write to a view, as `y[1:] += 1`, which autograd makes a CopySlices node for: the call, the view and its
    base, and what the base held before and after."""

    call_index: int
    view: Tensor
    base: Tensor
    before: Tensor
    after: Tensor

    def calls(self, call: OpCall) -> tuple[OpCall, ...]:
        """Take the view, run the call, put the result back; () where the base does not begin at its storage's beginning."""
        written = call.outputs[0]
        if self.base.storage_offset() or written is None:
            return ()
        view = next(call.tensor_arguments()).tensor
        place = (list(view.shape), list(self.view.stride()), int(self.view.storage_offset()))
        taken = OpCall(overload=aten.as_strided.default, args=(self.before, *place), outputs=(view,))
        return (taken, call, *_carried_over(self.view, written, self.base, self.before, self.after))


def with_writes_followed(recorder: Recorder, calls: Mapping[int, OpCall], returned: Iterable[Tensor]) -> Iterator[OpCall]:
    """Recorded calls, by index, and after each in-place one what it made of the other tensors that are still to be read.

    Snapshots of a tensor and of a view of it are different objects: without these calls, `y[0] *= 2` would lead nowhere.

    Args:
        recorder: what recorded them.
        calls: the calls of one function, in order.
        returned: the tensors that it returned.
    """
    if not recorder.versions.any_write:
        yield from calls.values()
        return
    last_read: dict[int, float] = {}
    for index in calls:
        last_read |= dict.fromkeys((id(tensor) for tensor in _read_by(recorder, index)), index)
    last_read |= dict.fromkeys(map(id, returned), float("inf"))
    seen: dict[int, Tensor] = {}
    at = recorder.versions.at
    for index, call in calls.items():
        yield call
        live = recorder.calls[index]
        seen |= {id(tensor): tensor for tensor in (*_read_by(recorder, index), *live.outputs) if tensor is not None}
        for written in written_tensors(live.overload, live.args, live.kwargs):
            for other in list(seen.values()):
                if other is not written and last_read.get(id(other), -1) > index and share_memory(written, other):
                    yield from _carried_over(written, at(written, index), other, at(other, index - 1), at(other, index))


def _read_by(recorder: Recorder, index: int) -> list[Tensor]:
    live = recorder.calls[index]
    return [tensor for _, tensor in tensors_of(live.overload, live.args, live.kwargs)]


def _carried_over(view: Tensor, written: Tensor, other: Tensor, before: Tensor, after: Tensor) -> tuple[OpCall, ...]:
    """What a write to `view`, which holds `written` since, makes of another tensor on the same memory."""
    if before is after or view.dtype != other.dtype:
        return ()
    addresses, order = _addresses(view).sort()
    wanted = _addresses(other)
    found = torch.searchsorted(addresses, wanted).clamp_(max=max(len(addresses) - 1, 0))
    hit = addresses[found] == wanted if len(addresses) else torch.zeros_like(wanted, dtype=torch.bool)
    into, taken = hit.nonzero().flatten().to(other.device), order[found[hit]].to(other.device)
    with torch.no_grad():
        flat, source = _flat(before), _flat(written)
        reason = next((one.reason for one in (flat, source) if isinstance(one, StandIn) and one.reason), "")
        if reason:
            empty = torch.empty(1, dtype=other.dtype, device=other.device)
            picked: Tensor = StandIn(empty.expand(len(taken)), reason=reason)
            scattered: Tensor = StandIn(flat, reason=reason)
        else:
            picked = source.index_select(0, taken)
            scattered = flat.scatter(0, into, picked)
    return (
        OpCall(overload=aten.reshape.default, args=(before, [-1]), outputs=(flat,)),
        OpCall(overload=aten.reshape.default, args=(written, [-1]), outputs=(source,)),
        OpCall(overload=aten.index_select.default, args=(source, 0, taken), outputs=(picked,)),
        OpCall(overload=aten.scatter.src, args=(flat, 0, into, picked), outputs=(scattered,)),
        OpCall(overload=aten.reshape.default, args=(scattered, list(other.shape)), outputs=(after,)),
    )


def _addresses(tensor: Tensor) -> Tensor:
    """Where in memory the elements lie, in row-major order."""
    found = torch.tensor(tensor.storage_offset())
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        found = found[..., None] + torch.arange(size) * stride
    return found.reshape(-1)


def _flat(tensor: Tensor) -> Tensor:
    """The elements in a row, or what stands for them."""
    if isinstance(tensor, StandIn) and not is_kept(tensor):
        one = torch.empty(1, dtype=tensor.dtype, device=tensor.device)
        return StandIn(one.expand(tensor.numel()), reason=tensor.reason, statistics=tensor.statistics)
    return tensor.reshape(-1)
