"""A place in the code -> the instructions there, read once for each place."""

from __future__ import annotations

import bisect
import dis
from collections.abc import Callable
from functools import wraps
from types import CodeType
from typing import TypeVar

Result = TypeVar("Result")


def once_per_place(function: Callable[[CodeType, int], Result]) -> Callable[[CodeType, int], Result]:
    """Remembers what a function said of each place in the code. By identity: a code object's own hash reads all of it."""
    said: dict[tuple[int, int], Result] = {}
    kept: dict[int, CodeType] = {}  # so that its id stays its own

    @wraps(function)
    def remembered(code: CodeType, offset: int) -> Result:
        try:
            return said[id(code), offset]
        except KeyError:
            said[id(code), offset] = found = function(code, offset)
            kept[id(code)] = code
            return found

    return remembered


@once_per_place
def instructions_of(code: CodeType, _: int) -> tuple[list[dis.Instruction], list[int]]:
    """All instructions that do something, and where each is."""
    instructions = [step for step in dis.get_instructions(code) if step.opname not in ("CACHE", "EXTENDED_ARG", "NOP")]
    return instructions, [step.offset for step in instructions]


@once_per_place
def instructions_after(code: CodeType, offset: int) -> list[dis.Instruction]:
    """The instructions after the one at `offset`; CPython may report an offset inside the caches of an instruction."""
    instructions, offsets = instructions_of(code, 0)
    place = bisect.bisect_right(offsets, offset)
    while place < len(instructions) and instructions[place].opname == "JUMP_FORWARD":  # `y = f(x) if known else g(x)`
        place = bisect.bisect_left(offsets, instructions[place].argval)
    return instructions[place : place + 40]


def instructions_up_to(code: CodeType, offset: int) -> list[dis.Instruction]:
    """The instructions up to the one at `offset`, backwards: that one first."""
    instructions, offsets = instructions_of(code, 0)
    place = bisect.bisect_right(offsets, offset)
    return instructions[max(0, place - 40) : place][::-1]
