"""From wrong numbers beside the true ones to the slip that makes these of those: a factor, a sign, a transposition, ..."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradviz.check.ratios import TELLING

Array = NDArray[np.float64]
_NEAR = 1e-6
_COARSE = 2.0**-7
_CONJUGATE = np.array([1.0, -1.0])
_ENOUGH = 3
"""From so many numbers on, a pattern among them is no accident."""
_BY_SIGN = 8
"""That of so many numbers those of one sign are wrong is no accident."""
_BEYOND = 4
"""That so many wrong numbers, and as many right ones, lie on two sides of a value is no accident."""
_ONE_SIDED = 16
"""Of so many rounded numbers some are too large, and some too small."""
_FACTORS = {2.0: "2", 3.0: "3", 4.0: "4", math.pi: "π", 2 * math.pi: "2π", math.sqrt(2): "√2", math.log(2): "log(2)"}
_CLOSE_BY = 1e-3
"""A factor that is known less well than this is only called by a whole number: others lie too close together."""
_ALIKE = 0.1
_MANY = 0.1
"""Less than this share of numbers is right by accident where a term is wrong."""
_RIGHT_BY = 0.01
"""What is wrong by less than this part of what the wrong numbers are usually wrong by is right, and no near miss."""
_NO_GRADIENT = "no gradient at all: a detached branch, or a forgotten term"
_FUNCTIONS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "sin": (np.sin, np.cos),
    "cos": (np.cos, lambda x: -np.sin(x)),
    "exp": (np.exp, np.exp),
    "log": (np.log, lambda x: 1 / x),
    "tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), lambda x: np.exp(-x) / (1 + np.exp(-x)) ** 2),
    "sqrt": (np.sqrt, lambda x: 0.5 / np.sqrt(x)),
    "square": (np.square, lambda x: 2 * x),
    "cube": (lambda x: x**3, lambda x: 3 * x**2),
}
"""name -> function and derivative, of those that people confuse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Torch's numbers beside the true ones, some of which are wrong.

    Attributes:
        got: torch's.
        true: the true ones, of the same shape.
        bound: how far apart they may be.
        cotangent: what they are the VJP of; None for partials.
        true_vjp: gives the true numbers for another cotangent.
        pairs: whether the last dimension holds real and imaginary parts, of the cotangent too.
    """

    got: Array
    true: Array
    bound: Array
    cotangent: Array | None = None
    true_vjp: Callable[[Array], Array] | None = None
    pairs: bool = False

    def same(self, one: Array, other: Array) -> bool:
        """Whether the numbers agree, all of them, as well as these can."""
        return bool(np.all(np.abs(one - other) <= 4 * self.bound + _NEAR * np.abs(other)))

    @property
    def wrong(self) -> NDArray[np.bool_]:
        return ~(np.abs(self.got - self.true) <= self.bound)

    @property
    def telling(self) -> NDArray[np.bool_]:
        """Where the true number is large enough for a ratio to mean something."""
        return np.asarray(np.abs(self.true) > np.maximum(TELLING * self.bound, np.finfo(np.float64).tiny))

    @property
    def noise(self) -> Array:
        """How far rounding may take each of the ratios, relative to the true numbers."""
        return np.asarray(self.bound[self.telling] / np.abs(self.true[self.telling]))

    @property
    def ratios(self) -> Array:
        """Torch's by the true ones, where that is telling."""
        return np.asarray(self.got[self.telling] / self.true[self.telling])


def likely_slip(evidence: Evidence, tail: str, values: Mapping[str, Array]) -> str:
    """What was probably done wrong; "" where nothing known explains the numbers.

    Args:
        evidence: the numbers.
        tail: the name of the value that the derivative is with respect to.
        values: it and the other values around, by name.

    >>> true = np.array([[1.0, 2.0], [3.0, 5.0]])
    >>> def slip(got):
    ...     return likely_slip(Evidence(got=got, true=true, bound=1e-12 + 0 * true), "x", {"x": true})
    >>> slip(-true), slip(true / 2), slip(true.T)
    ('wrong sign', 'missing factor 2', 'transposed')
    """
    if not (np.isfinite(evidence.got).all() and np.isfinite(evidence.true).all()):
        return ""
    with np.errstate(all="ignore"):
        for told in _explanations(evidence, tail, values):
            if told:
                return told
    return ""


