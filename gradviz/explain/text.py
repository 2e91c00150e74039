"""Derivation -> plain text for a terminal."""

from __future__ import annotations

import sympy as sp

from gradviz.explain.terms import (
    Applied,
    Blank,
    Derivation,
    Derivative,
    Equation,
    Formula,
    Line,
    Name,
    Negative,
    Norm,
    Number,
    Numbers,
    Product,
    Section,
    Sum,
    Term,
    Transposed,
    Way,
    Words,
)
from gradviz.signs import MINUS, with_minus_signs
from gradviz.symbolic import formula_text
from gradviz.view.notation import atom_text, number_text

SIGNS = {"times": " · ", "elementwise": " ⊙ ", "matrix": " "}
SUBSCRIPT = dict(zip("0123456789aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ", strict=True))
INDENT = "  "
GAP = "    "


def derivation_text(derivation: Derivation) -> str:
    """The whole explanation, headings above indented lines."""
    parts = [line_text(derivation.title), *map(_section, derivation.sections)]
    return "\n\n".join(part for part in parts if part)


def line_text(line: Line) -> str:
    """One line.

    >>> line_text(Equation(sides=(Derivative(Name("c"), Name("a")), Name("z"), Number(3.0))))
    '∂c/∂a = z = 3'
    """
    if isinstance(line, Equation):
        shapes = " = ".join(map(term_text, line.shapes))
        parts = [" = ".join(map(term_text, line.sides)), shapes, line.remark]
        return GAP.join(part for part in parts if part)
    return "".join(part if isinstance(part, str) else term_text(part) for part in line)


def term_text(term: Term) -> str:
    """One term.

    >>> term_text(Product((Name("x"), Sum((Name("a"), Negative(Number(2.0)))))))
    'x · (a − 2)'
    """
    match term:
        case Name(text, index):
            return text + (f"[{', '.join(map(str, index))}]" if index else "")
        case Number(value, digits):
            return number_text(value, digits)
        case Numbers(values):
            return f"[{', '.join(map(term_text, values))}]"
        case Norm(inner):
            return f"‖{term_text(inner)}‖"
        case Blank(place):
            return f"____ ({place})"
        case Words(text):
            return text
        case Formula(expression):
            return with_minus_signs(formula_text(expression))
        case Derivative(head, tail, fixed):
            return f"∂{_name(head)}/∂{_name(tail)}" + (f"|{_below(fixed)}" if fixed else "")
        case Product(factors, how):
            return SIGNS[how].join(_factor(factor, upright=how == "matrix") for factor in factors)
        case Sum(terms):
            return _sum(terms)
        case Negative(inner):
            return f"{MINUS}{_factor(inner)}"
        case Transposed(inner):
            return f"{_factor(inner, upright=True)}ᵀ"
        case Applied(function, arguments, below):
            return f"{function}{f'→{below}' if below else ''}({', '.join(map(term_text, arguments))})"
        case Way(stops):
            return " → ".join("…" if stop is None else f"{stop.name} {stop.remark}".rstrip() for stop in stops)


def _section(section: Section) -> str:
    if not section.heading:
        return "\n".join(map(line_text, section.lines))
    return "\n".join([section.heading, *(f"{INDENT}{line_text(line)}" for line in section.lines)])


def _name(name: Name) -> str:
    return term_text(name) if name.index else atom_text(name.text)


def _below(text: str) -> str:
    """Subscripts where all letters have one, which b, c and d have not.

    >>> _below("a"), _below("a, c")
    ('ₐ', '_(a, c)')
    """
    if all(sign in SUBSCRIPT for sign in text):
        return "".join(SUBSCRIPT[sign] for sign in text)
    return f"_{text}" if text.isalnum() else f"_({text})"


def _sum(terms: tuple[Term, ...]) -> str:
    text = term_text(terms[0])
    for term in terms[1:]:
        if isinstance(term, Negative):
            text += f" {MINUS} {_factor(term.term)}"
        else:
            written = term_text(term)
            text += f" + ({written})" if written.startswith(MINUS) else f" + {written}"
    return text


def _factor(term: Term, *, upright: bool = False) -> str:
    """A term that can stand beside a multiplication sign; `upright` where a bare slash would be misread."""
    written = term_text(term)
    slash = upright and isinstance(term, Derivative)
    return f"({written})" if slash or is_compound(term) or written.startswith(MINUS) else written


def is_compound(term: Term) -> bool:
    """Whether a term needs parentheses inside a product."""
    if isinstance(term, Formula):
        return isinstance(term.expression, (sp.Add, sp.MatAdd))
    if isinstance(term, Number):
        return isinstance(term.value, complex)
    return isinstance(term, (Sum, Negative))
