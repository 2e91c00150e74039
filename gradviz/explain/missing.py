"""Why no gradient reaches a value, why one is zero, or where one stopped being a number."""

from __future__ import annotations

import math

import torch

from gradviz.attributes import INNER_BACKWARD
from gradviz.diagnose.ways import cuts_behind, is_finite, is_zero, reaches_an_output, turned_not_finite, turned_zero
from gradviz.explain import sentences as say
from gradviz.explain.terms import Line, Sentence
from gradviz.explain.wanted import Wanted
from gradviz.graph import GradGraph, Use
from gradviz.view.summary import is_opaque

MAX_CUTS = 8
MAX_EDGES = 4
CUT_BY_THE_CODE = frozenset({"detach", "no_grad", INNER_BACKWARD})
"""What somebody wrote; a comparison or a rounding has no gradient that could be missed."""


def why_none(wanted: Wanted) -> list[Line]:
    """For a value that no path leads from: where each way to the output is cut."""
    graph, node = wanted.graph, wanted.node
    if not graph.nodes[node]["requires_grad"]:
        return [say.needs_no_gradient(wanted.name)]
    if not graph.uses_of(node):
        return [say.unused(wanted.name)]
    if (inner := graph.inner_gradients().get(node)) is not None:
        return [say.given_within(wanted.name, inner)]
    return [say.no_gradient(wanted.name), *_cut_lines(graph, list(cuts_behind(graph, node)))]


def cut_ways(wanted: Wanted) -> list[Line]:
    """For a value with a gradient: the ways from it that the code cut off all the same."""
    graph = wanted.graph
    return _cut_lines(graph, [use for use in cuts_behind(graph, wanted.node) if use.cut in CUT_BY_THE_CODE])


def _cut_lines(graph: GradGraph, cuts: list[Use]) -> list[Line]:
    found: list[Line] = []
    for use in cuts[:MAX_CUTS]:
        tail, head, _ = use.edge
        found.append(say.cut_at(graph.nodes[head]["name"], graph.output_name(tail, use.output), use.cut))
    if len(cuts) > MAX_CUTS:
        found.append(say.left_out(len(cuts) - MAX_CUTS, "cut"))
    return found


def why_odd(wanted: Wanted) -> list[Line]:
    """For a gradient that is zero everywhere, or not finite somewhere: the edges that made it so."""
    gradient = wanted.paths.gradient
    if gradient is None or not gradient.numel() or gradient.layout is not torch.strided:
        return []
    graph, heads = wanted.graph, list(reversed(wanted.between))
    if not is_finite(gradient):
        broken = list(turned_not_finite(graph, heads, wanted.between))
        return [
            say.not_finite(wanted.derivative(use), only_zeros=_only_zeros_arrive(wanted, use)) for use in broken[:MAX_EDGES]
        ]
    if not is_zero(gradient):
        return []
    zero = list(turned_zero(graph, heads, wanted.between))
    if reaches_an_output(graph, wanted.node, {use.edge for use in zero}):
        return [say.zero_by_cancelling(wanted.name)]
    met = zero + [use for head in heads for use in wanted.uses_into(head) if _is_off(wanted, use) and use not in zero]
    named = [(wanted.derivative(use), _switched_off(wanted, use)) for use in sorted(met, key=lambda use: use.edge)]
    return [say.zero_because(named[:MAX_EDGES], len(named) - MAX_EDGES, wanted.name)]


def _only_zeros_arrive(wanted: Wanted, use: Use) -> bool:
    """Whether what is not finite comes from zeros alone: from a branch that is not taken."""
    cotangent, contribution = wanted.graph.cotangent(use.edge[1]), use.contribution
    if cotangent is None or contribution is None or cotangent.shape != contribution.shape:
        return False
    if is_opaque(cotangent) or is_opaque(contribution):
        return False
    return is_zero(cotangent[~torch.isfinite(contribution)])


def _is_off(wanted: Wanted, use: Use) -> bool:
    """Whether the local partial between two single numbers is zero, whatever arrives there."""
    single = math.prod(wanted.shape(use.edge[0])) == math.prod(wanted.shape(use.edge[1])) == 1
    return single and use.partial is not None and not use.partial.out_dtype.is_complex and float(use.partial) == 0


def _switched_off(wanted: Wanted, use: Use) -> Sentence:
    """A few words where the zero is that of a ReLU."""
    tail, head, _ = use.edge
    return say.relu_is_off(wanted.graph.output_name(tail, use.output)) if wanted.graph.nodes[head]["op"] == "relu" else ()
