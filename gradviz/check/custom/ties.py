"""What a hand-written backward() may take on a kink, each element by itself, and all that tie in one row together."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradviz.check.arrays import as_array
from gradviz.check.custom.asking import Group
from gradviz.check.custom.replay import Replay
from gradviz.symbolic import unit_roundoff

_SLACK = 2.0**-20
_TOWARD = 4
"""So many times at most: where several of those that tie get more than their share, one after the other."""


def allowed_beside(
    replay: Replay,
    cotangents: Mapping[int, Tensor],
    group: Group,
    got: NDArray[np.float64],
    true: NDArray[np.longdouble],
    doubtful: NDArray[np.bool_],
    beside: tuple[Tensor, Tensor],
) -> NDArray[np.bool_]:
    """Where backward()'s numbers lie on a kink, between those that torch has a little `beside` the inputs.

    Of many elements that tie, moved at random, hardly one is ever the largest by itself: those that backward() gives more
    than their share are moved there.
    """
    low, high = (as_array(side) for side in beside)
    allowed = _between(got, low, high) & doubtful
    for _ in range(_TOWARD):
        favoured = doubtful & ~allowed & (np.abs(got) > np.abs(true))
        if not favoured.any():
            break
        sides = replay.range_toward(cotangents, group.position, torch.from_numpy(np.where(favoured, 1.0, -1.0)))
        low, high = np.minimum(low, as_array(sides[0])), np.maximum(high, as_array(sides[1]))
        before, allowed = allowed, _between(got, low, high) & doubtful
        if np.array_equal(before, allowed):
            break
    if allowed.any():
        names = f" ({', '.join(group.comparison.kinks)})" if group.comparison.kinks else ""
        group.comparison.note(f"on a kink{names}: backward() takes what lies between the one-sided derivatives", "kink")
    return allowed


def _between(got: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where numbers lie between two that differ."""
    slack = _SLACK * np.maximum(np.abs(low), np.abs(high))
    return np.asarray((high - low > 64 * slack) & (got >= low - slack) & (got <= high + slack))


def wrong_together(
    dtype: torch.dtype, got: NDArray[np.float64], bound: NDArray[np.float64], jumping: Tensor, low: float, high: float
) -> NDArray[np.bool_] | None:
    """The elements of one row that lie on a kink, if they add up to what they do nowhere beside it; else None.

    A tied maximum may be shared out in any way, but not doubled.
    """
    jumps = jumping.numpy()
    slack = float(bound[~jumps].sum()) + (64 * unit_roundoff(dtype) + _SLACK) * float(np.abs(got).sum())
    return None if not jumps.any() or low - slack <= float(got.sum()) <= high + slack else jumps
