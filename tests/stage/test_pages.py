"""Graphs that cannot be read on one page are shown part by part, with labels on all arrows, in every format."""

from __future__ import annotations

import io
import json
import re
from functools import cache
from pathlib import Path

import pptx
import pytest
import torch
from torch import Tensor

import gradviz
from gradviz.frames import Frames
from gradviz.models import MODELS
from gradviz.player import player_data
from gradviz.slides.beamer import beamer
from gradviz.stage import MIN_TEXT_PX, THEMES, Pages, painted, smallest_text
from gradviz.stage import pages_of as pages_in_time
from gradviz.stage.pages import _parts
from gradviz.view import View, ViewEdge, ViewNode

TIME_ENOUGH_S = 600.0
"""On a busy machine too: what does not become parts in time is one page."""
WIDE = " + ".join(f"tanh(w{i}*x + b{i})" for i in range(8))


def pages_of(frames: Frames) -> Pages:
    return pages_in_time(frames, time_limit_s=TIME_ENOUGH_S)


@cache
def chain() -> Frames:
    def loss(x: Tensor) -> Tensor:
        for place in range(30):
            x = torch.sin(x) if place % 2 else torch.exp(x)
        return x

    return gradviz.trace(loss, 0.5).frames()


@cache
def network() -> Frames:
    """Eight neurons of one input each, and what adds them."""
    names = ["x", *(f"{name}{place}" for place in range(8) for name in "wb")]
    return gradviz.trace(WIDE, at={name: 0.1 * place for place, name in enumerate(names, 1)}, device="cpu").frames()


@cache
def pages(name: str) -> Pages:
    return pages_of({"chain": chain, "network": network}[name]())


@pytest.mark.parametrize("name", ["chain", "network"])
def test_every_arrow_stands_on_one_part_with_a_label_that_can_be_read(name: str) -> None:
    found = pages(name)
    assert len(found.stages) > 1
    edges = [edge.edge for stage in found.stages for edge in stage.frames.views[0].edges]
    whole = {"chain": chain, "network": network}[name]().views[0]
    assert sorted(edges) == sorted(edge.edge for edge in whole.edges)
    for stage in found.stages:
        assert smallest_text(stage.density, stage.layout) >= MIN_TEXT_PX
        painting = painted(stage, stage.frames[-1], THEMES["light"])
        labelled = {text.owner for text in painting.texts if text.part == "partial" and text.text}
        assert labelled == {edge.id for edge in stage.frames.views[0].edges if not edge.cut}


@pytest.mark.parametrize("name", ["chain", "network"])
def test_a_frame_is_shown_on_the_part_that_holds_what_it_looks_at(name: str) -> None:
    for stage, frame in pages(name):
        view = stage.frames.views[0]
        if frame.edge is not None:
            assert frame.edge in {edge.edge for edge in view.edges}
        elif frame.node is not None:
            assert frame.node in {node.node for node in view.nodes}


def test_the_title_counts_the_parts_and_the_pass_goes_through_them_there_and_back() -> None:
    found = pages("chain")
    count = len(found.stages)
    assert [stage.frames.title.partition(" · ")[2] for stage in found.stages] == [
        f"part {number} of {count}" for number in range(1, count + 1)
    ]
    there = [place for place, frame in zip(found.places, chain(), strict=True) if frame.phase == "forward"]
    back = [place for place, frame in zip(found.places, chain(), strict=True) if frame.phase == "backward"]
    assert (there, back) == (sorted(there), sorted(back, reverse=True))


@pytest.mark.parametrize("name", ["chain", "network"])
def test_what_was_made_on_an_earlier_part_says_on_which(name: str) -> None:
    stages = pages(name).stages
    made_on: dict[int, int] = {}
    for number, stage in enumerate(stages, 1):
        view = stage.frames.views[0]
        painting = painted(stage, stage.frames[-1], THEMES["light"])
        heads = {edge.head for edge in view.edges}
        for node in view.nodes:
            told = "".join(text.text for text in painting.texts if text.owner == node.id)
            assert (f"(from part {made_on.get(node.node)})" in told) == (node.node in made_on), told
            assert ("from part" in told) == (node.id not in heads and node.role != "leaf"), told
        made_on |= {node.node: number for node in view.nodes if node.id in heads}
    assert len(made_on) > 8


