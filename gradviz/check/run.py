"""`check`: every edge, forward value, gradient and sum of a graph against its true value -> CheckReport.

Checks run on both cores where that pays: in what torch runs, products of large matrices that probe a whole map and answer
for autograd, with torch's own threads (`torch.set_num_threads`). The rest is Python and numpy, one node after the other: it
holds the interpreter's lock, and a second process would have to be sent the live autograd graph, which cannot be.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from gradviz.check.changed import Changed
from gradviz.check.clues import add_clues, add_clues_to_leaf
from gradviz.check.composed import why_not_whole
from gradviz.check.custom import ForwardAgain, check_custom
from gradviz.check.differences import check_by_differences
from gradviz.check.failures import FAILURES, failure_reason
from gradviz.check.formulas import edge_formula, edge_name
from gradviz.check.heads import EdgeUnderCheck, HeadUnderCheck, head_under_check, rounded_dtype, values_read
from gradviz.check.hooks import Hooks
from gradviz.check.judge import Comparison
from gradviz.check.late import OUT_OF_TIME, edges_not_reached, sum_not_reached, value_not_reached
from gradviz.check.leaves import check_leaves
from gradviz.check.local import Plan, check_call
from gradviz.check.nested import why_nested
from gradviz.check.not_finite import not_finite_gradients, not_finite_text
from gradviz.check.options import Intended, Meant, require_options, require_wide_numbers, wanted_edges, where_meant
from gradviz.check.other_calls import why_other_call
from gradviz.check.progress import Progress, Telling
from gradviz.check.report import CheckReport, EdgeCheck, LeafCheck, NodeCheck, SumCheck
from gradviz.check.second import lost_in_second_backward
from gradviz.check.sums import check_contributions, check_sum
from gradviz.check.values import check_value
from gradviz.errors import PartialError
from gradviz.graph import Edge, GradGraph
from gradviz.symbolic import NoRule, OutOfTime, Undetermined, until

SAMPLES = 8
_AS_INTENDED: dict[str, Any] = {"verdict": "intended", "finding": ""}


def check(
    graph: GradGraph,
    edges: Iterable[Edge] | None = None,
    *,
    samples: int = SAMPLES,
    seed: int = 0,
    time_limit_s: float | None = None,
    intended: Intended = (),
    progress: bool | Telling | None = None,
) -> CheckReport:
    """Checks a graph against sympy.

    Args:
        graph: the traced graph.
        edges: (tail, head, key) of the edges to check, with the forward values of their heads; None for the whole graph.
        samples: how many rows of a large Jacobian, and elements of a large value, are looked at one by one.
        seed: random rows and cotangents are drawn from it; the same seed gives the same report.
        time_limit_s: after this many seconds the rest is unverified, "out of time".
        intended: names or classes of custom Functions, and names or objects of custom ops, whose backward is meant to
            differ from the derivative of their forward, so that edges into them are "intended", neither right nor wrong;
            and names of hooks, on tensors, on autograd nodes or of modules, that are meant to change what flows back, so
            that the sums and contributions that they change are.
        progress: whether to show on stderr what is being checked; None: on a terminal, once the check takes long; or a
            function that is told how many nodes are done, how many there are, and what is next.

    Raises:
        CheckError: `edges` names an edge that the graph does not have or along which no gradient flows, or none at all,
            `intended` a Function, an op or a hook that it does not have, or an option is not accepted.
    """
    require_options(samples, seed, time_limit_s, progress)
    require_wide_numbers(graph)
    wanted = None if edges is None else wanted_edges(graph, edges)
    hooks = Hooks(graph)
    meant = where_meant(graph, intended, hooks)
    deadline = None if time_limit_s is None else time.monotonic() + time_limit_s
    with _undisturbed(graph), Progress(graph.number_of_nodes(), shown=progress) as shown, until(deadline):
        changed = Changed(graph)
        not_whole = why_not_whole(graph, meant, hooks, changed)
        return _Run(graph, wanted, meant, hooks, samples, seed, deadline, shown, changed, not_whole).report()


def check_edges(graph: GradGraph, edges: Iterable[Edge]) -> CheckReport:
    """What `check` finds of the partials of these edges, whatever hooks do, without the forward values of their heads."""
    with _undisturbed(graph), Progress(0, shown=False) as shown:
        meant = Meant(changed=frozenset(graph))
        run = _Run(graph, wanted_edges(graph, edges), meant, Hooks(graph), SAMPLES, 0, None, shown, Changed(graph), "")
        return CheckReport(edges=tuple(found for head, plan in run.heads() for found in run.edges_into(head, plan)))


def is_flat_when_run(graph: GradGraph, node: int) -> bool:
    """Whether the forward of a custom Function, run again, stays where it is while its arguments move a little.

    True too where it cannot be run again: then nobody knows.
    """
    with _undisturbed(graph):
        try:
            return ForwardAgain(head_under_check(graph, node, None)).is_flat()
        except NoRule:
            return True


@contextmanager
def _undisturbed(graph: GradGraph) -> Iterator[None]:
    """As if nothing stood around: no autocast, in which true numbers would be computed in 16 bits, and no inference mode.

    What the check makes lies in main memory, whatever the default device. A forward that left torch runs again, and may
    draw random numbers: the user's generators stay where they are.
    """
    devices = {attributes["device"] for _, attributes in graph.nodes(data=True) if attributes["device"].type == "cuda"}
    elsewhere = torch.get_default_device().type != "cpu"
    with (
        torch._C._DisableAutocast(),
        torch.inference_mode(False),
        torch.device("cpu") if elsewhere else nullcontext(),
        torch.random.fork_rng(devices=devices),
    ):
        yield


@dataclass(slots=True)
class _Run:
    """One check under way."""

    graph: GradGraph
    wanted: frozenset[Edge] | None
    meant: Meant
    hooks: Hooks
    samples: int
    seed: int
    deadline: float | None
    shown: Progress
    changed: Changed
    not_whole: str

    def report(self) -> CheckReport:
        edges: list[EdgeCheck] = []
        nodes: list[NodeCheck] = []
        for node in self._ops():
            if self._is_late:
                edges += edges_not_reached(self.graph, node, self.wanted, self.meant)
                nodes += value_not_reached(self.graph, node)
                continue
            head, plan = self._head(node)
            edges += self.edges_into(head, plan)
            if head.attributes["requires_grad"] and head.outputs:  # of some only integers are used, such as top-k indices
                nodes.append(self._node_check(head, plan))
        whole = self.wanted is None
        nan, infinite = not_finite_gradients(self.graph) if whole else ({}, {})
        return CheckReport(
            edges=tuple(edges),
            nodes=tuple(nodes),
            leaves=tuple(self._leaf_checks()) if whole else (),
            sums=tuple(self._sum_checks()) if whole else (),
            seed=self.seed,
            remarks=tuple(self._remarks()) if whole else (),
            nan_gradients=tuple(nan),
            not_finite=not_finite_text(nan, infinite),
        )

    def heads(self) -> Iterator[tuple[HeadUnderCheck, Plan]]:
        """The nodes with edges that are wanted, each with what it is looked at by."""
        return map(self._head, self._ops())

    def _ops(self) -> Iterator[int]:
        wanted = None if self.wanted is None else {head for _, head, _ in self.wanted}
        for node, attributes in self.graph.nodes(data=True):
            if attributes["kind"] == "op" and (wanted is None or node in wanted):
                self.shown.at(node, f"{attributes['name']} = {attributes['op']}")
                yield node

    def _head(self, node: int) -> tuple[HeadUnderCheck, Plan]:
        return head_under_check(self.graph, node, self.wanted), self._plan(node)

    def edges_into(self, head: HeadUnderCheck, plan: Plan) -> list[EdgeCheck]:
        """What is found of the wanted edges into one node."""
        self._check_edges(head, plan)
        return [self._edge_check(head, edge) for edge in head.edges]

    def _remarks(self) -> Iterable[str]:
        if self.graph.not_kept:
            yield f"Kept as statistics are {self.graph.not_kept}."
        if self.not_whole:
            yield self.not_whole

    def _plan(self, node: int) -> Plan:
        """Random numbers of its own for each node, so that a choice of edges does not change what is drawn."""
        return Plan(samples=self.samples, random=torch.Generator().manual_seed(self.seed * 1_000_003 + node))

    @property
    def _is_late(self) -> bool:
        return self.deadline is not None and time.monotonic() > self.deadline

    def _check_edges(self, head: HeadUnderCheck, plan: Plan) -> None:
        if not head.edges:
            return
        if self._is_late:
            _doubt(head.edges, OUT_OF_TIME)
            return
        if unknown := why_nested(self.graph, head.node) or self.changed.why_changed(head):
            _doubt(head.edges, unknown)
            return
        if head.runs_backward:
            _doubt(head.edges, f"{head.backward_name} runs a backward pass of its own: trace what it calls to check that")
            return
        try:
            if other := why_other_call(head):
                _doubt(head.edges, other)
            elif head.call is not None:
                _check_recorded_call(head, plan)
            elif head.inner_calls or head.function is not None:
                check_custom(head, plan)
            else:
                _doubt(head.edges, head.unknown_call)
        except FAILURES as error:
            _doubt(head.edges, failure_reason(error))

        try:
            check_contributions(head, self.hooks, may_change=head.node in self.meant.changed)
        except PartialError as missing:
            _doubt(head.edges, str(missing))
        for edge in head.edges:
            add_clues(self.graph, head, edge)

    def _edge_check(self, head: HeadUnderCheck, edge: EdgeUnderCheck) -> EdgeCheck:
        as_meant = head.node in self.meant.functions or (edge.as_meant and edge.comparison.verdict == "match")
        return EdgeCheck(
            edge=edge.edge,
            name=edge_name(self.graph, edge.edge),
            source=head.attributes["source"],
            backward=head.backward_source,
            hook=edge.changed_by if edge.is_hooked_alone else "",
            formula=edge_formula(head, edge, self.graph),
            **(_fields(edge.comparison) | (_AS_INTENDED if as_meant else {})),
        )

    def _node_check(self, head: HeadUnderCheck, plan: Plan) -> NodeCheck:
        comparison = Comparison(rounded_dtype(head.attributes), read=values_read(self.graph, head.node))
        if self._is_late:
            comparison.doubt(OUT_OF_TIME)
        elif unknown := why_nested(self.graph, head.node) or self.changed.why_changed(head):
            comparison.doubt(unknown)
        else:
            try:
                check_value(head, comparison, plan)
            except FAILURES as error:
                comparison.doubt(failure_reason(error))
        return NodeCheck(
            node=head.node,
            name=head.attributes["name"],
            formula=head.attributes["expression"],
            **_fields(comparison),
        )

    def _leaf_checks(self) -> Iterable[LeafCheck]:
        if self.not_whole:
            return
        if self._is_late:
            for name, node in self.graph.leaves.items():
                yield LeafCheck(node=node, name=name, verdict="unverified", reason=OUT_OF_TIME)
            return
        lost = lost_in_second_backward(self.graph) | self.graph.inner_gradients()
        for found in check_leaves(self.graph):
            if found.node in lost:
                found.comparison.doubt(lost[found.node])
            add_clues_to_leaf(self.graph, found.node, found.comparison)
            name = self.graph.nodes[found.node]["name"]
            yield LeafCheck(node=found.node, name=name, formula=found.formula, **_fields(found.comparison))

    def _sum_checks(self) -> Iterable[SumCheck]:
        starting = self.graph.starting_cotangents()
        inner = self.graph.inner_gradients()
        lost = lost_in_second_backward(self.graph) | inner
        for node, attributes in self.graph.nodes(data=True):
            if not attributes["requires_grad"]:
                continue
            if self._is_late:
                yield from sum_not_reached(self.graph, node)
                continue
            dtype = rounded_dtype(attributes)
            comparison = Comparison(dtype)
            if nested := why_nested(self.graph, node):
                yield SumCheck(node=node, name=attributes["name"], contributions=0, verdict="unverified", reason=nested)
                continue
            places: Collection[int] = attributes["outputs"]
            meant = [place for place in places if (node, place) in self.meant.hooks]
            judged = [place for place in places if place not in meant]
            given = {at: (starting.get((node, at)), self.hooks) for at in places}
            try:
                count = sum(check_sum(self.graph, node, at, *given[at], comparison) for at in judged)
                is_wrong = comparison.is_wrong
                beside = Comparison(dtype) if is_wrong else comparison  # what is meant covers nothing that is not
                count += sum(check_sum(self.graph, node, at, *given[at], beside) for at in meant)
            except OutOfTime:
                yield from sum_not_reached(self.graph, node)
                continue
            if node in lost:
                comparison.doubt(lost[node])
            if count or node in inner:
                as_meant = comparison.is_wrong and not is_wrong
                fields = _fields(comparison) | (_AS_INTENDED if as_meant else {})
                yield SumCheck(node=node, name=attributes["name"], contributions=count, **fields)


def _check_recorded_call(head: HeadUnderCheck, plan: Plan) -> None:
    """Symbolically, and where there is no rule, by differences of the op itself."""
    call = head.call
    assert call is not None
    try:
        check_call(head, call, plan)
        return
    except Undetermined as unclear:
        _doubt(head.edges, unclear.reason)
        return
    except NoRule as missing:
        reason = missing.reason
    for edge in head.edges:
        edge.comparison = Comparison(edge.comparison.dtype, read=edge.comparison.read, made=edge.comparison.made)
        try:
            for place in edge.partials:
                check_by_differences(edge, call, place, plan)
            edge.comparison.step(reason)
        except NoRule as also:
            edge.comparison.doubt(f"{reason}; {also.reason}")


def _doubt(edges: list[EdgeUnderCheck], reason: str) -> None:
    for edge in edges:
        edge.comparison.doubt(reason)


def _fields(comparison: Comparison) -> dict[str, Any]:
    """What a report entry takes from a comparison."""
    return {
        "verdict": comparison.verdict,
        "method": comparison.method,
        "autograd": comparison.autograd,
        "reference": comparison.reference,
        "index": comparison.index,
        "quantity": comparison.quantity,
        "error_ulp": comparison.error_ulp,
        "checked": comparison.checked,
        "total": comparison.total,
        "noticed": comparison.noticed,
        "dtype": comparison.dtype,
        "finding": comparison.finding,
        "how": comparison.how,
        "reason": comparison.reason,
    }
