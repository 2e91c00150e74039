"""A place in the code -> the instructions there, read once for each place.

CPython 3.13 has instructions that load or store two variables at once; they are read as the two that they stand for.
"""

from __future__ import annotations

import bisect
import dis
from collections.abc import Callable
from functools import wraps
from types import CodeType
from typing import TypeVar

Result = TypeVar("Result")
_PARTS = {
    "LOAD_FAST_LOAD_FAST": ("LOAD_FAST", "LOAD_FAST"),
    "STORE_FAST_LOAD_FAST": ("STORE_FAST", "LOAD_FAST"),
    "STORE_FAST_STORE_FAST": ("STORE_FAST", "STORE_FAST"),
}
_SILENT = ("CACHE", "EXTENDED_ARG", "NOP")


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
    instructions = [part for step in dis.get_instructions(code) if step.opname not in _SILENT for part in parts_of(step)]
    return instructions, [step.offset for step in instructions]


def parts_of(step: dis.Instruction) -> list[dis.Instruction]:
    """The instructions of a single variable each that one of two stands for, in order; any other itself."""
    names = _PARTS.get(step.opname)
    if names is None:
        return [step]
    parts = zip(names, step.argval, strict=True)
    return [step._replace(opname=name, opcode=dis.opmap[name], argval=variable) for name, variable in parts]


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
