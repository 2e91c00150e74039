"""Pictures that would be far larger than a screen: in columns, upright, without heat maps; small ones stay as they are."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree

import pytest
import sample_graphs as samples
import torch
from medium_models import MEDIUM, WIDE, known
from torch import nn

import gradviz
from gradviz.render import render, theme_named
from gradviz.view import DEFAULT_PARTS, MAX_NODES, PAGE_NODES, View, view_of
from gradviz.view.columns import MOST_CARRIED, carried, divisions
from gradviz.view.extent import Extent
from gradviz.view.fit import LEGIBLE, SCREEN, SCREENS, TOLD_ONCE_NOTE, estimated, reading_scale
from gradviz.view.page import COMFORTABLE, paged

NEARLY = 0.85
"""What is drawn is that near to what was estimated."""


def size_of(view: View) -> Extent:
    """Width and height as Graphviz draws it, in points."""
    svg = render(view, format="svg").decode()
    width, height = map(float, re.findall(r'(?:width|height)="([\d.]+)pt"', svg[:2000])[:2])
    return Extent(width=width, height=height)


@pytest.mark.parametrize("name", list(MEDIUM))
def test_the_picture_of_a_medium_graph_is_read_on_one_screen(name: str) -> None:
    graph = MEDIUM[name]()
    view = graph.view()
    drawn = size_of(view)
    assert min(SCREEN.width / drawn.width, SCREEN.height / drawn.height) >= NEARLY * LEGIBLE
    assert 1 / 4 < drawn.width / drawn.height < 4
    before = size_of(graph.view(direction=view.direction))
    assert max(drawn.width, drawn.height) < max(before.width, before.height)


@pytest.mark.parametrize("name", list(MEDIUM))
def test_about_how_large_a_picture_is_drawn_is_known_before(name: str) -> None:
    view = MEDIUM[name]().view()
    drawn, size = size_of(view), estimated(view)
    assert 0.8 < size.width / drawn.width < 1.25
    assert 0.85 < size.height / drawn.height < 1.15


@pytest.mark.parametrize("name", list(MEDIUM))
def test_columns_leave_nothing_out(name: str) -> None:
    graph = MEDIUM[name]()
    view, plain = graph.view(), graph.view(direction="BT")
    shapes = [shape.id for shape in (*view.nodes, *view.groups, *view.gaps)]
    assert sorted(shape for members in view.columns for shape in members) == sorted(shapes)
    assert (view.groups, view.edges) == (plain.groups, plain.edges)
    first = {node.node: node for node in reversed(plain.nodes)}
    assert {node.id: node.name for node in view.nodes} == {node.id: node.name for node in plain.nodes}
    shown = [replace(node, heat=None) for node in view.nodes]
    assert all(replace(node, heat=None) in shown for node in first.values())
    for place in range(len(view.columns)):
        values = [one for one in carried(view.columns, view.arrows) if place in one.readers]
        assert len(values) <= MOST_CARRIED


def test_arrows_between_columns_lead_to_later_ones() -> None:
    view = MEDIUM["MLP of 8 layers"]().view()
    column = {shape: place for place, members in enumerate(view.columns) for shape in members}
    assert len(view.columns) > 1
    assert all(column[tail] <= column[head] for tail, head in view.arrows)


def test_what_is_legible_stays_as_it_is() -> None:
    graph = known("perceptron")
    assert graph.view() == graph.view(direction="LR")


@pytest.mark.parametrize("name", list(WIDE))
def test_what_is_wide_is_read_without_scrolling_to_the_right(name: str) -> None:
    graph = WIDE[name]()
    drawn, before = size_of(graph.view()), size_of(graph.view(direction="LR", collapse="none"))
    assert min(1.0, SCREEN.width / drawn.width, SCREENS * SCREEN.height / drawn.height) >= NEARLY * LEGIBLE
    assert max(before.width / SCREEN.width, before.height / SCREEN.height) * LEGIBLE > 1.0


def test_of_a_picture_with_small_letters_more_is_drawn_as_one_and_it_says_so() -> None:
    graph = WIDE["experts"]()
    view, fine = graph.view(), graph.view(max_nodes=PAGE_NODES)
    assert len(view.nodes) + len(view.groups) < len(fine.nodes) + len(fine.groups)
    assert reading_scale(view) >= LEGIBLE > reading_scale(fine)
    assert re.match(r"\d+ of \d+ nodes are inside groups; option unfold opens one by name", view.notes[0])


def test_what_is_opened_closes_nothing_else() -> None:
    graph = WIDE["experts"]()
    views = graph.view(), graph.view(unfold="experts.1")
    closed, opened = ({group.name: group.count for group in view.groups} for view in views)
    assert opened == {**closed, "experts.0 … 4": 4, "experts.1.0": 1, "experts.1.2": 1}


@pytest.mark.parametrize("direction", ["LR", "BT"])
def test_a_direction_that_is_asked_for_is_one_row_or_column(direction: str) -> None:
    view = view_of(samples.chain(30), direction=direction)  # type: ignore[arg-type]
    assert (view.direction, view.columns) == (direction, ())
    assert view_of(samples.chain(30)).columns


def wide_heat(layers: int) -> gradviz.GradGraph:
    """Weights that all have a heat map and cannot stand in columns: every layer reads all before it."""
    torch.manual_seed(0)
    weights = [torch.randn(30, 30, requires_grad=True) for _ in range(layers)]

    def dense(*weights: torch.Tensor) -> torch.Tensor:
        known = [torch.ones(30, 30)]
        for weight in weights:
            known.append(torch.tanh(weight @ sum(known[1:], known[0])))
        return known[-1].sum()

    return gradviz.trace(dense, *weights)


def test_heat_maps_are_left_out_only_where_nothing_else_helps_and_the_picture_says_so() -> None:
    graph = wide_heat(6)
    view = graph.view()
    assert not any(node.heat for node in view.nodes)
    assert any(note.startswith("heat maps left out, so that the rest is larger") for note in view.notes)
    assert not any(note.startswith("squares:") for note in view.notes)
    assert any(node.heat for node in graph.view(show=DEFAULT_PARTS).nodes)
    assert any(node.heat for node in MEDIUM["MLP of 5 layers"]().view().nodes)


def mixed(steps: int) -> gradviz.GradGraph:
    """A loop written out by hand, every step of which reads the same constants."""
    places, gate, mask = torch.randn(5, 8), torch.rand(5, 8), torch.zeros(5, 5)
    x = start = torch.randn(5, 8, requires_grad=True)
    for _ in range(steps):
        x = (torch.softmax((x + places) @ (x * gate).T + mask, -1) @ x) * gate + places
    return gradviz.trace((x * start).sum())


def test_what_is_drawn_several_times_in_a_large_picture_is_described_once() -> None:
    view = mixed(12).view()
    copies = [node for node in view.nodes if node.id.startswith("node_1_use")]
    described = [node for node in view.nodes if node.name == copies[0].name and node.value]
    assert len(copies) > 20 and len(described) == 1 and described[0].id == "node_1"
    assert TOLD_ONCE_NOTE in view.notes
    asked = mixed(12).view(show=DEFAULT_PARTS)
    assert all(node.value for node in asked.nodes if node.name == copies[0].name) and TOLD_ONCE_NOTE not in asked.notes


def test_what_is_drawn_once_per_use_counts_as_often_in_the_budget() -> None:
    view = mixed(60).view()
    assert view.gaps and 150 < len(view.nodes) <= MAX_NODES


def test_what_prepares_a_weight_stands_in_the_column_that_reads_it() -> None:
    view = MEDIUM["MLP of 5 layers"]().view()
    column = {shape: place for place, members in enumerate(view.columns) for shape in members}
    shapes = {node.name: node for node in view.nodes}
    for layer in range(0, 10, 2):
        weight, bias = (column[shapes[f"{layer}.{name}"].id] for name in ("weight", "bias"))
        assert weight == bias
    assert {column[shapes[f"{layer}.weight"].id] for layer in range(0, 10, 2)} == set(range(len(view.columns)))


def test_a_box_is_not_torn_apart() -> None:
    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
    model = nn.TransformerEncoder(layer, 6, enable_nested_tensor=False)
    graph = gradviz.trace(model, torch.randn(2, 5, 16), loss=lambda out: out.square().mean(), device="cpu")
    view = graph.view(unfold=["layers.1", "layers.2"])
    column = {shape: place for place, members in enumerate(view.columns) for shape in members}
    assert len(view.columns) > 1 and [box.name for box in view.boxes] == ["layers.1", "layers.2"]
    assert all(len({column[member] for member in box.members}) == 1 for box in view.boxes)
    boxes = ElementTree.fromstring(render(view, format="svg")).findall(".//{*}g[@class='cluster box']")
    assert [box.get("id") for box in boxes] == [box.id for box in view.boxes]
    assert {path.get("stroke") for box in boxes for path in box.iterfind("{*}path")} == {theme_named("light").group.border}


def test_each_column_has_its_number_below_what_is_in_it() -> None:
    view = MEDIUM["MLP of 8 layers"]().view()
    root = ElementTree.fromstring(render(view, format="svg"))
    headings = root.findall(".//{*}g[@class='cluster column']/{*}text")
    assert [heading.text for heading in headings] == [f"column {place + 1}" for place in range(len(view.columns))]
    shapes = {group.get("id"): group for group in root.findall(".//{*}g[@id]")}
    for heading, members in zip(headings, view.columns, strict=True):
        texts = [text for shape in members for text in shapes[shape].iterfind("{*}text")]
        across, down = ([float(text.get(axis, "")) for text in texts] for axis in "xy")
        assert float(heading.get("y", "")) > max(down)
        assert min(across) - 100 < float(heading.get("x", "")) < max(across) + 100


def test_a_strip_of_groups_stands_upright() -> None:
    weight = torch.arange(6.0, requires_grad=True)
    graph = gradviz.trace(lambda: sum(torch.sin(weight * (step + 1)).sum() for step in range(14)))
    strip, drawn = size_of(graph.view(direction="LR")), size_of(graph.view())
    assert strip.width / strip.height > 5 > drawn.width / drawn.height


@pytest.mark.parametrize("sketch", [lambda: samples.chain(400), lambda: samples.layered(70)])
def test_what_is_truncated_is_drawn_in_columns_too(sketch: Callable[[], object]) -> None:
    view = view_of(sketch())  # type: ignore[arg-type]
    assert view.gaps and len(view.columns) > 2
    assert {gap.id for gap in view.gaps} <= {shape for members in view.columns for shape in members}


def test_a_long_chain_is_divided_into_columns_of_about_the_same_height() -> None:
    names = [f"v{place}" for place in range(120)]
    arrows = list(pairwise(names))
    for count, columns in enumerate(divisions(names, arrows, dict.fromkeys(names, 50.0)), 2):
        assert len(columns) == count
        assert max(map(len, columns)) - min(map(len, columns)) <= count


def test_steps_of_a_loop_that_lead_round_in_a_circle_are_placed_too() -> None:
    arrows = [("x", "a"), ("a", "b"), ("b", "a"), ("b", "y")]
    found = divisions("xaby", arrows, dict.fromkeys("xaby", 9.0))
    assert found and all(sorted(sum(columns, ())) == ["a", "b", "x", "y"] for columns in found)


def test_reshapes_in_a_loop_go_with_what_reads_them() -> None:
    view = WIDE["heads"]().view()
    kinds = {group.name.partition(" at ")[0] for group in view.groups if " at " in group.name}
    assert kinds == {"bmm", "div", "softmax"}
    assert all(group.gradient != ("each: gain 1",) for group in view.groups)


def test_what_cannot_be_grouped_is_drawn_once_only() -> None:
    sizes: list[int] = []

    def draw(page: int, unfold: object, fold: object) -> View:
        sizes.append(page)
        return view_of(samples.layered(70), max_nodes=MAX_NODES)

    assert paged(draw, (), ()).gaps and sizes == [PAGE_NODES]


def test_calls_of_one_net_are_groups_where_its_ops_one_by_one_can_just_be_read() -> None:
    torch.manual_seed(0)  # how wide labels are depends on the numbers
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    anchor, near, far = torch.randn(3, 5, 4)
    graph = gradviz.trace(lambda: nn.functional.triplet_margin_loss(net(anchor), net(near), net(far)))
    view = graph.view()
    assert LEGIBLE <= reading_scale(graph.view(max_nodes=40)) < COMFORTABLE <= reading_scale(view)
    assert len({group.lines for group in view.groups}) == 2 and len(view.groups) == 6  # two layers, three times


@pytest.mark.parametrize(("text", "direction"), [("tanh(ln(1 + z*2x/sin y))", "BT"), ("x*y + z", "LR")])
def test_a_picture_for_slides_stands_as_it_fills_a_slide_best(text: str, direction: str) -> None:
    graph = gradviz.trace(text, x=1.0, y=2.0, z=3.0, device="cpu")
    assert graph.view(theme="slides").direction == direction
    assert graph.view().direction == graph.view(theme="slides", direction="LR").direction == "LR"
