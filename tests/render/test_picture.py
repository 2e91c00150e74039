"""Files, bytes and notebook output."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pypdfium2
import pytest
import sample_graphs as samples
from PIL import Image

from gradviz.errors import RenderError
from gradviz.render import mimebundle, render, svg_text
from gradviz.render.layout import OutOfTimeError
from gradviz.view import view_of

VIEW = view_of(samples.product_plus_sine())


@pytest.mark.parametrize(
    ("name", "start"),
    [("a.svg", b"<svg "), ("a.PNG", b"\x89PNG"), ("a.pdf", b"%PDF"), ("a.dot", b"digraph "), ("a.gv", b"digraph ")],
)
def test_the_suffix_decides_the_format(tmp_path: Path, name: str, start: bytes) -> None:
    content = render(VIEW, tmp_path / name)
    assert content.startswith(start)
    assert (tmp_path / name).read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_figure_is_as_large_on_paper_as_on_the_screen() -> None:
    """A PNG says its resolution, and a PDF has no empty half inch on each side."""
    found = re.search(r'width="([\d.]+)pt" height="([\d.]+)pt"', render(VIEW, format="svg").decode())
    assert found is not None
    size_pt = tuple(map(float, found.groups()))
    image = Image.open(io.BytesIO(render(VIEW, format="png", dpi=300)))
    assert image.info["dpi"] == pytest.approx((300, 300), rel=1e-3)
    assert [pixels * 72 / 300 for pixels in image.size] == pytest.approx(size_pt, abs=2)
    with pypdfium2.PdfDocument(render(VIEW, format="pdf")) as document:
        assert document[0].get_size() == pytest.approx(size_pt, abs=2)


def test_a_format_may_be_given_instead_of_a_suffix(tmp_path: Path) -> None:
    assert render(VIEW, tmp_path / "picture", format="svg").startswith(b"<svg ")
    assert render(VIEW, format=".PDF").startswith(b"%PDF")


@pytest.mark.parametrize("name", ["a.bmp", "a", "svg"])
def test_an_unknown_suffix_is_refused_by_naming_those_that_are_accepted(tmp_path: Path, name: str) -> None:
    with pytest.raises(RenderError, match=r"unknown picture format .* accepted: svg, png, pdf, dot, gv"):
        render(VIEW, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_neither_path_nor_format_is_refused() -> None:
    with pytest.raises(RenderError, match="neither a path nor a format"):
        render(VIEW)


def test_a_file_that_cannot_be_written_is_refused_and_the_old_one_stays(tmp_path: Path) -> None:
    with pytest.raises(RenderError, match=r"cannot write '.*': No such file"):
        render(VIEW, tmp_path / "missing" / "a.dot")
    (tmp_path / "a.dot").mkdir()
    with pytest.raises(RenderError, match="cannot write "):
        render(VIEW, tmp_path / "a.dot")
    assert [path.name for path in tmp_path.iterdir()] == ["a.dot"]


def test_a_notebook_gets_an_svg_and_a_line_of_text() -> None:
    bundle = mimebundle(VIEW)
    assert set(bundle) == {"image/svg+xml", "text/plain"}
    assert bundle["image/svg+xml"].startswith("<svg ")
    assert bundle["text/plain"] == "computational graph of d: 7 nodes, 7 edges"


def test_the_svg_is_one_element_without_tooltips_links_or_outside_files() -> None:
    svg = svg_text(view_of(samples.two_layer_net()))
    root = ElementTree.fromstring(svg)
    assert [title.text for title in root.findall(".//{*}title")] == ["computational graph of loss: 9 nodes, 8 edges"]
    assert not root.findall(".//{*}a")
    links = [image.get("{http://www.w3.org/1999/xlink}href", "") for image in root.findall(".//{*}image")]
    assert len(links) == 8
    assert all(link.startswith("data:image/png;base64,") for link in links)
    assert "<!" not in svg


def test_the_same_view_makes_the_same_svg() -> None:
    assert svg_text(VIEW) == svg_text(VIEW)


def test_every_node_and_edge_of_the_view_is_in_the_svg() -> None:
    root = ElementTree.fromstring(svg_text(VIEW))
    ids = {group.get("id") for group in root.findall(".//{*}g")}
    assert {node.id for node in VIEW.nodes} | {edge.id for edge in VIEW.edges} <= ids


def test_what_is_left_out_is_said_on_the_picture() -> None:
    view = view_of(samples.chain(500), max_nodes=12)
    svg = svg_text(view).replace("&#160;", " ")
    assert "showing 12 of 500 nodes: those nearest to the output and the first 3" in svg
    gap = next(group for group in ElementTree.fromstring(svg).findall(".//{*}g") if group.get("id") == "gap_3")
    assert "".join(gap.itertext()).strip() == "⋯ 488 nodes not shown"


def test_pieces_of_a_line_follow_each_other_in_any_font() -> None:
    view = view_of(samples.product_plus_sine(), report=samples.report_with(samples.product_plus_sine()), theme="slides")
    texts = ElementTree.fromstring(svg_text(view)).findall(".//{*}text")
    lines = [[(piece.text or "").replace("\xa0", " ") for piece in text.findall("{*}tspan")] for text in texts]
    assert ["∂a/∂x = y = 3 ", "✓"] in lines
    assert not any("".join(text.itertext()) == "✓" for text in texts)


def test_a_picture_that_takes_too_long_is_drawn_without_edge_labels_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[bool, float]] = []

    def slow_with_labels(source: str, picture_format: str, *, time_limit_s: float, **_: object) -> bytes:
        labelled = "∂" in re.sub(r"^\s*node_\w+ \[.*$", "", source, flags=re.MULTILINE)
        asked.append((labelled, time_limit_s))
        if labelled:
            raise OutOfTimeError("late")
        return source.encode()

    monkeypatch.setattr("gradviz.render.picture.draw", slow_with_labels)
    picture = render(VIEW, format="pdf", time_limit_s=10)
    assert [labelled for labelled, _ in asked] == [True, False]
    assert asked[0][1] == 6
    assert "edge labels left out: drawing them took too long" in picture.decode()


def test_a_picture_that_is_never_ready_says_the_limit_and_what_to_do() -> None:
    view = view_of(samples.chain(600, fan=2), max_nodes=600, max_edge_labels=600)
    edges = (replace(edge, tail="node_0") if place % 3 else edge for place, edge in enumerate(view.edges))
    tangled = replace(view, edges=tuple(edges))
    message = r"899 nodes and .* edges took more than the time limit of 0.05 s; show fewer nodes \(max_nodes\)"
    with pytest.raises(RenderError, match=message):
        svg_text(tangled, time_limit_s=0.05)
