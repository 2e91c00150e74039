"""The player's data and page: they say what was painted, hold no user text as code, and load nothing."""

from __future__ import annotations

import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import framed_graphs
import pytest
import torch

import gradviz
from gradviz import GradGraph, InputError, RenderError
from gradviz.player import player_data, script
from gradviz.stage import THEMES, pages_of, painted

NASTY = "</script><img src=x onerror=alert(1)>&amp;\"'<!--"


class Page(HTMLParser):
    """The elements of a page, and the text of each script."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.inside = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag == "script":
            self.inside = True
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag != "script"

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.scripts[-1] += data


def nasty() -> GradGraph:
    leaf = torch.tensor(2.0, requires_grad=True)
    return gradviz.trace(leaf * leaf, names={NASTY: leaf})


@pytest.mark.parametrize("name", ["lecture", "relu_net", "cut"])
def test_playing_the_changes_gives_what_was_painted(name: str) -> None:
    pages = pages_of(framed_graphs.ALL[name]().frames())
    data = player_data(pages, "title", [("light", THEMES["light"]), ("dark", THEMES["dark"])])
    states: list[Any] = [None] * len(data["marks"])
    for (stage, drawn), frame in zip(pages, data["frames"], strict=True):
        for mark, *state in frame["changes"]:
            states[mark] = state
        assert (frame["sentence"], frame["title"]) == (drawn.text, stage.frames.title)
        for theme in data["themes"]:
            painting = painted(stage, drawn, THEMES[theme["name"]])
            texts = [text for text in painting.texts if text.part not in ("title", "caption")]
            colours = theme["colours"]
            shown = filter(None, states)  # of other parts of the graph nothing
            for arrow in painting.arrows:
                way, colour, width = next(shown)
                assert (bool(way), colours[colour], width) == (arrow.backward, arrow.colour, round(arrow.line_width, 1))
            for shape in painting.shapes:
                fill, line, _, dashed = next(shown)
                assert (colours[fill], colours[line], bool(dashed)) == (shape.fill, shape.line, shape.dashed)
            for text in texts:
                words, colour, x = next(shown)
                place_of = text.box.middle[0] if text.centred else text.box.left
                assert (words, colours[colour], x) == (text.text, text.colour, round(place_of, 1))


@pytest.mark.parametrize("name", ["lecture", "relu_net", "deep"])
def test_a_page_is_small_and_loads_nothing(name: str) -> None:
    page = framed_graphs.ALL[name]().player().html
    assert len(page.encode()) < 60_000
    found = Page(page)
    assert not [attributes for _, attributes in found.elements if {"src", "href", "srcset", "data"} & set(attributes)]
    policies = [attributes["content"] for _, attributes in found.elements if "http-equiv" in attributes]
    assert policies == ["default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"]
    assert not re.search(r"fetch\(|XMLHttpRequest|import\(|@import|url\(|innerHTML|outerHTML|insertAdjacent|eval\(", page)
    assert re.findall(r"https?://[^\"']*", page) == ["http://www.w3.org/2000/svg"]


def test_names_cannot_leave_the_data() -> None:
    page = nasty().player(title=NASTY).html
    found = Page(page)
    assert [tag for tag, _ in found.elements if tag in ("img", "script")] == ["script", "script"]
    assert NASTY in json.loads(found.scripts[0])["title"]
    assert script() in found.scripts[1]


def test_a_notebook_shows_the_page_in_a_frame_of_its_own() -> None:
    player = nasty().player()
    ((tag, attributes),) = Page(player._repr_html_()).elements
    assert (tag, attributes["sandbox"]) == ("iframe", "allow-scripts")
    assert attributes["srcdoc"] == player.html
    assert html.unescape(html.escape(player.html)) == player.html
    assert repr(framed_graphs.lecture().player()) == "<player of 13 frames of 'd = x·y + sin(π·x)'>"


def test_render_writes_the_page(tmp_path: Path) -> None:
    graph = framed_graphs.lecture()
    written = graph.render(tmp_path / "g.HTML")
    assert (tmp_path / "g.HTML").read_bytes() == written == graph.player().html.encode()
    assert graph.render(format="html", theme="dark") == graph.player(theme="dark").html.encode()
    with pytest.raises(InputError, match="show is for pictures; an HTML page accepts max_nodes, theme, between, collapse"):
        graph.render(format="html", show=["value"])
    focused = graph.player(focus="c", radius=1).html.encode()
    assert graph.render(format="html", focus="c", radius=1) == focused != written
    with pytest.raises(InputError, match="frames are made of at most 3"):
        graph.render(format="html", max_nodes=3)
    with pytest.raises(RenderError, match="accepted: svg, png, pdf, dot, gv, html"):
        graph.render(tmp_path / "g.bmp")
    with pytest.raises(RenderError, match="cannot write"):
        graph.player().save(tmp_path / "none" / "g.html")


def test_a_named_theme_is_the_only_one() -> None:
    graph = framed_graphs.lecture()
    assert [theme["name"] for theme in graph.player().data["themes"]] == ["light", "dark"]
    (theme,) = graph.player(theme="print", highlight="#123456").data["themes"]
    assert (theme["name"], theme["highlight"]) == ("print", "#123456")
    assert "#123456" in theme["colours"]
