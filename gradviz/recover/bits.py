"""Two tensors -> whether they are the same bit for bit: NaN equals the same NaN, and 0.0 is not -0.0."""

from __future__ import annotations

import torch
from torch import Tensor

_INTEGER_OF_SIZE = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Whether both have the same shape, dtype, device and bits; strides do not matter.

    >>> nan = torch.tensor([float("nan"), 0.0])
    >>> same_bits(nan, nan.clone()), same_bits(torch.tensor(0.0), torch.tensor(-0.0))
    (True, False)
    """
    if one.shape != other.shape or one.dtype != other.dtype or one.device != other.device:
        return False
    if one is other or (one.data_ptr() == other.data_ptr() and one.stride() == other.stride() and one.data_ptr() != 0):
        return True
    return torch.equal(_as_integers(one), _as_integers(other))


def _as_integers(tensor: Tensor) -> Tensor:
    plain = tensor.detach().resolve_conj().resolve_neg()
    if plain.is_complex():
        plain = torch.view_as_real(plain)
    return plain if plain.dtype is torch.bool else plain.contiguous().view(_INTEGER_OF_SIZE[plain.element_size()])
