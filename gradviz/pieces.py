"""A tensor -> its numbers, a piece at a time, so that what is computed from them takes little memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

Piece = Any
"""A flat array of numpy, whose calls take half the time of torch's; of what is not in main memory, a flat tensor."""
_WIDE = (torch.float32, torch.float64)
_ON_CPU, _ELSEWHERE = 2**16, 2**24  # elements read at a time: what a core's cache holds, what fills a device


class Pieces:
    """Real numbers, float32 at least, in the order in which memory has them; of an expanded tensor, what it repeats once.

    Can be gone through several times. Nothing may be written to a piece: it may be the tensor's own memory.

    Attributes:
        count: how many numbers there are.
    """

    def __init__(self, tensor: Tensor) -> None:
        self._numbers = _each_once(tensor)
        self.count = self._numbers.numel()
        self._most = _ON_CPU if tensor.device.type == "cpu" else _ELSEWHERE
        self._only = [_flat(self._numbers)] if 0 < self.count <= self._most else []

    def __iter__(self) -> Iterator[Piece]:
        return iter(self._only) if self._only else self._split(self._numbers)

    def _split(self, numbers: Tensor) -> Iterator[Piece]:
        count = numbers.numel()
        if numbers.is_contiguous():
            whole = _flat(numbers) if numbers.dtype in _WIDE else numbers.reshape(-1)
            for start in range(0, count, self._most):
                some = whole[start : start + self._most]
                yield some if numbers.dtype in _WIDE else _flat(some)
        elif count <= self._most:
            yield _flat(numbers)
        else:
            in_row = count // len(numbers)
            step = max(1, self._most // in_row)
            for start in range(0, len(numbers), step):
                yield from self._split(numbers[start] if in_row > self._most else numbers[start : start + step])


def library_of(piece: Piece) -> Any:
    """numpy or torch: what is called here is called the same in both."""
    return np if isinstance(piece, np.ndarray) else torch


def tensor_of(piece: Piece) -> Tensor:
    """A piece as a tensor: torch sums in half of numpy's time, and counts in less."""
    return torch.from_numpy(piece) if isinstance(piece, np.ndarray) else piece


def _each_once(tensor: Tensor) -> Tensor:
    """The elements in the order in which memory has them; of an expanded tensor, those that it repeats once."""
    if tensor.is_contiguous():
        return tensor
    for axis in reversed(range(tensor.ndim)):
        if tensor.stride(axis) == 0 and tensor.shape[axis]:
            tensor = tensor.select(axis, 0)
    return tensor.permute(sorted(range(tensor.ndim), key=tensor.stride, reverse=True))


def _flat(tensor: Tensor) -> Piece:
    """In one dimension, and in a dtype to compute with: moduli of complex numbers, float32 at least."""
    flat = tensor.reshape(-1)
    if tensor.is_complex():
        flat = flat.abs()
    elif tensor.dtype not in _WIDE:
        flat = flat.float() if tensor.is_floating_point() else flat.double()
    is_array = type(flat) is Tensor and flat.device.type == "cpu" and not flat.is_neg() and not flat._is_zerotensor()
    return flat.numpy() if is_array else flat
