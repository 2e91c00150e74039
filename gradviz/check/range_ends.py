"""What kernels do at the ends of a dtype's range, which no bound on rounding says: whether that could explain a number."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from gradviz.standin import StandIn
from gradviz.symbolic import unit_roundoff

_NEAR = 2.0**-10


def is_near_largest(value: float, dtype: torch.dtype) -> bool:
    """Whether steps on the way to this number may have left the range: kernels take factors in an order of their own.

    >>> is_near_largest(2e38, torch.float32), is_near_largest(2e30, torch.float32)
    (True, False)
    """
    return _NEAR * torch.finfo(dtype).max <= abs(value) < math.inf


def negative_zero_in(tensors: Iterable[Tensor]) -> bool:
    """Whether a tensor holds −0, which says on which side of 0 a number was: 1 divided by it is −infinity.

    >>> negative_zero_in([torch.tensor([1.0, -0.0])]), negative_zero_in([torch.tensor([-1.0, 0.0])])
    (True, False)
    """
    return any(bool(((one == 0) & one.signbit()).any()) for one in tensors if _is_plain(one))


def is_flushed(error: float, read: Sequence[Tensor], dtype: torch.dtype) -> bool:
    """Whether an error may be that of subnormal numbers taken for 0, as matrix products and attention in bfloat16 do.

    A result of such sums may be off by what they add up to. Beyond that anything may follow where an argument holds them,
    and they are not small beside 1 once they are multiplied: as scores of attention they are exponentiated.

    >>> tiny, large = torch.tensor([1e-39], dtype=torch.bfloat16), torch.tensor([1e30], dtype=torch.bfloat16)
    >>> is_flushed(1e-39, [tiny], torch.bfloat16), is_flushed(0.1, [tiny, large], torch.bfloat16)
    (True, False)
    """
    if dtype is not torch.bfloat16:
        return False
    arguments = [one.detach() for one in read if _is_plain(one) and one.numel()]
    tiny = torch.finfo(dtype).tiny
    sizes = (float(one.abs().nan_to_num(posinf=0.0).max()) for one in arguments)
    summed = tiny * max((one.numel() for one in arguments), default=1) * max((1.0, *sizes))
    if error <= summed:
        return True
    return summed >= unit_roundoff(dtype) and any(bool(((one != 0) & (one.abs() < tiny)).any()) for one in arguments)


def _is_plain(tensor: Tensor) -> bool:
    is_stored = tensor.layout is torch.strided and tensor.device.type != "meta" and not isinstance(tensor, StandIn)
    return is_stored and tensor.dtype.is_floating_point
