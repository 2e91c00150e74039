"""Syntax tree -> text: the canonical spelling, which reads back as the same tree, and the pretty one for labels.

Both are composed bottom-up, child texts first, so that `evaluate` can label every sub-expression without printing
it anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from gradviz.expression.nodes import BinaryOp, Call, Comparison, Constant, Node, Number, UnaryOp, Variable, postorder

COMPARISON, SUM, PRODUCT, UNARY, POWER, ATOM = range(6)
_PRECEDENCE = {"+": SUM, "-": SUM, "*": PRODUCT, "/": PRODUCT, "@": PRODUCT, "^": POWER}
_PRETTY_COMPARISON = {"<=": "≤", ">=": "≥", "!=": "≠"}
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class Piece(NamedTuple):
    """A printed sub-expression and how tightly its outermost operator binds."""

    text: str
    precedence: int


def canonical(node: Node) -> str:
    """The text that `parse` reads back as the same tree.

    >>> from gradviz.expression import parse
    >>> canonical(parse("2x²/(y z)").result)
    '2*x^2/(y*z)'
    """
    return _compose_all(node, canonical_piece)


def pretty(node: Node) -> str:
    """The text for people.

    >>> from gradviz.expression import parse
    >>> pretty(parse("sigmoid(A@x + b)^2*pi").result)
    'σ(A@x + b)²·π'
    """
    return _compose_all(node, pretty_piece)


def _compose_all(root: Node, compose: Callable[[Node, Sequence[Piece]], Piece]) -> str:
    pieces: list[Piece] = []
    for node in postorder(root):
        first = len(pieces) - len(node.children)
        pieces[first:] = [compose(node, pieces[first:])]
    return pieces[0].text


def canonical_piece(node: Node, parts: Sequence[Piece]) -> Piece:
    """The canonical text of `node`, given those of its children."""
    match node:
        case Number():
            return Piece(repr(node.value), ATOM)
        case Constant() | Variable():
            return Piece(node.name, ATOM)
        case UnaryOp():
            return Piece(f"-{_within(parts[0], POWER)}", UNARY)
        case BinaryOp(operator="^"):
            exponent = _within(parts[1], POWER)
            if exponent == "T":  # `x^T` is the transpose
                exponent = "(T)"
            return Piece(f"{_within(parts[0], ATOM)}^{exponent}", POWER)
        case BinaryOp(operator=operator):
            precedence = _PRECEDENCE[operator]
            sign = f" {operator} " if precedence == SUM else operator
            return Piece(f"{_within(parts[0], precedence)}{sign}{_on_the_right(parts[1], precedence + 1)}", precedence)
        case Comparison():
            return Piece(f"{_within(parts[0], SUM)} {node.operator} {_within(parts[1], SUM)}", COMPARISON)
        case Call():
            return Piece(f"{node.function}({', '.join(part.text for part in parts)})", ATOM)


def pretty_piece(node: Node, parts: Sequence[Piece]) -> Piece:
    """The text of `node` for people, given those of its children."""
    match node:
        case Constant(name="pi"):
            return Piece("π", ATOM)
        case BinaryOp(operator="*"):
            return Piece(f"{_within(parts[0], PRODUCT)}·{_on_the_right(parts[1], UNARY)}", PRODUCT)
        case BinaryOp(operator="^", right=Number(value=int()) | UnaryOp(operand=Number(value=int()))):
            return Piece(f"{_within(parts[0], ATOM)}{parts[1].text.translate(_SUPERSCRIPT)}", POWER)
        case Comparison(operator=operator) if operator in _PRETTY_COMPARISON:
            return Piece(f"{_within(parts[0], SUM)} {_PRETTY_COMPARISON[operator]} {_within(parts[1], SUM)}", COMPARISON)
        case Call(function="sigmoid"):
            return Piece(f"σ({parts[0].text})", ATOM)
        case Call(function="transpose"):
            return Piece(f"{_within(parts[0], ATOM)}ᵀ", ATOM)
        case Call(function="abs" | "norm") if len(parts) == 1 and not set(parts[0].text) & set("|‖"):
            bar = "|" if node.function == "abs" else "‖"
            return Piece(f"{bar}{parts[0].text}{bar}", ATOM)
    return canonical_piece(node, parts)


def _within(piece: Piece, least: int) -> str:
    """In parentheses where it binds less tightly than its place needs."""
    return piece.text if piece.precedence >= least else f"({piece.text})"


def _on_the_right(piece: Piece, least: int) -> str:
    """As `_within`, and never a sign after a sign: `x - (-y)`."""
    return f"({piece.text})" if piece.text.startswith("-") else _within(piece, least)