def _explanations(evidence: Evidence, tail: str, values: Mapping[str, Array]) -> Iterator[str]:
    """From the plainest on. Where rounding blurs all ratios, as in half precision, only what many of them say alike."""
    if not evidence.telling.any():
        yield "a gradient where there is none" if np.all(np.abs(evidence.true) <= evidence.bound) else ""
        return
    if evidence.noise.min() > _CLOSE_BY:
        ratios = evidence.ratios
        if len(ratios) >= min(_ENOUGH, evidence.got.size) and np.ptp(ratios) <= _ALIKE * np.abs(ratios).max():
            yield _constant_factor(evidence) if ratios.any() else _NO_GRADIENT
        return
    yield "" if evidence.got.any() else _NO_GRADIENT
    yield _constant_factor(evidence)
    if _is_multiple(evidence):
        return  # by a factor that has no name; nothing subtler explains more
    yield _unconjugated(evidence)
    if evidence.got.size < _ENOUGH:
        return
    yield _transposed(evidence)
    yield _missing_sum(evidence)
    yield _elsewhere(evidence)
    yield _clamped(evidence)
    yield _added(evidence)
    yield _lost_signs(evidence)
    yield _multiple_in_part(evidence, tail, values)
    yield _rounded(evidence)
    yield _factor_of(evidence, values)
    yield _other_function(evidence, tail, values)
    yield _some_only(evidence, tail, values)


def _is_multiple(evidence: Evidence) -> bool:
    """Whether the numbers are one and the same multiple of the true ones, wherever that can be told."""
    ratios, noise = evidence.ratios, evidence.noise
    ratio = float(ratios[int(noise.argmin())])
    return bool(np.all(np.abs(ratios - ratio) <= 4 * (noise + noise.min()) * max(1.0, abs(ratio)) + _NEAR))


def _constant_factor(evidence: Evidence) -> str:
    best = int(evidence.noise.argmin())
    ratio, within = float(evidence.ratios[best]), 2 * float(evidence.noise[best]) + _NEAR
    if not evidence.same(evidence.got, evidence.true * ratio):
        return ""
    sign = "wrong sign" if ratio < 0 else ""
    factor = _factor(abs(ratio), within * max(1.0, 1 / abs(ratio)) if ratio else 0.0, evidence)
    if not factor and len(evidence.ratios) < _ENOUGH and abs(ratio + 1) > within:
        return ""  # one number is some multiple of any other
    return " and ".join(part for part in (sign, factor) if part)


def _factor(ratio: float, within: float, evidence: Evidence) -> str:
    """What a ratio says that is known up to `within`, relatively."""
    for number, name in _FACTORS.items():
        if within > _CLOSE_BY and not number.is_integer():
            continue
        if math.isclose(ratio, number, rel_tol=within):
            return f"a factor {name} too much"
        if math.isclose(ratio, 1 / number, rel_tol=within):
            return f"missing factor {name}"
    shapes = [evidence.got.shape, () if evidence.cotangent is None else evidence.cotangent.shape]
    for count in {count for shape in shapes for count in (*shape, math.prod(shape)) if count > 1}:
        if math.isclose(ratio, 1 / count, rel_tol=within):
            return f"divided by {count}, a number of elements: a mean in place of a sum"
        if math.isclose(ratio, count, rel_tol=within):
            return f"multiplied by {count}, a number of elements: a sum in place of a mean"
    return ""


def _unconjugated(evidence: Evidence) -> str:
    """Whether it is the conjugate of what is right, or grad · ∂s/∂z where grad · conj(∂s/∂z) belongs."""
    if not evidence.pairs:
        return ""
    if evidence.same(evidence.got, evidence.true * _CONJUGATE):
        return "missing conjugate: these are the conjugates of the right numbers"
    cotangent, true_vjp = evidence.cotangent, evidence.true_vjp
    if cotangent is None or true_vjp is None or cotangent.shape[-1:] != (2,):
        return ""
    unconjugated = true_vjp(cotangent * _CONJUGATE) * _CONJUGATE
    return "missing conjugate: ∂s/∂z where conj(∂s/∂z) belongs" if evidence.same(evidence.got, unconjugated) else ""


def _transposed(evidence: Evidence) -> str:
    true = evidence.true
    square = true.ndim > 1 and true.shape[-1] == true.shape[-2]
    return "transposed" if square and evidence.same(evidence.got, true.swapaxes(-1, -2)) else ""


def _missing_sum(evidence: Evidence) -> str:
    """Whether only one slice of the result's cotangent is in it: the others were to be added, a broadcast's sum."""
    cotangent, true_vjp = evidence.cotangent, evidence.true_vjp
    if cotangent is None or true_vjp is None:
        return ""
    for dim, size in enumerate(cotangent.shape):
        for place in (0, size - 1) if size > 1 else ():
            part = np.zeros_like(cotangent)
            slot = (slice(None),) * dim + (place,)
            part[slot] = cotangent[slot]
            if evidence.same(evidence.got, true_vjp(part)):
                return f"missing sum over dimension {dim} of the result, which was broadcast: only element {place} is in it"
    return ""


