"""What a write that no gradient follows makes of other tensors on the same memory, as `mask[:, n:] = 0` of `mask`."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from gradviz.assemble.drafted import DraftNode
from gradviz.assemble.lookup import Lookup
from gradviz.opcall import op_name, tensors_of, written_tensors
from gradviz.recording.versions import share_memory


class Carried(NamedTuple):
    """A tensor after a write to its memory: the node to be, without its priority, and what it was made from, by name."""

    node: DraftNode
    read: list[tuple[str, Tensor]]


def carried(lookup: Lookup, index: int, tensor: Tensor) -> Carried | None:
    """What call `index` made of `tensor`, whose memory it wrote to; None where what the call returned says as much.

    Made from what the tensor was and from what the call read; a view of the tensor itself is no more than a part of it.
    """
    live, recorder = lookup.calls[index], lookup.recorder
    written = [one for one in written_tensors(live.overload, live.args, live.kwargs) if share_memory(one, tensor)]
    if not written or any(_shows_the_same(one, tensor) for one in written):
        return None
    inputs = tensors_of(live.overload, live.args, live.kwargs)
    others = [(name, one) for name, one in inputs if one is not written[0] or one._base is not tensor]
    node = DraftNode(
        kind="op",
        priority=(0, 0, 0),
        op=op_name(live.overload),
        values=(recorder.versions.at(tensor, index),),
        tensors=(tensor,),
        requires_grad=live.sequence >= 0,
        call_index=index,
        frames=live.frames,
    )
    return Carried(node, [("self", tensor), *others])


def _shows_the_same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors on the same memory look at the same elements in the same way."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return one is other or (one.storage_offset() == other.storage_offset() and one.stride() == other.stride())
