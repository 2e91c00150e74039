"""Frames of a graph that cannot be read on one page, or not with labels -> parts of it, a stage each, with labels.

A part is calls that follow each other, with what they read; a step of the forward pass is shown on the part in which the
value is made, a contribution on that of the call which passes it on. A part ends where few values go on to later ones, and
there it is told on which part they were made.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from gradviz.frames import Frame, Frames
from gradviz.render import TIME_LIMIT_S
from gradviz.stage.choose import FONT_SIZE, Sheet, Stage, is_readable, labelled_stage_of, sheet_of, stage_of
from gradviz.stage.texts import Density, edge_text
from gradviz.view import Direction, View, ViewNode

LENGTHS = (20, 14, 10, 8, 6, 5, 4, 3, 2)
"""How many calls a part has at most; the first with which everything can be read is taken."""
MOST_PARTS = 3
"""So many parts at most a graph has that can be read as a whole, though without labels."""
PER_PART = 3
"""A part more is worth it where so many values fewer go on from one to another."""
BALANCE = 4
"""What a part of full length costs, in such values; a shorter one costs less than its share, so parts get about as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """All that is needed to paint every frame.

    Attributes:
        stages: one, or one for each part of the graph.
        places: for each frame which of them shows it.
    """

    stages: tuple[Stage, ...]
    places: tuple[int, ...]

    def __iter__(self) -> Iterator[tuple[Stage, Frame]]:
        """Every frame with the stage that shows it."""
        return ((self.stages[place], self.stages[place].frames[number]) for number, place in enumerate(self.places))

    def titled(self, title: str) -> Pages:
        """The same with one title for all parts, for what cannot change it."""
        stages = (replace(stage, frames=replace(stage.frames, title=title)) for stage in self.stages)
        return replace(self, stages=tuple(stages))


def pages_of(
    frames: Frames,
    *,
    font_size: float = FONT_SIZE,
    time_limit_s: float = TIME_LIMIT_S,
    direction: Direction | None = None,
) -> Pages:
    """One stage, if everything on it can be read; else those of its parts, if these can be, with labels on all arrows.

    Args:
        frames, font_size, time_limit_s, direction: as of `stage_of`.

    Raises:
        InputError, RenderError: as `stage_of`.
    """
    deadline = time.monotonic() + time_limit_s
    whole = stage_of(frames, font_size=font_size, time_limit_s=time_limit_s, direction=direction)
    calls, sheet = _calls(frames.views[0]), sheet_of(frames)
    for most in (length for length in LENGTHS if length < len(calls) and _may_be_divided(whole)):
        parts = _parts(frames.views[0], calls, most)
        if len(parts) > MOST_PARTS and is_readable(whole.density, whole.layout):
            break
        if stages := _stages(frames, parts, sheet, font_size, deadline, direction):
            return Pages(stages=tuple(stages), places=tuple(_places(frames, stages)))
    return Pages(stages=(_said_to_lack(whole),), places=(0,) * len(frames))


def _said_to_lack(whole: Stage) -> Stage:
    """The title of a stage that has no room for labels says where they are."""
    if not _lacks_labels(whole):
        return whole
    return replace(whole, frames=replace(whole.frames, title=f"{whole.frames.title} · partials in the sentences"))


def _may_be_divided(whole: Stage) -> bool:
    """Whether each step looks at one value or arrow, and something is lost that parts of the graph may have room for."""
    looks_at_one = all(frame.node is not None or frame.edge is not None for frame in whole.frames.frames[1:-1])
    return looks_at_one and (not is_readable(whole.density, whole.layout) or _lacks_labels(whole))


def _lacks_labels(stage: Stage) -> bool:
    return stage.density.labels == "none" and any(edge_text(edge, Density()) for edge in stage.frames.views[0].edges)


def _calls(view: View) -> list[str]:
    """The ids of what reads something, in forward order."""
    heads = {edge.head for edge in view.edges}
    return [node.id for node in view.nodes if node.id in heads]


