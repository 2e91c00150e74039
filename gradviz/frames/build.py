"""Graphs -> frames: everything that happens, in order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal, Unpack, get_args

import torch
from torch import Tensor

from gradviz.errors import InputError
from gradviz.explain.amounts import amount, is_written_out, without_repeats
from gradviz.explain.rounded import Rounded
from gradviz.explain.sentences import ROUNDED
from gradviz.explain.terms import Name, Sentence, Term, Words
from gradviz.explain.text import term_text
from gradviz.frames import sentences as say
from gradviz.frames.backward import BackwardPass
from gradviz.frames.model import Frame, Frames
from gradviz.frames.scene import Scene, scene_of
from gradviz.frames.sentences import Language
from gradviz.graph import GradGraph
from gradviz.view import Part, PartOptions, View, ViewNode, node_call, view_of
from gradviz.view.calls import call_text
from gradviz.view.summary import head_line, is_opaque, written_out

Detail = Literal["values", "passes"]
MAX_NODES = 60
EXPRESSION_LENGTH = 60
FEW_ELEMENTS, FEW_LENGTH = 6, 64
"""A sentence writes out tensors of so many elements, in so many characters; a picture has less room."""
_AROUND_VECTOR = re.compile(r"(?<!\w)\((\[[^()]*\])\)")
PARTS: tuple[Part, ...] = ("call", "value", "cotangent", "formula", "number")


class FrameOptions(PartOptions, total=False):
    """What `frames` takes; see there."""

    following: Sequence[GradGraph]
    detail: Detail | None
    max_nodes: int
    title: str | None
    language: Language


def frames_of(
    graphs: Sequence[GradGraph],
    *,
    detail: Detail | None = None,
    max_nodes: int = MAX_NODES,
    title: str | None = None,
    language: Language = "en",
    **part: Unpack[PartOptions],
) -> Frames:
    """The frames of one graph, or of several steps of a training loop.

    Args:
        graphs: one, or one for each step; all have the same structure.
        detail: "values" for a frame for each value and each contribution, "passes" for two frames for each graph; None
            for values where there is one graph, else passes.
        max_nodes: the most nodes and groups that are accepted.
        title: one line for all frames; None to take it from the output.
        language: of the sentences.
        part: as for `view`, but without `collapse`, `unfold` and `fold` there are groups only in a graph of more nodes than
            are accepted; a group is one step.

    Raises:
        InputError: there is no graph, one is too large, or they do not have the same structure.
    """
    if not graphs:
        raise InputError("there is no graph to make frames of; accepted: one, or one for each training step")
    if not isinstance(max_nodes, int) or max_nodes < 1:
        raise InputError(f"max_nodes is {max_nodes!r}; accepted: 1 or more")
    for name, value, accepted in (
        ("detail", detail or "values", get_args(Detail)),
        ("language", language, get_args(Language)),
    ):
        if value not in accepted:
            raise InputError(f"unknown {name} {value!r}; accepted: {', '.join(accepted)}")
    scenes = tuple(_scene(graph, max_nodes, part) for graph in graphs)
    for number, (graph, scene) in enumerate(zip(graphs[1:], scenes[1:], strict=True), 2):
        if difference := _difference(graphs[0], scenes[0].view, graph, scene.view):
            raise InputError(f"graph {number} has another structure than the first: {difference}; accepted: the same code")
    chosen = detail or ("values" if len(graphs) == 1 else "passes")
    found: list[Frame] = []
    with torch.no_grad():
        for step, (graph, scene) in enumerate(zip(graphs, scenes, strict=True)):
            before = graphs[step - 1] if step else None
            made = _values(graph, scene, step) if chosen == "values" else _passes(graph, scene, step, before)
            found += [_numbered(frame) for frame in made] if len(graphs) > 1 else made
    return Frames(
        title=title or _title(graphs[0]), language=language, graphs=tuple(graphs), scenes=scenes, frames=tuple(found)
    )


def steps_of(first: GradGraph, following: Any) -> list[GradGraph]:
    """The graphs of all steps.

    Raises:
        InputError: `following` are no graphs.
    """
    accepted = "following takes the graphs of later steps, in a list"
    if isinstance(following, GradGraph) or not isinstance(following, Iterable):
        raise InputError(f"{accepted}, not {type(following).__name__}")
    steps = [first, *following]
    for graph in steps:
        if not isinstance(graph, GradGraph):
            raise InputError(f"{accepted}; one of these is a {type(graph).__name__}")
    return steps


def _scene(graph: GradGraph, max_nodes: int, part: PartOptions) -> Scene:
    whole: PartOptions = {"collapse": "auto" if part.get("unfold") or part.get("fold") else "none"}
    view = _view(graph, {**whole, **part})
    if _is_too_large(view, max_nodes) and part.get("collapse") is None:
        view = _view(graph, {**part, "collapse": "auto"})
    if _is_too_large(view, max_nodes):
        groups = f" and {len(view.groups):,} groups" if view.groups else ""
        raise InputError(
            f"the picture has {len(view.nodes):,} nodes{groups}, frames are made of at most {max_nodes:,}; draw calls as "
            "one (collapse=), draw or trace a smaller part (focus=), or raise max_nodes"
        )
    return scene_of(graph, view)


def _view(graph: GradGraph, options: PartOptions) -> View:
    all_of_it = max(len(graph), 1) if options["collapse"] == "none" else None
    return view_of(graph, show=PARTS, max_nodes=all_of_it, max_edge_labels=graph.number_of_edges(), **options)


def _is_too_large(view: View, max_nodes: int) -> bool:
    return len(view.nodes) + len(view.groups) > max_nodes or bool(view.gaps)


def _difference(first: GradGraph, first_view: View, other: GradGraph, view: View) -> str:
    """What two graphs do not have in common; "" where frames of one fit the other."""
    if [node.id for node in first_view.nodes] != [node.id for node in view.nodes]:
        return f"{len(first_view.nodes)} and {len(view.nodes)} nodes"
    if [edge.id for edge in first_view.edges] != [edge.id for edge in view.edges]:
        return "other edges"
    for node in first:
        mine, theirs = first.nodes[node], other.nodes[node]
        if (mine["name"], mine["op"]) != (theirs["name"], theirs["op"]):
            return f"{mine['name']!r} and {theirs['name']!r}"
    return ""


def _title(graph: GradGraph) -> str:
    attributes = graph.nodes[graph.output]
    name, expression = str(attributes["name"]), str(attributes["expression"])
    return say.title(name, expression if expression != name and len(expression) <= EXPRESSION_LENGTH else "")


def _values(graph: GradGraph, scene: Scene, step: int) -> Iterator[Frame]:
    """A frame for the inputs, one for each call or group, one for each contribution, one at the end."""
    nodes = {node.node: node for node in scene.view.nodes}
    calls = [node for node in nodes.values() if node.node in scene.groups or _is_call(graph, node)]
    known = frozenset(nodes) - {node.node for node in calls}
    rounded = Rounded(graph)
    inputs = say.inputs([_input(graph, node, nodes[node].call) for node in _inputs(graph, known)])
    yield _forward(step, say.of_part(inputs, _left_out(graph, scene)), known)
    for node in calls:
        known |= frozenset(scene.members(node.node))
        is_group = node.node in scene.groups
        told = say.group(node.name, node.value) if is_group else _computed(graph, node.node, node.value)
        told = (*told, f" {ROUNDED}") if rounded.is_zero(node.node) else told
        yield _forward(step, told, known, node.node)
    yield from BackwardPass(graph, scene, step).frames()


def _is_call(graph: GradGraph, node: ViewNode) -> bool:
    return node.role in ("op", "output") and graph.nodes[node.node]["kind"] == "op"


def _left_out(graph: GradGraph, scene: Scene) -> list[str]:
    """What the picture does not show one by one, or not at all."""
    inside = sum(len(group.nodes) for group in scene.groups.values())
    told = [f"{inside:,} of {len(graph):,} nodes are inside groups, and each group is one step"] if inside else []
    return [*told, *(note for note in scene.view.notes if note.startswith("only "))]


def _passes(graph: GradGraph, scene: Scene, step: int, before: GradGraph | None) -> Iterator[Frame]:
    """A frame at the end of the forward pass and one at the end of the backward pass."""
    yield _forward(step, _changed(graph, before), scene.nodes, graph.output)
    yield BackwardPass(graph, scene, step).last()


def _numbered(frame: Frame) -> Frame:
    """The frame with its step before the sentence."""
    return replace(frame, sentence=say.step(frame.step + 1, frame.sentence))


def _forward(step: int, sentence: Sentence, values: frozenset[int], node: int | None = None) -> Frame:
    nothing: frozenset[tuple[int, int]] = frozenset()
    return Frame(
        step=step,
        phase="forward",
        sentence=sentence,
        values=values,
        pending={},
        settled=nothing,
        passed=frozenset(),
        node=node,
    )


def _inputs(graph: GradGraph, known: frozenset[int]) -> list[int]:
    """Leaves first; a constant that is called by its value says nothing new."""
    leaves = [node for node in graph.leaves.values() if node in known]
    others = [node for node in sorted(known) if node not in leaves]
    return leaves + [node for node in others if len(_input(graph, node)) > 1]


def _input(graph: GradGraph, node: int, call: str = "") -> say.Amount:
    """`x = 2`, or the name alone where it says the value; `a = x[0] = 2` of a call that only makes a constant."""
    name, value, number = Name(str(graph.nodes[node]["name"])), graph.value(node), _number(graph.value(node))
    made = (" = ", Words(call)) if call else ()
    if number is None:
        return (name, *made, f": {graph.nodes[node]['value_missing'] if value is None else ' = '.join(_few(value))}")
    return (name,) if term_text(number) == name.text else (name, *made, " = ", number)


def _computed(graph: GradGraph, node: int, lines: Sequence[str]) -> Sentence:
    """`a = x·y = 2·3 = 6`, or the lines that describe the value."""
    name, call = str(graph.nodes[node]["name"]), node_call(graph, node)
    number = _number(graph.value(node)) if len(graph.nodes[node]["outputs"]) < 2 else None
    if number is None:
        value = graph.value(node) if len(graph.nodes[node]["outputs"]) < 2 else None
        few = () if value is None else _few(value)
        return say.described(name, call, " = ".join(few) if len(few) > 1 else ", ".join(lines))
    sides: list[Term] = [Words(call)] if call else []
    sides += [Words(inserted)] if (inserted := _with_numbers(graph, node)) else []
    return say.computed(name, without_repeats([*sides, number]))


def _with_numbers(graph: GradGraph, node: int) -> str:
    """The call with numbers in the place of names; "" where an argument is neither a number nor a short vector."""
    operands = {use.edge[2]: _number(graph.value(use.edge[0], use.output)) for use in graph.arguments_of(node)}
    written = {key: term_text(number) for key, number in operands.items() if number is not None}
    if len(written) < len(operands) or not written:
        return ""
    text = _AROUND_VECTOR.sub(r"\1", call_text(graph.nodes[node]["op"], written, graph.nodes[node]["call"]))
    return "" if "…" in text else text  # a vector that was shortened says nothing


def _changed(graph: GradGraph, before: GradGraph | None) -> Sentence:
    """The output, and for later steps what the leaves and the output were before."""
    output = _input(graph, graph.output)
    if before is None:
        return say.went([], output, None)
    changes: list[tuple[say.Amount, Term]] = []
    for node in graph.leaves.values():
        now, was = _number(graph.value(node)), _number(before.value(node))
        if now is not None and was is not None and now != was:
            changes.append((_input(graph, node), was))
    return say.went(changes, output, _number(before.value(before.output)))


def _few(value: Tensor) -> tuple[str, ...]:
    """The dtype and the shape, and the elements where they are few."""
    elements = written_out(value, most=FEW_ELEMENTS, longest=FEW_LENGTH)
    return (head_line(value), elements) if elements else (head_line(value),)


def _number(value: Tensor | None) -> Term | None:
    """A single number, or a short vector; None for any other."""
    if value is None or is_opaque(value) or not value.numel():
        return None
    return amount(value) if is_written_out(value) else None
