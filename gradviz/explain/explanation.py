"""`Explanation`: one value's chain rule, ready to be read as text, Markdown, LaTeX or HTML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch

from gradviz.errors import InputError
from gradviz.explain import sentences as say
from gradviz.explain.backward import backward_section
from gradviz.explain.chain import compared_paths_section, local_partials_section, product_paths_section
from gradviz.explain.elements import element_section
from gradviz.explain.forward import forward_section
from gradviz.explain.html import derivation_html
from gradviz.explain.latex import derivation_latex
from gradviz.explain.markdown import derivation_markdown
from gradviz.explain.missing import cut_ways, why_none, why_odd
from gradviz.explain.quiz import with_blanks
from gradviz.explain.result import sum_equation, sum_section
from gradviz.explain.terms import Derivation, Line, Section
from gradviz.explain.text import derivation_text
from gradviz.explain.wanted import Wanted, wanted_value
from gradviz.graph import GradGraph

Level = Literal["short", "full", "quiz"]
Format = Literal["text", "markdown", "latex", "html"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """How one gradient comes about. `str()` gives plain text; a notebook shows the Markdown.

    Attributes:
        derivation: title and sections, as values.
    """

    derivation: Derivation

    @property
    def text(self) -> str:
        """For a terminal."""
        return derivation_text(self.derivation)

    @property
    def markdown(self) -> str:
        """With `$...$` formulas."""
        return derivation_markdown(self.derivation)

    @property
    def latex(self) -> str:
        """A document that compiles as it is; its formulas are such that KaTeX reads them too."""
        return derivation_latex(self.derivation)

    @property
    def html(self) -> str:
        """An `<article>` to put into a page, as notebooks do; its formulas are MathML, which browsers set without script."""
        return derivation_html(self.derivation)

    def as_format(self, name: str) -> str:
        """The explanation in one of the formats, by its name.

        Raises:
            InputError: no such format.
        """
        if name not in get_args(Format):
            raise InputError(f"unknown format {name!r}; accepted: {', '.join(get_args(Format))}")
        written: str = getattr(self, name)
        return written

    def __str__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return self.markdown


def explain(
    graph: GradGraph,
    name: str | None = None,
    *,
    level: Level = "full",
    index: int | tuple[int, ...] | None = None,
    top: int = 5,
) -> Explanation:
    """The chain rule written out for one value; see `GradGraph.explain`."""
    if level not in get_args(Level):
        raise InputError(f"unknown level {level!r}; accepted: {', '.join(get_args(Level))}")
    place = _places(index)
    if level == "short" and place is not None:
        raise InputError('an element is not written out on one line; index is for the levels "full" and "quiz"')
    wanted = _only_leaf(graph) if name is None else name
    with torch.no_grad():
        return Explanation(derivation=_derivation(wanted_value(graph, wanted, top), level, place))


def _only_leaf(graph: GradGraph) -> str:
    names = list(graph.leaves)
    if len(names) == 1:
        return names[0]
    known = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    raise InputError(f"the graph has {len(names)} leaves; name one to explain, as in graph.explain({names[0]!r}): {known}")


def _places(index: object) -> tuple[int, ...] | None:
    """An index as one place per axis; a number is that of the only axis."""
    places = index if isinstance(index, tuple) else (index,)
    if index is None or all(isinstance(place, int) and not isinstance(place, bool) for place in places):
        return None if index is None else places
    raise InputError(f"index is {index!r}; accepted: an int, or a tuple of them, one for each axis")


def _derivation(wanted: Wanted, level: Level, index: tuple[int, ...] | None) -> Derivation:
    if not wanted.paths.count:
        lines = why_none(wanted)
        return _untitled(lines) if level == "short" else _why(wanted, lines)
    if level == "short":
        return _untitled([say.short(sum_equation(wanted), wanted.paths.count), *why_odd(wanted)])
    derivation = Derivation(title=say.title(wanted.sign, wanted.paths.count), sections=_sections(wanted, index))
    return with_blanks(derivation) if level == "quiz" else derivation


def _sections(wanted: Wanted, index: tuple[int, ...] | None) -> tuple[Section, ...]:
    if wanted.is_scalar:
        middle = [local_partials_section(wanted), product_paths_section(wanted)]
    else:
        middle = [backward_section(wanted)]
        middle += [compared_paths_section(wanted)] if wanted.paths.count > 1 else []
    if index is not None:
        middle.append(element_section(wanted, index))
    middle.append(Section(heading=say.CUT, lines=tuple(cut_ways(wanted))))
    odd = why_odd(wanted)
    last = [Section(heading=say.WHY, lines=tuple(odd))] if odd else []
    sections = (forward_section(wanted), *middle, sum_section(wanted, index), *last)
    return tuple(section for section in sections if section.lines)


def _why(wanted: Wanted, lines: list[Line]) -> Derivation:
    return Derivation(title=say.title(wanted.sign, 0), sections=(Section(heading=say.WHY, lines=tuple(lines)),))


def _untitled(lines: list[Line]) -> Derivation:
    return Derivation(title=(), sections=(Section(heading="", lines=tuple(lines)),))
