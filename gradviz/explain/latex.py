"""Derivation -> LaTeX: a document that compiles as it is, and formulas that KaTeX reads too."""

from __future__ import annotations

import re

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
    Stop,
    Sum,
    Term,
    Transposed,
    Way,
    Words,
)
from gradviz.explain.text import is_compound
from gradviz.symbolic import formula_latex
from gradviz.view.notation import SUPERSCRIPT, number_text

SIGNS = {"times": r" \cdot ", "elementwise": r" \odot ", "matrix": r"\,"}
PREAMBLE = r"""\documentclass{article}
\usepackage{amsmath}
\usepackage{amssymb}
\usepackage[margin=2cm]{geometry}
\allowdisplaybreaks
\raggedright
\begin{document}
"""
END = "\n\\end{document}\n"

_WORD = re.compile(
    r"(?P<name>[^\W\dᵀ⁰¹²³⁴-⁹](?:[^\Wᵀ⁰¹²³⁴-⁹]|[.…])*)|(?P<space>\s+)|(?P<power>[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)|(?P<sign>.)", re.DOTALL
)
MATH_SIGNS = {
    "·": r" \cdot ",
    "−": "-",
    "@": r"\, ",
    "√": r"\surd ",
    "Σ": r"\sum ",
    "Π": r"\prod ",
    "σ": r"\sigma ",
    "π": r"\pi ",
    "ᵀ": r"^{\top}",
    "≥": r" \ge ",
    "≤": r" \le ",
    "≠": r" \ne ",
    "∞": r"\infty ",
    "←": r" \leftarrow ",
    "…": r"\ldots ",
    "⋯": r"\cdots ",
    "×": r" \times ",
    "{": r"\{",
    "}": r"\}",
    "_": r"\_",
    "^": r"\hat{\ }",
    "\\": r"\backslash ",
}
_ELEMENT = re.compile(r"\\mathrm\{(?P<name>[^{}\[\]]+)\[(?P<index>[\d, ]+)\]\}")
_FROM_SUPERSCRIPT = {superscript: chr(plain) for plain, superscript in ((c, chr(s)) for c, s in SUPERSCRIPT.items())}
_FROM_SUPERSCRIPT["⁻"] = "-"
_FUNCTIONS = {"cos", "cosh", "exp", "log", "max", "min", "sin", "sinh", "tan", "tanh"}
_TEXT_SIGNS = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "→": r"$\to$",
    "∂": r"$\partial$",
    "−": "$-$",
    "…": r"\ldots{}",
}
_DOCUMENT_LINE = 100


def derivation_latex(*derivations: Derivation) -> str:
    """A whole document of one explanation or several, for `pdflatex` and its kin; it needs amsmath and amssymb only."""
    return PREAMBLE + "\n\n".join(map(_body, derivations)) + END


def line_latex(line: Line) -> str:
    """A sentence as LaTeX text with `$...$`; an equation as mathematics without them.

    >>> line_latex(Equation(sides=(Derivative(Name("c"), Name("a")), Name("z"), Number(3.0))))
    '\\\\frac{\\\\partial c}{\\\\partial a} = z = 3'
    """
    if isinstance(line, Equation):
        return " = ".join(map(term_latex, line.sides)) + _beside(line)
    return "".join(_escaped(part) if isinstance(part, str) else f"${term_latex(part)}$" for part in line)


def term_latex(term: Term) -> str:
    """One term in math mode."""
    match term:
        case Name(text, index):
            below = f"_{{{', '.join(map(str, index))}}}" if index else ""
            return f"{{{_name(text)}}}{below}" if below else _name(text)
        case Number(value, digits):
            return _number(value, digits)
        case Numbers((Numbers(), *_) as rows):
            lines = (" & ".join(map(term_latex, row.values)) for row in rows if isinstance(row, Numbers))
            return r"\begin{bmatrix}" + r" \\ ".join(lines) + r"\end{bmatrix}"
        case Numbers(values):
            return rf"\left[{', '.join(map(term_latex, values))}\right]"
        case Norm(inner):
            return rf"\left\lVert {term_latex(inner)} \right\rVert"
        case Blank(place):
            return rf"\underline{{\qquad}}\,({place})"
        case Words(text):
            return _words(text)
        case Formula(expression):
            return _ELEMENT.sub(_element, formula_latex(expression))
        case Derivative(head, tail, fixed):
            written = rf"\frac{{\partial {term_latex(head)}}}{{\partial {term_latex(tail)}}}"
            return rf"\left.{written}\right|_{{{_words(fixed)}}}" if fixed else written
        case Product(factors, how):
            return SIGNS[how].join(map(_factor, factors))
        case Sum(terms):
            return _sum(terms)
        case Negative(inner):
            return f"-{_factor(inner)}"
        case Transposed(inner):
            return f"{{{_factor(inner, always=isinstance(inner, Derivative))}}}^{{\\top}}"
        case Applied(function, arguments, below):
            under = f"_{{{_words(below)}}}" if below else ""
            return rf"\operatorname{{{_name_text(function)}}}{under}\left({', '.join(map(term_latex, arguments))}\right)"
        case Way(stops):
            return r" \to ".join(r"\cdots" if stop is None else _stop(stop) for stop in stops)


