"""A formula's hyphens -> minus signs; whatever shows a number or a formula takes the sign from here."""

from __future__ import annotations

import re

MINUS = "−"

_HYPHEN = re.compile(r"(?<![\w.])-|(?<=\de)-(?=\d)")


def with_minus_signs(formula: str) -> str:
    """A formula's hyphens as minus signs, those of exponents too; a hyphen inside a name stays.

    >>> with_minus_signs("-b/c² - 1e-05·exp(-a)·my-name")
    '−b/c² − 1e−05·exp(−a)·my-name'
    """
    return _HYPHEN.sub(MINUS, formula)
