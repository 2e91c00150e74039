"""`Decay`: what an update left of gradients -> whether they were scaled down since, as a momentum by hand does.

`p.grad *= 0.9` in place of `zero_grad()` keeps a running sum of gradients in `p.grad` on purpose. A round factor, the same
for every element, tells it from a gradient that nobody cleared, and from one that was clipped; one of more than a half from
one that was divided by a number of passes or processes.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from gradviz.runs.plain import reading
from gradviz.runs.weights import FEW, sample

DIGITS = 3
"""A factor of a momentum has no more: 0.9, 0.99, 0.999."""
LEAST = 0.5
"""And is larger than this."""


class Decay:
    """Some elements of the gradients as an update left them."""

    def __init__(self) -> None:
        self._left: dict[int, Tensor] = {}

    def take(self, parameters: Iterable[Tensor]) -> None:
        """Keeps a few elements of each gradient."""
        for parameter in parameters:
            taken = _sample_of_gradient(parameter)
            if taken is not None:
                self._left[id(parameter)] = taken

    def scaled(self, parameters: Iterable[Tensor]) -> set[int]:
        """The ids of the parameters whose gradients were scaled down since; what was kept is let go."""
        left, self._left = self._left, {}
        pairs = ((id(one), left[id(one)], _sample_of_gradient(one)) for one in parameters if id(one) in left)
        return {key for key, before, now in pairs if now is not None and is_scaled(before, now)}


def is_scaled(before: Tensor, now: Tensor) -> bool:
    """Whether all elements are what they were, times one factor of few digits between `LEAST` and 1.

    >>> is_scaled(torch.tensor([1.0, -2.0]), torch.tensor([0.9, -1.8]))
    True
    >>> is_scaled(torch.tensor([1.0, -2.0]), torch.tensor([1.0, -2.0]))
    False
    """
    if before.shape != now.shape or before.dtype != now.dtype or not before.is_floating_point():
        return False
    with reading():
        asked = before.isfinite() & (before.abs() > torch.finfo(before.dtype).tiny / torch.finfo(before.dtype).eps)
        factors = now[asked].double() / before[asked].double()
        if not factors.numel() or bool((now[~asked & (before == 0)] != 0).any()):
            return False
        factor = round(float(factors.median()), DIGITS)
        rounding = 4 * torch.finfo(before.dtype).eps
        return LEAST < factor < 1 and float((factors - factor).abs().max()) <= rounding


def _sample_of_gradient(parameter: Tensor) -> Tensor | None:
    gradient = parameter.grad
    return sample(gradient, FEW) if gradient is not None and gradient.layout is torch.strided else None
