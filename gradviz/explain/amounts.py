"""What a graph holds -> terms: tensors, shapes, local partials, and the name of what is differentiated."""

from __future__ import annotations

import math

import sympy as sp
import torch
from torch import Tensor

from gradviz.explain.terms import Formula, Norm, Number, Numbers, Term, Words
from gradviz.explain.text import term_text
from gradviz.graph import GradGraph, Use
from gradviz.standin import is_kept
from gradviz.view.notation import shape_text
from gradviz.view.summary import is_opaque, norm

WRITTEN_OUT = 4
"""How many elements a vector may have that is written out in a caption."""
SHOWN = 9
"""How many elements a vector or a matrix may have that is written out on a page."""
LOSS = "L"
"""What the explained quantity is called where it is not simply the output."""
SAME = 1e-5
"""How far a float32 may lie from the decimal number that was meant, relative to it."""


def is_written_out(tensor: Tensor) -> bool:
    """Whether `amount` writes every element: of a single number, or a short vector."""
    return tensor.numel() == 1 or (tensor.ndim == 1 and tensor.numel() <= WRITTEN_OUT)


def is_shown(tensor: Tensor) -> bool:
    """Whether `shown` writes every element: of a single number, a short vector or a small matrix."""
    return tensor.numel() == 1 or (tensor.ndim in (1, 2) and 0 < tensor.numel() <= SHOWN and not is_opaque(tensor))


def amount(tensor: Tensor) -> Term:
    """A single number, or a short vector written out; a larger tensor's norm stands for it, see `amount_of`."""
    return _elements(tensor) if is_written_out(tensor) else _norm(tensor)


def shown(tensor: Tensor) -> Term:
    """The same, with more elements written out, and in matrices too."""
    return _elements(tensor) if is_shown(tensor) else _norm(tensor)


def shown_of(sign: Term, tensor: Tensor) -> tuple[Term, Term]:
    """(what is equal, its number): the sign itself where the tensor is written out by `shown`, else its norm."""
    return (sign if is_shown(tensor) else Norm(sign)), shown(tensor)


def amount_of(sign: Term, tensor: Tensor) -> tuple[Term, Term]:
    """(what is equal, its number): the sign itself where the tensor is written out, else its norm."""
    return (sign if is_written_out(tensor) else Norm(sign)), amount(tensor)


def factor_of(use: Use) -> tuple[Term, Number]:
    """A local partial between single numbers: as formula, where there is one, and as number.

    A formula that is that number stands for itself.
    """
    assert use.partial is not None
    number = Number(float(use.partial))
    formula = use.partial.formula
    if not isinstance(formula, sp.Expr) or formula.is_Matrix or is_same(formula, number):
        return number, number
    return Formula(formula), number


def is_same(formula: sp.Expr, number: Number) -> bool:
    """Whether a formula is a number and nothing else, and that number: 3 or 1.01, but not π or 1 + y."""
    if not formula.is_Number or isinstance(number.value, complex):
        return False
    return math.isclose(float(formula), number.value, rel_tol=SAME if formula.is_Float else 0.0)


def shape_word(shape: tuple[int, ...]) -> Term:
    """A shape in the place of what has it."""
    return Words(shape_text(shape))


def without_repeats(sides: list[Term]) -> tuple[Term, ...]:
    """The sides of an equation, of those that read the same as the one before only the last.

    >>> without_repeats([Words("a"), Formula(sp.Integer(2)), Number(2.0)])
    (Words(text='a'), Number(value=2.0, digits=4))
    """
    following = [*map(term_text, sides[1:]), None]
    return tuple(side for side, after in zip(sides, following, strict=True) if term_text(side) != after)


def loss_name(graph: GradGraph) -> str:
    """The name of the output where the backward pass starts from 1 at a single number, else `LOSS`."""
    return LOSS if graph.loss is None else graph.output_name(*graph.loss)


def _elements(tensor: Tensor) -> Number | Numbers:
    return Number(tensor.item()) if tensor.numel() == 1 else _rows(tensor)


def _rows(tensor: Tensor) -> Numbers:
    return Numbers(tuple(_rows(row) if row.ndim else Number(row.item()) for row in tensor))


def _norm(tensor: Tensor) -> Number:
    return Number(float(torch.linalg.vector_norm(tensor)) if is_kept(tensor) else norm(tensor))
