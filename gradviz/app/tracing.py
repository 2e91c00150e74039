"""Text and typed values -> a traced and checked graph, kept for a while and shared by all visitors.

What is kept is never changed. The bounds here keep the work for one request small, whatever is typed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradviz
from gradviz.app.kept import Kept, graph_bytes
from gradviz.app.shown import TIME_LIMIT_S, Shown
from gradviz.expression import Expression, parse, postorder, to_tensor, typed_value

MAX_TEXT = 1_000
MAX_VALUE = 2_000
"""Characters of the expression, and of the value of one variable."""
MAX_TYPED = 20_000
"""Characters that are read at all: what is longer than accepted is refused with a sentence, not cut or passed over."""
MAX_OPERATIONS = 300
MAX_ELEMENTS = 400
"""Numbers in all variables together."""
MAX_GRAPH_BYTES = 32 * 2**20
KEPT_BYTES = 256 * 2**20

Values = tuple[tuple[str, str], ...]
"""(variable, value as typed)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced(Shown):
    """The graph of an expression, and what was traced: the text, and the values of its variables."""

    text: str
    at: Mapping[str, Any]


def read_expression(text: str) -> Expression:
    """The expression, unless it is longer than the app traces at once.

    Raises:
        ExpressionError: the text cannot be read.
        InputError: it is too long.
    """
    if len(text) > MAX_TEXT:
        raise gradviz.InputError(f"the text has {len(text):,} characters; accepted: up to {MAX_TEXT:,}")
    expression = parse(text)
    operations = sum(len(postorder(value)) for _, value in expression.statements)
    if operations > MAX_OPERATIONS:
        raise gradviz.InputError(f"the expression has {operations:,} parts; accepted here: up to {MAX_OPERATIONS:,}")
    return expression


def read_value(name: str, text: str) -> Any:
    """The value of a variable: a number, a vector or a matrix.

    Raises:
        InputError: it is none of these, or too long.
    """
    if not text.strip():
        raise gradviz.InputError("there is no value; write a number such as 2 or 1/2, or a list such as [1, 2]")
    if len(text) > MAX_VALUE:
        raise gradviz.InputError(f"the value has {len(text):,} characters; accepted: up to {MAX_VALUE:,}")
    value = typed_value(text)
    if _depth(value) > 2:
        raise gradviz.InputError("accepted here: a number, a list of numbers or a list of rows")
    to_tensor(value, name)  # refuses what is not finite, empty or ragged
    return value


def traced(text: str, values: Values) -> Traced:
    """The graph of an expression.

    Raises:
        GradvizError: the text, a value or the shapes are not accepted.
    """
    return _kept.get((text, values), lambda: _traced(text, values))


_kept = Kept[Traced](KEPT_BYTES, lambda found: graph_bytes(found.graph))


def _traced(text: str, values: Values) -> Traced:
    read_expression(text)
    at = {name: read_value(name, written) for name, written in values}
    elements = sum(map(_elements, at.values()))
    if elements > MAX_ELEMENTS:
        raise gradviz.InputError(f"the variables have {elements:,} numbers together; accepted here: up to {MAX_ELEMENTS:,}")
    graph = gradviz.trace(text, at=at, device="cpu")
    if (size := graph_bytes(graph)) > MAX_GRAPH_BYTES:
        told = f"the values of this expression take {size / 2**20:,.0f} MiB"
        raise gradviz.InputError(f"{told}; accepted here: up to {MAX_GRAPH_BYTES // 2**20:,}")
    return Traced(key=repr((text, values)), text=text, at=at, graph=graph, report=graph.check(time_limit_s=TIME_LIMIT_S))


def _depth(value: Any) -> int:
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


def _elements(value: Any) -> int:
    return sum(map(_elements, value)) if isinstance(value, list) else 1
