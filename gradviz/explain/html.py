"""Derivation -> HTML whose formulas are MathML, which browsers set without any script."""

from __future__ import annotations

import html
import re

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
from gradviz.explain.text import is_compound, term_text
from gradviz.signs import MINUS
from gradviz.view.notation import SUPERSCRIPT

SIGNS = {"times": "<mo>⋅</mo>", "elementwise": "<mo>⊙</mo>", "matrix": '<mspace width="0.2em"/>'}
_TOKEN = re.compile(
    r"(?P<number>\d+(\.\d+)?(e[+−-]\d+)?)|(?P<name>[^\W\dᵀ⁰¹²³⁴-⁹](?:[^\Wᵀ⁰¹²³⁴-⁹]|[.…])*(\[[\d, ]+\])?)|(?P<space>\s+)"
    r"|(?P<power>[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)|(?P<sign>.)",
    re.DOTALL,
)
_FROM_SUPERSCRIPT = {superscript: chr(plain) for plain, superscript in ((c, chr(s)) for c, s in SUPERSCRIPT.items())}


def derivation_html(derivation: Derivation) -> str:
    """One `<article>` with a heading, and a `<section>` for each section; it brings no style of its own."""
    heading = f"<h2>{_sentence(derivation.title)}</h2>\n" if derivation.title else ""
    return f'<article class="gradviz-explanation">\n{heading}{"".join(map(_section, derivation.sections))}</article>\n'


def derivation_page(title: str, *derivations: Derivation) -> str:
    """A whole page, for a file of its own."""
    articles = "".join(map(derivation_html, derivations))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title, quote=False)}</title>\n</head>\n<body>\n{articles}</body>\n</html>\n"
    )


def line_html(line: Line) -> str:
    """An equation as a displayed formula, a sentence as a paragraph."""
    if isinstance(line, Equation):
        written = f'<math displaystyle="true">{_sides(line.sides)}</math>'
        if line.shapes:
            written += f' <math class="shapes">{_sides(line.shapes)}</math>'
        if line.remark:
            written += f' <span class="remark">{html.escape(line.remark)}</span>'
        return f'<p class="equation">{written}</p>'
    return f"<p>{_sentence(line)}</p>"


def _sides(sides: tuple[Term, ...]) -> str:
    return "<mo>=</mo>".join(f"<mrow>{_term(side)}</mrow>" for side in sides)


def _section(section: Section) -> str:
    heading = f"<h3>{html.escape(section.heading)}</h3>\n" if section.heading else ""
    lines = "\n".join(map(line_html, section.lines))
    return f"<section>\n{heading}{lines}\n</section>\n"


def _sentence(line: Line) -> str:
    if isinstance(line, Equation):
        return line_html(line)
    return "".join(html.escape(part) if isinstance(part, str) else f"<math>{_term(part)}</math>" for part in line)


def _term(term: Term) -> str:
    match term:
        case Name(text, index):
            below = f"<mrow><mtext>{', '.join(map(str, index))}</mtext></mrow>"
            return f"<msub><mi>{html.escape(text)}</mi>{below}</msub>" if index else _name(text)
        case Numbers((Numbers(), *_) as rows):
            return f"<mo>[</mo><mtable>{''.join(_row(row) for row in rows if isinstance(row, Numbers))}</mtable><mo>]</mo>"
        case Number() | Numbers() | Words() | Formula():
            return _tokens(term_text(term))
        case Norm(inner):
            return f"<mrow><mo>‖</mo>{_term(inner)}<mo>‖</mo></mrow>"
        case Blank(place):
            return f'<mtext class="blank">____</mtext><mtext>&#8201;({place})</mtext>'
        case Derivative(head, tail, fixed):
            written = f"<mfrac><mrow><mo>∂</mo>{_term(head)}</mrow><mrow><mo>∂</mo>{_term(tail)}</mrow></mfrac>"
            return f"<msub><mrow>{written}<mo>|</mo></mrow><mrow>{_tokens(fixed)}</mrow></msub>" if fixed else written
        case Product(factors, how):
            return SIGNS[how].join(map(_factor, factors))
        case Sum(terms):
            return _sum(terms)
        case Negative(inner):
            return f"<mo>{MINUS}</mo>{_factor(inner)}"
        case Transposed(inner):
            return f"<msup><mrow>{_factor(inner)}</mrow><mo>⊤</mo></msup>"
        case Applied(function, arguments, below):
            name = f"<mi>{html.escape(function)}</mi>"
            name = f"<msub>{name}<mtext>{html.escape(below)}</mtext></msub>" if below else name
            return f"{name}<mo>(</mo>{'<mo>,</mo>'.join(map(_term, arguments))}<mo>)</mo>"
        case Way(stops):
            return "<mo>→</mo>".join("<mo>…</mo>" if stop is None else _stop(stop) for stop in stops)


def _row(row: Numbers) -> str:
    return f"<mtr>{''.join(f'<mtd>{_term(number)}</mtd>' for number in row.values)}</mtr>"


def _stop(stop: Stop) -> str:
    return _name(stop.name) + (f"<mtext>&#160;{html.escape(stop.remark)}</mtext>" if stop.remark else "")


def _sum(terms: tuple[Term, ...]) -> str:
    written = _term(terms[0])
    for term in terms[1:]:
        if isinstance(term, Negative):
            written += f"<mo>{MINUS}</mo>{_factor(term.term)}"
        else:
            written += f"<mo>+</mo>{_factor(term) if term_text(term).startswith(MINUS) else _term(term)}"
    return written


def _factor(term: Term) -> str:
    written = _term(term)
    compound = is_compound(term) or term_text(term).startswith(MINUS)
    return f"<mrow><mo>(</mo>{written}<mo>)</mo></mrow>" if compound else written


def _name(text: str) -> str:
    return f"<mi>{html.escape(text)}</mi>" if re.fullmatch(r"[\w.]+", text) else _tokens(text)


def _tokens(text: str) -> str:
    """A formula on one line, token by token; a power is raised above what stands before it."""
    found: list[str] = []
    for token in _TOKEN.finditer(text):
        if token["power"] and found:
            power = "".join(_FROM_SUPERSCRIPT[sign] for sign in token["power"]).replace("⁻", MINUS)
            found[-1] = f"<msup><mrow>{found[-1]}</mrow><mn>{power}</mn></msup>"
        elif token["number"]:
            digits, _, power = token["number"].partition("e")
            number = f"<mn>{digits}</mn>"
            if power:
                exponent = str(int(power.replace(MINUS, "-"))).replace("-", MINUS)
                number = f"<mrow>{number}<mo>⋅</mo><msup><mn>10</mn><mn>{exponent}</mn></msup></mrow>"
            found.append(number)
        elif token["name"]:
            found.append(f"<mi>{html.escape(token['name'])}</mi>")
        elif token["sign"]:
            found.append(f"<mo>{html.escape(token['sign'])}</mo>")
    return "".join(found)
