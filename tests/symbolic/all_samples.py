"""The inputs for every registered rule, of all families."""

from __future__ import annotations

import joining_samples
import matrix_samples
import movement_samples
from symbolic_samples import SAMPLES

__all__ = ["SAMPLES"]
_FAMILIES = (joining_samples, matrix_samples, movement_samples)  # imported for what they add
