"""Contributions: each edge's against the VJP of its head's cotangent, and their sum against the tail's cotangent."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradviz.check.arrays import Index, as_array
from gradviz.check.draws import drawn_cotangent
from gradviz.check.heads import EdgeUnderCheck, HeadUnderCheck
from gradviz.check.hooks import Hooks
from gradviz.check.judge import Comparison
from gradviz.check.parts import answers_of, parts_of
from gradviz.graph import Edge, GradGraph
from gradviz.standin import StandIn, is_kept
from gradviz.symbolic import require_time, unit_roundoff

_ROUNDINGS = 16
_BLOCK = 2**18
_NOT_WRONG = "no derivative is wrong: where it is meant, name it in intended="
_RUN_AGAIN = 2.0**10  # units of u, of the largest element: libraries do not add in the same order every time
_RUN_AGAIN_AT_MOST = 1e-3


def check_contributions(head: HeadUnderCheck, hooks: Hooks, *, may_change: bool) -> None:
    """The recorded contributions are what the autograd node answers to the cotangents of the head.

    Args:
        head: the node.
        hooks: what may have changed them.
        may_change: whether that is meant.

    Raises:
        PartialError: the node can no longer be asked.
    """
    answers: dict[Edge, list[Tensor]] = {edge.edge: [] for edge in head.edges}
    for place in head.outputs:
        given = head.cotangent(place)
        edges = [edge for edge in head.edges if place in edge.partials and edge.use.contribution is not None]
        if given is None or not edges:
            continue
        compared = [given, *(edge.use.contribution for edge in edges)]
        if unread := [one for one in compared if one is not None and not is_kept(one)]:
            note = f"its contribution was not compared with what the autograd node answers: {_why(unread)}"
            for edge in edges:
                edge.comparison.note(note)
            continue
        found = answers_of([edge.partials[place] for edge in edges], given)
        for edge, answer in zip(edges, found, strict=True):
            answers[edge.edge].append(answer)
    for edge in head.edges:
        recorded, asked = edge.use.contribution, answers[edge.edge]
        if recorded is not None and asked and len(asked) >= _arrived(head) and not _is(asked, recorded):
            places = [place for place in head.outputs if place in edge.partials]
            arrived = [(place, one) for place in places if (one := head.cotangent(place)) is not None]
            if _has_nan(recorded) and not any(_has_nan(one) for _, one in arrived):
                edge.comparison.doubt(_nan_made_by(edge), "undefined")
            if what := _what_differs(edge, asked, recorded, arrived):
                changing = " or ".join(hooks.on_contributions(head.node))
                _tell_changed(edge, what, changing, may_change=may_change, is_sure=len(asked) == 1)


def _tell_changed(edge: EdgeUnderCheck, what: str, changing: str, *, may_change: bool, is_sure: bool) -> None:
    """A contribution is not what the node answers: `changing` are the hooks on the node, if any."""
    edge.changed_by, edge.as_meant = changing, bool(changing) and may_change
    if edge.as_meant:
        edge.comparison.note(f"the hook {changing} changes its contribution, as is meant")
    elif changing:
        edge.is_hooked_alone = not edge.comparison.is_wrong
        edge.comparison.wrong(f"{what}: the hook {changing} changes it; {_NOT_WRONG}")
    elif is_sure:
        edge.comparison.wrong(what)
    else:
        edge.comparison.doubt("asked for each output alone, the autograd node's answers do not add up to what it recorded")


def _what_differs(
    edge: EdgeUnderCheck, answers: list[Tensor], recorded: Tensor, given: list[tuple[int, Tensor]]
) -> str:
    """How a recorded contribution differs from the sum of what the node answers; "" where it does not."""
    asked = [as_array(answer) for answer in answers]
    size = np.sum([np.abs(one) for one in asked], axis=0)
    unit = unit_roundoff(recorded.dtype)
    again = max(min(_RUN_AGAIN * unit, _RUN_AGAIN_AT_MOST), _ROUNDINGS * unit)
    bound = _ROUNDINGS * unit * size + again * np.max(size, initial=0.0) + float(torch.finfo(recorded.dtype).tiny)
    got = as_array(recorded)
    with np.errstate(all="ignore"):
        total = np.sum(np.array(asked, dtype=np.longdouble), axis=0)
        wrong = ~((np.abs(got - total) <= bound) | (np.isnan(got) & np.isnan(total)) | (got == total))
    if wrong.any():  # where much cancels, what is left is rounding of what does not
        wrong &= ~(np.abs(got - total) <= again * _size_of_terms(edge, given))
    if not wrong.any():
        return ""
    where = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
    return (
        f"the backward pass recorded a contribution of {got[where]:.9g}, but asked again the autograd node gives "
        f"{float(total[where]):.9g} for the same cotangent"
    )


def _nan_made_by(edge: EdgeUnderCheck) -> str:
    """Why there is NaN in a contribution that was made of a cotangent without."""
    shown = edge.comparison.autograd
    if shown is None or not math.isinf(shown):
        return "undefined: its contribution holds NaN, though the cotangent that it is made of does not"
    at = f" at {list(edge.comparison.index)}" if edge.comparison.index else ""
    return f"undefined: the derivative is infinite{at}, and 0 × ∞ makes NaN of the contribution"


def _size_of_terms(edge: EdgeUnderCheck, given: list[tuple[int, Tensor]]) -> float:
    """The largest of what the autograd node answers to cotangents of the same sizes, but of random signs."""
    sizes = [0.0]
    for place, cotangent in given:
        sizes_of_cotangent = parts_of(cotangent.detach()).abs().to("cpu", torch.float64)
        signs = drawn_cotangent(sizes_of_cotangent.shape, torch.float64, torch.Generator().manual_seed(place)).sign()
        sizes.append(float(np.abs(as_array(edge.partials[place].vjp(sizes_of_cotangent * signs))).max(initial=0.0)))
    return max(sizes)


def check_sum(
    graph: GradGraph, node: int, output: int, starting: Tensor | None, hooks: Hooks, comparison: Comparison
) -> int:
    """The contributions into one output of a node add up to its cotangent. Returns how many."""
    cotangent = graph.cotangent(node, output)
    terms = [use.contribution for use in graph.uses_of(node) if use.output == output and use.contribution is not None]
    if cotangent is None or not terms:
        return 0
    comparison.total += cotangent.numel()
    if unread := [one for one in (cotangent, *terms) if not is_kept(one)]:
        comparison.doubt(_why(unread))
        return len(terms)
    comparison.method = "numeric"
    comparison.checked += cotangent.numel()
    if starting is None and _is(terms, cotangent):
        return 1
    if starting is not None:
        terms.append(starting)
    if _has_nan(cotangent) and any(map(_has_nan, terms)):
        comparison.doubt("undefined: NaN comes in, and the sum is NaN: there is no true value", "undefined")
    _compare_sum(terms, cotangent, comparison, hooks.on_cotangent(node, output))
    return len(terms) - (starting is not None)


def _why(unread: list[Tensor]) -> str:
    """Why elements cannot be compared."""
    return next(one.reason for one in unread if isinstance(one, StandIn))


def _compare_sum(terms: list[Tensor], cotangent: Tensor, comparison: Comparison, hooks: Sequence[str]) -> None:
    """A block at a time: a tied embedding has tens of millions of elements."""
    known = f": the hook {' or '.join(hooks)} changes it; {_NOT_WRONG}"
    guess = ", as where a hook, or a backward in place, changes it"
    what = f"the cotangent is not the sum of its contributions{known if hooks else guess}: torch"
    shape = cotangent.shape if not cotangent.is_complex() else (*cotangent.shape, 2)
    unit, least = unit_roundoff(cotangent.dtype), float(torch.finfo(cotangent.dtype).tiny)
    flat = [_flat(tensor) for tensor in (cotangent, *terms)]
    for start in range(0, max(len(flat[0]), 1), _BLOCK):
        require_time()
        got, *arrays = (as_array(tensor[start : start + _BLOCK]).reshape(-1) for tensor in flat)
        with np.errstate(all="ignore"):
            total: NDArray[np.longdouble] = np.sum(np.array(arrays, dtype=np.longdouble), axis=0)
            bound = len(arrays) * unit * np.sum(np.abs(arrays), axis=0) + least
        first = start * (2 if cotangent.is_complex() else 1)

        def place(index: Index, first: int = first) -> Index:
            return tuple(int(item) for item in np.unravel_index(first + index[0], shape))

        comparison.elements(got, np.asarray(total), np.asarray(bound), what=what, place=place)


def _has_nan(tensor: Tensor) -> bool:
    return bool(torch.isnan(_flat(tensor)).any())


def _flat(tensor: Tensor) -> Tensor:
    return (tensor if tensor.layout is torch.strided else tensor.to_dense()).detach().reshape(-1)


def _is(terms: list[Tensor], expected: Tensor) -> bool:
    """Whether there is one term, and it is what is expected bit for bit: nothing then is left to compare."""
    return len(terms) == 1 and terms[0].layout is torch.strided and torch.equal(_real(terms[0]), _real(expected))


def _real(tensor: Tensor) -> Tensor:
    """A complex tensor as pairs of real numbers: those in half precision torch does not compare."""
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor


def _arrived(head: HeadUnderCheck) -> int:
    """How many outputs of the head a cotangent reached."""
    found = head.attributes["cotangent"]
    return sum(one is not None for one in found) if isinstance(found, tuple) else int(found is not None)
