"""Samples as paintings, made once."""

from __future__ import annotations

from functools import cache

import framed_graphs
import torch

import gradviz
from gradviz.frames import Frames
from gradviz.stage import Painting, painted, stage_of, stage_theme

NAMES = [*framed_graphs.ALL, "training"]
MEASURED = [*NAMES, *framed_graphs.EXAMPLES]
NASTY = "<b>&amp;\"]]>\\N{'é'} 𝛼^~$%#_αß"


@cache
def frames_named(name: str) -> Frames:
    if name == "training":
        first, *later = framed_graphs.training()
        return first.frames(following=later)
    if name == "nasty":
        leaf = torch.tensor(2.0, requires_grad=True)
        return gradviz.trace(leaf * leaf, names={NASTY: leaf}).frames(title=NASTY)
    if name in framed_graphs.EXAMPLES:
        return framed_graphs.example(name).frames()
    return framed_graphs.ALL[name]().frames()


@cache
def paintings(name: str, theme: str = "slides") -> list[Painting]:
    stage = stage_of(frames_named(name))
    return [painted(stage, frame, stage_theme(theme)) for frame in stage.frames]


def words(painting: Painting) -> set[str]:
    """What is written on a page, without spaces."""
    return {text.text.replace(" ", "") for text in painting.texts if text.text}
