"""DOT text: golden for known graphs, and safe for any name."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable

import pytest
import sample_graphs as samples
from hypothesis import given, settings
from hypothesis import strategies as st

from gradviz.errors import RenderError
from gradviz.render import dot_source, draw, theme_named
from gradviz.render.dot import dot_with_images
from gradviz.render.theme import LIGHT, MARKS, SHAPES, THEMES
from gradviz.view import View, ViewEdge, ViewGroup, ViewNode, view_of

HOSTILE = [
    r"\N",
    r"\G\l\n\\",
    "<b>bold</b>",
    "</TD></TR></TABLE>>",
    '"quoted"',
    "&amp; & &#60;",
    "line\nbreak\ttab",
    "<!-- comment -->",
    "]; evil [label=x]",
    "σ₁ 变量 🙂 é",
    "nul\0bell\a",
    "lone \ud800 surrogate",
    "",
    "   ",
    "%s {0} $x `id`",
]


def view_with_name(name: str) -> View:
    nodes = (ViewNode(id="node_0", node=0, role="leaf", name=name), ViewNode(id="node_1", node=1, role="op", name="end"))
    edge = ViewEdge(id="edge_0_1_0", tail="node_0", head="node_1", edge=(0, 1, 0), derivative=name, number="1")
    return View(title=name, nodes=nodes, edges=(edge,), notes=(name,))


@pytest.mark.parametrize("theme", ["light", "dark", "slides"])
def test_the_text_of_a_known_graph_is_as_it_was_looked_at(theme: str, golden: Callable[[str, str], None]) -> None:
    graph = samples.product_plus_sine()
    report = samples.report_with(graph, mismatch=1, unverified=3)
    golden(f"product_plus_sine_{theme}.dot", dot_source(view_of(graph, report=report, theme=theme)))  # type: ignore[arg-type]


def test_the_text_of_a_picture_in_groups_is_as_it_was_looked_at(golden: Callable[[str, str], None]) -> None:
    graph = samples.network(20)
    golden("groups.dot", dot_source(view_of(graph, report=samples.report_with(graph, mismatch=30), unfold="h.3")))


def test_the_text_of_a_network_is_as_it_was_looked_at(golden: Callable[[str, str], None]) -> None:
    golden("two_layer_net.dot", re.sub(r'(<TR><TD BGCOLOR=".*?</TR>)+', "...", dot_source(view_of(samples.two_layer_net()))))


def test_the_same_view_makes_the_same_text() -> None:
    assert dot_source(view_of(samples.tanh_of_log())) == dot_source(view_of(samples.tanh_of_log()))


def test_every_node_and_edge_has_an_id_and_a_class_and_no_link() -> None:
    graph = samples.cut_product()
    source = dot_source(view_of(graph, report=samples.report_with(graph)))
    statements = [line for line in source.splitlines() if re.match(r"\s*node_", line)]
    assert len(statements) == len(graph) + graph.number_of_edges()
    assert all(re.search(r"\bid=\w+", line) for line in statements)
    assert all(re.search(r"\bclass=", line) for line in statements if "->" not in line)
    assert not re.search(r"\b(URL|href|tooltip|target)=", source, re.IGNORECASE)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_shown_as_it_is(name: str) -> None:
    svg = draw(dot_source(view_with_name(name)), "svg").decode()
    root = ElementTree.fromstring(svg)
    groups = [group.get("id") for group in root.findall(".//{*}g")]
    assert groups.count("node_0") == groups.count("node_1") == groups.count("edge_0_1_0") == 1
    assert len(groups) == 4
    texts = [" ".join("".join(text.itertext()).replace("\xa0", " ").split()) for text in root.findall(".//{*}text")]
    shown = re.sub("[\0\a\ud800]", "\ufffd", " ".join(name.split()))
    assert shown in texts or not shown


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=30))
def test_any_name_leaves_the_text_well_formed(name: str) -> None:
    root = ElementTree.fromstring(draw(dot_source(view_with_name(name)), "svg"))
    assert len(root.findall(".//{*}g")) == 4


def test_heat_maps_are_tables_in_text_that_stands_alone_and_images_where_it_is_drawn() -> None:
    view = view_of(samples.two_layer_net())
    alone, (drawn, images) = dot_source(view), dot_with_images(view)
    cells = re.compile(r'<TD BGCOLOR="#\w+" FIXEDSIZE')
    assert cells.search(alone) and "IMG" not in alone
    assert not cells.search(drawn)
    assert set(re.findall(r'IMG SRC="([^"]+)"', drawn)) == set(images)


@pytest.mark.parametrize("theme", list(THEMES))
def test_a_label_has_the_ground_of_the_page_so_that_no_arrow_strikes_it_out(theme: str) -> None:
    source = dot_source(view_of(samples.product_plus_sine(), theme=theme))  # type: ignore[arg-type]
    labels = [line for line in source.splitlines() if "->" in line and "∂" in line]
    assert labels and all(f'<TD BGCOLOR="{THEMES[theme].background}">∂' in line for line in labels)


def test_roles_differ_in_shape_as_well_as_colour() -> None:
    shapes = [tuple(sorted(attributes.items())) for attributes in SHAPES.values()]
    assert len(set(shapes)) == len(shapes) == 4
    assert len(set(MARKS.values())) == 4
    for theme in THEMES.values():
        assert len({(paint.fill, paint.border) for paint in theme.paints.values()}) == 4
        assert len(set(theme.verdicts.values())) == 3  # what is intended looks like what is not known, but for its mark


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    channels = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    linear = [channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4 for channel in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    brighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("name", list(THEMES))
def test_text_stands_out_from_what_is_behind_it(name: str) -> None:
    theme = theme_named(name)
    for fill in (theme.background, *(paint.fill for paint in theme.paints.values())):
        assert contrast(theme.text, fill) >= 7
        assert contrast(theme.faint, fill) >= 4.5
        assert contrast(theme.backward, fill) >= 4.5
    for colour in (*theme.verdicts.values(), theme.arrow, *(paint.border for paint in theme.paints.values())):
        assert contrast(colour, theme.background) >= 3


def test_an_unknown_theme_is_refused() -> None:
    with pytest.raises(RenderError, match="unknown theme 'neon'; accepted: light, dark, slides"):
        theme_named("neon")


def test_calls_in_a_row_of_no_module_look_like_a_value() -> None:
    module, bare = (ViewGroup(id=f"group_{place}", name="h", nodes=(place,), bare=place == 1) for place in range(2))
    source = dot_source(View(title="", nodes=(), edges=(), groups=(module, bare)))
    of_module, of_bare = (line for line in source.splitlines() if "id=group_" in line)
    assert LIGHT.group.fill in of_module and "rounded" not in of_module
    assert LIGHT.paints["op"].fill in of_bare and "rounded" in of_bare
