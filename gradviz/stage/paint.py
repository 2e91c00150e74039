"""Stage, frame and theme -> shapes, arrows and texts with places and colours, which any format can write.

All frames of a stage have the same shapes, arrows and texts in the same order: only colours, the ends of arrows, the
words and, in a row that is still to be filled, their left sides change. A text that is not written yet is "".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from gradviz.frames import Frame
from gradviz.render.escape import one_line
from gradviz.render.theme import Paint
from gradviz.stage.choose import PAGE, TITLE_SIZE, Stage
from gradviz.stage.font import balanced, cut_to, text_width
from gradviz.stage.layout import Box, Point, Slot
from gradviz.stage.look import ArrowLook, NodeLook, arrow_looks, node_looks
from gradviz.stage.texts import Part
from gradviz.stage.theme import StageTheme

Form = Literal["pill", "rounded", "note", "double"]
INSETS: dict[Form, float] = {"pill": 22, "rounded": 8, "note": 6, "double": 4}
"""Points of the sketch; those of a double line are Graphviz's own."""
FORMS: dict[str, Form] = {"leaf": "pill", "op": "rounded", "constant": "note", "output": "double"}
STRONG = 2.2
"""The width of the line around what is looked at, relative to others."""
TITLE_SMALLEST = 24.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The outline of a node.

    Attributes:
        id: of the node on the picture.
        form: a pill (leaf), a rectangle with round corners (op), with a folded one (constant), or a double rectangle
            (output), whose inner line is drawn `inset` inside the box.
        box: of the outline.
        fill, line: colours.
        line_width: in pixels.
        dashed: of the line.
        inset: of the inner rectangle, the size of the fold, or the radius of the corners.
    """

    id: str
    form: Form
    box: Box
    fill: str
    line: str
    line_width: float
    dashed: bool
    inset: float

    @property
    def inner(self) -> Box:
        """The inner line of a double rectangle."""
        box, inset = self.box, self.inset
        return Box(left=box.left + inset, top=box.top + inset, width=box.width - 2 * inset, height=box.height - 2 * inset)

    @property
    def fold(self) -> tuple[Point, ...]:
        """The line of a folded corner, from the top to the right side."""
        x, y = self.box.right - self.inset, self.box.top + self.inset
        return (x, self.box.top), (x, y), (self.box.right, y)

    @property
    def folded(self) -> tuple[Point, ...]:
        """The corners of a rectangle whose corner at the top right is folded."""
        top_left, _, bottom_right, bottom_left = self.box.corners
        return top_left, self.fold[0], self.fold[-1], bottom_right, bottom_left


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrow:
    """A curve with one arrowhead.

    Attributes:
        id: of the edge on the picture.
        tail, head: ids of the shapes that it runs between, in forward direction.
        curve: control points of cubic Bézier curves, from the tail to the head; 3n + 1 of them.
        tip: the corners of the arrowhead, its point second.
        backward: whether the arrowhead is at the tail.
        dashed: where no gradient can flow.
        colour: of both.
        line_width: in pixels.
    """

    id: str
    tail: str
    head: str
    curve: tuple[Point, ...]
    tip: tuple[Point, ...]
    backward: bool
    dashed: bool
    colour: str
    line_width: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """One line of text.

    Attributes:
        id: unique on the page.
        owner: the shape or arrow that it belongs to; "" for the title and the sentence.
        part: what it is.
        text: "" where nothing is written yet.
        box: the room that is kept for it; the text stands in its middle, or begins at its left side.
        baseline: y.
        size: of the font, in pixels.
        bold, centred: how it stands.
        colour: of the letters.
        ground: the colour behind it, so that no arrow runs through the letters; "" for none.
    """

    id: str
    owner: str
    part: Part | Literal["title", "caption"]
    text: str
    box: Box
    baseline: float
    size: float
    bold: bool
    centred: bool
    colour: str
    ground: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Painting:
    """One frame on a page of 1920 x 1080 pixels; what comes first is painted first: arrows, then shapes, then texts."""

    page: Box
    background: str
    arrows: tuple[Arrow, ...]
    shapes: tuple[Shape, ...]
    texts: tuple[Text, ...]


def painted(stage: Stage, frame: Frame, theme: StageTheme) -> Painting:
    """One frame of a stage."""
    nodes, arrows = node_looks(stage, frame), arrow_looks(stage, frame)
    width = theme.line_width * stage.layout.scale
    texts = [text for look in arrows for text in _texts(look, theme)]
    texts += [text for look in nodes for text in _texts(look, theme)]
    return Painting(
        page=PAGE,
        background=theme.background,
        arrows=tuple(_arrow(look, theme, width) for look in arrows),
        shapes=tuple(_shape(look, theme, width, stage.layout.scale) for look in nodes),
        texts=(_title(stage, theme), *texts, *_caption(stage, frame, theme)),
    )


def _shape(look: NodeLook, theme: StageTheme, width: float, scale: float) -> Shape:
    paints = {"known": theme.known, "pending": theme.pending, "settled": theme.settled}
    paint = paints.get(look.state, Paint(fill=theme.background, border=theme.faint))
    form, box = FORMS[look.node.role], look.place.box
    return Shape(
        id=look.place.id,
        form=form,
        box=box,
        fill=paint.fill,
        line=theme.highlight if look.active else paint.border,
        line_width=width * (STRONG if look.active else 1),
        dashed=look.state == "pending",
        inset=min(INSETS[form] * scale, box.height / 2),
    )


def _arrow(look: ArrowLook, theme: StageTheme, width: float) -> Arrow:
    """A curve that reaches both shapes, with its arrowhead where it points."""
    place = look.place
    backward = look.way == "backward"
    free_end = place.head_tip[1] if backward else place.tail_tip[1]
    if backward:
        curve = (*place.curve, *_straight(place.curve[-1], free_end))
    else:
        curve = (free_end, *_straight(free_end, place.curve[0])[:2], *place.curve)
    colours = {"waiting": theme.faint, "forward": theme.arrow, "backward": theme.backward}
    return Arrow(
        id=place.id,
        tail=look.edge.tail,
        head=look.edge.head,
        curve=curve,
        tip=place.tail_tip if backward else place.head_tip,
        backward=backward,
        dashed=bool(look.edge.cut),
        colour=theme.highlight if look.active else colours[look.way],
        line_width=width * (STRONG if look.active else 1),
    )


def _straight(start: Point, end: Point) -> tuple[Point, Point, Point]:
    """A straight piece as the rest of a Bézier curve that stands at `start`."""
    (x, y), (to_x, to_y) = start, end
    return (x + (to_x - x) / 3, y + (to_y - y) / 3), (x + 2 * (to_x - x) / 3, y + 2 * (to_y - y) / 3), end


def _texts(look: NodeLook | ArrowLook, theme: StageTheme) -> Iterator[Text]:
    owner = look.place.id
    for number, (slot, text) in enumerate(look.texts):
        if isinstance(look, ArrowLook):
            colour, ground = theme.highlight if look.active else theme.text, theme.background
        else:
            colour, ground = theme.faint if look.state == "waiting" else theme.text, ""
        yield _text(slot, text, colour, ground, owner=owner, number=number)


def _text(slot: Slot, text: str, colour: str, ground: str, *, owner: str, number: int) -> Text:
    return Text(
        id=f"{owner}_text_{number}",
        owner=owner,
        part=slot.part,
        text=text,
        box=Box(left=slot.left, top=slot.baseline - slot.size, width=slot.width, height=1.25 * slot.size),
        baseline=slot.baseline,
        size=slot.size,
        bold=slot.part == "name",
        centred=slot.centred,
        colour=colour,
        ground=ground,
    )


def _title(stage: Stage, theme: StageTheme) -> Text:
    """The title on one line, smaller where it is long, cut where it is very long."""
    words, box = one_line(stage.frames.title), stage.title
    size = max(TITLE_SMALLEST, min(TITLE_SIZE, TITLE_SIZE * box.width / max(text_width(words, TITLE_SIZE, bold=True), 1)))
    return Text(
        id="title",
        owner="",
        part="title",
        text=cut_to(words, size, box.width, bold=True),
        box=box,
        baseline=box.top + box.height * 0.75,
        size=size,
        bold=True,
        centred=True,
        colour=theme.text,
    )


def _caption(stage: Stage, frame: Frame, theme: StageTheme) -> Iterator[Text]:
    """The sentence, a text for each line that there is room for; what no room is enough for ends in `…`."""
    size, box = stage.caption_size, stage.caption
    height = box.height / stage.caption_lines
    lines = balanced(one_line(frame.text), size, box.width)
    if len(lines) > stage.caption_lines:
        kept = stage.caption_lines - 1
        lines = [*lines[:kept], " ".join(lines[kept:])]
    lines += [""] * (stage.caption_lines - len(lines))
    for number, line in enumerate(lines):
        top = box.top + number * height
        yield Text(
            id=f"caption_{number}",
            owner="",
            part="caption",
            text=cut_to(line, size, box.width),
            box=Box(left=box.left, top=top, width=box.width, height=height),
            baseline=top + height * 0.75,
            size=size,
            bold=False,
            centred=True,
            colour=theme.text,
        )