def _elsewhere(evidence: Evidence) -> str:
    """The right numbers, shifted, reversed or in another order; what is shifted in at the border may be anything."""
    got, true = evidence.got, evidence.true
    tolerance = 4 * evidence.bound.max() + _NEAR * np.abs(true).max()
    for dim in range(true.ndim):
        for step in (1, -1) if true.shape[dim] > 2 else ():
            inside = (slice(None),) * dim + (slice(1, None) if step == 1 else slice(None, -1),)
            if np.all(np.abs(got - np.roll(true, step, dim))[inside] <= tolerance):
                return f"off by one index along dimension {dim}"
        if true.shape[dim] > 1 and np.all(np.abs(got - np.flip(true, dim)) <= tolerance):
            return f"reversed along dimension {dim}"
    if np.all(np.abs(got.ravel() - np.roll(true.ravel(), 1)) <= tolerance):
        return "off by one index, counted over all elements"
    wrong = evidence.wrong
    moved, apart = np.abs(np.sort(got[wrong]) - np.sort(true[wrong])), np.abs(got - true)[wrong]
    if wrong.sum() > 1 and np.all(moved <= np.minimum(tolerance, 0.01 * apart.max())):
        return "the right numbers at the wrong places"
    return ""


def _clamped(evidence: Evidence) -> str:
    got, wrong = evidence.got, evidence.wrong
    low, high = float(got.min()), float(got.max())
    if low == high or wrong.sum() < 2 or not evidence.same(got, np.clip(evidence.true, low, high)):
        return ""
    limits = [f"{low:.4g} from below"] * bool((wrong & (got == low)).any())
    limits += [f"{high:.4g} from above"] * bool((wrong & (got == high)).any())
    return f"clamped at {' and '.join(limits)}"


def _added(evidence: Evidence) -> str:
    difference = float(np.median(evidence.got - evidence.true))
    return f"{difference:.4g} is added everywhere" if evidence.same(evidence.got, evidence.true + difference) else ""


def _lost_signs(evidence: Evidence) -> str:
    if not evidence.same(np.abs(evidence.got), np.abs(evidence.true)):
        return ""
    if np.all(evidence.got >= 0):
        return "the sign is lost: no element is negative"
    return f"wrong sign at {int(evidence.wrong.sum())} of {evidence.got.size} elements"


def _factor_of(evidence: Evidence, values: Mapping[str, Array]) -> str:
    """Whether the ratio of torch's and the true numbers is one of the values around, or a function of one."""
    ratios = evidence.ratios
    if not _varies(ratios):
        return ""
    for name, factor in _candidates(evidence, values):
        for sign, words in ((1, ""), (-1, "wrong sign and ")):
            if _near(ratios, sign * factor):
                return f"{words}a factor {name} too much"
            if _near(ratios * factor, np.full_like(factor, sign)):
                return f"{words}missing factor {name}"
    return ""


