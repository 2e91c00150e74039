"""Numbers, names and shapes -> the short text that stands on a picture.

A picture has room for about four digits and one line. Everything that prints a number on a picture goes through
here, so that the same value never looks different in two places. Formulas come from `gradviz.symbolic`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from gradviz.signs import MINUS, derivative_sign
from gradviz.signs import atom_text as atom_text

SUPERSCRIPT = str.maketrans("-−0123456789", "⁻⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
NAME_LENGTH = 28
FORMULA_LENGTH = 44

_PATH = re.compile(r"[\w.@]+(\[\d+\])?")


def number_text(value: bool | int | float | complex, digits: int = 4) -> str:
    """A number with at most `digits` significant digits, an int or a bool in full.

    >>> [number_text(value) for value in (3.14159265, 1.234e-05, -2.0, 1240, True, float("-inf"), float("nan"))]
    ['3.142', '1.234e−05', '−2', '1240', 'True', '−∞', 'NaN']
    >>> number_text(1.5 - 2j)
    '1.5 − 2j'
    """
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int):
        return str(value).replace("-", MINUS) if abs(value) < 10**12 else _real_text(_as_float(value), digits)
    if isinstance(value, complex):
        sign = MINUS if math.copysign(1.0, value.imag) < 0 else "+"
        return f"{_real_text(value.real, digits)} {sign} {_real_text(abs(value.imag), digits)}j"
    return _real_text(value, digits)


def digits_text(value: complex) -> str:
    """A number with all its digits, so that two numbers that differ look different.

    >>> [digits_text(value) for value in (0.1 + 0.2, -2.0, 1e-07, float("-inf"), float("nan"))]
    ['0.30000000000000004', '−2', '1e−07', '−∞', 'NaN']
    """
    if isinstance(value, float) and not math.isfinite(value):
        return _real_text(value, 1)
    return f"{value!r}".removesuffix(".0").replace("-", MINUS)


def derivative_text(head: str, tail: str) -> str:
    """The sign for a derivative, of names that are shortened.

    >>> derivative_text("c", "a"), derivative_text("d", "x*y")
    ('∂c/∂a', '∂d/∂(x*y)')
    """
    return derivative_sign(shorten(head, 20), shorten(tail, 20))


def shorten(text: str, length: int) -> str:
    """At most `length` characters. Of a dotted path the outer parts go, but not the number of a layer; else the middle.

    >>> shorten("transformer.h.11.attn.c_attn.weight", 20), shorten("blocks.2.norm.weight", 16)
    ('…11…c_attn.weight', '…2.norm.weight')
    >>> shorten("a sentence of several words", 20)
    'a sentenc…eral words'
    """
    if len(text) <= length:
        return text
    parts = text.split(".") if _PATH.fullmatch(text) else []
    for first in range(1, len(parts)):
        layer = next((part for part in reversed(parts[:first]) if part.isdigit()), "")
        short = (f"…{layer}…" if layer else "…") + ".".join(parts[first:])
        if len(short) <= length:
            return short
    tail = length // 2
    return f"{text[: length - tail - 1]}…{text[-tail:]}"


def shape_text(shape: Sequence[int]) -> str:
    """A shape as torch users write it.

    >>> shape_text((2, 50)), shape_text(())
    ('[2, 50]', '[]')
    """
    return f"[{', '.join(str(size) for size in shape)}]"


def _as_float(value: int) -> float:
    """An int of any size as a float."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _real_text(value: float, digits: int) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    return f"{value or 0.0:.{digits}g}".replace("-", MINUS)  # −0 shows as 0


def listed(names: Sequence[str]) -> str:
    """The first three, and how many more there are.

    >>> listed(["w", "b"]), listed(["a", "b", "c", "d"])
    ('w, b', 'a, b, c and 1 more')
    """
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(shorten(name, NAME_LENGTH) for name in names[:3]) + more
