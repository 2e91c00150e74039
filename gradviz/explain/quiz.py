"""A derivation with blanks to fill in, and the key to them."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

from gradviz.explain import sentences as say
from gradviz.explain.terms import (
    Blank,
    Derivation,
    Equation,
    Line,
    Name,
    Number,
    Numbers,
    Section,
    changed_numbers,
    numbers_in,
)


def with_blanks(derivation: Derivation) -> Derivation:
    """What can be worked out becomes a blank; the answers stand at the end.

    Sentences that give them away are left out, but of the paths, where they say what is asked for.
    """
    places = count(1)
    blanks: list[Blank] = []

    def blank(number: Number | Numbers) -> Blank:
        blanks.append(Blank(next(places), number))
        return blanks[-1]

    def asked(line: Line, everywhere: bool) -> Line:
        if everywhere:
            return changed_numbers(line, blank)
        if not isinstance(line, Equation) or _is_given(line):
            return line
        last = line.sides[-1]
        return replace(line, sides=(*line.sides[:-1], blank(last))) if isinstance(last, Number | Numbers) else line

    sections = []
    for section in derivation.sections:
        everywhere = section.heading in (say.PATHS, say.SUM)
        kept = section.lines if section.heading == say.PATHS else [line for line in section.lines if not _gives_away(line)]
        lines = tuple(asked(line, everywhere) for line in kept)
        sections.append(replace(section, lines=lines))
    key: tuple[Line, ...] = tuple(say.answer(blank.place, blank.answer) for blank in blanks)
    return replace(derivation, sections=(*sections, Section(heading=say.ANSWERS, lines=key)))


def _is_given(equation: Equation) -> bool:
    """`x = 2` only tells a number."""
    return len(equation.sides) == 2 and isinstance(equation.sides[0], Name)


def _gives_away(line: Line) -> bool:
    """A sentence with numbers in it."""
    return not isinstance(line, Equation) and bool(numbers_in(line))
