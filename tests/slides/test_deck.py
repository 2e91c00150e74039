"""The presentation, read again by python-pptx, and by LibreOffice where there is one."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from collections import Counter
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import pptx
import pypdfium2
import pytest
from PIL import ImageChops
from pptx.enum.shapes import MSO_SHAPE_TYPE
from pptx.oxml.ns import qn
from slide_samples import MEASURED, NAMES, NASTY, frames_named, paintings

from gradviz.slides.connectors import CLEAR, sites, straight_lines
from gradviz.slides.deck import deck
from gradviz.slides.drawingml import EMU_PER_PX
from gradviz.stage import MIN_TEXT_PX, PAGE, Box, Painting
from gradviz.stage.font import text_width


@cache
def deck_named(name: str, animated: bool = False) -> bytes:
    frames = frames_named(name)
    last = [paintings(name)[-1]] * len(frames)
    sentences = [frame.text for frame in frames]
    return deck(paintings(name), last, title=frames.title, sentences=sentences, animated=animated)


def slides(name: str, *, animated: bool = False) -> list[Any]:
    return list(pptx.Presentation(io.BytesIO(deck_named(name, animated))).slides)


def box(shape: Any) -> Box:
    left, top, width, height = (value / EMU_PER_PX for value in (shape.left, shape.top, shape.width, shape.height))
    return Box(left=left, top=top, width=width, height=height)


def plain(text: str) -> str:
    """Text as a deck has it: superscripts are raised runs of plain signs."""
    return text.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹ᵀ", "−0123456789T"))


def texts_of(slide: Any) -> dict[str, str]:
    return {shape.name: shape.text_frame.text for shape in slide.shapes if shape.has_text_frame and shape.text_frame.text}


def expected(painting: Painting) -> dict[str, str]:
    """Name of a shape -> its text, by the painting alone; rows are compared without spaces."""
    found: dict[str, str] = {}
    for text in painting.texts:
        name = {"title": "Title", "caption": "caption", "partial": text.id}.get(text.part, text.owner)
        found[name] = found.get(name, "") + plain(text.text)
    return {name: squeezed(text) for name, text in found.items() if text}


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


@pytest.mark.parametrize("name", [*NAMES, "nasty"])
def test_each_slide_says_what_its_frame_says(name: str) -> None:
    made = slides(name)
    assert len(made) == len(frames_named(name))
    for slide, painting, frame in zip(made, paintings(name), frames_named(name), strict=True):
        assert {name: squeezed(text) for name, text in texts_of(slide).items()} == expected(painting)
        assert slide.shapes.title.text_frame.text == plain(next(t.text for t in painting.texts if t.part == "title"))
        assert slide.notes_slide.notes_text_frame.text == frame.text


def test_a_name_that_looks_like_markup_stays_text() -> None:
    assert any(NASTY in shape.text_frame.text for shape in slides("nasty")[0].shapes if shape.has_text_frame)


def test_slides_are_16_to_9_and_as_large_as_the_page() -> None:
    presentation = pptx.Presentation(io.BytesIO(deck_named("lecture")))
    assert (presentation.slide_width, presentation.slide_height) == (1920 * EMU_PER_PX, 1080 * EMU_PER_PX)
    assert presentation.core_properties.title == frames_named("lecture").title


@pytest.mark.parametrize("name", NAMES)
def test_connectors_are_glued_to_the_sites_of_shapes(name: str) -> None:
    slide = slides(name)[-1]
    shapes = {shape.shape_id: shape for shape in slide.shapes}
    assert len(shapes) == len(list(slide.shapes)), "a number is given twice"
    arrows = {arrow.id: arrow for arrow in paintings(name)[-1].arrows}
    connectors = [shape for shape in slide.shapes if shape.shape_type == MSO_SHAPE_TYPE.LINE]
    for connector in connectors:
        arrow = arrows[connector.name]
        for tag, end, shape_id in (
            ("a:stCxn", (connector.begin_x, connector.begin_y), arrow.tail),
            ("a:endCxn", (connector.end_x, connector.end_y), arrow.head),
        ):
            glue = next(connector._element.iter(qn(tag)))
            shape = shapes[int(glue.get("id"))]
            assert shape.name == shape_id
            place = sites(box(shape))[int(glue.get("idx"))]
            assert place == pytest.approx([value / EMU_PER_PX for value in end], abs=0.01)
    free = {shape.name for shape in slide.shapes} & arrows.keys() - {connector.name for connector in connectors}
    assert len(connectors) + len(free) == len(arrows)


def test_most_arrows_can_be_glued() -> None:
    glued = Counter({name: len(straight_lines(paintings(name)[-1])) for name in NAMES})
    arrows = Counter({name: len(paintings(name)[-1].arrows) for name in NAMES})
    assert all(glued.values()), glued
    assert glued.total() >= 0.85 * arrows.total(), (glued, arrows)
    assert glued["wide"] >= arrows["wide"] / 3, "a fan of labelled arrows"


@pytest.mark.parametrize("name", MEASURED)
def test_no_label_covers_a_straight_connector(name: str) -> None:
    slide = slides(name)[-1]
    labels = [box(shape) for shape in slide.shapes if "_text_" in shape.name and shape.text_frame.text]
    for connector in slide.shapes:
        if connector.shape_type == MSO_SHAPE_TYPE.LINE:
            ends = [value / EMU_PER_PX for value in (connector.begin_x, connector.end_x, connector.begin_y, connector.end_y)]
            (x, to_x), (y, to_y) = ends[:2], ends[2:]
            points = [(x + part / 300 * (to_x - x), y + part / 300 * (to_y - y)) for part in range(301)]
            for label in labels:
                left, right, top, bottom = label.left - CLEAR, label.right + CLEAR, label.top - CLEAR, label.bottom + CLEAR
                assert not any(left < x < right and top < y < bottom for x, y in points), connector.name


def run_width(run: Any) -> float:
    """In pixels; a raised run is drawn at two thirds of its size."""
    raised = run._r.rPr.get("baseline") is not None
    return text_width(run.text, 2 * run.font.size.pt * (2 / 3 if raised else 1), bold=bool(run.font.bold))


@pytest.mark.parametrize("name", MEASURED)
def test_text_can_be_read_and_nothing_overlaps_or_is_clipped(name: str) -> None:
    for slide in slides(name):
        boxes = {shape.name: box(shape) for shape in slide.shapes if shape.has_text_frame and shape.text_frame.text}
        for shape in slide.shapes:
            if not shape.has_text_frame:
                continue
            room = box(shape)
            for paragraph in shape.text_frame.paragraphs:
                assert all(run.font.size.pt >= MIN_TEXT_PX / 2 - 0.005 for run in paragraph.runs)
                indent = int(paragraph._p.pPr.get("marL", 0)) / EMU_PER_PX if paragraph.runs else 0
                width = sum(map(run_width, paragraph.runs))
                lines = 5 if shape.name == "caption" else 1
                assert indent + width <= lines * room.width + 2, shape.name
            if shape.name in boxes:
                assert (
                    room.left >= 0 and room.top >= 0 and room.right <= PAGE.right + 0.1 and room.bottom <= PAGE.bottom + 0.1
                )
        for (one, room), (other, other_room) in combinations(boxes.items(), 2):
            across = room.left + 1 < other_room.right and other_room.left + 1 < room.right
            assert not (across and room.top + 4 < other_room.bottom and other_room.top + 4 < room.bottom), (one, other)


@pytest.mark.parametrize("name", ["lecture", "cut", "training"])
def test_clicking_through_the_one_slide_shows_every_frame(name: str) -> None:
    (slide,) = slides(name, animated=True)
    shapes = {shape.shape_id: shape for shape in slide.shapes}
    effects = list(slide._element.iter(qn("p:set")))
    changes = [(int(next(e.iter(qn("p:spTgt"))).get("spid")), next(e.iter(qn("p:strVal"))).get("val")) for e in effects]
    kinds = {shape: [value for target, value in changes if target == shape] for shape in shapes}
    visible = {shape for shape in shapes if kinds[shape][:1] != ["visible"]}
    clicks = [p for p in slide._element.iter(qn("p:cond")) if p.get("delay") == "indefinite"]
    states = [set(visible)]
    for click in clicks:
        for effect in click.getparent().getparent().iter(qn("p:set")):
            shape, value = int(next(effect.iter(qn("p:spTgt"))).get("spid")), next(effect.iter(qn("p:strVal"))).get("val")
            visible = visible | {shape} if value == "visible" else visible - {shape}
        states.append(set(visible))
    assert len(states) == len(frames_named(name))
    for state, painting in zip(states, paintings(name), strict=True):
        names = Counter(shapes[shape].name for shape in state)
        assert set(names.values()) == {1}
        assert names.keys() >= {one.id for one in (*painting.shapes, *painting.arrows)}
        texts = {shapes[shape].name: shapes[shape].text_frame.text for shape in state if shapes[shape].has_text_frame}
        assert {name: squeezed(text) for name, text in texts.items() if text} == expected(painting)


@pytest.mark.parametrize("name", ["lecture", "cut", "training"])
def test_of_the_one_slide_only_the_last_frame_is_printed(name: str) -> None:
    """Whoever prints it draws everything, from the lowest to the highest."""
    (slide,) = slides(name, animated=True)
    drawn = list(slide.shapes)
    place = next(number for number, shape in enumerate(drawn) if shape.name == "cover")
    (title, *covered), above = drawn[:place], drawn[place + 1 :]
    sheet = box(drawn[place])
    assert title.is_placeholder and box(title).bottom <= sheet.top + 0.01
    assert str(drawn[place].fill.fore_color.rgb) == paintings(name)[-1].background[1:].upper()
    assert covered
    for shape in covered:
        room = box(shape)
        assert sheet.left <= room.left and room.right <= sheet.right
        assert sheet.top <= room.top and room.bottom <= sheet.bottom
    last = [shape for shape in slides(name)[-1].shapes if not shape.is_placeholder]
    shown, expected_last = (
        Counter((shape.name, shape.has_text_frame and shape.text_frame.text) for shape in shapes) for shapes in (above, last)
    )
    assert shown == expected_last


@pytest.mark.skipif(shutil.which("soffice") is None, reason="no LibreOffice here: python-pptx read the slides again instead")
def test_libreoffice_opens_the_slides(tmp_path: Path) -> None:
    (tmp_path / "a.pptx").write_bytes(deck_named("lecture"))
    (tmp_path / "b.pptx").write_bytes(deck_named("lecture", animated=True))
    home = f"-env:UserInstallation={(tmp_path / 'home').as_uri()}"
    command = ["soffice", home, "--headless", "--convert-to", "pdf", "a.pptx", "b.pptx"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    with pypdfium2.PdfDocument(tmp_path / "a.pdf") as pages, pypdfium2.PdfDocument(tmp_path / "b.pdf") as one_page:
        assert (len(pages), len(one_page)) == (len(frames_named("lecture")), 1)
        for number, frame in enumerate(frames_named("lecture")):
            assert squeezed(plain(frame.text)) in squeezed(pages[number].get_textpage().get_text_bounded())
        printed, last = (page.render(scale=1).to_pil() for page in (one_page[0], pages[len(pages) - 1]))
        assert ImageChops.difference(printed, last).getbbox() is None
