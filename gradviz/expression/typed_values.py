"""The value of a variable as a person types it -> a number or nested lists of numbers: `2`, `pi/2`, `[[1, 1/2], [3, 4]]`.

A number may be any constant expression of math text, read by its parser; nothing is ever run as Python.
"""

from __future__ import annotations

import re
from typing import Any, Final

import torch

from gradviz.errors import ExpressionError, InputError
from gradviz.expression.evaluation import evaluate
from gradviz.expression.limits import MAX_LIST_DEPTH
from gradviz.expression.parser import parse
from gradviz.expression.tokens import readable

_PLAIN_NUMBER: Final = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,3})?")
_NOT_FINITE: Final = re.compile(r"[-+−]?(nan|inf|infinity|∞)", re.IGNORECASE)
_NEITHER: Final = "neither a number such as 2, 1/2 or 2pi nor a nested list of numbers such as [[1, 2], [3, 0.5]]"


def typed_value(text: str) -> Any:
    """The number, or the nested lists of numbers, that `text` writes.

    Raises:
        InputError: it is neither.

    >>> typed_value("1/2"), typed_value("[[1, 2], [-.5, 2pi]]")
    (0.5, [[1.0, 2.0], [-0.5, 6.283185307179586]])
    """
    return _value(text.strip(), 0)


def _value(text: str, depth: int) -> Any:
    if not text.startswith("["):
        return _number(text)
    if depth == MAX_LIST_DEPTH:
        raise _refused(text, f"lists are nested more than {MAX_LIST_DEPTH} deep")
    if not text.endswith("]"):
        raise _refused(text, "a closing ']' is missing")
    return [_value(item.strip(), depth + 1) for item in _items(text)]


def _items(text: str) -> list[str]:
    """What stands between the outermost brackets, cut at the commas that are in no others."""
    inside = text[1:-1]
    if not inside.strip():
        return []
    items, start, depth = [], 0, 0
    for place, sign in enumerate(inside):
        depth += (sign in "[(") - (sign in "])")
        if depth < 0:
            raise _refused(text, f"'{sign}' closes nothing")
        if sign == "," and depth == 0:
            items.append(inside[start:place])
            start = place + 1
    if depth:
        raise _refused(text, "a closing ']' is missing")
    return [*items, inside[start:]]


def _number(text: str) -> float:
    if _PLAIN_NUMBER.fullmatch(text):
        return float(text)
    if _NOT_FINITE.fullmatch(text):
        raise _refused(text, "write a finite number")
    try:
        expression = parse(text)
    except ExpressionError as error:
        raise _refused(text, str(error)) from error
    if expression.variables:
        raise _refused(text, f"it has the variable {expression.variables[0]}")
    return evaluate(expression, {}).to(torch.float64).item()


def _refused(text: str, why: str) -> InputError:
    shown = text if len(text) <= 60 else f"{text[:60]}…"
    return InputError(f"{readable(shown)!r} is {_NEITHER}: {why}")
