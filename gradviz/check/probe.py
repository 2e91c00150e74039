"""The whole map of a large call in one number, beside its sampled rows: every entry of the Jacobian has a part in it.

The number is cotangent · J · tangent, J being the Jacobian of all edges side by side. Autograd's is what it makes of the
cotangent, times the tangent; the true one is the cotangent times the differences of the op along the tangent. Both are
drawn at random, signs included, and neither side's error knows of the other's draw. So what errors e of single elements
add up to is a sum of as many independent terms of random sign: it is beyond `_DEVIATIONS` times their length |e| once in
hundreds of millions (Hoeffding's inequality), however large the worst sum could be. How large single errors may be follows
from the rounding bounds of the sampled rows, and from how many of those are added up in one element.

A slip in a single element must rise above that: how large it must be is told (`Comparison.noticed`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradviz.check.arrays import as_array, is_good, length_of
from gradviz.check.differences import (
    TIGHT,
    but_for,
    immovable,
    is_of_symmetric,
    loose_of,
    rounding_of,
    scale_of,
    size_of_usual,
    slopes,
)
from gradviz.check.draws import drawn_tangent
from gradviz.check.heads import EdgeUnderCheck
from gradviz.check.parts import parts_of
from gradviz.opcall import OpCall
from gradviz.standin import is_kept
from gradviz.symbolic import NoRule, Reference, Row, require_time, unit_roundoff
from gradviz.symbolic.rounding import SAFETY, smallest, spread

_DEVIATIONS = 6.0
_LEAST = 1e-9
"""Relative: what float64 itself, in which differences are taken, may be off."""
_AT_MOST = 0.01
"""Of what the numbers could add up to: kernels for half precision add in float32, and half's own bound says too little."""
_ENOUGH = 2.0**-2
"""Of what rounding is granted: differences need not be more accurate than that."""
_ELEMENTS_UP_TO, _AT_ONCE = 2**23, 2**18
"""Jacobians with more elements that are not 0 are not looked at in full, and so many of them are at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """What sampled rows of a Jacobian say of the whole of it.

    Attributes:
        rows: how many there are.
        reached: how many elements of the input they depend on, the rows of the largest sum of them.
        size: the length of their partials as one vector.
        bound: the length of the bounds on rounding of these.
    """

    rows: int
    reached: int
    size: float
    bound: float


def seen_in(rows: Sequence[Row], position: int, filled: int = 0) -> Sampled:
    """What true rows say of one Jacobian; `filled`: how many elements of a row are not 0, where some are left out."""
    found = [list(row.partials.get(position, {}).values()) for row in rows]
    there = max(map(len, found), default=0)
    scale = math.sqrt(max(filled, there) / there) if there else 0.0
    size, bound = (math.hypot(*(float(exact[at]) for row in found for exact in row)) * scale for at in (0, 1))
    return Sampled(rows=len(rows), reached=max(filled, there), size=size, bound=bound)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What autograd makes of the cotangent along one edge, and the tangent that it is multiplied by.

    Attributes:
        tangent: drawn at random.
        length: what it is multiplied by.
        product: of answer and tangent.
        spread: the length of the elementwise product.
        most: the largest that the product could be.
        usual: the root mean square of the elements of the answer that are not zero.
        but_for: what is told of elements that the tangent leaves out.
    """

    tangent: Tensor
    length: float
    product: float
    spread: float
    most: float
    usual: float
    but_for: str


def probe_whole_maps(
    edges: Sequence[EdgeUnderCheck],
    truth: Reference,
    call: OpCall,
    place: int,
    cotangent: Tensor,
    got_maps: Sequence[Tensor],
    sampled: Mapping[int, Sampled],
    random: torch.Generator,
) -> None:
    """Compares the number cotangent · J · tangent with differences of the op.

    The op runs again once for all edges, each argument moved so far that it weighs as much as the others. Only where that
    does not fit is each edge looked at by itself; and where that does not fit, each element of what autograd makes of the
    cotangent, as far as the truth about these can be had: rounding may be coarse in few rows, which no sample met.

    Args:
        edges: into the call.
        truth: about the call.
        call: the call.
        place: of the output.
        cotangent: of that output.
        got_maps: what autograd makes of it.
        sampled: position -> what was seen of the Jacobian; nothing is known of the others.
        random: the tangents are drawn from it.
    """
    answers = {edge.position: _answer(call, edge, place, got, random) for edge, got in zip(edges, got_maps, strict=True)}
    weights = as_array(cotangent)
    if len(edges) > 1:
        lengths = _evened(call, {position: answer.most for position, answer in answers.items()})
        if _probe(edges, call, place, weights, answers, lengths, sampled):
            return
    for edge, got in zip(edges, got_maps, strict=True):

        def in_full(edge: EdgeUnderCheck = edge, got: Tensor = got) -> float | None:
            return _compare_elements(edge, truth, call, place, cotangent, got, sampled.get(edge.position))

        _probe([edge], call, place, weights, answers, {edge.position: 1.0}, sampled, in_full)


