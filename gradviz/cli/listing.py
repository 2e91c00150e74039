"""GradGraph -> text for the terminal: the values, the local partials and the gradients, a table each."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from gradviz.check.formulas import edge_name
from gradviz.errors import PartialError
from gradviz.fitting import cut_end, cut_middle, cut_numbers, distinct
from gradviz.graph import GradGraph, Use
from gradviz.moves import moved_as
from gradviz.partials import LocalPartial
from gradviz.signs import derivative_sign, with_minus_signs
from gradviz.symbolic import formula_text
from gradviz.view.calls import call_text
from gradviz.view.notation import number_text, shape_text, shorten
from gradviz.view.summary import brief_line, has_norm, norm, norm_line, value_lines

VALUES = ("value", "call", "forward", "cotangent", "line")
PARTIALS = ("partial", "formula", "number", "contribution")
GRADIENTS = ("gradient", "")
NUMBERS = ("forward", "cotangent", "number", "contribution", "")
LEAST_NEEDED = ("line", "call", "contribution")
"""What is left out where there is no room for all columns, first to last."""
LEAST_NAME, SHORTEST_NAME, LEAST = 18, 8, 12
"""How narrow the first column may become, if need be, and any other."""
RANGE, LEAST_NUMBER = 26, 14
"""The width of a shape with a range, and of a norm such as `norm 8.123e−07`."""
CUT = "cut: "
SHORTENED = (
    "Shortened to {columns} columns{without}: of large values shape and range are told, of cotangents and contributions the "
    "norm, and … stands for what is left out. Into a file or a pipe go all rows, as wide as they are."
)
ELSEWHERE = "--all prints them"
"""Where what a long table leaves out is."""
Rows = Sequence[tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One of the tables.

    Attributes:
        header: one title per column.
        rows: in a terminal some of a long table.
        left_out: what is said of those that are not among them, or "".
        place: before which row that is said.
    """

    header: tuple[str, ...]
    rows: Rows
    left_out: str = ""
    place: int = 0


