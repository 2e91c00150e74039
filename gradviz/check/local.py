"""The edges into a recorded aten call, against the call's symbolic truth.

- Elementwise calls and data movements of many elements: all of them at once, and the whole VJP of a random cotangent, in
  which an entry that should be zero would show.
- Every other call: row by row of its Jacobian, all rows where it is small, else a sample of rows with the differences of the
  whole map beside it. The sampled rows are checked in full as one random sum of them, where the truth can be had at once;
  else, and where that does not fit, one by one, and of long rows only some columns.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradviz.check.arrays import Index, as_array, is_good, length_of
from gradviz.check.draws import drawn_cotangent
from gradviz.check.heads import EdgeUnderCheck, HeadUnderCheck, rows_into, vjps_into
from gradviz.check.judge import Comparison
from gradviz.check.kinks import element_between, kinked_elements
from gradviz.check.places import EDGE, PlacesBeside, beside_of
from gradviz.check.probe import Sampled, probe_whole_maps, seen_in
from gradviz.check.rows import columns_to_look_at, compare_row
from gradviz.opcall import OpCall
from gradviz.symbolic import Reference, Row, WideValues, exact_array, reference, unit_roundoff
from gradviz.symbolic.rounding import smallest

DENSE_UP_TO = 4096
"""Jacobians of at most this many elements are checked in full."""
ROWS_UP_TO = 4
"""Elementwise calls of at most this many elements go row by row: less work than arrays."""
LONG_ROW = 4096
"""Of longer rows, columns are sampled: those where autograd's row is not zero, and some others."""
COLUMNS = 64
TOO_LONG = 10_000_000
"""Per element of the output: of longer rows none is looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much to look at, and the random numbers to choose with.

    Attributes:
        samples: rows per output of a large Jacobian.
        random: drawn from in a fixed order.
    """

    samples: int
    random: torch.Generator

    def cotangent(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Random numbers of size 1/2 to 1 and either sign, exact in `dtype`, or in that of the parts of a complex one."""
        return drawn_cotangent(shape, dtype, self.random)

    def choose(self, count: int, size: int) -> list[int]:
        """`count` different numbers below `size`, in order."""
        if count >= size:
            return list(range(size))
        drawn = torch.randint(size, (4 * count + 16,), generator=self.random).tolist()
        return sorted(list(dict.fromkeys(drawn))[:count])


def check_call(head: HeadUnderCheck, call: OpCall, plan: Plan) -> None:
    """Compares every edge of `head` with the truth about `call`.

    Raises:
        NoRule: there is no symbolic truth about this call.
        PartialError: the autograd node can no longer be asked.
    """
    for place in head.outputs:
        edges = [edge for edge in head.edges if place in edge.partials]
        for edge in head.edges:
            if place not in edge.partials and place not in head.constants:
                edge.comparison.doubt(f"autograd does not say which of its outputs output {place} is")
        if edges:
            _check_output(head, call, place, edges, plan)


def _check_output(head: HeadUnderCheck, call: OpCall, place: int, edges: list[EdgeUnderCheck], plan: Plan) -> None:
    truth = head.truth()
    numel = math.prod(head.shape(place))
    for edge in edges:
        if not numel * edge.in_numel:  # a Jacobian without elements
            edge.comparison.method = "symbolic"
    edges = [edge for edge in edges if numel * edge.in_numel]
    if not edges:
        return
    if truth.outputs[place] is None:
        for edge in edges:
            edge.comparison.doubt(f"output {place} of {call.op} has no symbolic rule")
        return
    if truth.method == "pointwise" and numel > ROWS_UP_TO:
        for edge in edges:
            _check_elementwise(head, truth, call, place, edge, plan)
        return
    dense = [edge for edge in edges if edge.in_numel * numel <= DENSE_UP_TO]
    if dense:
        _check_rows(head, truth, call, place, dense, None, plan)
    sampled = [edge for edge in edges if edge.in_numel * numel > DENSE_UP_TO]
    if truth.method == "movement":
        for edge in sampled:
            _check_whole_vjp(head, truth, place, edge, plan, counts=True)
    elif sampled:
        _check_sampled(head, truth, call, place, sampled, plan)


def _check_elementwise(
    head: HeadUnderCheck, truth: Reference, call: OpCall, place: int, edge: EdgeUnderCheck, plan: Plan
) -> None:
    """The diagonal in full where shapes agree; else the Jacobian where it is small; always the whole VJP."""
    comparison, partial = edge.comparison, edge.partials[place]
    numel = math.prod(partial.out_shape)
    comparison.method = "symbolic"
    true = truth.pointwise_partial(edge.position)
    comparison.overflowed |= truth.overflowed
    got: NDArray[np.float64] | None = None
    if partial.in_shape == partial.out_shape:
        ones = torch.ones(partial.out_shape, dtype=torch.float64)
        got = as_array(partial.vjp(ones))
    elif edge.in_numel * numel <= DENSE_UP_TO and np.isfinite(true.value).all():  # else 0 * inf would make NaN of a row
        got = _broadcast_diagonal(as_array(partial.jacobian()), partial.in_shape, partial.out_shape, comparison)
    if got is not None:
        value, bound = kinked_elements(call, edge.position, got, true, comparison)
        comparison.elements(got, value, bound)
        comparison.checked += numel
        comparison.total += numel
    if got is None:
        _check_whole_vjp(head, truth, place, edge, plan, counts=True)
    elif not true.kinks and partial.in_shape == partial.out_shape:
        _compare_off_diagonal(edge, place, true, plan)
    elif not true.kinks:
        _check_whole_vjp(head, truth, place, edge, plan, counts=False)


def _compare_off_diagonal(edge: EdgeUnderCheck, place: int, true: WideValues, plan: Plan) -> None:
    """The VJP of a random cotangent: an entry beside the diagonal, if torch had one, would show in it."""
    partial = edge.partials[place]
    cotangent = plan.cotangent(partial.out_shape, edge.comparison.dtype)
    weight = as_array(cotangent)
    with np.errstate(all="ignore"):
        value = true.value * weight
        size = np.abs(value).astype(np.float64)
        dtype = edge.comparison.dtype
        bound = true.bound * np.abs(weight) + 4 * (unit_roundoff(dtype) * size + smallest(dtype))
    edge.comparison.elements(as_array(partial.vjp(cotangent)), value, bound, of="VJP")


def _broadcast_diagonal(
    dense: NDArray[np.float64], in_shape: tuple[int, ...], out_shape: tuple[int, ...], comparison: Comparison
) -> NDArray[np.float64]:
    """The elements of a broadcast argument's Jacobian that may differ from zero, in the shape of the output."""
    columns = np.broadcast_to(np.arange(math.prod(in_shape)).reshape(in_shape), out_shape).reshape(-1)
    rows = np.arange(math.prod(out_shape))
    matrix = dense.reshape(len(rows), -1)
    picked = matrix[rows, columns]
    if np.count_nonzero(matrix) != np.count_nonzero(picked):
        comparison.wrong("torch's Jacobian is not zero where an output element does not depend on an input element")
    return np.asarray(picked.reshape(out_shape))


def _check_whole_vjp(
    head: HeadUnderCheck, truth: Reference, place: int, edge: EdgeUnderCheck, plan: Plan, *, counts: bool
) -> None:
    """The VJP of a random cotangent, all elements; every entry of the Jacobian has a part in it."""
    comparison, partial = edge.comparison, edge.partials[place]
    comparison.method = "symbolic"
    value = head.outputs[place]
    dtype = comparison.dtype if value is None else value.dtype
    cotangent = plan.cotangent(partial.out_shape, dtype)
    cotangents: list[Tensor | None] = [None] * len(truth.outputs)
    cotangents[place] = cotangent
    true = truth.full_vjp(edge.position, cotangents)
    comparison.overflowed |= truth.overflowed
    if true.kinks:
        comparison.kinks |= dict.fromkeys(true.kinks)
        comparison.note(f"on a kink: {', '.join(true.kinks)}")
    got = as_array(partial.vjp(cotangent))
    bound = np.where(true.kink, np.abs(got) + 1, true.bound) if true.kinks else true.bound
    comparison.elements(got, true.value, bound, of="VJP")
    if counts:
        comparison.checked += edge.in_numel
        comparison.total += edge.in_numel


def _check_rows(
    head: HeadUnderCheck,
    truth: Reference,
    call: OpCall,
    place: int,
    edges: list[EdgeUnderCheck],
    chosen: Sequence[Index] | None,
    plan: Plan,
) -> list[Row]:
    """Rows of the local Jacobian, all or the chosen ones, for several edges in one sweep each; the true ones come back."""
    shape = head.shape(place)
    indices = list(np.ndindex(*shape)) if chosen is None else list(chosen)
    if len(edges) < len(truth.inputs):  # the others as constants: a bias has one partial per row, a weight has hundreds
        truth = reference(call, chosen={edge.position: frozenset(np.ndindex(*edge.in_shape)) for edge in edges})
    rows = [(index, truth.row(index, output=place)) for index in indices]
    beside = beside_of(call)
    dense = {edge.position: as_array(edge.partials[place].jacobian()) for edge in edges if chosen is None and len(rows) > 1}
    if truth.method == "pointwise":  # a row of a Jacobian that holds infinity is NaN elsewhere: 0 × ∞
        infinite = [edge for edge in edges if dense and not np.isfinite(dense[edge.position]).all()]
        for edge in infinite:
            _check_elementwise(head, truth, call, place, edge, plan)
        edges = [edge for edge in edges if edge not in infinite]
    for edge in edges:
        edge.comparison.method = "symbolic"
        edge.comparison.overflowed |= truth.overflowed
        edge.comparison.total += edge.in_numel * math.prod(shape)
    for index, row in rows:
        answers = [None] * len(edges) if dense else rows_into(edges, place, index)
        for edge, answer in zip(edges, answers, strict=True):
            got = dense[edge.position][index] if answer is None else as_array(answer)
            _compare_row(edge, call, truth, place, index, got, row, beside)
            edge.comparison.checked += edge.in_numel
    return [row for _, row in rows]


def _compare_row(
    edge: EdgeUnderCheck,
    call: OpCall,
    truth: Reference,
    place: int,
    index: Index,
    got: NDArray[np.float64],
    row: Row,
    beside: PlacesBeside | None,
    columns: Sequence[Index] | None = None,
) -> None:
    def on_kink(column: Index) -> tuple[float, float]:
        if beside is not None:
            return beside.partials(edge.position, column, place, index)
        return element_between(call, edge.position, column, place, index)

    def on_ties() -> Mapping[Index, tuple[float, float]]:
        ranges = truth.ranges(index, output=place)
        return {column: ends for (position, column), ends in ranges.items() if position == edge.position}

    edges = EDGE if beside is not None else ""
    compare_row(
        edge.comparison, index, got, row, edge.position, on_kink=on_kink, on_ties=on_ties, columns=columns, at_edges=edges
    )


def _check_sampled(
    head: HeadUnderCheck, truth: Reference, call: OpCall, place: int, edges: list[EdgeUnderCheck], plan: Plan
) -> None:
    """Some rows of large Jacobians, at once or one by one; beside them differences of the whole map."""
    shape = head.shape(place)
    numel = math.prod(shape)
    flats = plan.choose(plan.samples, numel)
    looked_at = [edge for edge in edges if edge.in_numel <= TOO_LONG * numel]
    sampled = _check_rows_at_once(truth, place, looked_at, flats, plan) if looked_at else {}
    one_by_one = [edge for edge in looked_at if edge.position not in sampled]
    indices = [tuple(int(item) for item in np.unravel_index(flat, shape)) for flat in flats]
    short = [edge for edge in one_by_one if edge.in_numel <= LONG_ROW]
    if short:
        rows = _check_rows(head, truth, call, place, short, indices, plan)
        sampled |= {edge.position: seen_in(rows, edge.position) for edge in short}
    for edge in (edge for edge in one_by_one if edge not in short):
        filled = 0
        rows = []
        for index in indices:
            (got,) = rows_into([edge], place, index)
            filled = max(filled, int(got.count_nonzero()))
            rows.append(_check_long_row(edge, call, place, index, got, plan))
        sampled[edge.position] = seen_in(rows, edge.position, filled)
    for edge in edges:
        edge.comparison.total += 0 if edge in short else numel * edge.in_numel
    cotangent = plan.cotangent(shape, torch.float64)
    probe_whole_maps(edges, truth, call, place, cotangent, vjps_into(edges, place, cotangent), sampled, plan.random)


def _check_rows_at_once(
    truth: Reference,
    place: int,
    edges: list[EdgeUnderCheck],
    flats: Sequence[int],
    plan: Plan,
) -> dict[int, Sampled]:
    """Rows of Jacobians, one random sum of them: every element of each is in it.

    What was seen of those that match comes back, by position. The others are to be looked at row by row, to find out where
    and why; and so are all where there is no truth about such a sum.
    """
    weights = plan.cotangent((len(flats),), edges[0].comparison.dtype).to(torch.float64)
    rows = truth.vjp_at_once(flats, weights.tolist(), output=place)
    if rows is None:
        return {}
    cotangent = torch.zeros(edges[0].partials[place].out_shape, dtype=torch.float64)
    cotangent.view(-1)[flats] = weights
    sampled = {}
    for edge, answer in zip(edges, vjps_into(edges, place, cotangent), strict=True):
        true = rows.get(edge.position)
        got = answer.detach().reshape(-1) if answer.layout is torch.strided else answer.to_dense().reshape(-1)
        picked = as_array(got if true is None else got[torch.from_numpy(true.flats)])
        if true is None or not is_good(picked, true.value, true.bound) or got.count_nonzero() != np.count_nonzero(picked):
            continue
        shape = edge.in_shape

        def index_of(found: Index, flats: NDArray[np.int64] = true.flats, shape: tuple[int, ...] = shape) -> Index:
            return tuple(int(item) for item in np.unravel_index(flats[found], shape))

        edge.comparison.overflowed |= truth.overflowed
        edge.comparison.elements(picked, true.value, true.bound, of="VJP", place=index_of)
        edge.comparison.method = "symbolic"
        edge.comparison.checked += len(flats) * edge.in_numel
        edge.comparison.step(f"{len(flats)} rows as one random sum")
        size, bound = length_of(true.value.astype(np.float64)), length_of(true.bound)
        sampled[edge.position] = Sampled(rows=len(flats), reached=len(true.flats), size=size, bound=bound)
    return sampled


def _check_long_row(edge: EdgeUnderCheck, call: OpCall, place: int, index: Index, row: Tensor, plan: Plan) -> Row:
    """The columns where autograd's row is not zero (some of them, if many) and some others; the true row comes back."""
    got = exact_array(row if row.layout is torch.strided else row.to_dense())
    columns = columns_to_look_at(got, plan.choose, COLUMNS)
    truth = reference(call, chosen={edge.position: frozenset(columns)})
    true = truth.row(index, output=place)
    edge.comparison.overflowed |= truth.overflowed
    _compare_row(edge, call, truth, place, index, got, true, beside_of(call), columns)
    edge.comparison.method = "symbolic"
    edge.comparison.checked += len(columns)
    return true
