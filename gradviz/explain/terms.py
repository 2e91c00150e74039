"""The parts that an explanation is written with: mathematics as values, before anything is text, LaTeX or MathML.

A term is a small tree. Whoever writes one (`text.py`, `latex.py`, `html.py`) decides about signs and parentheses;
whoever makes one decides what is true. A sentence is plain words with terms between them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import sympy as sp

Multiplied = Literal["times", "elementwise", "matrix"]


@dataclass(frozen=True, slots=True)
class Name:
    """A value by its name, or one of its elements, at places or at letters that stand for any."""

    text: str
    index: tuple[int | str, ...] = ()


@dataclass(frozen=True, slots=True)
class Number:
    """A number; it is written with at most that many significant digits."""

    value: float | int | complex
    digits: int = 4


@dataclass(frozen=True, slots=True)
class Numbers:
    """The elements of a short vector, or the rows of a small matrix."""

    values: tuple[Number | Numbers, ...]


@dataclass(frozen=True, slots=True)
class Norm:
    """The Euclidean norm of all elements of a term."""

    term: Term


@dataclass(frozen=True, slots=True)
class Blank:
    """What a reader is to fill in: the answer is kept for the key."""

    place: int
    answer: Number | Numbers


@dataclass(frozen=True, slots=True)
class Words:
    """A recorded call as it stands on pictures, `x·y` or `b + x @ W`."""

    text: str


@dataclass(frozen=True, slots=True)
class Formula:
    """A sympy expression in the names of the graph."""

    expression: sp.Basic


@dataclass(frozen=True, slots=True)
class Derivative:
    """The sign ∂head/∂tail.

    Attributes:
        fixed: what a local partial holds fixed, where the total derivative has the same head and tail.
    """

    head: Name
    tail: Name
    fixed: str = ""


@dataclass(frozen=True, slots=True)
class Product:
    """Factors, multiplied as numbers, element by element, or as matrices."""

    factors: tuple[Term, ...]
    how: Multiplied = "times"


@dataclass(frozen=True, slots=True)
class Sum:
    """Terms, added; a `Negative` among them is subtracted."""

    terms: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Negative:
    """Minus a term."""

    term: Term


@dataclass(frozen=True, slots=True)
class Transposed:
    """A matrix with its last two axes swapped."""

    term: Term


@dataclass(frozen=True, slots=True)
class Applied:
    """A function by its name, with what stands below it: `sum` to a shape, `reshape` to a shape."""

    function: str
    arguments: tuple[Term, ...]
    below: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """A node on a path by its name, and where it reads the node before it several times, as which argument."""

    name: str
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Way:
    """A path by its nodes; None stands for some that are left out."""

    stops: tuple[Stop | None, ...]


@dataclass(frozen=True, slots=True)
class Equation:
    """What is equal, from left to right.

    Attributes:
        sides: two or more terms.
        shapes: the first two sides with shapes in the place of names; () where there is nothing to say.
        remark: a few words at the end.
    """

    sides: tuple[Term, ...]
    shapes: tuple[Term, ...] = ()
    remark: str = ""


Term: TypeAlias = (
    Name
    | Number
    | Numbers
    | Norm
    | Blank
    | Words
    | Formula
    | Derivative
    | Product
    | Sum
    | Negative
    | Transposed
    | Applied
    | Way
)
Sentence: TypeAlias = tuple[str | Term, ...]
Line: TypeAlias = Equation | Sentence
Change: TypeAlias = Callable[[Number | Numbers], Number | Numbers | Blank]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Some lines under one heading."""

    heading: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Derivation:
    """A whole explanation, from its title to its last line."""

    title: Sentence
    sections: tuple[Section, ...]


def product(factors: Sequence[Term], how: Multiplied = "times") -> Term:
    """The product without factors that are exactly 1, which nobody writes.

    >>> product([Number(1), Name("y")])
    Name(text='y', index=())
    """
    left = [factor for factor in factors if not _is_one(factor)]
    if not left:
        return factors[0] if factors else Number(1)
    return left[0] if len(left) == 1 else Product(tuple(left), how)


def total(terms: Sequence[Term]) -> Term:
    """The sum, or the one term."""
    return terms[0] if len(terms) == 1 else Sum(tuple(terms))


def is_numeric(term: Term) -> bool:
    """Whether a term is nothing but numbers: `9 · 0.5`.

    >>> is_numeric(Product((Number(9), Number(0.5)))), is_numeric(Product((Number(9), Name("x"))))
    (True, False)
    """
    if isinstance(term, Product):
        return all(map(is_numeric, term.factors))
    if isinstance(term, Sum):
        return all(map(is_numeric, term.terms))
    if isinstance(term, Negative):
        return is_numeric(term.term)
    return isinstance(term, Number | Numbers)


def numbers_in(line: Line) -> list[float | int | complex]:
    """Every number of a line, from left to right."""
    found: list[float | int | complex] = []

    def note(number: Number | Numbers) -> Number | Numbers:
        for one in number.values if isinstance(number, Numbers) else ():
            note(one)
        if isinstance(number, Number):
            found.append(number.value)
        return number

    changed_numbers(line, note)
    return found


def changed_numbers(line: Line, change: Change) -> Line:
    """The line with each number, and each short vector of numbers, replaced."""
    if isinstance(line, Equation):
        return replace(line, sides=tuple(_changed(side, change) for side in line.sides))
    return tuple(part if isinstance(part, str) else _changed(part, change) for part in line)


def _changed(term: Term, change: Change) -> Term:
    if isinstance(term, (Number, Numbers)):
        return change(term)
    if isinstance(term, Product):
        return replace(term, factors=tuple(_changed(factor, change) for factor in term.factors))
    if isinstance(term, Sum):
        return Sum(tuple(_changed(part, change) for part in term.terms))
    if isinstance(term, (Negative, Norm, Transposed)):
        return replace(term, term=_changed(term.term, change))
    if isinstance(term, Applied):
        return replace(term, arguments=tuple(_changed(argument, change) for argument in term.arguments))
    return term


def _is_one(term: Term) -> bool:
    return (isinstance(term, Number) and term.value == 1) or (isinstance(term, Formula) and term.expression == 1)
