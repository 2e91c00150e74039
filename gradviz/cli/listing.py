"""GradGraph -> text for the terminal: the values, the local partials and the gradients, a table each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor

from gradviz.check.formulas import edge_name
from gradviz.errors import PartialError
from gradviz.graph import GradGraph, Use
from gradviz.moves import moved_as
from gradviz.partials import LocalPartial
from gradviz.symbolic import formula_text
from gradviz.view.calls import call_text
from gradviz.view.notation import number_text, shorten
from gradviz.view.summary import value_lines

ROWS = 60
PARTIALS = ("partial", "formula", "number", "contribution")
LEAST_FORMULA_LENGTH = 20
CUT = "cut: "


def listing(graph: GradGraph, columns: float = math.inf) -> str:
    """What was traced, as text. Long graphs are cut in the middle of each table; what is left out is counted.

    Formulas are cut where the table of partials would get wider than `columns`.

    >>> import torch
    >>> from gradviz.tracing import trace
    >>> x, y = torch.tensor(2.0, requires_grad=True), torch.tensor(3.0, requires_grad=True)
    >>> print(listing(trace(lambda: x * y)))  # doctest: +ELLIPSIS
    value  call  forward  cotangent  line
    ─────  ────  ───────  ─────────  ...
    x            2        3
    y            3        2
    a      x·y   6        1          ...
    <BLANKLINE>
    partial  formula  number  contribution
    ───────  ───────  ──────  ────────────
    ∂a/∂x    y        3       3
    ∂a/∂y    x        2       2
    <BLANKLINE>
    gradient
    ────────  ─
    ∂a/∂x     3
    ∂a/∂y     2
    """
    values = [_value_row(graph, node) for node in graph]
    uses = [use for node in graph for use in graph.arguments_of(node) if use.partial is not None or use.cut]
    output = graph.nodes[graph.output]["name"]
    gradients = [
        (f"∂{output}/∂{shorten(name, 30)}", "none reached it" if gradient is None else _text(gradient))
        for name, gradient in graph.gradients().items()
    ]
    partials = _fitting([_edge_row(graph, use) for use in _ends(uses)], columns)
    tables = [
        table(("value", "call", "forward", "cotangent", "line"), values),
        table(PARTIALS, partials, len(uses)),
        table(("gradient", ""), gradients),
    ]
    return "\n\n".join([*tables, *([f"Kept as statistics: {graph.not_kept}"] if graph.not_kept else [])])


def table(header: Sequence[str], rows: Sequence[Sequence[str]], total: int | None = None) -> str:
    """Columns under a header; a column without anything in it is left out.

    Args:
        header: one title per column.
        rows: all rows, or the two ends of a longer list.
        total: how many rows there are in all, where `rows` holds only the ends.
    """
    shown = list(_ends(rows))
    kept = [place for place in range(len(header)) if place == 0 or any(row[place] for row in shown)]
    lines = [[row[place] for place in kept] for row in (header, *shown)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["─" * width for width in widths])
    missing = (len(rows) if total is None else total) - len(shown)
    texts = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    if missing:
        texts.insert(2 + len(shown) // 2, f"... {missing} more; --json has all")
    return "\n".join(texts)


def _ends(rows: Sequence[Any]) -> Iterator[Any]:
    """All rows, or the first and last of very many."""
    yield from rows if len(rows) <= ROWS else (*rows[: ROWS // 2], *rows[-ROWS // 2 :])


def _value_row(graph: GradGraph, node: int) -> tuple[str, ...]:
    attributes = graph.nodes[node]
    value, cotangent = graph.value(node), graph.cotangent(node)
    return (
        shorten(attributes["name"], 30),
        _call(graph, node),
        attributes["value_missing"] if value is None else _text(value),
        "" if cotangent is None else _text(cotangent),
        attributes["source"],
    )


def _call(graph: GradGraph, node: int) -> str:
    attributes = graph.nodes[node]
    if attributes["kind"] != "op":
        return ""
    operands = {use.edge[2]: graph.output_name(use.edge[0], use.output) for use in graph.arguments_of(node)}
    return call_text(attributes["op"], operands, attributes["call"])


def _fitting(rows: list[tuple[str, ...]], columns: float) -> list[tuple[str, ...]]:
    """Rows of partials whose formulas leave room for the other columns; why there is none is told in full."""
    widths = [max(map(len, column)) for column in zip(PARTIALS, *rows, strict=True)]
    room = max(LEAST_FORMULA_LENGTH, min(columns - (sum(widths) - widths[1] + 2 * (len(widths) - 1)), widths[1]))
    return [
        (name, formula if formula.startswith(CUT) else shorten(formula, int(room)), *rest) for name, formula, *rest in rows
    ]


def _edge_row(graph: GradGraph, use: Use) -> tuple[str, ...]:
    name = edge_name(graph, use.edge)
    if use.partial is None:
        return (name, f"{CUT}{use.cut}", "", "")
    formula = use.partial.formula
    written = "" if formula is None else formula_text(formula)
    if written == "1" and math.prod(use.partial.in_shape) > 1:  # said of one element, it would be read as the whole
        written = moved_as(graph.nodes[use.edge[1]]["op"]) or written
    return (name, written, _number(use.partial), "" if use.contribution is None else _text(use.contribution))


def _number(partial: LocalPartial) -> str:
    """The partial itself where it is one number, else its shape."""
    try:
        if partial.out_shape == partial.in_shape == ():
            return number_text(float(partial))
        return f"{list(partial.out_shape)} x {list(partial.in_shape)}"
    except PartialError as refusal:
        return str(refusal)


def _text(value: Tensor) -> str:
    """The number, the elements, or dtype, shape and statistics, on one line."""
    lines = value_lines(value.detach())
    return lines[1] if len(lines) > 1 and lines[1].startswith("[") else "  ".join(lines)