def _stop(stop: Stop) -> str:
    return _name(stop.name) + (rf"\ \text{{{_escaped(stop.remark)}}}" if stop.remark else "")


def _element(found: re.Match[str]) -> str:
    """`x[0, 2]`, which is one symbol in a formula, with its index below."""
    return f"{{{_name(found['name'])}}}_{{{found['index']}}}"


def _body(derivation: Derivation) -> str:
    title = f"\\section*{{{line_latex(derivation.title)}}}\n\n" if derivation.title else ""
    return title + "\n\n".join(map(_section, derivation.sections))


def _section(section: Section) -> str:
    parts = [rf"\subsection*{{{_escaped(section.heading)}}}"] if section.heading else []
    equations: list[str] = []
    for line in section.lines:
        if isinstance(line, Equation):
            equations.append(_aligned_equation(line))
            continue
        parts += _aligned(equations)
        parts.append(rf"\par {line_latex(line)}")
    parts += _aligned(equations)
    return "\n".join(parts)


def _aligned(equations: list[str]) -> list[str]:
    """The equations collected so far as one display, and an empty list for those to come."""
    if not equations:
        return []
    display = "\\begin{align*}\n" + " \\\\\n".join(equations) + "\n\\end{align*}"
    equations.clear()
    return [display]


def _aligned_equation(equation: Equation) -> str:
    """`a &= b = c`; a long chain goes on below its first sign."""
    first, *others = map(term_latex, equation.sides)
    text, room = first, _DOCUMENT_LINE - len(first)
    for place, side in enumerate(others):
        breaks = place > 0 and len(side) > room
        text += (" \\\\" if breaks else "") + ("\n    &" if place == 0 or breaks else " ") + f"= {side}"
        room = (_DOCUMENT_LINE if breaks else room) - len(side)
    return text + _beside(equation)


def _beside(equation: Equation) -> str:
    """The shapes and the remark, to the right of an equation."""
    shapes = " = ".join(map(term_latex, equation.shapes))
    text = rf" \qquad {shapes}" if shapes else ""
    return text + (rf" \qquad \text{{{_escaped(equation.remark)}}}" if equation.remark else "")


def _sum(terms: tuple[Term, ...]) -> str:
    text = term_latex(terms[0])
    for term in terms[1:]:
        if isinstance(term, Negative):
            text += f" - {_factor(term.term)}"
        else:
            written = term_latex(term)
            text += rf" + \left({written}\right)" if written.startswith("-") else f" + {written}"
    return text


def _factor(term: Term, *, always: bool = False) -> str:
    written = term_latex(term)
    compound = always or is_compound(term) or written.startswith("-")
    return rf"\left({written}\right)" if compound else written


def _number(value: float | int | complex, digits: int = 4) -> str:
    r"""`1.2 \cdot 10^{-5}` where Python writes 1.2e-05.

    >>> print(_number(1.2e-5), _number(-2.0), _number(float("inf")))
    1.2 \cdot 10^{-5} -2 \infty
    """
    if isinstance(value, bool):
        return rf"\text{{{value}}}"
    text = number_text(value, digits).replace("−", "-").replace("∞", r"\infty").replace("NaN", r"\text{NaN}")
    return re.sub(r"e([+-])0*(\d+)", lambda power: rf" \cdot 10^{{{power[1].strip('+')}{power[2]}}}", text)


def _words(text: str) -> str:
    """A call as on pictures, token by token."""
    found = ""
    for token in _WORD.finditer(text):
        if token["name"]:
            found += MATH_SIGNS.get(token["name"]) or _function_or_name(token["name"], text[token.end() :])
        elif token["power"]:
            found += f"^{{{''.join(_FROM_SUPERSCRIPT[sign] for sign in token['power'])}}}"
        elif token["space"]:
            found += " "
        else:
            sign = token["sign"]
            found += MATH_SIGNS.get(sign) or (rf"\{sign}" if sign in "#$%&" else sign)
    return found


def _name(text: str) -> str:
    """A name as a symbol; a sub-expression that serves as a name is written as one."""
    return formula_latex(sp.Symbol(text)) if re.fullmatch(r"[\w.]+", text) else _words(text)


def _function_or_name(word: str, rest: str) -> str:
    """`sin` before a parenthesis as LaTeX sets it; any other word as a symbol."""
    return f"\\{word} " if word in _FUNCTIONS and rest.startswith("(") else formula_latex(sp.Symbol(word))


def _name_text(function: str) -> str:
    return function.replace("_", r"\_")


def _escaped(text: str) -> str:
    """Plain text for LaTeX."""
    escaped = re.sub(r"[#$%&_{}]|\\|~|\^|→|∂|−|…", lambda sign: _TEXT_SIGNS.get(sign[0], rf"\{sign[0]}"), text)
    return escaped
