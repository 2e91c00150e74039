"""Derivation -> Markdown with `$...$` formulas, as notebooks and KaTeX read it."""

from __future__ import annotations

import re

from gradviz.explain.latex import line_latex, term_latex
from gradviz.explain.terms import Derivation, Equation, Line, Section


def derivation_markdown(derivation: Derivation) -> str:
    """The whole explanation; equations stand in displays."""
    title = [f"## {_sentence(derivation.title)}"] if derivation.title else []
    return "\n\n".join([*title, *map(_section, derivation.sections)]) + "\n"


def _section(section: Section) -> str:
    heading = [f"### {_escaped(section.heading)}"] if section.heading else []
    return "\n\n".join([*heading, *map(_line, section.lines)])


def _line(line: Line) -> str:
    return f"$$\n{line_latex(line)}\n$$" if isinstance(line, Equation) else _sentence(line)


def _sentence(line: Line) -> str:
    if isinstance(line, Equation):
        return f"${line_latex(line)}$"
    return "".join(_escaped(part) if isinstance(part, str) else f"${term_latex(part)}$" for part in line)


def _escaped(text: str) -> str:
    """Plain text that Markdown leaves alone.

    >>> print(_escaped("a_b costs $5 <b>"))
    a\\_b costs \\$5 \\<b>
    """
    return re.sub(r"([\\`*_$<\[\]#|])", r"\\\1", text)
