"""The stage: what is measured on every frame of every sample, with the font's metrics as Pillow reads them."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from functools import cache
from itertools import combinations, groupby

import framed_graphs
import pytest
import torch
from hypothesis import assume, given, settings
from PIL import ImageFont
from random_expressions import expressions, points

import gradviz
from gradviz import InputError
from gradviz.frames import Frames
from gradviz.stage import MIN_TEXT_PX, PAGE, THEMES, Box, Painting, Stage, Text, painted, painting_svg, stage_of, stage_theme
from gradviz.stage.font import ASCENT, DESCENT, FONTS, text_width
from gradviz.stage.sketch import NODE_SIZE

NAMES = [*framed_graphs.ALL, "training"]
MEASURED = [*NAMES, *framed_graphs.EXAMPLES]
LIGHT = stage_theme("light")


@cache
def frames_named(name: str) -> Frames:
    if name == "training":
        first, *later = framed_graphs.training()
        return first.frames(following=later)
    if name in framed_graphs.EXAMPLES:
        return framed_graphs.example(name).frames()
    return framed_graphs.ALL[name]().frames()


@cache
def stage_named(name: str) -> Stage:
    return stage_of(frames_named(name))


@cache
def paintings(name: str) -> list[Painting]:
    stage = stage_named(name)
    return [painted(stage, frame, LIGHT) for frame in stage.frames]


@cache
def font(bold: bool) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(FONTS / f"DejaVuSans{'-Bold' if bold else ''}.ttf", 1000)


def measured(text: Text) -> Box:
    """The box around the letters, as they are drawn."""
    width = font(text.bold).getlength(text.text) * text.size / 1000
    left = text.box.middle[0] - width / 2 if text.centred else text.box.left
    return Box(left=left, top=text.baseline - 0.76 * text.size, width=width, height=(0.76 + DESCENT) * text.size)


def holds(outer: Box, inner: Box, slack: float = 0.5) -> bool:
    return (
        outer.left - slack <= inner.left
        and inner.right <= outer.right + slack
        and outer.top - slack <= inner.top
        and inner.bottom <= outer.bottom + slack
    )


def overlap(one: Box, other: Box) -> bool:
    slack = 0.1  # of a pixel: texts that follow each other touch
    across = one.left + slack < other.right and other.left + slack < one.right
    return across and one.top + slack < other.bottom and other.top + slack < one.bottom


@pytest.mark.parametrize("name", MEASURED)
def test_every_text_has_18_px_or_more(name: str) -> None:
    assert len(frames_named(name).views[0].nodes) <= 15
    assert min(text.size for painting in paintings(name) for text in painting.texts) >= MIN_TEXT_PX == 18


def outside(painting: Painting) -> list[str]:
    """The texts that are not wholly inside their shape and the page."""
    boxes = {shape.id: shape.box for shape in painting.shapes}
    placed = [(text, measured(text)) for text in painting.texts]
    return [text.id for text, box in placed if not (holds(boxes.get(text.owner, PAGE), box) and holds(PAGE, box))]


def overlapping(painting: Painting) -> list[tuple[str, str]]:
    """Pairs of texts, of shapes, and of a shape and a text that does not belong on it."""
    texts = [(text.id, measured(text)) for text in painting.texts if text.text]
    shapes = [(shape.id, shape.box) for shape in painting.shapes]
    free = {text.id for text in painting.texts if text.part in ("partial", "title", "caption")}
    strange = [(text, shape) for text in texts if text[0] in free for shape in shapes]
    pairs = [*combinations(texts, 2), *combinations(shapes, 2), *strange]
    return [(one, other) for (one, box), (other, other_box) in pairs if overlap(box, other_box)]


@pytest.mark.parametrize("name", MEASURED)
def test_no_text_is_clipped(name: str) -> None:
    for painting in paintings(name):
        assert outside(painting) == []
        cut = [text.text for text in painting.texts if text.part in ("title", "caption") and text.text.endswith("…")]
        assert cut == []


@pytest.mark.parametrize("name", MEASURED)
def test_nothing_overlaps(name: str) -> None:
    assert [overlapping(painting) for painting in paintings(name)] == [[]] * len(paintings(name))


@pytest.mark.parametrize("name", NAMES)
def test_the_picture_stays_between_title_and_sentence(name: str) -> None:
    stage, painting = stage_named(name), paintings(name)[-1]
    top, bottom = stage.title.bottom, stage.caption.top
    room = Box(left=stage.title.left, top=top, width=stage.title.width, height=bottom - top)
    points = [point for arrow in painting.arrows for point in (arrow.curve[0], arrow.curve[-1], *arrow.tip)]
    boxes = [shape.box for shape in painting.shapes] + [Box(left=x, top=y, width=0, height=0) for x, y in points]
    assert [box for box in boxes if not holds(room, box)] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_layout_never_moves(name: str) -> None:
    def places(painting: Painting) -> list[object]:
        shapes: list[object] = [(shape.id, shape.form, shape.box, shape.inset) for shape in painting.shapes]
        arrows = [(arrow.id, arrow.tail, arrow.head) for arrow in painting.arrows]
        heights = [(text.id, text.part, text.box.width, text.box.top, text.baseline) for text in painting.texts]
        texts = [*heights, *((text.size, text.centred) for text in painting.texts)]
        return [*shapes, *arrows, *texts]

    first, *others = paintings(name)
    assert all(places(painting) == places(first) for painting in others)


def rows_of(painting: Painting) -> list[list[Text]]:
    """The texts of shapes, row by row."""
    shapes = {shape.id for shape in painting.shapes}
    texts = [text for text in painting.texts if text.owner in shapes]
    return [list(row) for _, row in groupby(texts, key=lambda text: (text.owner, text.baseline))]


@pytest.mark.parametrize("name", NAMES)
def test_a_row_moves_only_when_its_last_text_appears(name: str) -> None:
    final = [[text.box.left for text in row] for row in rows_of(paintings(name)[-1])]
    for painting in paintings(name):
        for row, left in zip(rows_of(painting), final, strict=True):
            if all(text.text for text in row):
                assert [text.box.left for text in row] == left


@pytest.mark.parametrize("name", ["chain", "deep"])
def test_what_a_row_says_stands_in_its_middle(name: str) -> None:
    for painting in paintings(name):
        middle = {shape.id: shape.box.middle[0] for shape in painting.shapes}
        for row in rows_of(painting):
            written = [text for text in row if text.text and not text.centred]
            if written:
                across = (written[0].box.left + written[-1].box.right) / 2
                assert across == pytest.approx(middle[written[0].owner], abs=2), written


@pytest.mark.parametrize("name", NAMES)
def test_arrows_reach_from_shape_to_shape(name: str) -> None:
    for painting in paintings(name):
        boxes = {shape.id: shape.box for shape in painting.shapes}
        for arrow in painting.arrows:
            point = arrow.tip[1]
            start, end = (point, arrow.curve[-1]) if arrow.backward else (arrow.curve[0], point)
            assert len(arrow.curve) % 3 == 1
            for (x, y), shape in ((start, arrow.tail), (end, arrow.head)):
                assert holds(boxes[shape], Box(left=x, top=y, width=0, height=0), slack=12), arrow


@settings(max_examples=12, deadline=None, derandomize=True)
@given(text=expressions(), x=points(), y=points(), z=points())
def test_any_expression_of_up_to_15_nodes_can_be_read(text: str, x: float, y: float, z: float) -> None:
    graph = gradviz.trace(f"{text} + x*y*z", x=x, y=y, z=z, device="cpu")
    assume(len(graph) <= 15)
    stage = stage_of(graph.frames())
    painting = painted(stage, stage.frames[-1], LIGHT)
    assert min(text.size for text in painting.texts) >= MIN_TEXT_PX
    assert outside(painting) == []
    assert overlapping(painting) == []


def texts_of(painting: Painting, owner: str) -> str:
    return " ".join(text.text for text in painting.texts if text.owner == owner and text.text)


def test_each_frame_shows_what_has_happened_so_far() -> None:
    pages = paintings("lecture")
    assert texts_of(pages[0], "node_0") == "x = 2"
    assert texts_of(pages[0], "node_2") == "a = x·y"
    assert texts_of(pages[1], "node_2") == "a = x·y = 6"
    assert texts_of(pages[9], "node_0") == "x = 2 ∂d/∂x = 3.142 + …"
    assert texts_of(pages[10], "node_0") == "x = 2 ∂d/∂x = 6.142"
    assert texts_of(pages[9], "edge_0_2_0") == ""
    assert texts_of(pages[10], "edge_0_2_0") == "∂a/∂x = y = 3"


def test_pending_is_dashed_settled_is_filled_and_what_is_looked_at_has_a_thick_line() -> None:
    pages = paintings("lecture")
    before, pending, settled = (next(shape for shape in pages[place].shapes if shape.id == "node_0") for place in (4, 9, 10))
    assert (before.dashed, pending.dashed, settled.dashed) == (False, True, False)
    assert (before.fill, pending.fill, settled.fill) == (LIGHT.known.fill, LIGHT.pending.fill, LIGHT.settled.fill)
    assert pending.line == settled.line == LIGHT.highlight
    assert pending.line_width > 2 * before.line_width
    arrows = {arrow.id: arrow for arrow in pages[10].arrows}
    assert (arrows["edge_0_2_0"].colour, arrows["edge_0_3_0"].colour) == (LIGHT.highlight, LIGHT.backward)
    assert arrows["edge_0_2_0"].backward
    assert not arrows["edge_1_2_1"].backward


def test_an_arrow_that_carries_no_gradient_is_dashed() -> None:
    graph = frames_named("cut").graphs[0]
    cuts = {f"edge_{tail}_{head}_{key}" for tail, head, key, cut in graph.edges(keys=True, data="cut") if cut}
    assert {arrow.id for arrow in paintings("cut")[-1].arrows if arrow.dashed} == cuts
    assert 0 < len(cuts) < graph.number_of_edges()


def test_the_captions_are_the_sentences() -> None:
    for name in NAMES:
        for frame, painting in zip(frames_named(name), paintings(name), strict=True):
            assert " ".join(text.text for text in painting.texts if text.part == "caption" and text.text) == frame.text


def test_font_size_is_aimed_at_and_labels_give_way_to_it() -> None:
    small, large = stage_of(frames_named("chain"), font_size=18), stage_of(frames_named("chain"), font_size=32)
    sizes = [min(slot.size for node in stage.layout.nodes for slot in node.slots) for stage in (small, large)]
    assert sizes[0] >= 18
    assert sizes[1] >= 32
    assert small.density.labels != "none"
    assert large.density.labels == "none"
    with pytest.raises(InputError, match="font_size is 4; accepted: 18 to 60"):
        stage_of(frames_named("chain"), font_size=4)


NASTY = "<b>&amp;\"]]>\\N\x07\n{'é'} 𝛼"


def test_any_name_is_shown_as_it_is() -> None:
    nasty = torch.tensor(2.0, requires_grad=True)
    frames = gradviz.trace(nasty * nasty, names={NASTY: nasty}).frames(title=NASTY)
    stage = stage_of(frames)
    painting = painted(stage, frames[-1], LIGHT)
    shown = NASTY.replace("\x07\n", "\ufffd ")
    assert shown in [text.text for text in painting.texts if text.part == "name"]
    root = ElementTree.fromstring(painting_svg(painting, title=NASTY))
    assert shown in ["".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")]


def test_text_is_as_wide_as_pillow_measures_it() -> None:
    for text in ("∂d/∂x = 3.142 + …", "‖Aᵀ‖ = −2.449e−16", "AVAToWe fi", "𝛼"[:0]):
        for bold in (False, True):
            unkerned = sum(font(bold).getlength(character) for character in text) * 20 / 1000
            assert text_width(text, 20, bold=bold) == pytest.approx(unkerned, rel=1e-3)
            assert text_width(text, 20, bold=bold) >= font(bold).getlength(text) * 20 / 1000 - 0.01
    top = min(font(False).getbbox(text, anchor="ls")[1] for text in ("‖[(∂ᵀ²", "ÅÉ"))
    bottom = font(False).getbbox("g[(,‖", anchor="ls")[3]
    assert ASCENT * 1000 + top >= -5
    assert DESCENT * 1000 - bottom >= -5


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("name", THEMES)
def test_all_text_of_a_theme_has_contrast(name: str) -> None:
    theme = THEMES[name]
    grounds = [theme.background, theme.known.fill, theme.pending.fill, theme.settled.fill]
    assert min(contrast(theme.text, ground) for ground in grounds) >= 7
    assert contrast(theme.faint, theme.background) >= 4.5
    assert contrast(theme.highlight, theme.background) >= 3.5  # large text and lines
    assert min(contrast(paint.border, paint.fill) for paint in (theme.known, theme.pending, theme.settled)) >= 3


def test_a_theme_takes_another_highlight_and_refuses_what_is_no_colour() -> None:
    assert stage_theme("slides", highlight="#aa00aa") == replace(THEMES["slides"], highlight="#aa00aa")
    with pytest.raises(InputError, match="highlight is 'red'; accepted: a colour of the form #rrggbb"):
        stage_theme("light", highlight="red")
    with pytest.raises(InputError, match="unknown theme 'sepia'; accepted: light, dark, slides, print"):
        stage_theme("sepia")


def test_texts_of_a_node_stand_beside_each_other_where_that_makes_the_letters_much_larger() -> None:
    def with_a_cut_way(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return (x * y).detach() * x + torch.sin(y)

    long, short = gradviz.trace(with_a_cut_way, x=2.0, y=3.0, device="cpu"), gradviz.trace("x*y", x=2.0, y=3.0, device="cpu")
    stage = stage_of(long.frames())
    assert (stage.density.in_one_row, stage.density.labels, stage.direction) == (True, "all", "BT")
    assert NODE_SIZE * stage.layout.scale > 1.4 * 28
    assert not stage_of(short.frames()).density.in_one_row


NETWORK = "h=σ(w*x1+v*x2+b); k=σ(p*x1+q*x2+c); z=r*h+s*k+d; y=σ(z); (y-t)^2"


def test_a_wide_network_in_scalars_keeps_its_values_and_uses_the_height_of_the_page() -> None:
    names = ("x1", "x2", "w", "v", "b", "p", "q", "c", "r", "s", "d", "t")
    stage = stage_of(gradviz.trace(NETWORK, at=dict.fromkeys(names, 0.3), device="cpu").frames())
    last = painted(stage, stage.frames[-1], LIGHT)
    values = [text for text in last.texts if text.part == "value" and text.text]
    assert len(values) == len(last.shapes)
    assert min(text.size for text in values) >= MIN_TEXT_PX
    top, bottom = (pick(getattr(shape.box, side) for shape in last.shapes) for pick, side in ((min, "top"), (max, "bottom")))
    assert bottom - top > 0.6 * PAGE.height
