"""Units of a layer: which dimension of an activation counts them, and how many of their elements are flat."""

from __future__ import annotations

from torch import Tensor

from gradviz.diagnose.readings import COPIES, Readings
from gradviz.opcall import KEEPING_CHANNELS, WITH_CHANNELS


def unit_dim(readings: Readings, node: int) -> int:
    """The dimension of an activation's value that counts its units: 1 behind a convolution, else the last."""
    behind = readings.behind(readings.arguments[node][0].edge[0], COPIES | KEEPING_CHANNELS)
    value = next(readings.values(node), None)
    return 1 if value is not None and value.ndim > 2 and readings.op(behind) in WITH_CHANNELS else -1


def flat_units(flat: Tensor, dim: int) -> tuple[int, int]:
    """(units all of whose elements are flat, units)

    >>> import torch
    >>> flat_units(torch.tensor([[True, False], [True, True]]), -1)
    (1, 2)
    """
    if not flat.ndim:
        return int(flat), 1
    by_unit = flat.movedim(dim, 0).reshape(flat.shape[dim], -1).all(1)
    return int(by_unit.sum()), by_unit.numel()
