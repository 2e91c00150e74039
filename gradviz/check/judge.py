"""Torch's numbers beside true ones: the error in ULP, and a verdict against the bound on rounding.

A `Comparison` gathers what was compared for one edge, value or gradient, possibly in several steps (sampled rows, then a
probe of the whole map), and keeps the element that tells most: the first mismatch's worst, else the largest error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradviz.check.report import Method, Verdict

Index = tuple[int, ...]
_LOOKED_AT = 32
LOST_ULP = 2.0**10
"""From so many units in the last place on, an error that rounding explains is told: three decimal digits are gone."""
CANCELLED = 64
"""Up to so many units of u, of the size of the output, a right formula may be off where it cancels."""


def ulp(value: float, dtype: torch.dtype) -> float:
    """The spacing of the numbers of `dtype` at `value`.

    >>> ulp(1.0, torch.float64) == 2.0**-52, ulp(-3.0, torch.float32) == 2.0**-22
    (True, True)
    """
    kind = torch.finfo(dtype)
    if value == 0 or not math.isfinite(value):
        return kind.tiny * kind.eps
    return max(math.ldexp(kind.eps, math.frexp(value)[1] - 1), kind.tiny * kind.eps)


def as_array(tensor: Tensor) -> NDArray[np.float64]:
    """The tensor's numbers as float64, exactly; float64 holds those of every narrower type.

    A complex tensor gets a last dimension of two: real and imaginary parts.
    """
    dense = tensor.detach()
    if dense.layout is not torch.strided:
        dense = dense.to_dense()
    if dense.is_complex():
        dense = torch.view_as_real(dense.resolve_conj())
    array: NDArray[np.float64] = dense.to(device="cpu", dtype=torch.float64).numpy(force=True)
    return array


class Comparison:
    """What was compared so far, and the verdict that follows.

    Attributes:
        checked: how many elements were compared one by one.
        kinks: names of the kinks that were met.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.checked = 0
        self.total = 0
        self.method: Method = ""
        self.kinks: dict[str, None] = {}
        self.error_ulp = 0.0
        self.index: Index | None = None
        self.autograd: float | None = None
        self.reference: float | None = None
        self._wrong = -1.0
        self._wrong_text = ""
        self._doubt = ""
        self._notes: dict[str, None] = {}
        self._steps: dict[str, None] = {}

    @property
    def verdict(self) -> Verdict:
        if self._wrong_text:
            return "mismatch"
        return "unverified" if self._doubt or not self.method else "match"

    @property
    def is_wrong(self) -> bool:
        return bool(self._wrong_text)

    @property
    def reason(self) -> str:
        """What is wrong, else why unverified, else what to know about a match."""
        return self._wrong_text or self._doubt or "; ".join([*self._cancelled(), *self._notes])

    def _cancelled(self) -> list[str]:
        """What to say of a number that is as right as its dtype allows, and yet far from the true one."""
        got, true = self.autograd, self.reference
        if self.error_ulp < LOST_ULP or got is None or true is None or not math.isfinite(self.error_ulp):
            return []
        digits = math.log10(1 / torch.finfo(self.dtype).eps)
        kept = max(0.0, -math.log10(abs(got - true) / max(abs(got), abs(true))))
        return [
            f"cancellation in {_name(self.dtype)}: {kept:.0f} of {digits:.0f} digits are left; torch gives {got:.4g}, "
            f"the true value is {true:.4g}"
        ]

    def doubt(self, reason: str) -> None:
        """Leaves this unverified, unless something is found to be wrong."""
        self._doubt = self._doubt or reason

    def note(self, text: str) -> None:
        """Something to know about a match."""
        self._notes[text] = None

    def step(self, text: str) -> None:
        """What was done, where not every element was compared with a symbolic derivative."""
        self._steps[text] = None

    @property
    def how(self) -> str:
        return "; ".join(self._steps)

    def on_kink(
        self, index: Index | None, got: float, kinks: Sequence[str], sides: tuple[float, float] | None = None
    ) -> None:
        """A number of torch's where the derivative does not exist; `sides`: the one-sided ones, between which it lies."""
        names = ", ".join(kinks)
        between = "" if sides is None else f", between the one-sided derivatives {sides[0]:.4g} and {sides[1]:.4g}"
        self.note(f"on a kink ({names}), where torch takes {got:.4g}{between}")
        if self.autograd is None:
            self.index, self.autograd = index, got

    def wrong(self, text: str) -> None:
        """A mismatch that is not about one number."""
        self._wrong_text = self._wrong_text or text

    def element(
        self, index: Index | None, got: float, true: Any, bound: float, *, loose: float = 0.0, what: str = ""
    ) -> None:
        """Compares one number.

        Args:
            index: where it is.
            got: torch's number.
            true: the true one.
            bound: how far apart they may be by rounding.
            loose: up to this far they may be by cancellation: then nothing is claimed.
            what: who gives the number, for a mismatch.
        """
        value = float(true)
        if got == value and math.isinf(got):
            self.note(f"infinite on both sides: {got}")
            self._keep(index, got, value, 0.0)
            return
        if math.isnan(value) or math.isnan(got) or math.isinf(value) or math.isinf(got):
            self._undefined(index, got, value, bound)
            return
        error = abs(float(true - got))
        error_ulp = error / ulp(max(abs(value), abs(got)), self.dtype) if error else 0.0
        if error <= bound:
            self._keep(index, got, value, error_ulp)
        elif not math.isfinite(bound):
            self.doubt(f"rounding in {_name(self.dtype)} leaves nothing to compare at these inputs")
        elif error <= loose:
            self.doubt(f"cancellation in {_name(self.dtype)} leaves too few digits to compare")
        else:
            self._fail(index, got, value, error_ulp, error / bound if bound else math.inf, what)

    def elements(
        self,
        got: NDArray[np.float64],
        true: NDArray[np.longdouble],
        bound: NDArray[np.float64],
        *,
        loose: NDArray[np.float64] | float = 0.0,
        what: str = "",
        place: Callable[[Index], Index] | None = None,
    ) -> None:
        """Compares arrays of one shape, as `element` does; `place` maps their indices to those that are reported."""
        with np.errstate(all="ignore"):
            error = np.abs(true - got).astype(np.float64)
        good = error <= bound
        if good.any():
            size = np.where(good, np.maximum(np.abs(true).astype(np.float64), np.abs(got)), 1.0)
            kind = torch.finfo(self.dtype)
            spacing = np.maximum(np.ldexp(kind.eps, np.frexp(size)[1] - 1), kind.tiny * kind.eps)
            errors = np.where(good, error / spacing, -1.0)
            worst = np.unravel_index(int(errors.argmax()), errors.shape)
            self._keep(_placed(worst, place), float(got[worst]), float(true[worst]), float(errors[worst]))
        if not good.all():
            for where in _worst_first(error, bound, good):
                cancelled = float(np.broadcast_to(loose, good.shape)[where])
                numbers = (float(got[where]), true[where], float(bound[where]))
                self.element(_placed(where, place), *numbers, loose=cancelled, what=what)

    def _undefined(self, index: Index | None, got: float, true: float, bound: float) -> None:
        beyond = abs(true) > torch.finfo(self.dtype).max or not math.isfinite(bound)
        if math.isnan(true) and math.isnan(got):
            self.note("undefined at these inputs: NaN on both sides")
            self._keep(index, got, true, 0.0)
        elif math.isnan(true):
            self.doubt(f"undefined at these inputs (NaN); torch gives {got:g}")
        elif math.isinf(got) and math.isfinite(true) and beyond and (got > 0) == (true > 0):
            self.note(f"overflow of {_name(self.dtype)}: torch gives {got:g}")
        elif not math.isfinite(bound) and math.isfinite(true):
            self.doubt(f"torch gives {got:g}: overflow or cancellation in {_name(self.dtype)} on the way to {true:g}")
        else:
            self._fail(index, got, true, math.inf, math.inf, "")

    def _keep(self, index: Index | None, got: float, true: float, error_ulp: float) -> None:
        if not self._wrong_text and (self.autograd is None or error_ulp > self.error_ulp):
            self.index, self.autograd, self.reference, self.error_ulp = index, got, true, error_ulp

    def _fail(self, index: Index | None, got: float, true: float, error_ulp: float, excess: float, what: str) -> None:
        if excess <= self._wrong:
            return
        self._wrong = excess
        self.index, self.autograd, self.reference, self.error_ulp = index, got, true, error_ulp
        where = "" if not index else f" at {list(index)}"
        self._wrong_text = f"{what or 'torch'} gives {got:.9g}{where}, the true value is {true:.9g}{_ratio(got, true)}"


def _worst_first(error: NDArray[np.float64], bound: NDArray[np.float64], good: NDArray[np.bool_]) -> list[Any]:
    """The places of the elements that are not good: those without a finite error and the worst of the others."""
    bad = np.flatnonzero(~good)
    with np.errstate(all="ignore"):
        excess = error.reshape(-1)[bad] / np.maximum(bound.reshape(-1)[bad], np.finfo(np.float64).tiny)
    strange = bad[~np.isfinite(excess)][:_LOOKED_AT]
    worst = bad[np.argsort(-np.where(np.isfinite(excess), excess, -1.0), kind="stable")[:_LOOKED_AT]]
    return [np.unravel_index(flat, good.shape) for flat in dict.fromkeys([*worst.tolist(), *strange.tolist()])]


def _ratio(got: float, true: float) -> str:
    if not true or not math.isfinite(got / true):
        return ""
    return f" (ratio {got / true:.6g})"


def _placed(index: Any, place: Callable[[Index], Index] | None) -> Index | None:
    plain = tuple(int(item) for item in index)
    return plain if place is None else place(plain)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