def _answer(call: OpCall, edge: EdgeUnderCheck, place: int, got: Tensor, random: torch.Generator) -> _Answer:
    tangent = drawn_tangent(edge.partials[place].in_shape, random)
    if is_of_symmetric(call):
        tangent = tangent + tangent.mT
    still = immovable(call, edge.position)
    tangent = tangent if still is None else tangent.masked_fill(still, 0)
    answer, along = (tensor.detach().to("cpu", torch.float64).reshape(-1) for tensor in (got, tangent))
    most = float(answer.norm()) * float(along.norm())
    return _Answer(
        tangent=tangent,
        length=float(along.norm()),
        product=float(answer @ along),
        spread=float((answer * along).norm()),
        most=most,
        usual=size_of_usual(answer),
        but_for=but_for(still),
    )


def _evened(call: OpCall, sizes: Mapping[int, float]) -> dict[int, float]:
    """How long the tangents are to be so that each has as large a part in the probe, and none is longer than its argument.

    `sizes`: how large a part each has as it is.
    """
    arguments = [argument.tensor for argument in call.tensor_arguments()]
    natural = {position: scale_of(parts_of(arguments[position].detach())) for position in sizes}
    parts = {position: size * natural[position] for position, size in sizes.items()}
    least = min((part for part in parts.values() if part and math.isfinite(part)), default=1.0)
    return {position: natural[position] * least / (part or least) for position, part in parts.items()}


def _probe(
    edges: Sequence[EdgeUnderCheck],
    call: OpCall,
    place: int,
    weights: NDArray[np.float64],
    answers: Mapping[int, _Answer],
    lengths: Mapping[int, float],
    sampled: Mapping[int, Sampled],
    in_full: Callable[[], float | None] = lambda: 0.0,
) -> bool:
    """Whether the edges were found to be right; what else is found is only kept where it is about a single edge.

    `in_full`: looks at a single edge, where the number is wrong, element by element: None where all are right, else the
    length of bounds that no sample met.
    """
    joint = len(edges) > 1
    bounds = [_rounding(edge, sampled.get(edge.position), answers[edge.position], weights.size) for edge in edges]
    relative = max(one for one, _ in bounds)
    try:
        tangents = {position: answers[position].tangent for position in lengths}
        slope, error = slopes(call, tangents, place, lengths=lengths, enough=_ENOUGH * min(relative, 1.0))
    except NoRule as missing:
        if not joint:
            edges[0].comparison.step(f"the whole map was not probed: {missing.reason}")
        return False
    parts = weights * slope
    with np.errstate(invalid="ignore"):  # infinities of both signs, which an argument holds
        true = float(parts.sum())
    doubt = length_of(weights * error)
    got = sum(answers[position].product * length for position, length in lengths.items())
    of_answers = math.hypot(*(answers[position].spread * length for position, length in lengths.items()))
    spread_out = max(of_answers, length_of(parts))
    most = float(np.abs(parts).sum()) + sum(answers[position].most * length for position, length in lengths.items())
    absolute = math.hypot(*(more * length for (_, more), length in zip(bounds, lengths.values(), strict=True)))
    allowed = _DEVIATIONS * doubt + min(_DEVIATIONS * (relative * spread_out + absolute), _AT_MOST * most + absolute)
    is_tight = math.isfinite(true) and math.isfinite(allowed) and doubt <= TIGHT * most
    is_right = is_tight and abs(got - true) <= allowed
    for edge in edges if is_right or not joint else ():
        if not is_tight:
            edge.comparison.step("the whole map was not probed: differences are not accurate at these inputs")
            continue
        edge.comparison.method = edge.comparison.method or "numeric"
        if is_right:
            edge.comparison.step(f"whole map probed by differences{answers[edge.position].but_for}")
            usual = answers[edge.position].usual * lengths[edge.position] / 2  # half of the tangent's elements are longer
            tells = usual and not answers[edge.position].but_for
            edge.comparison.notice((allowed + abs(got - true)) / usual if tells else math.inf)
        else:
            cancelled = _cancelled(edge, call, place, weights, answers[edge.position])
            loose = cancelled if most <= cancelled else 0.0
            unmet = 0.0 if abs(got - true) <= loose else in_full()
            if unmet is None:
                continue
            allowed += _DEVIATIONS * unmet * answers[edge.position].length / math.sqrt(edge.in_numel)
            edge.comparison.element(None, got, true, allowed, loose=loose, of="slope")
    return is_right


