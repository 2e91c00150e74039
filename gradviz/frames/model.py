"""What there is to show at each moment, as values: no places, no colours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from gradviz.explain.terms import Sentence
from gradviz.explain.text import line_text
from gradviz.frames.scene import Scene
from gradviz.graph import Edge, GradGraph
from gradviz.view import View

Phase = Literal["forward", "backward"]
Place = tuple[int, int]
"""(node, output of the call): what a cotangent belongs to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One moment of a forward or a backward pass.

    Attributes:
        step: which of the graphs it shows.
        phase: which pass.
        sentence: what happens, with its numbers.
        values: the nodes whose values have appeared.
        pending: place -> the sum of the contributions that have arrived, where others are still to come.
        settled: the places whose cotangents are complete.
        passed: the edges along which a contribution has gone back.
        node, edge: what is looked at; the edge leads into the node that passes something on, the node is what receives it,
            or the number of a group that passes on what it has received.
    """

    step: int
    phase: Phase
    sentence: Sentence
    values: frozenset[int]
    pending: Mapping[Place, Tensor]
    settled: frozenset[Place]
    passed: frozenset[Edge]
    node: int | None = None
    edge: Edge | None = None

    @property
    def text(self) -> str:
        """The sentence as plain text."""
        return line_text(self.sentence)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """The frames in the order in which they are shown, and what they show.

    Attributes:
        title: one line for all of them.
        language: of the sentences, as HTML names languages.
        graphs: one for each training step, all of the same structure.
        scenes: the picture of each graph, with what is written on it once everything has appeared.
        frames: at least one.
    """

    title: str
    language: str
    graphs: tuple[GradGraph, ...]
    scenes: tuple[Scene, ...]
    frames: tuple[Frame, ...]

    @property
    def views(self) -> tuple[View, ...]:
        """What is on each picture, a group as one node."""
        return tuple(scene.view for scene in self.scenes)

    def __len__(self) -> int:
        return len(self.frames)

    def __iter__(self) -> Iterator[Frame]:
        return iter(self.frames)

    def __getitem__(self, place: int) -> Frame:
        return self.frames[place]

    def __str__(self) -> str:
        return "\n".join(f"{number:>3}  {frame.text}" for number, frame in enumerate(self.frames, 1))

    def __repr__(self) -> str:
        return f"<{len(self.frames)} frames of {self.title!r}>"
