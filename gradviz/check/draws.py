"""Random cotangents and tangents, quickly: a large model asks for some hundred million numbers, a byte each is enough."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def drawn_cotangent(shape: Sequence[int], dtype: torch.dtype, random: torch.Generator) -> Tensor:
    """Numbers of size 1/2 to 1 and either sign, exact in `dtype`, or in that of the parts of a complex one."""
    numbers = _bytes(shape, random).to(dtype.to_real())
    half = torch.copysign(torch.tensor(0.5, dtype=numbers.dtype), numbers)
    return numbers.div_(256).add_(half)


def drawn_tangent(shape: Sequence[int], random: torch.Generator) -> Tensor:
    """Numbers between -1 and 1, none of them zero, in float64."""
    return _bytes(shape, random).to(torch.float64).add_(0.5).div_(128)


def _bytes(shape: Sequence[int], random: torch.Generator) -> Tensor:
    """Random whole numbers from -128 to 127."""
    count = math.prod(shape)
    seed = int(torch.randint(2**62, (1,), generator=random))
    words = np.random.PCG64(seed).random_raw(count // 8 + 1)
    return torch.from_numpy(words.view(np.int8)[:count]).reshape(tuple(shape))
