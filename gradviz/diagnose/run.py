"""All findings of one graph: each analysis is one function, Readings -> findings, in `FINDERS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from gradviz.check import CheckReport, check_edges
from gradviz.diagnose.attention_dim import attention_dim
from gradviz.diagnose.batch_as_sequence import batch_as_sequence
from gradviz.diagnose.broadcasting import broadcasting
from gradviz.diagnose.cancellation import cancellation
from gradviz.diagnose.codes import codes, turned_around
from gradviz.diagnose.constant_term import constant_term
from gradviz.diagnose.data_term import data_term
from gradviz.diagnose.dead_units import dead_units
from gradviz.diagnose.depth import depth
from gradviz.diagnose.detached_term import detached_term
from gradviz.diagnose.determinism import determinism
from gradviz.diagnose.earlier_gradient import earlier_gradient
from gradviz.diagnose.finding import Diagnosis, Finding
from gradviz.diagnose.frozen import frozen
from gradviz.diagnose.hooked_gradient import hooked_gradient
from gradviz.diagnose.inverted_mask import inverted_mask
from gradviz.diagnose.kept_graph import kept_graph
from gradviz.diagnose.leaf_replaced import leaf_replaced
from gradviz.diagnose.likelihood import likelihood
from gradviz.diagnose.log_of_softmax import log_of_softmax
from gradviz.diagnose.logits import logits
from gradviz.diagnose.missing_minus import missing_minus
from gradviz.diagnose.modes import modes
from gradviz.diagnose.negated_divergence import negated_divergence
from gradviz.diagnose.negated_loss import negated_loss
from gradviz.diagnose.new_leaf import new_leaf
from gradviz.diagnose.no_gradient import lost_leaves, no_gradient
from gradviz.diagnose.not_checked import not_checked
from gradviz.diagnose.not_finite import not_finite
from gradviz.diagnose.not_finite_gradient import not_finite_gradient
from gradviz.diagnose.number_read import number_read
from gradviz.diagnose.optimizers import rates, unheld
from gradviz.diagnose.packed_values import packed_values
from gradviz.diagnose.pooling_dim import pooling_dim
from gradviz.diagnose.rank_collapse import rank_collapse
from gradviz.diagnose.readings import Readings
from gradviz.diagnose.reduction import reduction
from gradviz.diagnose.reshaped_classes import reshaped_classes
from gradviz.diagnose.reshaped_heads import reshaped_heads
from gradviz.diagnose.rows import rows
from gradviz.diagnose.sampling import sampling
from gradviz.diagnose.saturation import saturation
from gradviz.diagnose.self_similarity import self_similarity
from gradviz.diagnose.sharing import sharing
from gradviz.diagnose.sure_and_wrong import sure_and_still, sure_and_wrong
from gradviz.diagnose.symmetry import symmetry
from gradviz.diagnose.underflow import underflow
from gradviz.diagnose.unregistered import unregistered
from gradviz.diagnose.unseen_write import unseen_write
from gradviz.diagnose.unshifted_labels import unshifted_labels
from gradviz.diagnose.wrong_backward import is_for_its_backward, wrong_backward
from gradviz.diagnose.zero_gradient import zero_gradient
from gradviz.errors import InputError, NotKeptError
from gradviz.graph import Edge, GradGraph
from gradviz.opcall import OpCall
from gradviz.view.landmarks import marked

FINDERS: tuple[Callable[[Readings], Iterator[Finding]], ...] = (
    not_finite,
    not_finite_gradient,
    wrong_backward,
    codes,
    turned_around,
    no_gradient,
    lost_leaves,
    new_leaf,
    data_term,
    constant_term,
    detached_term,
    sampling,
    leaf_replaced,
    unseen_write,
    number_read,
    unregistered,
    zero_gradient,
    broadcasting,
    logits,
    likelihood,
    reshaped_classes,
    reshaped_heads,
    inverted_mask,
    unshifted_labels,
    missing_minus,
    negated_divergence,
    negated_loss,
    self_similarity,
    log_of_softmax,
    depth,
    rank_collapse,
    batch_as_sequence,
    attention_dim,
    pooling_dim,
    dead_units,
    symmetry,
    saturation,
    sure_and_wrong,
    sure_and_still,
    underflow,
    cancellation,
    modes,
    earlier_gradient,
    kept_graph,
    unheld,
    rates,
    frozen,
    sharing,
    hooked_gradient,
    packed_values,
    reduction,
    rows,
    determinism,
)
"""In the order in which findings of the same severity are told: what explains the others comes first."""
_LIBRARIES = frozenset({"aten", "prims", "c10d", "symm_mem", "torchvision"})
"""The namespaces of ops with tests of their own; of collectives, which must not run again on one rank alone, too."""
_UNCHECKED = (
    "Backward functions that are not torch's own were not checked: a loaded graph has no autograd nodes to ask; diagnose "
    "it where it is traced."
)
_UNKNOWN = (
    "Not all was looked for: {results} not known, and autograd kept nothing of it; trace the function in place of a "
    "tensor that it has computed already."
)


def diagnose(graph: GradGraph, *, report: CheckReport | None = None) -> Diagnosis:
    """What is wrong with a traced step, or worth a look; see `GradGraph.diagnose`."""
    if not (report is None or isinstance(report, CheckReport)):
        raise InputError(f"report is a {type(report).__name__}; accepted: what check() returns")
    with torch.no_grad():
        checked = _custom_edges_checked(graph) if report is None else report
        readings = Readings(graph, checked, is_of_hooks=report is not None)
        found: list[Finding] = []
        unread: list[str] = []
        coarse: list[str] = []
        for finder in FINDERS:
            readings.is_coarse, before = False, len(found)
            try:
                found += finder(readings)
            except NotKeptError:
                unread.append(finder.__name__.replace("_", " "))
            if readings.is_coarse and len(found) > before:
                coarse.append(finder.__name__.replace("_", " "))
        missing = graph.not_kept
        if missing and any(entry.verdict == "unverified" for entry in readings.report.edges):
            unread.append("wrong backward")
        unread = list(dict.fromkeys(unread))
        asked = _edges_to_check(graph) if report is None and graph.is_loaded else []
        found += not_checked(graph, asked, unread, readings.unanswered) if graph.is_loaded else ()
        unchecked = _UNCHECKED if asked else _unknown_values(graph)
        return Diagnosis(marked(graph, found), unread=unread, coarse=coarse, not_kept=missing, unchecked=unchecked)


def _unknown_values(graph: GradGraph) -> str:
    """Of how many calls nobody knows the result, of which a tensor that was computed before the trace kept nothing."""
    if graph.is_loaded:
        return ""  # told as a finding
    count = sum(data["kind"] == "op" and data["value"] is None for _, data in graph.nodes(data=True))
    results = "the results of {count} calls are" if count > 1 else "the result of a call is"
    return _UNKNOWN.format(results=results.format(count=count)) if count else ""


def _custom_edges_checked(graph: GradGraph) -> CheckReport:
    """The check of the edges into custom autograd.Functions: torch's own derivatives are right, others may not be.

    It lets hooks change what they like.
    """
    edges = [] if graph.is_loaded else _edges_to_check(graph)
    return check_edges(graph, edges) if edges else CheckReport(edges=())


def _edges_to_check(graph: GradGraph) -> list[Edge]:
    """Those into hand-written Functions that are not there for their backward alone, and into ops of the user's own.

    A write to a view, which is made of several calls too, is torch's own.
    """
    nodes = graph.nodes(data=True)
    calls = {node for node, data in nodes if data["inner_calls"] and data["op"] != "copy_slices"}
    calls |= {node for node, data in nodes if data["call"] is not None and _is_custom(data["call"])}
    by_hand = {node for node, _ in nodes if node in calls or graph.custom_function(node) is not None}
    edges = [edge for edge in graph.differentiable_edges() if edge[1] in by_hand]
    return [edge for edge in edges if not is_for_its_backward(graph, edge[1])]


def _is_custom(call: OpCall) -> bool:
    """Whether an op was made by `torch.library`, of which the backward may be wrong as that of a custom Function."""
    namespace = call.overload.namespace
    return namespace not in _LIBRARIES and not namespace.startswith("_")
