"""Whether a custom Function that rounds on the way is meant to hand its gradient straight through the rounding.

A quantizer reaches its result by steps, and by a scale that it may measure off its argument: its true derivative is all but
zero, and nobody wants it. What its backward passes on in place of it is an estimate, each element times a factor of its
own: 1, a clip, the scale, a smooth bump (XNOR-Net, TWN, PACT, LSQ, DoReFa, BNN+). What no estimator does: stop everything,
turn signs around, or make something that has nothing to do with what came in. A pruning that ranks elements and hands the
gradient to all of them is meant too.

Where an argument has another way to the result, as in x · round(x), its derivative is judged in full.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from gradviz.check.custom import Replay
from gradviz.diagnose.readings import FLAT_FUNCTIONS, STEPS
from gradviz.graph import Edge, GradGraph
from gradviz.opcall import SHAPE_READING, OpCall, is_inexact
from gradviz.partials import LocalPartial
from gradviz.standin import is_kept
from gradviz.symbolic import NoRule

FLAT = FLAT_FUNCTIONS | SHAPE_READING
ROUNDING = STEPS | {"bernoulli"}
"""Functions whose argument is on a scale of its own, and that a straight-through estimator takes for the identity."""
STEPPING = ROUNDING | FLAT_FUNCTIONS
MEASURING = frozenset(
    {
        *("amax", "amin", "aminmax", "kthvalue", "linalg_vector_norm", "max", "mean", "median", "min", "norm", "std", "sum"),
        *("var", "var_mean"),
    }
)
"""Functions that a quantizer measures its scale with."""
WITH_POLES = frozenset({"acos", "acosh", "asin", "atanh"})
"""Functions of a bounded domain on whose edge the derivative has no bound."""
A_MULTIPLE = 1e-2
RANKING = frozenset({"sort", "topk", "kthvalue", "median", "nanmedian"})
DRAWS = 4
IN_ELEMENTS = 3.0
"""How far what is passed on with its sign must outweigh what is not; a smooth bump has shallow wells beside it."""
IN_PRODUCTS = 8.0
"""The same beside a derivative that sums over much: what is summed in the wrong order may point a little along it."""


def is_straight_through(graph: GradGraph, edge: Edge) -> bool:
    """Whether a forward rounds or ranks its argument, and its backward takes no notice, or it is the scale of a rounding.

    The step size of a learned quantizer is rounded with what it divides, and multiplied in again behind the rounding: its
    gradient follows from what is passed straight through, and is no derivative of the forward either. What is only compared
    on the way, as the codes that the nearest one is looked up among, has a derivative, which the backward may keep back: a
    loss of their own moves these.
    """
    is_seen = bool(graph.nodes[edge[1]]["inner_calls"])  # what a forward computes; that of one op, or of a kernel, is not
    if graph.is_loaded or not is_seen or graph.edges[edge]["partial"] is None:
        return False
    if not _is_stepped(graph, edge, STEPPING):
        return _is_pruned(graph, edge)
    if _passes_through(graph, edge) or _is_pruned(graph, edge):
        return True
    is_free = _is_stepped(graph, edge, ROUNDING) or _keeps_back(graph, edge)
    others = [use.edge for use in graph.arguments_of(edge[1]) if is_free and use.edge != edge]
    return any(_is_stepped(graph, other, STEPPING) and _passes_through(graph, other) for other in others)


def goes_round_a_pole(graph: GradGraph, edge: Edge) -> bool:
    """Whether a forward has an angle, and its backward points along the derivative without being a multiple of it.

    The derivative of acos has no bound where two vectors are parallel. A backward that replaces it by something that has
    one, as YOSO's does for the chance that two vectors share a hash, may be an approximation on purpose.
    """
    calls = graph.nodes[edge[1]]["inner_calls"]
    if graph.is_loaded or not any(call.op in WITH_POLES for call in calls):
        return False
    (partial,) = list(graph.partials_of(edge).values())[:1]
    (cotangent,) = _drawn(partial, 1)
    passed, true = partial.vjp(cotangent).detach().cpu().double(), _vjp_of(calls, graph, edge, cotangent)
    if true is None or not _keeps_signs([passed], [true], IN_PRODUCTS):
        return False
    multiple = true * ((passed * true).sum() / true.square().sum())
    return bool((passed - multiple).norm() > A_MULTIPLE * passed.norm())


def is_flat(graph: GradGraph, node: int, flat: frozenset[str], inputs: Iterable[Tensor | None]) -> bool:
    """Whether some inputs of a forward reach its results through the functions `flat`, indices or masks alone."""
    varying = {id(tensor) for tensor in inputs if tensor is not None}
    for call in graph.nodes[node]["inner_calls"]:
        if call.op not in flat and any(id(argument.tensor) in varying for argument in call.tensor_arguments()):
            varying |= {id(output) for output in call.outputs if output is not None and is_inexact(output)}
    return not any(id(result) in varying for result in results(graph, node))


def results(graph: GradGraph, node: int) -> Iterator[Tensor]:
    """What is used of what a forward returned, and can vary; where its calls did not make it, what the last one made."""
    attributes = graph.nodes[node]
    calls = attributes["inner_calls"]
    known = {id(output) for call in calls for output in call.outputs} | {id(given) for given in attributes["inner_inputs"]}
    for place in attributes["outputs"]:
        value = graph.value(node, place)
        if value is not None and id(value) in known:
            yield from (value,) if is_inexact(value) else ()
        else:
            yield from (output for output in calls[-1].outputs if output is not None)


def _passes_through(graph: GradGraph, edge: Edge) -> bool:
    """Whether an argument reaches the results by steps and what is measured off it, and goes on with its sign going back.

    Element by element where the result has the shape of the argument; else, as in a layer that quantizes its weights, beside
    the derivative of the same calls without their rounding.
    """
    if graph.edges[edge]["partial"] is None or not _moves_its_scale_only(graph, edge):
        return False
    (partial,) = list(graph.partials_of(edge).values())[:1]
    drawn = _drawn(partial, DRAWS)
    passed = [partial.vjp(cotangent) for cotangent in drawn]
    if partial.in_shape == partial.out_shape and _keeps_signs(passed, drawn, IN_ELEMENTS):
        return True
    calls = [_identity(call) if _rounds(call, ROUNDING) else call for call in graph.nodes[edge[1]]["inner_calls"]]
    is_rounded = _is_stepped(graph, edge, ROUNDING)
    straight = [_vjp_of(calls, graph, edge, cotangent) for cotangent in drawn] if is_rounded else [None]
    return _keeps_signs(passed, straight, IN_PRODUCTS)


def _keeps_back(graph: GradGraph, edge: Edge) -> bool:
    """Whether nothing comes back along an edge, whatever the cotangent is."""
    (partial,) = list(graph.partials_of(edge).values())[:1]
    return not any(bool(partial.vjp(cotangent).any()) for cotangent in _drawn(partial, 1))


def _drawn(partial: LocalPartial, count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    drawn = (torch.randn(partial.out_shape, generator=generator, dtype=torch.float64) for _ in range(count))
    return [one.to(partial.out_dtype) for one in drawn]


def _keeps_signs(passed: Sequence[Tensor], meant: Sequence[Tensor | None], outweighs: float) -> bool:
    """Whether what is passed on has, by far, the signs of what is meant to be; not where that is unknown."""
    if any(one is None for one in meant):
        return False
    pairs = zip(passed, meant, strict=True)
    products = torch.stack([one.detach().cpu().double() * other.cpu().double() for one, other in pairs if other is not None])
    kept, turned = float(products.clamp(min=0).sum()), float(-products.clamp(max=0).sum())
    return kept > 0 and kept >= outweighs * turned


def _moves_its_scale_only(graph: GradGraph, edge: Edge) -> bool:
    """Whether an argument reaches the results by steps, but for what is measured off it.

    So it does where what else it leads to is written over, as in `y = x.clone(); y[x >= 0] = 1; y[x < 0] = -1`.
    """
    _, head, position = edge
    if is_flat(graph, head, FLAT | MEASURING, graph.nodes[head]["inner_inputs"][position : position + 1]):
        return True
    value, (partial,) = graph.value(head), list(graph.partials_of(edge).values())[:1]
    calls = [call for call in graph.nodes[head]["inner_calls"] if call.op not in MEASURING]
    (cotangent,) = _drawn(partial, 1)
    passed = _vjp_of(calls, graph, edge, cotangent)
    return passed is not None and value is not None and is_kept(value) and bool(value.any()) and not bool(passed.any())


def _vjp_of(calls: Sequence[OpCall], graph: GradGraph, edge: Edge, cotangent: Tensor) -> Tensor | None:
    """The VJP of calls in place of those of a forward; None where they cannot be run."""
    _, head, position = edge
    snapshot, made = graph.nodes[head]["inner_inputs"][position], next(results(graph, head), None)
    if made is None:
        return None
    try:
        return Replay(calls, {position: snapshot}, {0: made}, snapshot.dtype).vjp({0: cotangent})[position]
    except NoRule:
        return None


def _identity(call: OpCall) -> OpCall:
    argument = next(call.tensor_arguments()).tensor
    return OpCall(overload=torch.ops.aten.clone.default, args=(argument,), outputs=call.outputs[:1])


def _is_stepped(graph: GradGraph, edge: Edge, steps: frozenset[str]) -> bool:
    """Whether a step that reads something made of the argument is on its way to a result."""
    _, head, position = edge
    held = graph.nodes[head]["inner_inputs"]
    made = {id(one) for one in held[position : position + 1] if one is not None}
    stepped: set[int] = set()
    for call in graph.nodes[head]["inner_calls"]:
        read = {id(argument.tensor) for argument in call.tensor_arguments()}
        if call.op in SHAPE_READING or not read & made:
            continue
        outputs = {id(output) for output in call.outputs if output is not None}
        made |= outputs
        if _rounds(call, steps) or read & stepped:
            stepped |= outputs
    return any(id(result) in stepped for result in results(graph, head))


def _rounds(call: OpCall, steps: frozenset[str]) -> bool:
    """Whether a call is one of these steps, or casts to whole numbers, which cuts digits off."""
    if call.op != "_to_copy":
        return call.op in steps
    read = next(call.tensor_arguments()).tensor
    return is_inexact(read) and not any(one is not None and is_inexact(one) for one in call.outputs)


def _is_pruned(graph: GradGraph, edge: Edge) -> bool:
    """Whether a forward keeps the elements of its argument that rank high, and its backward hands all of them a gradient."""
    _, head, position = edge
    partial = graph.edges[edge]["partial"]
    argument = next(iter(graph.nodes[head]["inner_inputs"][position : position + 1]), None)
    value = graph.value(head)
    if partial is None or argument is None or value is None or not (is_kept(argument) and is_kept(value)):
        return False
    if value.shape != argument.shape or not _is_stepped(graph, edge, RANKING):
        return False
    kept = value == argument
    if not bool((kept | (value == 0)).all()) or bool(kept.all()):
        return False
    (cotangent,) = _drawn(partial, 1)
    passed = partial.vjp(cotangent)
    return bool((passed[kept] == cotangent[kept]).all()) and _keeps_signs([passed[~kept]], [cotangent[~kept]], IN_ELEMENTS)
