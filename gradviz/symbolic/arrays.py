"""A torch tensor -> a numpy array that holds the same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def exact_array(tensor: Tensor) -> NDArray[Any]:
    """The values as a numpy array that holds them exactly, in their own type (bfloat16 in float32)."""
    dense = tensor.detach() if tensor.layout is torch.strided else tensor.detach().to_dense()
    plain = dense.cpu().resolve_conj().resolve_neg()
    if plain.dtype is torch.complex32:
        plain = plain.to(torch.complex64)
    if plain.dtype.is_floating_point and plain.dtype not in (torch.float16, torch.float32, torch.float64):
        plain = plain.to(torch.float32)
    array: NDArray[Any] = plain.numpy(force=True)  # zeros of forward mode have no memory
    return array


def held_elements(tensor: Tensor) -> NDArray[np.bool_] | None:
    """Which elements a sparse tensor holds, zeros among them; None for one that holds all.

    >>> held_elements(torch.sparse_coo_tensor([[0, 2]], [5.0, 0.0], (3,), check_invariants=True))
    array([ True, False,  True])
    """
    if tensor.layout in (torch.strided, torch._mkldnn):  # type: ignore[attr-defined]
        return None
    ones = tensor.detach().clone()
    (ones._values() if ones.layout is torch.sparse_coo else ones.values()).fill_(1)
    return np.asarray(ones.to_dense().cpu() != 0)
