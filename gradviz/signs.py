"""The signs that whatever shows a number or a formula takes from here: minus signs for hyphens, derivatives."""

from __future__ import annotations

import re

MINUS = "−"

_ATOM = re.compile(r"[\w.…]+((\[[^\[\]]*\])*(_\d+)?|\([^()]*\))")
_HYPHEN = re.compile(r"(?<![\w.])-|(?<=\de)-(?=\d)")


def with_minus_signs(formula: str) -> str:
    """A formula's hyphens as minus signs, those of exponents too; a hyphen inside a name stays.

    >>> with_minus_signs("-b/c² - 1e-05·exp(-a)·my-name")
    '−b/c² − 1e−05·exp(−a)·my-name'
    """
    return _HYPHEN.sub(MINUS, formula)


def derivative_sign(head: str, tail: str) -> str:
    """The sign for a derivative.

    >>> derivative_sign("c", "a"), derivative_sign("mean, variance", "x*y")
    ('∂c/∂a', '∂(mean, variance)/∂(x*y)')
    """
    return f"∂{atom_text(head)}/∂{atom_text(tail)}"


def atom_text(name: str) -> str:
    """A name that can stand inside a formula: in parentheses unless it is one word or one call.

    >>> atom_text("fc.bias"), atom_text("x + y"), atom_text("sin(x)"), atom_text('losses["kl"]')
    ('fc.bias', '(x + y)', 'sin(x)', 'losses["kl"]')
    """
    return name if _ATOM.fullmatch(name) else f"({name})"
