"""Torch's numbers beside true ones: the error in ULP, and a verdict against the bound on rounding.

A `Comparison` gathers what was compared for one edge, value or gradient, possibly in several steps (sampled rows, then a
probe of the whole map), and keeps the element that tells most: of wrong ones that whose error and true size stand out of
rounding, else the one with the largest error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gradviz.check.arrays import Index, apart, is_nan_at, largest_error, not_finite_place, telling_of, ulp, worst_first
from gradviz.check.range_ends import is_flushed, is_near_largest, negative_zero_in
from gradviz.check.ratios import Ratios
from gradviz.check.report import Finding, Method, Quantity, Verdict
from gradviz.check.slips import Evidence
from gradviz.check.wording import cancellation_text, dtype_name, ratio_text, short_text

_BLOCK = 2**17
LOST_ULP = 2.0**10
"""From so many units in the last place on, an error that rounding explains is told: three decimal digits are gone."""
_WIDE = 1e30
"""From such a largest number on a kernel hardly ever leaves the range on the way to what lies within."""
_INFINITE, _UNDEFINED = 1, 2
"""How much numbers tell of which one is not finite: both infinite alike, or anything else."""
CANCELLED = 64
"""Up to so many units of u, of the size of the output, a right formula may be off where it cancels."""

_GIVEN: dict[Quantity, str] = {"": "", "VJP": "for a whole cotangent ", "slope": "along a random direction "}


class Comparison:
    """What was compared so far, and the verdict that follows.

    Attributes:
        checked: how many elements were compared one by one.
        kinks: names of the kinks that were met.
        evidence: the wrong numbers beside the true ones, of the most telling step that found any.
        slip: what was probably done wrong.
        lost: where digits were lost by cancellation.
        begins: where the NaN began that a wrong number is.
        noticed: how small a slip in one element the probes of whole maps would have shown; None where there was none.
        overflowed: whether a number on the way lies beyond the range of the dtype: what differs then proves nothing.
        read: the arguments of the call: where one holds NaN, 0 × NaN makes NaN of other elements of torch's row.
        made: its value, if it is one tensor: where that is NaN there is no derivative.
    """

    def __init__(self, dtype: torch.dtype, *, read: Sequence[torch.Tensor] = (), made: torch.Tensor | None = None) -> None:
        self.dtype = dtype
        self.read = read
        self.made = made
        self.checked = 0
        self.total = 0
        self.method: Method = ""
        self.kinks: dict[str, None] = {}
        self.evidence: Evidence | None = None
        self.slip = ""
        self.lost = ""
        self.begins = ""
        self.overflowed = False
        self.noticed: float | None = None
        self.error_ulp = 0.0
        self.index: Index | None = None
        self.autograd: float | None = None
        self.quantity: Quantity = ""
        self.reference: float | None = None
        self._wrong = -1.0
        self._wrong_text = self._wrong_ratio = ""
        self._telling = 0
        self._doubt = ""
        self._doubt_beside = ""
        self._doubt_finding: Finding = ""
        self._note_finding: Finding = ""
        self._short = 0.0
        self._ratios = Ratios()
        self._notes: dict[str, None] = {}
        self._steps: dict[str, None] = {}

    @property
    def verdict(self) -> Verdict:
        if self._wrong_text:
            return "mismatch"
        return "unverified" if self._doubt or self._doubt_beside or not self.method else "match"

    @property
    def is_wrong(self) -> bool:
        return bool(self._wrong_text)

    @property
    def finding(self) -> Finding:
        """What kind of thing there is to tell."""
        if self._wrong_text:
            return "wrong"
        if self._doubt or self._doubt_beside:
            return self._doubt_finding if self._doubt else "undefined"
        return self._note_finding or ("cancellation" if self.has_lost_digits else "rounding" if self.error_ulp else "")

    @property
    def reason(self) -> str:
        """What is wrong, else why unverified, else what to know about a match."""
        if self._wrong_text:
            slip = f"likely slip: {self.slip}" if self.slip else ""
            everywhere = "" if self.total <= 1 else self._ratios.told()  # of one number it stands beside it
            wrong = self._wrong_text + ("" if everywhere else self._wrong_ratio)
            return "; ".join(part for part in (wrong, everywhere, self.begins, slip) if part)
        lost = f"; lost in {self.lost}" if self.lost else ""
        if self._doubt:
            return self._doubt + (lost if self._doubt_finding == "cancellation" else "")
        if self._doubt_beside:
            return self._doubt_beside
        cancelled = [self._cancelled() + lost] if self.has_lost_digits else []
        return "; ".join([*cancelled, *self._notes, *([short_text(self._short)] if self._short else [])])

    @property
    def has_lost_digits(self) -> bool:
        """Whether torch's number is as right as its dtype allows, and yet far from the true one."""
        got, true = self.autograd, self.reference
        if got is None or true is None or self.method == "numeric":  # differences have an error of their own
            return False
        if self._short:  # that explains it
            return False
        return LOST_ULP <= self.error_ulp < math.inf

    def _cancelled(self) -> str:
        assert self.autograd is not None and self.reference is not None
        return cancellation_text(self.autograd, self.reference, self.dtype)

    def doubt(self, reason: str, finding: Finding = "") -> None:
        """Leaves this unverified, unless something is found to be wrong."""
        if not self._doubt:
            self._doubt, self._doubt_finding = reason, finding

    def doubt_beside(self, reason: str) -> None:
        """Leaves this unverified, for what an undefined element beside it does; a doubt of its own is told first."""
        self._doubt_beside = self._doubt_beside or reason

    def note(self, text: str, finding: Finding = "") -> None:
        """Something to know about a match."""
        self._notes[text] = None
        self._note_finding = finding or self._note_finding

    def short_of(self, apart: float) -> None:
        """Keeps how far a backward()'s formula is off, relative to the true number, that is taken for right: the worst."""
        self._short = max(self._short, apart)

    def step(self, text: str) -> None:
        """What was done, where not every element was compared with a symbolic derivative."""
        self._steps[text] = None

    def notice(self, least: float) -> None:
        """Keeps how small a slip in one element a probe would have shown: of several the worst."""
        self.noticed = max(self.noticed or 0.0, least)

    @property
    def how(self) -> str:
        return "; ".join(self._steps)

    def on_kink(
        self, index: Index | None, got: float, kinks: Sequence[str], sides: tuple[float, float] | None = None
    ) -> None:
        """A number of torch's where the derivative does not exist; `sides`: the one-sided ones, between which it lies."""
        names = ", ".join(kinks)
        between = "" if sides is None else f", between the one-sided derivatives {sides[0]:.4g} and {sides[1]:.4g}"
        self.note(f"on a kink ({names}), where torch takes {got:.4g}{between}", "kink")
        if self.autograd is None:
            self.index, self.autograd = index, got

    def on_tie(self, got: float, kinks: Sequence[str], ends: tuple[float, float]) -> None:
        """A number of torch's where several elements tie; between which it may lie, as any of them may be taken."""
        between = f"any of those that tie may be taken, which gives {ends[0]:.4g} to {ends[1]:.4g}"
        self.note(f"on a kink ({', '.join(kinks)}), where torch takes {got:.4g}: {between}", "kink")

    def show(
        self, index: Index | None, got: float, true: float | None, of: Quantity = "", *, telling: int = _UNDEFINED
    ) -> None:
        """Keeps numbers of which one is not finite, or there is no true one: they tell more than right ones."""
        if self._wrong_text or telling <= self._telling:
            return
        self._telling = telling
        error_ulp = 0.0 if got == true else math.nan if true is None or math.isnan(true) else math.inf
        self.index, self.autograd, self.reference, self.error_ulp = index, got, true, error_ulp
        self.quantity = of

    def wrong(self, text: str) -> None:
        """A mismatch that is not about one number."""
        self._wrong_text = self._wrong_text or text

    def element(
        self,
        index: Index | None,
        got: float,
        true: Any,
        bound: float,
        *,
        loose: float = 0.0,
        what: str = "torch",
        of: Quantity = "",
        modulus: float = 0.0,
    ) -> None:
        """Compares one number.

        Args:
            index: where it is.
            got: torch's number.
            true: the true one.
            bound: how far apart they may be by rounding.
            loose: up to this far they may be by cancellation: then nothing is claimed.
            what: who gives the number, for a mismatch.
            of: what the number is an element of.
            modulus: of the complex number that this is a part of: complex arithmetic is accurate by modulus, so that units
                in the last place are counted there.
        """
        value = float(true)
        if got == value and math.isinf(got):
            self.note(f"undefined: infinite on both sides: torch gives {got:g}, and so is the true value", "undefined")
            self.show(index, got, value, of, telling=_INFINITE)
            return
        if math.isnan(value) or math.isnan(got) or math.isinf(value) or math.isinf(got):
            self._undefined(index, got, value, bound, of)
            return
        error = abs(float(true - got))
        error_ulp = error / ulp(max(abs(value), abs(got), modulus), self.dtype) if error else 0.0
        if error <= bound:
            self._ratios.see_one_good(value, bound)
            self._keep(index, got, value, error_ulp, of)
        elif not math.isfinite(bound):
            self.doubt(f"rounding in {dtype_name(self.dtype)} leaves nothing to compare at these inputs", "rounding")
        elif error <= loose:
            text = cancellation_text(got, value, self.dtype)
            self.doubt(f"{text}: a right formula and a wrong one could give this", "cancellation")
        else:
            self._ratios.see(np.array([got]), np.array([value]), np.array([bound]))
            telling = float(telling_of(np.float64(error), np.float64(abs(value)), np.float64(bound))) if bound else math.inf
            self._fail(index, got, value, error_ulp, telling, what, of)

    def elements(
        self,
        got: NDArray[np.float64],
        true: NDArray[np.longdouble],
        bound: NDArray[np.float64],
        *,
        loose: NDArray[np.float64] | float = 0.0,
        what: str = "torch",
        of: Quantity = "",
        place: Callable[[Index], Index] | None = None,
        cotangent: NDArray[np.float64] | None = None,
        true_vjp: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None = None,
        modulus: NDArray[np.float64] | None = None,
    ) -> None:
        """Compares arrays of one shape, as `element` does.

        Args:
            got: torch's numbers.
            true: the true ones.
            bound: how far apart they may be by rounding.
            loose: up to this far they may be by cancellation.
            what: who gives the numbers, for a mismatch.
            of: what the numbers are elements of.
            place: maps indices of the arrays to those that are reported.
            cotangent: what the numbers are the VJP of; None for partials. Evidence, as is the next.
            true_vjp: gives the true numbers for another cotangent.
            modulus: as for `element`; None for real numbers.
        """
        plain = modulus is None and true.shape == bound.shape == got.shape
        if got.size > _BLOCK and plain and self._all_good(got, true, bound, of, place):
            return
        error, good = apart(got, true, bound)
        if good.any():
            error_ulp, _, worst = largest_error(error, got, true, good, self.dtype, modulus)
            self._keep(_placed(worst, place), float(got[worst]), float(true[worst]), error_ulp, of)
        self._ratios.see_good(true, bound, good)
        if good.all():
            return
        with np.errstate(over="ignore"):  # wide numbers reach further
            finite = np.asarray(true, dtype=np.float64)
        self._ratios.see(got, finite, bound)
        bounds = np.broadcast_to(bound, got.shape)
        pairs = modulus is not None and got.shape[-1:] == (2,)
        found = Evidence(got=got, true=finite, bound=bounds, cotangent=cotangent, true_vjp=true_vjp, pairs=pairs)
        if self.evidence is None or found.telling.sum() >= self.evidence.telling.sum():
            self.evidence = found
        for where in worst_first(error, true, bound, good):
            cancelled = float(np.broadcast_to(loose, good.shape)[where])
            numbers = (float(got[where]), true[where], float(bound[where]))
            whole = 0.0 if modulus is None else float(modulus[where])
            self.element(_placed(where, place), *numbers, loose=cancelled, what=what, of=of, modulus=whole)

    def _all_good(
        self,
        got: NDArray[np.float64],
        true: NDArray[np.longdouble],
        bound: NDArray[np.float64],
        of: Quantity,
        place: Callable[[Index], Index] | None,
    ) -> bool:
        """Whether all elements of large arrays are good, which is then kept; block by block, in the processor's cache."""
        got_flat, true_flat, bound_flat = got.reshape(-1), true.reshape(-1), bound.reshape(-1)
        largest: tuple[float, float, int] = (-1.0, -1.0, 0)
        for start in range(0, got.size, _BLOCK):
            block = slice(start, start + _BLOCK)
            some, exact, bounds = got_flat[block], true_flat[block], bound_flat[block]
            if start and not some.any() and not exact.any():
                continue
            if np.array_equal(some, exact) and np.isfinite(some).all() and (bounds >= 0).all():  # as after a mere movement
                at = int(np.abs(some).argmax())
                largest = max(largest, (0.0, float(abs(some[at])), start + at))
                self._ratios.see_good(exact[at : at + 1], bounds[at : at + 1], np.ones(1, dtype=np.bool_))
                continue
            error, good = apart(some, exact, bounds)
            if not good.all():
                return False
            error_ulp, size, worst = largest_error(error, some, exact, good, self.dtype)
            largest = max(largest, (error_ulp, size, start + int(worst[0])))
            self._ratios.see_good(exact, bounds, good)
        where = np.unravel_index(largest[2], got.shape)
        self._keep(_placed(where, place), float(got[where]), float(true[where]), largest[0], of)
        return True

    def _undefined(self, index: Index | None, got: float, true: float, bound: float, of: Quantity) -> None:
        self.show(index, got, true, of)
        beyond = abs(true) > torch.finfo(self.dtype).max or not math.isfinite(bound)
        dtype = dtype_name(self.dtype)
        if math.isnan(true) and math.isnan(got):
            self.doubt("undefined: torch gives nan, and there is no true value", "undefined")
        elif math.isnan(true):
            self.doubt(f"undefined: torch gives {got:g} where there is no true value", "undefined")
        elif math.isinf(got) and math.isfinite(true) and beyond and (got > 0) == (true > 0):
            self.note(f"undefined in {dtype}: torch gives {got:g}, an overflow of the true value {true:.4g}", "undefined")
        elif math.isnan(got) and math.isfinite(true) and (held := not_finite_place(self.read)) is not None:
            what, place = held
            at = f" at {list(place)}" if place else ""
            self.doubt(f"undefined: torch gives nan, and an argument holds {what}{at}", "undefined")
        elif math.isfinite(true) and torch.finfo(self.dtype).max < _WIDE:
            why = f"a step of the kernel may have left the narrow range of {dtype}"
            self.doubt(f"undefined in {dtype}: torch gives {got:g}, the true value is {true:.4g}; {why}", "undefined")
        elif math.isnan(got) and math.isinf(true):
            self.doubt(f"undefined: torch gives nan where the true value is {true:g}", "undefined")
        elif math.isinf(true) and negative_zero_in(self.read):
            why = "an argument holds −0, which decides on which side of a pole it lies"
            self.doubt(f"undefined: torch gives {got:g}, the true value is {true:g}: {why}", "undefined")
        elif math.isfinite(true) and (
            not bound < max(abs(true), torch.finfo(self.dtype).tiny) or is_near_largest(true, self.dtype)
        ):
            why = f"overflow or cancellation in {dtype} on the way"
            self.doubt(f"undefined in {dtype}: torch gives {got:g}, the true value is {true:.4g}; {why}", "undefined")
        else:
            self._fail(index, got, true, math.inf, math.inf, "torch", of)

    def _keep(self, index: Index | None, got: float, true: float, error_ulp: float, of: Quantity) -> None:
        """Of the right numbers the one that tells most: of the derivative itself, with the largest error, large."""
        if self._wrong_text or self._telling:
            return
        shown = math.inf if self.reference is None else abs(self.reference)  # None: chosen on a kink
        if self.autograd is None or (not of, error_ulp, abs(true)) > (not self.quantity, self.error_ulp, shown):
            self.index, self.autograd, self.reference, self.error_ulp = index, got, true, error_ulp
            self.quantity = of

    def _fail(
        self, index: Index | None, got: float, true: float, error_ulp: float, telling: float, what: str, of: Quantity
    ) -> None:
        told = f"torch gives {got:.4g}, the true value is {true:.4g}"
        if self.overflowed:
            self.doubt(
                f"undefined in {dtype_name(self.dtype)}: {told}; a number on the way is beyond its range", "undefined"
            )
            return
        if is_flushed(abs(got - true), self.read, self.dtype):
            least = f"{torch.finfo(self.dtype).tiny:.2g}"
            self.doubt(f"{told}: kernels may take {dtype_name(self.dtype)} numbers below {least} for 0", "rounding")
            return
        if is_nan_at(self.made, index):
            self.show(index, got, math.nan, of)
            self.doubt(f"undefined: torch gives {got:.4g} where there is no true value", "undefined")
            return
        if telling <= self._wrong:
            return
        self._wrong = telling
        self.index, self.autograd, self.reference, self.error_ulp = index, got, true, error_ulp
        self.quantity = of
        where = "" if not index else f" at {list(index)}"
        self._wrong_text = f"{_GIVEN[of]}{what} gives {got:.9g}{where}, the true value is {true:.9g}"
        self._wrong_ratio = ratio_text(got, true)


def _placed(index: Any, place: Callable[[Index], Index] | None) -> Index | None:
    plain = tuple(int(item) for item in index)
    return plain if place is None else place(plain)