def listing(graph: GradGraph, columns: float = math.inf, rows: float = math.inf) -> str:
    """What was traced, as text.

    Args:
        graph: a graph.
        columns: how wide it may become: a table that would get wider says less of large tensors and cuts long cells, which
            is told.
        rows: how many rows a table may have: of more values and partials stand the first and last ones, of more gradients
            the largest, and how many are left out is told.

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
    tables, left_out, is_short = [], list[str](), False
    for titles, make in ((VALUES, _values), (PARTIALS, _partials), (GRADIENTS, _gradients)):
        shown = make(graph, most=rows, brief=False)
        if _is_wider(shown, columns):
            is_short = True
            shown = _fitting(make(graph, most=rows, brief=True), int(columns))
            left_out += [title for title in titles if title not in shown.header]
        tables.append(table(shown.header, shown.rows, left_out=_filled(shown.left_out, columns), place=shown.place))
    told = [_told(int(columns), left_out)] if is_short else []
    if graph.not_kept:
        kept = f"Kept as statistics: {graph.not_kept}"
        tables.append(_filled(kept, columns))
    return "\n\n".join([*tables, *told])


def _filled(sentence: str, columns: float) -> str:
    return sentence if columns == math.inf else textwrap.fill(sentence, int(columns))


def _told(columns: int, left_out: Sequence[str]) -> str:
    without = f", without {', '.join(left_out)}" if left_out else ""
    return textwrap.fill(SHORTENED.format(columns=columns, without=without), columns)


def _values(graph: GradGraph, *, most: float, brief: bool) -> Table:
    """At most so many values; brief ones say less of large tensors."""
    values = [(node, place) for node, places in graph.nodes(data="outputs") for place in places or (0,)]
    rows = [_value_row(graph, node, place, brief) for node, place in _ends(values, most)]
    return _middle_left_out(VALUES, rows, len(values))


def _partials(graph: GradGraph, *, most: float, brief: bool) -> Table:
    """At most so many uses of a value with their local partials, or why there is none."""
    uses = [use for node in graph for use in graph.arguments_of(node) if use.partial is not None or use.cut]
    rows = [_edge_row(graph, use, brief) for use in _ends(uses, most)]
    return _middle_left_out(PARTIALS, rows, len(uses))


def _gradients(graph: GradGraph, *, most: float, brief: bool) -> Table:
    """At most so many gradients, those of the largest norms, and what is not finite before all."""
    output = graph.nodes[graph.output]["name"]
    gradients = graph.gradients()
    sizes = {name: _size(gradient) for name, gradient in gradients.items()} if len(gradients) > most else {}
    largest = set(sorted(sizes, key=sizes.__getitem__, reverse=True)[: int(min(most, len(sizes)))]) or set(gradients)
    rows = [
        (derivative_sign(output, name), "none reached it" if gradient is None else _gradient_text(gradient, brief))
        for name, gradient in gradients.items()
        if name in largest
    ]
    smaller = {name: size for name, size in sizes.items() if name not in largest}
    return Table(header=GRADIENTS, rows=rows, left_out=_smaller(smaller), place=len(rows))


def _size(gradient: Tensor | None) -> float:
    """Its norm: infinite where it is not finite, 0 where it has no numbers, −1 where there is none."""
    if gradient is None:
        return -1.0
    size = norm(gradient.detach()) if has_norm(gradient) and gradient.numel() else 0.0
    return size if math.isfinite(size) else math.inf


def _smaller(sizes: Mapping[str, float]) -> str:
    """What is said of gradients that are left out for being smaller."""
    if not sizes:
        return ""
    largest, missing = max(sizes.values()), sum(size < 0 for size in sizes.values())
    told = [f"the largest of norm {number_text(largest)}"] if 0 < largest < math.inf else []
    told += [f"{missing} that none reached"] if missing else []
    return f"... {len(sizes)} more{', '.join(['', *told])}; {ELSEWHERE}"


def _middle_left_out(header: tuple[str, ...], rows: Rows, total: int) -> Table:
    left_out = f"... {total - len(rows)} more; {ELSEWHERE}" if total > len(rows) else ""
    return Table(header=header, rows=rows, left_out=left_out, place=len(rows) // 2)


def _is_wider(shown: Table, columns: float) -> bool:
    return _width(_widths(shown)) > columns


def _widths(shown: Table) -> list[int]:
    """How wide each column is; a column without anything below its header is left out, and takes none."""
    columns = zip(*[shown.header, *shown.rows], strict=True)
    return [max(map(len, column)) if place == 0 or any(column[1:]) else 0 for place, column in enumerate(columns)]


def _width(widths: Sequence[int]) -> int:
    return sum(widths) + 2 * (sum(map(bool, widths)) - 1)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, left_out: str = "", place: int = 0) -> str:
    """Columns under a header; a column without anything in it is left out.

    Args:
        header: one title per column.
        rows: all rows, or some of them.
        left_out: a line about the others.
        place: before which row it stands.
    """
    kept = [place for place in range(len(header)) if place == 0 or any(row[place] for row in rows)]
    lines = [[row[place] for place in kept] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["─" * width for width in widths])
    texts = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    if left_out:
        texts.insert(2 + place, left_out)
    return "\n".join(texts)


def _ends(rows: Sequence[Any], most: float) -> Sequence[Any]:
    """All rows, or the first and last of more than `most`."""
    half = int(min(most, len(rows))) // 2
    return rows if len(rows) <= most else (*rows[:half], *rows[-half:])


def _value_row(graph: GradGraph, node: int, place: int, brief: bool) -> tuple[str, ...]:
    attributes = graph.nodes[node]
    value, cotangent = graph.value(node, place), graph.cotangent(node, place)
    return (
        graph.output_name(node, place),
        _call(graph, node),
        attributes["value_missing"] if value is None else brief_line(value) if brief else _text(value),
        "" if cotangent is None else norm_line(cotangent) if brief else _text(cotangent),
        attributes["source"],
    )


def _call(graph: GradGraph, node: int) -> str:
    attributes = graph.nodes[node]
    if attributes["kind"] != "op":
        return ""
    operands = {use.edge[2]: graph.output_name(use.edge[0], use.output) for use in graph.arguments_of(node)}
    return call_text(attributes["op"], operands, attributes["call"])


def _fitting(shown: Table, columns: int) -> Table:
    """The table without the columns for which there is no room, the widest of the others shortened until all fit."""
    shown = _without_columns(shown, columns)
    widths = _widths(shown)
    titles = shown.header
    others = {place: LEAST for place in range(1, len(titles)) if titles[place] not in NUMBERS}
    reasons = {
        place: max([LEAST, *(len(row[place]) for row in shown.rows if row[place].startswith(CUT))]) for place in others
    }
    numbers = {place: LEAST_NUMBER for place in range(1, len(titles)) if titles[place] in NUMBERS}
    ranges, everything = dict.fromkeys(numbers, RANGE), dict.fromkeys(range(len(titles)), 1)
    # what is computed is cut late, and why there is no partial is told in full as long as it can be
    for least in ({0: LEAST_NAME, **reasons}, ranges, {0: LEAST}, others, numbers, {0: SHORTEST_NAME}, everything):
        while _width(widths) > columns and (wide := [place for place in least if widths[place] > least[place]]):
            widths[max(wide, key=widths.__getitem__)] -= 1
    names = distinct([row[0] for row in shown.rows], widths[0], shorten)
    rows = [
        (name, *(_cut(title, cell, width) for title, cell, width in zip(titles[1:], row[1:], widths[1:], strict=True)))
        for name, row in zip(names, shown.rows, strict=True)
    ]
    return replace(shown, header=titles, rows=rows)


def _without_columns(shown: Table, columns: int) -> Table:
    """Without as many of the columns that are least needed as it takes for the others to be legible."""
    for title in LEAST_NEEDED:
        least = [LEAST_NAME, *(RANGE if other in NUMBERS else LEAST for other in shown.header[1:])]
        if title in shown.header and _width(list(map(min, _widths(shown), least))) > columns:
            place = shown.header.index(title)
            header, *rows = ((*row[:place], *row[place + 1 :]) for row in (shown.header, *shown.rows))
            shown = replace(shown, header=header, rows=rows)
    return shown


def _cut(title: str, cell: str, width: int) -> str:
    """Numbers between two of them; a formula without its middle; why there is no partial without its end."""
    if title in NUMBERS and any(map(str.isdigit, cell)):
        return cut_numbers(cell, width)
    return cut_end(cell, width) if cell.startswith(CUT) else cut_middle(cell, width)


def _edge_row(graph: GradGraph, use: Use, brief: bool) -> tuple[str, ...]:
    name = edge_name(graph, use.edge)
    if use.partial is None:
        return (name, f"{CUT}{use.cut}", "", "")
    formula = use.partial.formula
    written = "" if formula is None else with_minus_signs(formula_text(formula))
    if written == "1" and math.prod(use.partial.in_shape) > 1:  # said of one element, it would be read as the whole
        written = moved_as(graph.nodes[use.edge[1]]["op"]) or written
    told = "" if use.contribution is None else norm_line(use.contribution) if brief else _text(use.contribution)
    return (name, written, _number(use.partial), told)


def _gradient_text(gradient: Tensor, brief: bool) -> str:
    told = norm_line(gradient)
    is_norm = brief and told.startswith("norm ")
    return f"{shape_text(gradient.shape)}  {told}" if is_norm else _text(gradient)


def _number(partial: LocalPartial) -> str:
    """The partial itself where it is one number, else its shape."""
    try:
        if partial.out_shape == partial.in_shape == ():
            return number_text(float(partial))
        return f"{list(partial.out_shape)} × {list(partial.in_shape)}"
    except PartialError as refusal:
        return str(refusal)


def _text(value: Tensor) -> str:
    """The number, the elements, or dtype, shape and statistics, on one line."""
    lines = value_lines(value.detach())
    return lines[1] if len(lines) > 1 and lines[1].startswith("[") else "  ".join(lines)
