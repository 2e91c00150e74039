"""An in-place write to a view, `y[1:] += 1`: what autograd makes a CopySlices node for, as calls on whole tensors."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gradviz.opcall import OpCall

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
        place = (list(view.shape), list(self.view.stride()), self.view.storage_offset())
        return (
            OpCall(overload=aten.as_strided.default, args=(self.before, *place), outputs=(view,)),
            call,
            OpCall(
                overload=aten.as_strided_scatter.default,
                args=(self.before, call.outputs[0], *place),
                outputs=(self.after,),
            ),
        )
