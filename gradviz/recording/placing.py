"""Follows a result over the stack of the bytecode after it: into which place of a container, or which variable, it goes.

    losses["kl"] = f(x)     losses["kl"]        losses = {"mse": f(x), "kl": g(x)}  losses["mse"], losses["kl"]
    self.h[0] = f(x)        h[0]                terms = [f(x), g(x)]                terms[0], terms[1]
    outs.append(f(x))       outs_1, outs_2, ... a, b = f(x), g(x)                   a, b
    sums[key] += f(x)       sums[key]

A key that is a variable is written as the code writes it. How many items a list had before nothing here tells, so that what
is appended is numbered. What is neither of these, as what another call or sum takes, has no place.
"""

from __future__ import annotations

import dis
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import CodeType
from typing import Any

from gradviz.recording.instructions import instructions_after, instructions_up_to, once_per_place

APPENDED = "+"
"""Ends the name of what is appended to a container: it is to be numbered from 1."""
TENSORS_OWN = ("data", "grad")
"""Attributes of tensors themselves: what is assigned to them is not called by them."""
_LONGEST = 40
_BELOW = 8
"""What the code may take from below the result, as `losses[key] += f(x)` does, without our knowing it."""
_ONE_OF_TWO = ("BINARY_OP", "COMPARE_OP", "IS_OP", "CONTAINS_OP")
_NOTHING = ("PRECALL", "KW_NAMES", "RESUME")
_STORES = ("STORE_FAST", "STORE_NAME", "STORE_GLOBAL", "STORE_DEREF")
_LOADS = ("LOAD_FAST", "LOAD_NAME", "LOAD_GLOBAL", "LOAD_DEREF", "LOAD_FAST_BORROW", "LOAD_FAST_CHECK")
_RESULT = object()
"""Stands on the stack for what is followed."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a result goes.

    Attributes:
        name: of the variable, or of the place in a container; one that ends in `APPENDED` is to be numbered.
        offset: of the instruction that puts it there, which writes where the container is a tensor.
    """

    name: str
    offset: int


@once_per_place
def placed(code: CodeType, offset: int) -> Placed | None:
    """Where the result of the instruction at `offset` goes; None where the code does something else with it."""
    return _Stack(code, offset).followed()


