"""The bounds on math text: people who write for people stay below, and hostile text cannot hang or fill memory."""

from __future__ import annotations

from typing import Final

MAX_TEXT_CHARACTERS: Final = 10_000
"""Length of the whole text."""

MAX_NODES: Final = 4_000
"""Nodes of the syntax tree; it also bounds chains such as `x + x + x + ...`, which nest nowhere."""

MAX_NESTING: Final = 64
"""Parentheses, function arguments, exponents and unary minuses inside one another; the parser recurses only here."""

MAX_NAME_CHARACTERS: Final = 64
"""Length of one variable or function name."""

MAX_NUMBER_CHARACTERS: Final = 64
"""Digits of one number as typed."""

MAX_EXACT_INTEGER: Final = 2**53
"""Integers up to here stay exact Python ints; larger ones become floats, as float64 tensors would make them anyway."""

MAX_EXPONENT: Final = 1_000
"""Size of a constant exponent, so that no exact arithmetic on `x^n` later runs away."""

MAX_LIST_DEPTH: Final = 8
"""Nesting of a list that is given as the value of a variable."""
