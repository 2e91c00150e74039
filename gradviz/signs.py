"""A formula's hyphens -> minus signs; whatever shows a number or a formula takes the sign from here."""

from __future__ import annotations

import re

MINUS = "−"

_HYPHEN = re.compile(r"(?<![\w.])-")


def with_minus_signs(formula: str) -> str:
    """A formula's hyphens as minus signs; a hyphen inside a name stays.

    >>> with_minus_signs("-b/c² - exp(-a)·my-name")
    '−b/c² − exp(−a)·my-name'
    """
    return _HYPHEN.sub(MINUS, formula)
