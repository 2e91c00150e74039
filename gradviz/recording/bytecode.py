"""Reads from the bytecode after a call what the user's code does with its result: the variable that it is assigned to.

Unlike a dictionary of locals it is exact where a name is bound again and again (`h = layer(h)`), and reading it costs
nothing while the code runs.
"""

from __future__ import annotations

import dis
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import CodeType

from gradviz.recording.instructions import instructions_after, instructions_of, once_per_place
from gradviz.recording.placing import TENSORS_OWN, Placed, placed

Frames = tuple[tuple[CodeType, int], ...]
_GIVING = ("LOAD_CONST", "LOAD_SMALL_INT", "KW_NAMES", "PRECALL")
"""Instructions between an argument and the call that takes it, where all other arguments are constants."""
_CALLING = ("CALL", "CALL_KW")
_KEEPING = ("bfloat16", "contiguous", "cpu", "cuda", "double", "float", "half", "to", "type", "type_as")
"""Methods of a tensor that return the tensor itself where it is as they would make it."""
_UNUSED = ("_",)


@once_per_place
def assigned_names(code: CodeType, offset: int) -> tuple[str, ...]:
    """The names that the result of the instruction at `offset` is assigned to, in order; () where it is not assigned.

    Two names for `a, b = f(x)`, one for `y = f(x)`, `self.y = f(x)` and `y: Tensor = f(x)`. `y = z = f(x)` gives the first.
    """
    following = instructions_after(code, offset)
    if not following:
        return ()
    first = following[0]
    if first.opname == "UNPACK_SEQUENCE":
        names = list(islice(_stored(following[1:]), first.arg or 0))
        return tuple(names) if len(names) == first.arg else ()
    if first.opname == "SWAP":  # `o.p, o.q = f(x), g(x)`: the last result lies on top and is stored after the others
        names = list(islice(_stored_by_all(following[1:]), first.arg or 0))
        return tuple(names[-1:]) if len(names) == first.arg else ()
    if first.opname == "COPY":
        following = following[1:]
    return tuple(islice(_stored(following), 1))


@once_per_place
def held_names(code: CodeType, offset: int) -> tuple[str, ...]:
    """The `assigned_names` of a result, or of what stands for it: that of `f(x)` and its own copy in `y = f(x).float()`."""
    while not (names := assigned_names(code, offset)) and (kept := _kept_by(code, offset)):
        offset = kept[0]
    return names


@once_per_place
def names_around(code: CodeType, offset: int) -> tuple[str, ...]:
    """The name that the call right around the instruction at `offset` is assigned to.

    `w = nn.Parameter(torch.ones(3))` and `w = torch.ones(3).requires_grad_()` give `w`.
    """
    following = instructions_after(code, offset)
    called = next((place for place, step in enumerate(following) if not _is_giving(step)), len(following))
    is_call = called < len(following) and following[called].opname in _CALLING
    return tuple(islice(_stored(following[called + 1 :]), 1)) if is_call else ()


def _is_giving(step: dis.Instruction) -> bool:
    return step.opname in _GIVING or (step.opname in ("LOAD_METHOD", "LOAD_ATTR") and step.argval == "requires_grad_")


@once_per_place
def is_in_loop(code: CodeType, offset: int) -> bool:
    """Whether the instruction at `offset` may run again within one call of its function."""
    return any(start <= offset <= end for start, end in _loops(code, 0))


@once_per_place
def bound_in_loops(code: CodeType, _: int) -> frozenset[str]:
    """The variables that are bound again each time that a loop goes round."""
    loops = _loops(code, 0)
    inside = (step for step in instructions_of(code, 0)[0] if any(start <= step.offset <= end for start, end in loops))
    return frozenset(step.argval for step in inside if step.opname.startswith("STORE_") and step.opname != "STORE_ATTR")


