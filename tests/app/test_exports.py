"""What the buttons of the export menu hand out: files of the right kind that show what the canvas shows."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pypdfium2
import pytest
from PIL import Image
from pptx import Presentation
from streamlit.testing.v1 import AppTest
from test_expression_page import text_of

import gradviz
import gradviz.render.picture as drawing
from gradviz.app.exports import rendered, slides
from gradviz.app.shown import Look, Shown, picture
from gradviz.models import MODELS
from gradviz.render import OutOfTimeError
from gradviz.view import Folding, View


@pytest.fixture(scope="module")
def layers() -> Shown:
    """Eight cells that are alike: one group on the canvas."""
    module, inputs, loss = MODELS["LSTM"]()
    return Shown(key="layers", graph=gradviz.trace(module, *inputs, loss=loss, device="cpu"))


@pytest.fixture(scope="module")
def product() -> gradviz.GradGraph:
    return gradviz.trace("x*y + sin(x)", x=2.0, y=3.0, device="cpu")


def test_a_picture_is_the_one_on_the_canvas_byte_by_byte(layers: Shown) -> None:
    for look in (Look(), Look(theme="dark", direction="BT"), Look(every_op=True)):
        assert rendered(layers, "svg", look).decode() == picture(layers, look).svg


def test_a_picture_shows_groups_as_they_are_folded_on_the_canvas(layers: Shown) -> None:
    group = layers.graph.view().groups[0]
    opened = Look(folding=Folding(unfold=(group.opens[0],)))
    for name in ("dot", "svg"):
        folded, unfolded = (rendered(layers, name, look).decode().replace('"', "") for look in (Look(), opened))  # type: ignore[arg-type]
        assert f"id={group.id}" in folded and "id=box_0" not in folded
        assert "id=box_0" in unfolded


def test_pictures_open_as_what_they_are_called(layers: Shown) -> None:
    assert rendered(layers, "dot", Look()).startswith(b"digraph")
    whole = Image.open(io.BytesIO(rendered(layers, "png", Look())))
    assert whole.format == "PNG" and len(whole.convert("RGB").getcolors(whole.width * whole.height) or ()) > 2
    paper = pypdfium2.PdfDocument(rendered(layers, "pdf", Look()))
    assert len(paper) == 1 and layers.graph.view().groups[0].name in paper[0].get_textpage().get_text_range()


def test_slides_and_players_show_every_step(product: gradviz.GradGraph) -> None:
    steps = product.frames()
    assert len(Presentation(io.BytesIO(slides(product, "pptx", Look()))).slides) == len(steps)
    paper = pypdfium2.PdfDocument(slides(product, "pdf", Look()))
    assert len(paper) == len(steps) and "cos" in "".join(page.get_textpage().get_text_range() for page in paper)
    moving = Image.open(io.BytesIO(slides(product, "gif", Look())))
    assert moving.format == "GIF" and moving.n_frames == len(steps)
    page = slides(product, "html", Look()).decode()
    assert page.startswith("<!DOCTYPE html>") and all(
        step.text.split("\n")[0] in page for step in steps if step.text.isascii()
    )


def test_slides_are_dark_where_the_canvas_is(product: gradviz.GradGraph) -> None:
    def ground(theme: str) -> tuple[int, ...]:
        first = Image.open(io.BytesIO(slides(product, "gif", Look(theme=theme))))  # type: ignore[arg-type]
        return first.convert("RGB").getpixel((2, 2))  # type: ignore[return-value]

    assert max(ground("dark")) < 60 < 200 < min(ground("light"))
    assert zipfile.is_zipfile(io.BytesIO(slides(product, "pptx", Look(theme="dark"))))


@pytest.mark.parametrize(
    ("look", "told"),
    [
        (Look(), "The gradient, each group as one step"),
        (Look(around="f1"), "The gradient, "),
        (Look(every_op=True), "up to 60 shapes; there are 136 on the canvas"),
    ],
)
def test_slides_are_offered_of_what_is_on_the_canvas_and_fits(layers: Shown, look: Look, told: str) -> None:
    def run(shown: object, look: object, drawn: object) -> None:
        from gradviz.app.exports import exports

        exports(shown, look, drawn)

    drawn = picture(layers, look).view
    app = AppTest.from_function(run, args=(layers, look, drawn), default_timeout=60).run()
    assert not app.exception and told in text_of(app)
    assert ("Slides, PPTX" in [button.proto.label for button in app.get("download_button")]) != look.every_op


@pytest.mark.parametrize("look", [Look(), Look(folding=Folding(unfold=("head",))), Look(around="f1")])
def test_slides_have_the_shapes_of_the_canvas(layers: Shown, look: Look) -> None:
    """Each shape on the canvas is one on every slide, or on those of its part, with the same name; groups too."""
    drawn = picture(layers, look).view
    names = [one.name for one in (*drawn.nodes, *drawn.groups)]
    made = list(Presentation(io.BytesIO(slides(layers.graph, "pptx", look))).slides)
    parts = {slide.shapes.title.text: slide for slide in made}  # the last slide of each
    words = " ".join(shape.text_frame.text for slide in parts.values() for shape in slide.shapes if shape.has_text_frame)
    assert len(names) < 60 and [name for name in names if name.split("…")[0] not in words] == []


def test_a_picture_lacks_labels_where_the_canvas_does(product: gradviz.GradGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = drawing._draw

    def late(view: View, *given: Any) -> bytes:
        if any(edge.text for edge in view.edges):
            raise OutOfTimeError("late")
        return drawn(view, *given)

    shown = Shown(key="late", graph=product)
    monkeypatch.setattr(drawing, "_draw", late)
    on_canvas = picture(shown, Look()).svg
    monkeypatch.setattr(drawing, "_draw", drawn)
    assert "cos(x)" not in on_canvas and "cos(x)" in picture(Shown(key="in time", graph=product), Look()).svg
    for name in ("dot", "svg"):
        assert "cos(x)" not in rendered(shown, name, Look()).decode()  # type: ignore[arg-type]