def _compare_elements(
    edge: EdgeUnderCheck, truth: Reference, call: OpCall, place: int, cotangent: Tensor, got: Tensor, seen: Sampled | None
) -> float | None:
    """Whether all that autograd makes of the cotangent is right, which settles it: None.

    Of too large a Jacobian only the rows of the largest outputs are looked at, for the length of the bounds on rounding.
    """
    made = call.outputs[place]
    if seen is None or not seen.reached or made is None or not is_kept(made):
        return 0.0
    rows = cotangent.numel()
    flats: Sequence[int] = range(rows)
    if rows * seen.reached > _ELEMENTS_UP_TO:
        sizes = parts_of(made.detach()).reshape(-1).abs()
        flats = sorted(sizes.topk(min(_ELEMENTS_UP_TO // seen.reached, rows)).indices.tolist())
    found = _vjp_of(truth, place, cotangent, flats, edge, max(1, _AT_ONCE // seen.reached))
    if found is None:
        return 0.0
    if len(flats) < rows:
        return length_of(found[1])
    numbers = as_array(got).reshape(-1)
    if not is_good(numbers, *found):
        return 0.0
    value, bound = found[0].reshape(edge.in_shape), found[1].reshape(edge.in_shape)
    edge.comparison.elements(numbers.reshape(edge.in_shape), value, bound, of="VJP")
    edge.comparison.step("every element of the VJP of a random cotangent")
    return None


def _vjp_of(
    truth: Reference, place: int, cotangent: Tensor, flats: Sequence[int], edge: EdgeUnderCheck, at_once: int
) -> tuple[NDArray[np.longdouble], NDArray[np.float64]] | None:
    """The true VJP of these elements of the cotangent, and the bounds on its rounding; None where they are not to be had."""
    size, weights = math.prod(edge.in_shape), cotangent.reshape(-1)[flats].tolist()
    value, bound = np.zeros(size, dtype=np.longdouble), np.zeros(size)
    for start in range(0, len(flats), at_once):
        require_time()
        part = slice(start, start + at_once)
        found = truth.vjp_at_once(flats[part], weights[part], output=place)
        if found is None:
            return None
        if (true := found.get(edge.position)) is not None:
            value[true.flats] += true.value
            bound[true.flats] += true.bound
    return value, bound


def _cancelled(edge: EdgeUnderCheck, call: OpCall, place: int, weights: NDArray[np.float64], answer: _Answer) -> float:
    """How large a number roundings of the output's size can make, if all else in it cancels, as behind one-hot weights."""
    start = parts_of(list(call.tensor_arguments())[edge.position].tensor.detach())
    return loose_of(call, place) * length_of(weights) / math.sqrt(weights.size) * answer.length / scale_of(start)


def _rounding(edge: EdgeUnderCheck, seen: Sampled | None, answer: _Answer, rows: int) -> tuple[float, float]:
    """How far autograd's product of answer and tangent may be off, relative to its spread, and beside that."""
    dtype = edge.comparison.dtype
    if seen is None:
        return max(_LEAST, rounding_of(dtype)), 0.0
    terms = min(rows, math.ceil(rows * seen.reached / edge.in_numel))
    underflow = SAFETY * smallest(dtype) * terms * answer.length
    unseen = math.sqrt(rows / seen.rows) * seen.bound * answer.length / math.sqrt(edge.in_numel)
    if not seen.size:  # rows of zeros alone say how far rounding moves what is 0, and nothing of the others
        return max(_LEAST, rounding_of(dtype)), underflow + unseen
    added = SAFETY * unit_roundoff(dtype) * spread(terms)
    return max(_LEAST, added + seen.bound / seen.size), underflow + unseen
