"""An in-place write to a view, `y[1:] += 1`: what autograd makes a CopySlices node for, as calls on whole tensors."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gradviz.opcall import OpCall
from gradviz.standin import StandIn

aten = torch.ops.aten


class Write(NamedTuple):
    """An in-place write to a view: the call, the view and its base, and what the base held before and after."""

    call_index: int
    view: Tensor
    base: Tensor
    before: Tensor
    after: Tensor

    def calls(self, call: OpCall) -> tuple[OpCall, ...]:
        """Take the view, run the call, put the result back; () where the base does not begin at its storage's beginning."""
        if self.base.storage_offset():
            return ()
        view = next(call.tensor_arguments()).tensor
        place = (list(view.shape), list(self.view.stride()), int(self.view.storage_offset()))
        taken = OpCall(overload=aten.as_strided.default, args=(self.before, *place), outputs=(view,))
        return (taken, call, *self._put_back(call.outputs[0], place))

    def _put_back(self, written: Tensor | None, place: tuple[list[int], list[int], int]) -> tuple[OpCall, ...]:
        """The elements of the view scattered into those of the base, both in row-major order."""
        if written is None:
            return ()
        count = self.base.numel()
        layout = torch.empty_strided(self.base.shape, self.base.stride(), dtype=torch.int64, device=self.base.device)
        positions = layout.copy_(torch.arange(count, device=layout.device).view(layout.shape)).as_strided(*place).reshape(-1)
        with torch.no_grad():
            flat, source = _flat(self.before), _flat(written)
            reason = next((one.reason for one in (flat, source) if isinstance(one, StandIn) and one.reason), "")
            scattered = StandIn(flat, reason=reason) if reason else flat.scatter(0, positions, source)
        return (
            OpCall(overload=aten.reshape.default, args=(self.before, [-1]), outputs=(flat,)),
            OpCall(overload=aten.reshape.default, args=(written, [-1]), outputs=(source,)),
            OpCall(overload=aten.scatter.src, args=(flat, 0, positions, source), outputs=(scattered,)),
            OpCall(overload=aten.reshape.default, args=(scattered, list(self.base.shape)), outputs=(self.after,)),
        )


def _flat(tensor: Tensor) -> Tensor:
    """The elements in a row, or what stands for them."""
    if isinstance(tensor, StandIn) and tensor.elements is None:
        one = torch.empty(1, dtype=tensor.dtype, device=tensor.device)
        return StandIn(one.expand(tensor.numel()), reason=tensor.reason, statistics=tensor.statistics)
    return tensor.reshape(-1)