@once_per_place
def source_line(code: CodeType, offset: int) -> str:
    """`file.py:12` for the instruction at `offset`; a notebook cell gives its own file name."""
    line = next(islice(code.co_positions(), offset // 2, None), (None,))[0] or code.co_firstlineno
    return f"{Path(code.co_filename).name}:{line}"


def result_names(frames: Frames) -> Iterator[tuple[str, ...]]:
    """The names that the result of a call gets, frame by frame: where a function returns it, its caller's name follows."""
    for code, offset in frames:
        names, is_returned, place = _fate(code, offset)
        if names:
            yield names
        elif not is_returned:
            if place is not None:
                yield (place.name,)
            return


def first_names(frames: Frames, count: int, called: Collection[tuple[int, int]] = ()) -> tuple[str, ...]:
    """Of the `result_names` of a call with `count` results the first that fit them, "_" apart; () where none do.

    What is written into a part of a tensor, `y[0] = f(x)`, is not called after it.

    Args:
        frames: of the call.
        count: how many results it has.
        called: id of the code, and place in it, of each call that was recorded: `y = f(x).float()` names the result of `f`
            where `.float()` ran nothing.
    """
    for code, offset in frames:  # not over result_names: resuming a generator for each call costs as much again
        names, is_returned, place = _fate(code, offset)
        while not names and not is_returned and (kept := _kept_by(code, offset)):
            if any((id(code), between) in called for between in range(*kept)):
                break
            offset = kept[0]
            names, is_returned, place = _fate(code, offset)
        if names:
            if (len(names) == 1 or len(names) == count) and names != _UNUSED:
                return names
        elif not is_returned:
            if place is not None and (id(code), place.offset) not in called:  # else that wrote it into a tensor
                return (place.name,)
            break
    return ()


@once_per_place
def _loops(code: CodeType, _: int) -> list[tuple[int, int]]:
    """The first and the last instruction of each loop."""
    return [(step.argval, step.offset) for step in instructions_of(code, 0)[0] if "JUMP_BACKWARD" in step.opname]


@once_per_place
def _kept_by(code: CodeType, offset: int) -> tuple[int, int] | None:
    """Where the result of the instruction at `offset` is itself asked for a copy that it may be already: `f(x).to(dtype)`.

    Returns:
        the offset of that call, and of what follows on it; None where another thing is done with the result.
    """
    following = instructions_after(code, offset)
    if not following or following[0].opname not in ("LOAD_METHOD", "LOAD_ATTR") or following[0].argval not in _KEEPING:
        return None
    others = (place for place, step in enumerate(following) if not (_is_giving(step) or step.opname.startswith("LOAD_")))
    called = next(others, len(following))
    if called + 1 >= len(following) or following[called].opname not in _CALLING:
        return None
    return following[called].offset, following[called + 1].offset


def _stored(instructions: Sequence[dis.Instruction]) -> Iterator[str]:
    """Names stored by the instructions at the start of a sequence, up to the first one that does something else."""
    for place, step in enumerate(instructions):
        if step.opname in ("STORE_FAST", "STORE_NAME", "STORE_GLOBAL", "STORE_DEREF"):
            yield str(step.argval)
        elif step.opname.startswith("LOAD_") and [i.opname for i in instructions[place + 1 : place + 2]] == ["STORE_ATTR"]:
            if (attribute := str(instructions[place + 1].argval)) not in TENSORS_OWN:
                yield attribute  # `self.y = ...` loads `self` first
            return
        else:
            return


def _stored_by_all(instructions: Sequence[dis.Instruction]) -> Iterator[str]:
    """Names stored one after the other, attributes of loaded objects among them."""
    rest = list(instructions)
    while rest:
        attribute = len(rest) > 1 and rest[0].opname.startswith("LOAD_") and rest[1].opname == "STORE_ATTR"
        names = list(islice(_stored(rest[:2] if attribute else rest[:1]), 1))
        if not names:
            return
        yield names[0]
        rest = rest[2 if attribute else 1 :]


@once_per_place
def _fate(code: CodeType, offset: int) -> tuple[tuple[str, ...], bool, Placed | None]:
    """What the result of the instruction at `offset` is assigned to, whether the next one returns it, else where it goes."""
    following = instructions_after(code, offset)
    names, is_returned = assigned_names(code, offset), bool(following) and following[0].opname.startswith("RETURN")
    return names, is_returned, None if names or is_returned else placed(code, offset)
