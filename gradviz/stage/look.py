"""One frame -> the state of every node and arrow, and the texts that fill their slots. No colours yet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

from gradviz.frames import Frame
from gradviz.stage.choose import Stage
from gradviz.stage.layout import ArrowPlace, NodePlace, Slot
from gradviz.stage.texts import edge_text, node_cotangent, node_lines
from gradviz.view import ViewEdge, ViewNode

State = Literal["waiting", "known", "pending", "settled"]
Way = Literal["waiting", "forward", "backward"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLook:
    """One node in one frame.

    Attributes:
        state: its value is still to come, is known, its cotangent is on the way, or complete.
        active: the sentence is about it.
        texts: what fills each slot; "" where nothing is written yet.
    """

    place: NodePlace
    node: ViewNode
    state: State
    active: bool
    texts: tuple[tuple[Slot, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrowLook:
    """One arrow in one frame; `way` is the direction in which something has gone along it last."""

    place: ArrowPlace
    edge: ViewEdge
    way: Way
    active: bool
    texts: tuple[tuple[Slot, str], ...]


def node_looks(stage: Stage, frame: Frame) -> list[NodeLook]:
    """Every node, in the order of the layout."""
    view = stage.frames.views[frame.step]
    return [_node_look(stage, frame, node, place) for node, place in zip(view.nodes, stage.layout.nodes, strict=True)]


def arrow_looks(stage: Stage, frame: Frame) -> list[ArrowLook]:
    """Every arrow, in the order of the layout."""
    view = stage.frames.views[frame.step]
    return [_arrow_look(stage, frame, edge, place) for edge, place in zip(view.edges, stage.layout.arrows, strict=True)]


def _node_look(stage: Stage, frame: Frame, node: ViewNode, place: NodePlace) -> NodeLook:
    lines = node_lines(node, stage.density)
    is_known = node.node in frame.values
    texts = [line.text.strip() if is_known or line.part in ("name", "call") else "" for line in lines]
    slots = [slot for slot in place.slots if slot.part != "cotangent"]
    texts += [""] * (len(slots) - len(texts))
    if len(place.slots) > len(slots):
        slots.append(place.slots[-1])
        texts.append(node_cotangent(stage.frames, frame, node.node, stage.density.longest))
    return NodeLook(
        place=place,
        node=node,
        state=_state(stage, frame, node.node) if is_known else "waiting",
        active=_is_active(stage, frame, node),
        texts=tuple(_centred(slots, texts)),
    )


def _centred(slots: Sequence[Slot], texts: Sequence[str]) -> Iterator[tuple[Slot, str]]:
    """Each slot with its text; where the last slots of a row are still empty, the others move to the middle of the row."""
    for _, row in groupby(zip(slots, texts, strict=True), key=lambda pair: pair[0].baseline):
        pairs = list(row)
        written, last = [slot for slot, text in pairs if text], pairs[-1][0]
        if not written or written[-1] == last:
            yield from pairs
            continue
        empty = last.left + last.width - written[-1].left - written[-1].width
        yield from ((replace(slot, left=slot.left + empty / 2) if text else slot, text) for slot, text in pairs)


def _state(stage: Stage, frame: Frame, node: int) -> State:
    graph = stage.frames.graphs[frame.step]
    members = stage.frames.scenes[frame.step].members(node)
    places = [(member, output) for member in members for output in graph.nodes[member]["outputs"]]
    reached = [place for place in places if graph.cotangent(*place) is not None]
    if reached and all(place in frame.settled for place in reached):
        return "settled"
    return "pending" if any(place in frame.pending or place in frame.settled for place in places) else "known"


def _is_active(stage: Stage, frame: Frame, node: ViewNode) -> bool:
    """Whether the sentence is about a node; of one that is drawn once per use, about this drawing of it."""
    if frame.edge is None:
        return node.node == frame.node
    scene = stage.frames.scenes[frame.step]
    return any(edge.tail == node.id and frame.edge in scene.edges(edge.id, edge.edge) for edge in scene.view.edges)


def _arrow_look(stage: Stage, frame: Frame, edge: ViewEdge, place: ArrowPlace) -> ArrowLook:
    _, head, _ = edge.edge
    edges = stage.frames.scenes[frame.step].edges(edge.id, edge.edge)
    way: Way = "backward" if edges & frame.passed else "forward" if head in frame.values else "waiting"
    into = stage.frames.scenes[frame.step].members(frame.node) if frame.node is not None else ()
    computed = frame.phase == "forward" and head in into
    text = edge_text(edge, stage.density) if way == "backward" else ""
    return ArrowLook(
        place=place,
        edge=edge,
        way=way,
        active=computed or frame.edge in edges,
        texts=tuple((slot, text) for slot in place.slots),
    )