def test_what_can_be_read_on_one_page_stays_there() -> None:
    frames = gradviz.trace("tanh(ln(1 + z*2x/sin y))", x=1.0, y=2.0, z=3.0, device="cpu").frames()
    found = pages_of(frames)
    assert len(found.stages) == 1 and found.stages[0].frames.title == frames.title


def test_a_graph_that_has_room_for_all_but_its_labels_is_shown_in_few_parts() -> None:
    text = "h=σ(w*x1+v*x2+b); k=σ(p*x1+q*x2+c); z=r*h+s*k+d; y=σ(z); (y-t)^2"
    names = ("x1", "x2", "w", "v", "b", "p", "q", "c", "r", "s", "d", "t")
    found = pages_of(gradviz.trace(text, at=dict.fromkeys(names, 0.3), device="cpu").frames())
    assert [stage.density.labels for stage in found.stages] == ["all", "all"]


def test_a_network_of_tensors_has_its_partials_on_parts_of_like_length() -> None:
    model, inputs, loss = MODELS["two-layer ReLU net"]()
    found = pages_of(gradviz.trace(model, *inputs, loss=loss, device="cpu").frames())
    counts = [len({edge.head for edge in stage.frames.views[0].edges}) for stage in found.stages]
    assert len(counts) == 2 and max(counts) < 2 * min(counts)
    assert all(stage.density.labels != "none" for stage in found.stages)


def test_a_part_ends_where_few_values_go_on() -> None:
    def edge(tail: str, head: str) -> ViewEdge:
        return ViewEdge(id=f"{tail}{head}", tail=tail, head=head, edge=(0, 0, 0))

    arrows = ["xa", "xb", "xc", "ad", "bd", "cd", "de", "df", "dg", "eh", "fh", "gh"]  # all of the first half meets in d
    nodes = tuple(ViewNode(id=name, node=place, role="op", name=name) for place, name in enumerate("xabcdefgh"))
    view = View(title="", nodes=nodes, edges=tuple(edge(*arrow) for arrow in arrows))
    assert _parts(view, "abcdefgh", 6) == [list("abcd"), list("efgh")]


def test_a_picture_without_labels_says_where_the_partials_are() -> None:
    frames = gradviz.trace(lambda x: torch.stack([torch.sin(x * k) for k in range(12)]).sum(), 0.3).frames()
    (stage,) = pages_of(frames).stages
    assert stage.density.labels == "none"
    assert stage.frames.title == f"{frames.title} · partials in the sentences"


def test_the_player_hides_what_is_on_other_parts() -> None:
    found = pages("chain")
    data = json.loads(json.dumps(player_data(found, "title", [("light", THEMES["light"])])))
    states: list[list[object]] = [[] for _ in data["marks"]]
    assert data["title"] == "title"
    for (stage, frame), told in zip(found, data["frames"], strict=True):
        for mark, *state in told["changes"]:
            states[mark] = state
        painting = painted(stage, frame, THEMES["light"])
        texts = [text for text in painting.texts if text.part not in ("title", "caption")]
        assert sum(map(bool, states)) == len(painting.arrows) + len(painting.shapes) + len(texts)
        assert told["title"] == stage.frames.title


def test_presentations_have_each_frame_with_its_part(tmp_path: Path) -> None:
    chain().graphs[0].save_slides(tmp_path / "deck.pptx", time_limit_s=TIME_ENOUGH_S)
    slides = list(pptx.Presentation(str(tmp_path / "deck.pptx")).slides)
    assert [slide.shapes.title.text for slide in slides] == [stage.frames.title for stage, _ in pages("chain")]
    chain().graphs[0].save_slides(tmp_path / "one.pptx", one_slide=True, time_limit_s=TIME_ENOUGH_S)
    (slide,) = pptx.Presentation(io.BytesIO((tmp_path / "one.pptx").read_bytes())).slides
    assert slide.shapes.title.text == chain().title  # it stands there in all steps


def test_beamer_shows_a_mark_only_in_the_frames_of_its_part() -> None:
    found, count = pages("chain"), len(pages("chain").stages)
    paintings = [painted(stage, frame, THEMES["slides"]) for stage, frame in found]
    source = beamer(paintings)
    last = [number for number, place in enumerate(found.places, 1) if place == len(found.stages) - 1]
    (shown,) = {match[1] for match in re.finditer(rf"\\only<([\d-]+)>[^\n]*part {count} of {count}", source)}
    assert shown == f"{last[0]}-{last[-1]}"