class _Stack:
    """What the instructions after a result find on the stack: the text of what is loaded, or None."""

    def __init__(self, code: CodeType, offset: int) -> None:
        self._code, self._offset = code, offset
        self._items: list[Any] = [*[None] * _BELOW, _RESULT]
        self._path: list[str] = []  # in the containers that were built around the result

    def followed(self) -> Placed | None:
        for step in instructions_after(self._code, self._offset):
            name = self._name_at(step)
            if name is not None or not any(item is _RESULT for item in self._items):
                whole = "".join([name or "", *self._path])
                return Placed(whole, step.offset) if name and len(whole) <= _LONGEST else None
        return None

    def _name_at(self, step: dis.Instruction) -> str | None:
        """The name that the result gets here; "" where it is lost, None where it is still on the stack."""
        kind, count = step.opname, step.arg or 0
        if kind in _STORES:
            return str(step.argval) if self._popped(1)[0] is _RESULT else None
        if kind == "STORE_ATTR":
            name = "" if step.argval in TENSORS_OWN else str(step.argval)
            return name if self._popped(2)[0] is _RESULT else None
        if kind == "STORE_SUBSCR":
            value, container, key = self._popped(3)
            if container is None and key is None:
                container, key = self._updated()
            return _item(container, key) if value is _RESULT else None
        if kind in ("CALL", "CALL_KW"):
            taken = self._popped(count + (3 if kind == "CALL_KW" else 2))  # with the names of keywords
            self._items.append(None)
            return self._appended_to() if count == 1 and taken[-1] is _RESULT and not self._path else None
        return None if self._moves(step, kind, count) or self._builds(kind, count) else ""

    def _moves(self, step: dis.Instruction, kind: str, count: int) -> bool:
        """Follows an instruction that loads, computes or exchanges; whether it is one."""
        if kind in _NOTHING:
            return True
        if kind in _LOADS:
            self._items += [*[None] * (dis.stack_effect(step.opcode, step.arg) - 1), str(step.argval)]
        elif kind in ("LOAD_CONST", "LOAD_SMALL_INT"):
            self._items.append(_written(step.argval))
        elif kind == "PUSH_NULL":
            self._items.append(None)
        elif kind in ("LOAD_ATTR", "LOAD_METHOD"):
            self._popped(1)
            self._items += [str(step.argval), *[None] * dis.stack_effect(step.opcode, step.arg)]
        elif kind == "BINARY_SUBSCR":
            self._items.append(_item(*self._popped(2)) or None)
        elif kind in _ONE_OF_TWO or kind.startswith("UNARY_"):
            self._popped(2 if kind in _ONE_OF_TWO else 1)
            self._items.append(None)
        elif kind == "COPY" and count <= len(self._items):
            self._items.append(self._items[-count])
        elif kind == "SWAP" and count <= len(self._items):
            self._items[-1], self._items[-count] = self._items[-count], self._items[-1]
        elif kind == "POP_TOP":
            self._popped(1)
        else:
            return False
        return True

    def _builds(self, kind: str, count: int) -> bool:
        """Follows an instruction that builds a container, or takes one apart; whether it is one."""
        if kind in ("BUILD_LIST", "BUILD_TUPLE"):
            self._build(self._popped(count), [f"[{place}]" for place in range(count)])
        elif kind == "BUILD_CONST_KEY_MAP" and len(self._items) > count:
            keys = self._popped(1)[0]
            self._build(self._popped(count), [f"[{key}]" if key else "" for key in map(_written, keys)])
        elif kind == "UNPACK_SEQUENCE" and self._items[-1] is _RESULT and self._path:
            self._popped(1)
            first = self._path.pop(0)
            self._items += [_RESULT if f"[{place}]" == first else None for place in reversed(range(count))]
        else:
            return False
        return True

    def _build(self, items: list[Any], paths: Sequence[str]) -> None:
        path = next((path for item, path in zip(items, paths, strict=True) if item is _RESULT), "")
        if path:
            self._path.insert(0, path)
        self._items.append(_RESULT if path else None)

    def _popped(self, count: int) -> list[Any]:
        """What is taken off the stack; where it would be more than is known of it, nothing is followed any more."""
        if count > len(self._items):
            self._items = []
            return [None] * count
        taken = self._items[len(self._items) - count :]
        del self._items[len(self._items) - count :]
        return taken

    def _updated(self) -> tuple[str | None, str | None]:
        """The container and the key of `container[key] += ...`, which are loaded before the result is computed."""
        steps = instructions_up_to(self._code, self._offset)
        for place in range(len(steps) - 4):
            if [step.opname for step in steps[place : place + 3]] == ["BINARY_SUBSCR", "COPY", "COPY"]:
                return _loaded(steps[place + 4]), _loaded(steps[place + 3])
        return None, None

    def _appended_to(self) -> str:
        """The container to which the call after the result appends it, to be numbered; "" where that call is another."""
        height = 0
        for step, before in pairwise(instructions_up_to(self._code, self._offset)):
            if "JUMP" in step.opname:
                return ""
            height += dis.stack_effect(step.opcode, step.arg)
            if height == 1 and before.opname in ("LOAD_METHOD", "LOAD_ATTR") and before.argval == "append":
                return self._owner(before)
        return ""

    def _owner(self, method: dis.Instruction) -> str:
        (_, owner, *_) = instructions_up_to(self._code, method.offset)
        name = str(owner.argval) if owner.opname in (*_LOADS, "LOAD_ATTR") else ""
        return name and name + APPENDED


def _item(container: Any, key: Any) -> str:
    """`container[key]` as the code writes it; "" where that is not known."""
    return f"{container}[{key}]" if isinstance(container, str) and isinstance(key, str) else ""


def _loaded(step: dis.Instruction) -> str | None:
    if step.opname in ("LOAD_CONST", "LOAD_SMALL_INT"):
        text = _written(step.argval)
        return text if isinstance(text, str) else None
    return str(step.argval) if step.opname in (*_LOADS, "LOAD_ATTR") else None


def _written(value: Any) -> Any:
    """A constant as the code writes it where it can be a key; a tuple, which may hold keys, as it is."""
    if type(value) is str:
        return f'"{value}"' if value.isprintable() and '"' not in value else None
    return str(value) if type(value) is int else value if type(value) is tuple else None
