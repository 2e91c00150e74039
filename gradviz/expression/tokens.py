"""Math text -> tokens, by one regular expression; Unicode operators become plain ones, every token keeps its place."""

from __future__ import annotations

import re
import unicodedata
from typing import Final, NamedTuple

from gradviz.errors import ExpressionError
from gradviz.expression.foreign import ROOTS, instead_of_sign
from gradviz.expression.limits import MAX_NAME_CHARACTERS, MAX_NUMBER_CHARACTERS

GREEK: Final = "Α-ΡΣ-Ωα-ω"
"""Greek letters, for a character class."""

_VARIANTS: Final = "µϐϑϕϖϰϱϵ"
"""Letters that NFKC (what Python does to identifiers) turns into plain Greek ones."""

_TOKEN: Final = re.compile(
    rf"""
    (?P<space>[ \t\r\f\v\u00a0\u2009\u200b\u202f\u2060-\u2064\ufeff]+)
  | (?P<newline>\n)
  | (?P<transpose>\.T(?![A-Za-z0-9_{GREEK}])|ᵀ)
  | (?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
  | (?P<name>[A-Za-z_{GREEK}{_VARIANTS}][A-Za-z0-9_{GREEK}{_VARIANTS}₀-₉]*)
  | (?P<root>[√∛])
  | (?P<superscript>[⁺⁻]?[⁰¹²³⁴-⁹]+)
  | (?P<operator>\*\*|<=|>=|==|!=|[-+*/^@(),;=<>|‖·×∙⋅∗•−–—‐‑÷∕⁄≤≥≠])
    """,
    re.VERBOSE,
)
_PLAIN: Final = {
    **dict.fromkeys("·×∙⋅∗•", "*"),
    **dict.fromkeys("−–—‐‑", "-"),
    **dict.fromkeys("÷∕⁄", "/"),
    "**": "^",
    "≤": "<=",
    "≥": ">=",
    "≠": "!=",
}
_PROGRAMMERS_NUMBER: Final = re.compile(r"[0-9]+_[0-9]|0[xXbBoO][0-9]")  # 1_000 and 0x10 would read as products
_SUPERSCRIPT_DIGITS: Final = str.maketrans("⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "+-0123456789")
_CONTINUES: Final = frozenset("+-*/^@=,") | {"<", "<=", ">", ">=", "==", "!="}


class Token(NamedTuple):
    """One token.

    Attributes:
        kind: "number", "name", "root", "superscript", "transpose", "end", or the operator itself in its plain spelling;
            both `;` and a newline that ends a statement are ";". The parser's names module turns "name" into
            "variable", "constant" or "function".
        text: the plain spelling.
        start, end: its place in the text, 0-based, end excluded.
    """

    kind: str
    text: str
    start: int
    end: int


def tokenize(text: str) -> list[Token]:
    """The tokens of `text`, closed by one of kind "end".

    A newline ends a statement, except inside parentheses and after an operator.

    Raises:
        ExpressionError: a character, or the spelling of a number, that math text does not have.

    >>> [token.text for token in tokenize("2πx² − 1")]
    ['2', 'πx', '2', '-', '1', '']
    """
    tokens: list[Token] = []
    place, depth = 0, 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise _unexpected_character(text, place)
        kind, spelling, start, place = match.lastgroup or "", match.group(), place, match.end()
        if kind == "space":
            continue
        if kind == "newline":
            if depth == 0 and tokens and tokens[-1].kind not in _CONTINUES:
                tokens.append(Token(";", ";", start, place))
            continue
        if kind == "operator":
            kind = spelling = _PLAIN.get(spelling, spelling)
            depth = max(0, depth + (kind == "(") - (kind == ")"))
        elif kind == "root":
            spelling = ROOTS[spelling]
        elif kind == "superscript":
            spelling = spelling.translate(_SUPERSCRIPT_DIGITS)
        elif kind == "name" and not spelling.isascii():
            spelling = unicodedata.normalize("NFKC", spelling)  # one character stays one character for all accepted ones
        token = Token(kind, spelling, start, place)
        _require_accepted(token, text)
        tokens.append(token)
    tokens.append(Token("end", "", len(text), len(text)))
    return tokens


def readable(text: str) -> str:
    """`text` with a mark in place of each character that no terminal should get: lone surrogates, control characters."""
    return text if text.isprintable() else "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)


def _require_accepted(token: Token, text: str) -> None:
    column = token.start + 1
    if token.kind == "number" and _PROGRAMMERS_NUMBER.match(text, token.start):
        raise ExpressionError(
            f"the number at column {column} is in a programming language's spelling; accepted are digits with a"
            " point or an exponent: 1000, 1.5, 1e3",
            readable(text),
            column,
        )
    longest = MAX_NAME_CHARACTERS if token.kind == "name" else MAX_NUMBER_CHARACTERS
    if len(token.text) > longest:
        raise ExpressionError(
            f"the {token.kind} at column {column} has {len(token.text)} characters; at most {longest} are accepted",
            readable(text),
            column,
        )


def _unexpected_character(text: str, place: int) -> ExpressionError:
    found, instead = instead_of_sign(text, place)
    return ExpressionError(f"{found} at column {place + 1}; {instead}", readable(text), place + 1)