def _candidates(evidence: Evidence, values: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
    for name, value in _alike(evidence, values):
        yield name, value
        yield f"2·{name}", 2 * value
        yield f"{name}²", value**2
        yield f"(1 - {name})", 1 - value
        yield f"(1 - {name}²)", 1 - value**2
        for function, (of, _) in _FUNCTIONS.items():
            if function not in ("square", "cube"):
                yield f"{function}({name})", of(value)


def _other_function(evidence: Evidence, tail: str, values: Mapping[str, Array]) -> str:
    """Whether the derivative of one known function stands in place of that of another."""
    ratios = evidence.ratios
    at = dict(_alike(evidence, values)).get(tail)
    if at is None or not _varies(ratios):
        return ""
    for right, (function, true) in _FUNCTIONS.items():
        for other, (_, wrong) in _FUNCTIONS.items():
            if other != right and _near(ratios * true(at), wrong(at)):
                return f"the derivative of another function: as if {other}({tail}) stood in place of {right}({tail})"
        if right != "exp" and _near(ratios * true(at), function(at)):
            return f"{right}({tail}) itself in place of its derivative"
    return ""


def _alike(evidence: Evidence, values: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
    """The values of the evidence's shape, where ratios are telling."""
    for name, value in values.items():
        if value.shape == evidence.true.shape:
            yield name, value[evidence.telling]


def _multiple_in_part(evidence: Evidence, tail: str, values: Mapping[str, Array]) -> str:
    """Whether one branch is off by one and the same factor, and the others are right."""
    wrong = evidence.wrong
    telling = wrong & evidence.telling
    if telling.sum() < _ENOUGH or (wrong & ~evidence.telling).any():
        return ""
    ratios, noise = evidence.got[telling] / evidence.true[telling], evidence.bound[telling] / np.abs(evidence.true[telling])
    ratio = float(ratios[int(noise.argmin())])
    within = np.minimum(4 * (noise + noise.min()) * max(1.0, abs(ratio)) + _NEAR, abs(ratio - 1) / 4)
    part = _some_only(evidence, tail, values) if np.all(np.abs(ratios - ratio) <= within) else ""
    return part and f"{part}; each of the {wrong.sum():,} of {wrong.size:,} is {ratio:.6g} times the true one"


def _rounded(evidence: Evidence) -> str:
    """Right to a few digits everywhere: computed in a coarser dtype on the way."""
    ratios, wrong = evidence.ratios, evidence.wrong
    error = np.abs(ratios - 1).max(initial=0.0)
    if not 0 < error < _COARSE or wrong.sum() < _ENOUGH or not _varies(ratios):
        return ""
    larger = (np.abs(evidence.got) > np.abs(evidence.true))[wrong]
    if wrong.sum() >= _ONE_SIDED and (larger.all() or not larger.any()):
        return ""
    return f"right to {-math.log10(error):.0f} digits: computed in a coarser dtype on the way"


def _some_only(evidence: Evidence, tail: str, values: Mapping[str, Array]) -> str:
    """Which elements are wrong, where that is not all of them."""
    wrong = evidence.wrong
    right = _surely_right(evidence)
    if not right.any():
        return ""
    if wrong.sum() == 1:
        place = [int(item) for item in np.argwhere(wrong)[0]]
        return f"wrong at element {place} only, the other {wrong.size - 1} are right"
    same_shape = [(name, value) for name, value in values.items() if value.shape == wrong.shape]
    same_shape.sort(key=lambda named: named[0] != tail)
    for name, value in [*same_shape, ("the true derivative", evidence.true)]:
        for word, there in (("negative", value < 0), ("positive", value > 0)):
            if wrong.sum() + right.sum() >= _BY_SIGN and np.all(there[wrong]) and not np.any(there[right]):
                return f"wrong where {name} is {word}, right elsewhere"
    for name, value in same_shape:
        for shown, numbers in ((f"|{name}|", np.abs(value)), (name, value)):
            if side := _side(numbers[wrong], numbers[right]):
                return f"wrong where {shown} {side}, right elsewhere"
    for dim in range(wrong.ndim):
        others = tuple(place for place in range(wrong.ndim) if place != dim)
        lines = np.flatnonzero(wrong.any(axis=others))
        if len(lines) == 1 and np.delete(right, lines, axis=dim).any():
            return f"wrong at index {int(lines[0])} of dimension {dim} only"
    return f"wrong at {int(wrong.sum())} of {wrong.size} elements only" if right.sum() >= _MANY * wrong.size else ""


def _side(wrong: Array, right: Array) -> str:
    """`> 1.2`, where all wrong numbers belong to values on that side and all right ones to values on the other."""
    if min(wrong.size, right.size) < _BEYOND or not (np.isfinite(wrong).all() and np.isfinite(right).all()):
        return ""
    if wrong.min() > right.max():
        return f"> {_roundest(float(right.max()), float(wrong.min())):.10g}"
    return f"< {_roundest(float(wrong.max()), float(right.min())):.10g}" if wrong.max() < right.min() else ""


def _roundest(low: float, high: float) -> float:
    """The number of fewest digits between two."""
    rounded = (float(f"{(low + high) / 2:.{digits}g}") for digits in range(1, 18))
    return next((number for number in rounded if low <= number <= high), low)


def _surely_right(evidence: Evidence) -> NDArray[np.bool_]:
    """Where the number is right and could be wrong: neither 0 nor so coarsely known that the same slip could hide in it."""
    errors = np.abs(evidence.got - evidence.true) / np.abs(evidence.true)
    wrong = errors[evidence.wrong & (evidence.true != 0)]
    usual = np.median(wrong) if wrong.size else np.inf
    return np.asarray(~evidence.wrong & evidence.telling & (errors < _RIGHT_BY * usual))


def _varies(ratios: Array) -> bool:
    return len(ratios) >= _ENOUGH and bool(np.ptp(ratios) > _COARSE / 128 * np.abs(ratios).max())


def _near(one: Array, other: Array) -> bool:
    with np.errstate(all="ignore"):
        return bool(np.all(np.abs(one - other) <= 1e-3 * np.abs(other) + 1e-9))
