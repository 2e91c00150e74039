"""Pictures measured: labels stay inside their shapes and off each other, by the metrics of the shipped font."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path

import networkx as nx
import pytest
import sample_graphs as samples
import torch
from PIL import ImageFont

import gradviz
from gradviz import render
from gradviz.render import svg_text
from gradviz.view import view_of

FONTS = Path(render.__file__).parent / "fonts"
GRAPHS = {
    "product": samples.product_plus_sine,
    "tanh": samples.tanh_of_log,
    "net": samples.two_layer_net,
    "cut": samples.cut_product,
    "sixty": lambda: samples.layered(12),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    left: float
    top: float
    right: float
    bottom: float
    is_ellipse: bool = False

    def contains(self, other: Box, slack: float) -> bool:
        if self.is_ellipse and not all(
            self._surrounds(x, y) for x in (other.left, other.right) for y in (other.top, other.bottom)
        ):
            return False
        return (
            self.left - slack <= other.left
            and other.right <= self.right + slack
            and self.top - slack <= other.top
            and other.bottom <= self.bottom + slack
        )

    def _surrounds(self, x: float, y: float) -> bool:
        across = (2 * x - self.left - self.right) / (self.right - self.left)
        down = (2 * y - self.top - self.bottom) / (self.bottom - self.top)
        return across**2 + down**2 <= 1

    def overlaps(self, other: Box) -> bool:
        return self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom


@cache
def font(bold: bool) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(FONTS / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"), 1000)


def text_box(text: ElementTree.Element) -> Box:
    """Where the letters of one text element are, from baseline to the height of capitals."""
    pieces = text.findall("{*}tspan") or [text]
    size = max(float(piece.get("font-size", "0")) for piece in pieces)
    words = ["".join(piece.itertext()).replace("\xa0", " ") for piece in pieces]
    words[-1] = words[-1].rstrip()
    fonts = [font(piece.get("font-weight") == "bold") for piece in pieces]
    width = sum(face.getlength(piece) for face, piece in zip(fonts, words, strict=True)) * size / 1000
    x, y = float(text.get("x", "0")), float(text.get("y", "0"))
    left = x - {"start": 0.0, "middle": width / 2, "end": width}[text.get("text-anchor", "start")]
    return Box(left=left, top=y - 0.73 * size, right=left + width, bottom=y)


def shape_box(group: ElementTree.Element) -> Box:
    """The outline of a node."""
    ellipse = group.find("{*}ellipse")
    if ellipse is not None:
        cx, cy, rx, ry = (float(ellipse.get(name, "0")) for name in ("cx", "cy", "rx", "ry"))
        return Box(left=cx - rx, top=cy - ry, right=cx + rx, bottom=cy + ry, is_ellipse=True)
    path, polygon = group.find("{*}path"), group.find("{*}polygon")  # rounded or with corners; a heat map has a frame too
    if path is not None:
        points = path.get("d", "").replace("M", " ").replace("C", " ").replace("L", " ")
    else:
        points = "" if polygon is None else polygon.get("points", "")
    pairs = [tuple(map(float, pair.split(","))) for pair in points.split()]
    across, down = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return Box(left=min(across), top=min(down), right=max(across), bottom=max(down))


def boxes(graph: nx.MultiDiGraph, **choices: object) -> tuple[dict[str, tuple[Box, list[Box]]], list[Box], list[Box]]:
    """Node id -> outline and text; the labels of edges; the caption and the headings of columns."""
    view = view_of(graph, report=samples.report_with(graph), **choices)  # type: ignore[arg-type]
    root = ElementTree.fromstring(svg_text(view))
    nodes: dict[str, tuple[Box, list[Box]]] = {}
    labels: list[Box] = []
    caption: list[Box] = []
    for group in root.findall(".//{*}g[@class]"):
        texts = [text_box(text) for text in group.findall("{*}text") if "".join(text.itertext()).strip()]
        if str(group.get("class")).startswith("node"):
            nodes[str(group.get("id"))] = texts[0] if group.get("class") == "node tag" else shape_box(group), texts
        elif str(group.get("class")).startswith("edge"):
            labels += texts
        else:
            caption += texts
    return nodes, labels, caption


@pytest.mark.parametrize("direction", ["LR", "BT"])
@pytest.mark.parametrize("theme", ["light", "dark", "slides"])
@pytest.mark.parametrize("name", list(GRAPHS))
def test_no_text_leaves_its_node_and_no_label_covers_another(name: str, theme: str, direction: str) -> None:
    nodes, labels, caption = boxes(GRAPHS[name](), theme=theme, direction=direction)
    assert labels
    for outline, texts in nodes.values():
        assert texts
        assert all(outline.contains(text, slack=0.0) for text in texts)
    everything = [*(outline for outline, _ in nodes.values()), *labels, *caption]
    assert [pair for pair in combinations(everything, 2) if pair[0].overlaps(pair[1])] == []


IN_COLUMNS = {
    "chain": lambda: samples.chain(30),
    "sixty": lambda: samples.layered(12),
    "net": lambda: samples.network(30),
}


@pytest.mark.parametrize("theme", ["light", "dark", "slides"])
@pytest.mark.parametrize("name", list(IN_COLUMNS))
def test_columns_keep_every_label_and_nothing_covers_another(name: str, theme: str) -> None:
    graph = IN_COLUMNS[name]()
    choices = {"theme": theme, "collapse": "none"}
    view = view_of(graph, report=samples.report_with(graph), **choices)  # type: ignore[arg-type]
    nodes, labels, caption = boxes(graph, **choices)
    tags = {name for name in nodes if name.startswith(("coming", "onward"))}
    assert len(view.columns) > 1 and len(tags) >= 2 * (len(view.columns) - 1)
    assert len(caption) == len(view.notes) + len(view.columns)
    assert set(nodes) - tags == {shape.id for shape in (*view.nodes, *view.groups, *view.gaps)}
    assert len(labels) == sum(bool(edge.text) for edge in view.edges) > 0
    for outline, texts in nodes.values():
        assert all(outline.contains(text, slack=0.0) for text in texts)
    everything = [*(outline for outline, _ in nodes.values()), *labels, *caption]
    assert [pair for pair in combinations(everything, 2) if pair[0].overlaps(pair[1])] == []


def test_a_text_that_is_too_wide_would_be_found() -> None:
    nodes, _, _ = boxes(samples.cut_product())
    outline, texts = nodes["node_0"]
    wide = Box(left=texts[0].left, top=texts[0].top, right=outline.right + 1, bottom=texts[0].bottom)
    assert not outline.contains(wide, slack=0.0)
    assert texts[0].overlaps(wide)
    corner = Box(left=outline.left + 1, top=outline.top + 1, right=texts[0].right, bottom=texts[0].bottom)
    assert outline.is_ellipse
    assert not outline.contains(corner, slack=0.0)


def encoder() -> nx.MultiDiGraph:
    layer = torch.nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
    layers = torch.nn.TransformerEncoder(layer, 6, enable_nested_tensor=False)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), layers, torch.nn.Linear(16, 1))
    return gradviz.trace(model, torch.ones(2, 5, 8), loss=lambda out: out.square().mean(), device="cpu")


@pytest.mark.parametrize("theme", ["light", "slides"])
def test_no_arrow_that_leaves_a_box_upwards_crosses_its_title(theme: str) -> None:
    graph = encoder()
    view = view_of(graph, unfold="1.layers.3", direction="BT", theme=theme)  # type: ignore[arg-type]
    root = ElementTree.fromstring(svg_text(view))
    (title,) = (text_box(text) for text in root.findall(".//{*}g[@class='cluster box']/{*}text"))
    inside = set(view.boxes[0].members)
    leaving = [edge.id for edge in view.edges if edge.tail in inside and edge.head not in inside]
    arrows = [shape_box(group) for group in root.findall(".//{*}g[@class='edge']") if group.get("id") in leaving]
    assert len(arrows) == len(leaving) > 0 and not any(arrow.overlaps(title) for arrow in arrows)


def test_no_arrow_to_another_column_crosses_the_title_of_the_box_it_leaves() -> None:
    graph = encoder()
    view = view_of(graph, unfold="1.layers.3")
    root = ElementTree.fromstring(svg_text(view))
    (title,) = (text_box(text) for text in root.findall(".//{*}g[@class='cluster box']/{*}text"))
    onward = {str(node.get("id")).removeprefix("onward_") for node in root.findall(".//{*}g[@class='node tag']")}
    assert len(view.columns) > 1 and not onward.isdisjoint(view.boxes[0].members)  # an arrow comes out of the box
    arrows = [shape_box(group) for group in root.findall(".//{*}g[@class='edge tag']")]
    assert arrows and not any(arrow.overlaps(title) for arrow in arrows)
