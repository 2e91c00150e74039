"""Stage -> a presentation for PowerPoint and its kin: a slide for each frame, or one slide that is clicked through."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any

from gradviz.slides.animation import Click, timing_xml
from gradviz.slides.connectors import straight_lines
from gradviz.slides.drawingml import TITLE_ID, Mark, cover, emu, marks_of, title_xml
from gradviz.slides.extra import extra
from gradviz.stage import PAGE, Painting

TITLE_ONLY = 5
"""The layout of python-pptx's own template that has a title and nothing else."""


def deck(
    paintings: Sequence[Painting], last: Sequence[Painting], *, title: str, sentences: Sequence[str], animated: bool
) -> bytes:
    """The bytes of a .pptx file.

    Args:
        paintings: one for each frame.
        last: for each of them the last frame on the same stage, which has all labels; one object for each stage.
        title: of the presentation.
        sentences: one for each frame; they become the notes of the speaker.
        animated: one slide on which each click shows the next frame, else a slide for each.
    """
    pptx = extra("pptx", "a .pptx file")
    presentation = pptx.Presentation()
    presentation.slide_width, presentation.slide_height = emu(PAGE.width), emu(PAGE.height)
    presentation.core_properties.title = title
    lines = {id(one): straight_lines(one) for one in last}
    frames = [marks_of(painting, lines[id(one)]) for painting, one in zip(paintings, last, strict=True)]
    if animated:
        _animated_slide(presentation, paintings[0], frames, sentences)
    else:
        for painting, marks, sentence in zip(paintings, frames, sentences, strict=True):
            _put(_slide(presentation, painting, sentence), marks, {})
    found = io.BytesIO()
    presentation.save(found)
    return found.getvalue()


def _slide(presentation: Any, painting: Painting, notes: str) -> Any:
    """A slide with its background and its title."""
    from pptx.dml import color as colour
    from pptx.oxml import parse_xml

    slide = presentation.slides.add_slide(presentation.slide_layouts[TITLE_ONLY])
    slide.background.fill.solid()
    slide.background.fill.fore_color.rgb = colour.RGBColor(*bytes.fromhex(painting.background.removeprefix("#")))
    tree = slide.shapes._spTree
    tree.remove(slide.shapes.title._element)
    tree.append(parse_xml(title_xml(next(text for text in painting.texts if text.part == "title"))))
    slide.notes_slide.notes_text_frame.text = notes
    return slide


def _put(slide: Any, marks: Sequence[Mark], numbers: dict[str, int]) -> list[int]:
    """Appends marks to a slide.

    Args:
        slide: of python-pptx.
        marks: what is appended, in this order.
        numbers: key -> the number of the element that connectors are glued to; those of new shapes are put in.

    Returns:
        the number of each element.
    """
    from pptx.oxml import parse_xml
    from pptx.oxml.ns import qn

    tree = slide.shapes._spTree
    first = max((int(found) for found in tree.xpath("//p:cNvPr/@id")), default=TITLE_ID) + 1
    given = list(range(first, first + len(marks)))
    for mark, number in zip(marks, given, strict=True):
        numbers.setdefault(mark.key, number)
    for mark, number in zip(marks, given, strict=True):
        element = parse_xml(mark.xml)
        next(element.iter(qn("p:cNvPr"))).set("id", str(number))
        if mark.glued:
            for tag, key in zip(("a:stCxn", "a:endCxn"), mark.glued, strict=True):
                next(element.iter(qn(tag))).set("id", str(numbers[key]))
        tree.append(element)
    return given


def _animated_slide(presentation: Any, first: Painting, frames: Sequence[Sequence[Mark]], sentences: Sequence[str]) -> None:
    """One slide that holds every look that a mark ever has; a click hides those that end and shows those that begin.

    A printed slide, or a PDF of it, shows all of them, whatever the animation says. So those that are gone in the last frame
    lie below a cover, which appears with the last click, and the others above it: what is printed is the last frame.
    """
    from pptx.oxml import parse_xml

    slide = _slide(presentation, first, "\n".join(sentences))
    looks = sorted(_looks(frames), key=lambda look: look[2] == len(frames))
    gone = sum(end < len(frames) for _, _, end in looks)
    looks[gone:gone] = [(cover(first), len(frames) - 1, len(frames))] if gone else []
    given = _put(slide, [mark for mark, _, _ in looks], {})
    clicks = [
        Click(
            hidden=tuple((n, mark) for n, (mark, _, end) in zip(given, looks, strict=True) if end == place),
            shown=tuple((n, mark) for n, (mark, begin, _) in zip(given, looks, strict=True) if begin == place),
        )
        for place in range(1, len(frames))
    ]
    slide._element.append(parse_xml(timing_xml(clicks)))


def _looks(frames: Sequence[Sequence[Mark]]) -> Iterator[tuple[Mark, int, int]]:
    """Every mark with the frame in which it appears and the one in which it is gone, from the lowest to the highest."""
    order = {mark.key: None for marks in frames for mark in marks}
    kinds = {mark.key: mark.glued is None for marks in frames for mark in marks}
    found = [{mark.key: mark for mark in marks} for marks in frames]
    for key in sorted(order, key=kinds.__getitem__):
        begin, shown = 0, found[0].get(key)
        for place in range(1, len(found) + 1):
            mark = found[place].get(key) if place < len(found) else None
            if mark == shown and place < len(found):
                continue
            if shown is not None:
                yield shown, begin, place
            begin, shown = place, mark
