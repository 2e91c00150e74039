"""A graph -> the calls of modules and functions in it as a tree, each with what is inside and what is wrong there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gradviz.graph import GradGraph
from gradviz.recording.scopes import ScopePath
from gradviz.view.closing import exact
from gradviz.view.model import Verdict
from gradviz.view.titles import class_of, classes_in, titled
from gradviz.view.verdicts import Finding, Marks, Report, worst


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call.

    Attributes:
        name: by which `unfold` and `fold` of a view mean it, `blocks.3.mlp`.
        label: what tells it from the others within the same call, `mlp`; a number with the class, `0 · Linear`.
        depth: how many calls it lies in.
        nodes: what it computed, with all calls inside, in forward order.
        parameters: how many elements the leaves have that it reads.
        verdict: the worst that the check found inside; None without a check.
        findings: how many of a diagnosis are about it.
    """

    name: str
    label: str
    depth: int
    nodes: tuple[int, ...]
    parameters: int
    verdict: Verdict | None
    findings: int


def outline(graph: GradGraph, *, report: Report | None = None, findings: Iterable[Finding] = ()) -> tuple[Call, ...]:
    """The calls in forward order, each before those within it.

    Args:
        graph: as it was traced or loaded.
        report: what `check()` found.
        findings: what `diagnose()` found.

    >>> import gradviz, torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
    >>> graph = gradviz.trace(model, torch.ones(5, 2), loss=torch.sum, device="cpu")
    >>> [(call.label, call.depth, len(call.nodes), call.parameters) for call in outline(graph)]
    [('0 · Linear', 0, 2, 9), ('1 · Tanh', 0, 1, 0), ('2 · Linear', 0, 2, 4)]
    """
    inside: dict[ScopePath, list[int]] = {}
    for node, attributes in graph.nodes(data=True):
        for length in range(1, len(attributes["scope"]) + 1 if attributes["kind"] == "op" else 1):
            inside.setdefault(attributes["scope"][:length], []).append(node)
    names = {call[-1] for call in inside}
    marks = Marks(report, findings, with_verdicts=True)
    return tuple(
        Call(
            name=exact(call[-1], names),
            label=titled(_label(call), class_of(call[-1:], classes_in(graph))),
            depth=len(call) - 1,
            nodes=tuple(nodes),
            parameters=_parameters(graph, nodes),
            verdict=worst(
                [marks.nodes.get(node) for node in nodes]
                + [marks.of_edge(edge) for edge in graph.in_edges(nodes, keys=True)]
            ),
            findings=sum(len(marks.troubles.get(node, ())) for node in nodes),
        )
        for call, nodes in _nested(inside)
    )


def _nested(inside: dict[ScopePath, list[int]]) -> list[tuple[ScopePath, list[int]]]:
    """The calls, each before those within it, else in forward order."""
    first = {call: nodes[0] for call, nodes in inside.items()}
    place = {call: tuple((first[call[:length]], call[length - 1]) for length in range(1, len(call) + 1)) for call in inside}
    return sorted(inside.items(), key=lambda entry: place[entry[0]])


def _label(call: ScopePath) -> str:
    """
    >>> _label(("blocks", "blocks.3", "blocks.3.mlp")), _label(("step", "cell@2"))
    ('mlp', 'cell@2')
    """
    around = next((name for name in reversed(call[:-1]) if call[-1].startswith(f"{name}.")), "")
    return call[-1].removeprefix(f"{around}.") if around else call[-1]


def _parameters(graph: GradGraph, nodes: Iterable[int]) -> int:
    leaves = {tail for tail, _ in graph.in_edges(nodes) if graph.nodes[tail]["kind"] == "leaf"}
    return sum(value.numel() for leaf in leaves if (value := graph.value(leaf)) is not None)
