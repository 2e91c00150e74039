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
    is_numeric,
    numbers_in,
)


def with_blanks(derivation: Derivation) -> Derivation:
    """What can be worked out becomes a blank; the answers stand at the end.

    Sentences that give them away are left out, but of the paths, where they say what is asked for; why a gradient is zero or
    not finite stands with the answers. Sides that are nothing but numbers are left out: they are answers to other blanks.
    """
    places = count(1)
    blanks: list[Blank] = []
    zeros: set[int] = set()

    def blank(number: Number | Numbers) -> Blank:
        blanks.append(Blank(next(places), number))
        return blanks[-1]

    def asked(line: Line, everywhere: bool) -> Line:
        if isinstance(line, Equation) and line.remark.endswith(say.ROUNDED):  # which gives the answer away
            question = asked(replace(line, remark=line.remark.removesuffix(say.ROUNDED).removesuffix("; ")), everywhere)
            zeros.add(len(blanks))
            return question
        if everywhere:
            return changed_numbers(line, blank)
        if not isinstance(line, Equation) or _is_given(line):
            return line
        last = line.sides[-1]
        sides = [side for side in line.sides[:-1] if not is_numeric(side)]
        return replace(line, sides=(*sides, blank(last))) if isinstance(last, Number | Numbers) else line

    sections = []
    for section in derivation.sections:
        if section.heading == say.WHY:
            continue
        everywhere = section.heading in (say.PATHS, say.SUM)
        kept = section.lines if section.heading == say.PATHS else [line for line in section.lines if not _gives_away(line)]
        lines = tuple(asked(line, everywhere) for line in kept)
        sections.append(replace(section, lines=lines))
    remarks = dict.fromkeys(zeros, say.ROUNDED)
    key: list[Line] = [say.answer(blank.place, blank.answer, remarks.get(blank.place, "")) for blank in blanks]
    key += [line for section in derivation.sections if section.heading == say.WHY for line in section.lines]
    return replace(derivation, sections=(*sections, Section(heading=say.ANSWERS, lines=tuple(key))))


def _is_given(equation: Equation) -> bool:
    """`x = 2` only tells a number."""
    return len(equation.sides) == 2 and isinstance(equation.sides[0], Name)


def _gives_away(line: Line) -> bool:
    """A sentence with numbers in it."""
    return not isinstance(line, Equation) and bool(numbers_in(line))
