"""`Tally`: the backward passes since the last update -> which of them were in vain, as their gradients were cleared again.

A pass is in vain where it came from the same line by the same functions as the pass that is used, where no parameter was
moved between them, as some methods do on purpose, and where the optimizer gets what the last pass left, at most scaled.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping

from torch import Tensor

SAME = 1e-2
"""By how much a scaled gradient may differ from parameter to parameter: it may be a half of bfloat16."""
Kind = tuple[str, tuple[str, ...]]
"""The line of `backward()`, and the functions behind the model."""


class Tally:
    """Counts from update to update.

    Attributes:
        thrown, kept: passes of the last one's kind whose gradients were cleared, and that were not.
        is_used: whether the optimizer got what the last one left.
    """

    def __init__(self) -> None:
        self.thrown = self.kept = 0
        self.is_used = False
        self._kind: Kind | None = None
        self._norms: dict[int, float] = {}
        self._versions = 0

    def begin(self, kind: Kind, parameters: Iterable[Tensor]) -> None:
        """Counts a backward pass before it adds to the gradients."""
        parameters = list(parameters)
        if kind != self._kind:
            self.thrown = self.kept = 0
        elif self._norms and all(one.grad is None or not bool(one.grad.detach().any()) for one in parameters):
            moved = sum(one._version for one in parameters) != self._versions
            finite = all(map(math.isfinite, self._norms.values()))
            self.thrown, self.kept = self.thrown + self.kept * (finite and not moved), 0
        self._kind, self.kept = kind, self.kept + 1

    def end(self, norms: dict[int, float], parameters: Iterable[Tensor]) -> None:
        """Keeps the norms that a pass left, by the id of the parameter."""
        self._norms = {key: norm for key, norm in norms.items() if norm}
        self._versions = sum(one._version for one in parameters)

    def compare(self, norms: Mapping[int, float | None]) -> None:
        """Looks whether an optimizer gets what the last pass left."""
        factors = [(norms[key] or 0.0) / norm for key, norm in self._norms.items() if key in norms]
        low, high = min(factors, default=0.0), max(factors, default=0.0)
        self.is_used = 0 < high < math.inf and high - low <= SAME * high

    def made(self, held: Container[int]) -> float | None:
        """The norm of what the last pass left in some parameters."""
        norms = [norm for key, norm in self._norms.items() if key in held]
        return math.hypot(*norms) if norms else None