def _parts(view: View, calls: Sequence[str], most: int) -> list[list[str]]:
    """Calls in a row, at most so many in each part, so divided that few values go on, and into few parts of like length."""
    place = {call: number for number, call in enumerate(calls)}
    last = dict.fromkeys(calls, -1)
    for edge in view.edges:
        if edge.tail in place:
            last[edge.tail] = max(last[edge.tail], place[edge.head])
    going_on = [sum(place[call] < end <= last[call] for call in calls) for end in range(len(calls) + 1)]
    best: list[tuple[float, int]] = [(0, 0)]  # of so many calls: what dividing them costs, and where the last part begins
    for end in range(1, len(calls) + 1):
        begins = range(max(0, end - most), end)
        ways = ((BALANCE * ((end - begin) / most) ** 2 + going_on[begin], begin) for begin in begins)
        best.append(min((best[begin][0] + PER_PART + cost, begin) for cost, begin in ways))
    parts, end = [], len(calls)
    while end:
        begin = best[end][1]
        parts.append(list(calls[begin:end]))
        end = begin
    return parts[::-1]


def _stages(
    frames: Frames,
    parts: Sequence[Sequence[str]],
    sheet: Sheet,
    font_size: float,
    deadline: float,
    direction: Direction | None,
) -> list[Stage]:
    """A stage for each part; none at all where one of them cannot be read, or the time is over."""
    found: list[Stage] = []
    made_on = {call: number for number, part in enumerate(parts, 1) for call in part}
    for number in range(1, len(parts) + 1):
        if (rest_s := deadline - time.monotonic()) <= 0:
            return []
        shown = _shown(frames, made_on, number, len(parts))
        stage = labelled_stage_of(shown, sheet, font_size=font_size, time_limit_s=rest_s, direction=direction)
        if stage is None:
            return []
        found.append(stage)
    return found


def _shown(frames: Frames, made_on: Mapping[str, int], number: int, count: int) -> Frames:
    """The same frames, with the calls of a part and what they read on the picture; ids are unique among all parts.

    Of what is made on another part, that is told in the place of its call.
    """
    calls = {call for call, part in made_on.items() if part == number}
    shown = calls | {edge.tail for edge in frames.views[0].edges if edge.head in calls}

    def own(name: str) -> str:
        return f"part_{number}_{name}"

    def kept(node: ViewNode) -> ViewNode:
        part = made_on.get(node.id, number)
        told = node if part == number else replace(node, call="", origin=f"from part {part}")
        return replace(told, id=own(node.id))

    def cut(view: View) -> View:
        nodes = tuple(kept(node) for node in view.nodes if node.id in shown)
        edges = (edge for edge in view.edges if edge.head in calls)
        renamed = (replace(edge, id=own(edge.id), tail=own(edge.tail), head=own(edge.head)) for edge in edges)
        return replace(view, nodes=nodes, edges=tuple(renamed))

    scenes = tuple(
        replace(scene, view=cut(scene.view), bundles={own(name): edges for name, edges in scene.bundles.items()})
        for scene in frames.scenes
    )
    return replace(frames, scenes=scenes, title=f"{frames.title} · part {number} of {count}")


def _places(frames: Frames, stages: Sequence[Stage]) -> Iterator[int]:
    """For each frame the part in which its call is; what is about no call stays where the frame before it was."""
    made_in: dict[int, int] = {}
    for place, stage in enumerate(stages):
        view = stage.frames.views[0]
        heads = {edge.head for edge in view.edges}
        made_in |= {node.node: place for node in view.nodes if node.id in heads}
    member_of = {member: node for node in made_in for member in frames.scenes[0].members(node)}
    place = 0
    for frame in frames:
        looked_at = frame.node if frame.edge is None else frame.edge[1]
        if looked_at is not None:
            place = made_in.get(member_of.get(looked_at, looked_at), place)
        yield place
