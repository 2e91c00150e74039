"""Frames -> a stage: how much is written, in which direction, so that everything can be read from the last row.

A page is 1920 x 1080 pixels, as a projector has them: a title above, the picture, a sentence below. What is written gives
way to how large it is: from everything in full, over labels without their signs, to bare arrows between one-line nodes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

from gradviz.errors import InputError, given
from gradviz.frames import Frames
from gradviz.render import TIME_LIMIT_S, check_drawing
from gradviz.render.escape import one_line
from gradviz.stage.font import text_width, wrapped
from gradviz.stage.layout import Box, Layout, laid_out
from gradviz.stage.sketch import EDGE_SIZE, NODE_SIZE, sketch_of
from gradviz.stage.texts import Density, room_for_cotangents
from gradviz.view import Direction

PAGE = Box(left=0, top=0, width=1920, height=1080)
MARGIN = 40.0
TITLE_SIZE = 44.0
LINE_HEIGHT = 1.3
MIN_TEXT_PX = 18.0
"""What is smaller cannot be read from the last row of a lecture hall."""
FONT_SIZE = 20.0
FONT_SIZES = (MIN_TEXT_PX, 60.0)
COMFORT = 1.1
"""How much larger than asked for the text should be before more is written."""
LARGEST = 2.0
"""How much larger than asked for the text becomes where there is room, so that small graphs do not shout."""
WORTH = 1.2
"""How much larger text must become for the texts of a node to stand beside each other, which leaves wide shapes."""
CAPTIONS = ((36.0, 2), (32.0, 2), (28.0, 3), (24.0, 3), (20.0, 4), (MIN_TEXT_PX, 5))
"""Sizes of the sentence and how many lines it may take; the first that fits every frame is used for all."""

SHORT = 20
LABELLED = (
    Density(),
    Density(labels="number"),
    Density(labels="number", lines=2, name_length=20),
    Density(labels="number", lines=1, in_one_row=True, name_length=20),
    Density(labels="number", lines=1, name_length=20, longest=SHORT),
)
UNLABELLED = (
    Density(labels="none", lines=2, name_length=20),
    Density(labels="none", lines=1, name_length=20, longest=SHORT),
    Density(labels="none", lines=1, in_one_row=True, name_length=16, longest=SHORT),
)
IN_TWO_ROWS = (
    Density(labels="number", lines=1, in_one_row=True, cotangent_below=True, name_length=16, longest=SHORT),
    Density(labels="none", lines=1, in_one_row=True, cotangent_below=True, name_length=16, longest=SHORT),
)
"""For wide graphs, in which nothing above can be read."""
LAST_RESORT = Density(labels="none", lines=0, in_one_row=True, name_length=16, longest=SHORT)
"""Without values: only where nothing else can be read."""
DIRECTIONS: tuple[Direction, ...] = ("LR", "BT")
MAX_LABELS = 80
"""With more arrows than this, labels cannot be read on one page and only take time."""
SHORTEST_S = 0.05

_Choice = tuple[Density, Direction, Layout]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where everything stands in every frame. Lengths are pixels of a page of 1920 x 1080.

    Attributes:
        frames: what is shown on it.
        layout: of nodes, arrows and their texts.
        density, direction: how it was laid out.
        title: the box of the line above.
        caption: the box of the sentence below.
        caption_size, caption_lines: of its font, and how many lines there is room for.
    """

    frames: Frames
    layout: Layout
    density: Density
    direction: Direction
    title: Box
    caption: Box
    caption_size: float
    caption_lines: int


def stage_of(
    frames: Frames,
    *,
    font_size: float = FONT_SIZE,
    time_limit_s: float = TIME_LIMIT_S,
    direction: Direction | None = None,
) -> Stage:
    """Lays out all frames at once.

    Args:
        frames: of a graph.
        font_size: how large the text of the nodes should be, in pixels of a page of 1920 x 1080. Labels are shortened
            and left out until there is room for it; where there is none even then, `MIN_TEXT_PX` must do.
        time_limit_s: seconds until drawing is given up.
        direction: of the ranks; None for the one in which the text is larger.

    Raises:
        InputError: `font_size` is out of range.
        RenderError: the time is over, or `time_limit_s` is no time.
    """
    check_drawing(time_limit_s)
    if not isinstance(font_size, (int, float)) or not FONT_SIZES[0] <= font_size <= FONT_SIZES[1]:
        raise InputError(f"font_size is {given(font_size)}; accepted: {FONT_SIZES[0]:g} to {FONT_SIZES[1]:g}")
    sheet = sheet_of(frames)
    choices = _Choices(frames, sheet, font_size, time_limit_s, direction)
    return sheet.stage(frames, _largest(choices))


def labelled_stage_of(
    frames: Frames, sheet: Sheet, *, font_size: float, time_limit_s: float, direction: Direction | None = None
) -> Stage | None:
    """The same with labels on the arrows, the fullest that can be read; None where none can.

    Args:
        frames: of a part of a graph.
        sheet: of all of it, so that nothing but the picture is another one on the next part.
        font_size, time_limit_s, direction: as of `stage_of`.
    """
    choices = _Choices(frames, sheet, font_size, time_limit_s, direction)
    if not _is_readable(choices.laid_out(LABELLED[-1])):
        return None
    found = _first_comfortable(choices, LABELLED)
    best = found[-1] if _is_comfortable(found[-1], font_size) else next(filter(_is_readable, found), None)
    return None if best is None else sheet.stage(frames, best)


def smallest_text(density: Density, layout: Layout) -> float:
    """The size of the smallest text on a layout, in pixels."""
    return layout.scale * (NODE_SIZE if density.labels == "none" else EDGE_SIZE)


def is_readable(density: Density, layout: Layout) -> bool:
    """Whether all text on a layout is large enough."""
    return smallest_text(density, layout) >= MIN_TEXT_PX


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """Where on the page the title, the picture and the sentence stand, and what room frames need.

    Attributes:
        title, room, caption: the boxes of the three.
        caption_size, caption_lines: as of a `Stage`.
        cotangents: elements of a tensor that take more characters are not written out -> node -> its longest cotangent.
    """

    title: Box
    room: Box
    caption: Box
    caption_size: float
    caption_lines: int
    cotangents: Callable[[int], Mapping[int, str]]

    def stage(self, frames: Frames, choice: _Choice) -> Stage:
        density, direction, layout = choice
        return Stage(
            frames=frames,
            layout=layout,
            density=density,
            direction=direction,
            title=self.title,
            caption=self.caption,
            caption_size=self.caption_size,
            caption_lines=self.caption_lines,
        )


def sheet_of(frames: Frames) -> Sheet:
    """With room for every sentence and every cotangent."""
    width = PAGE.width - 2 * MARGIN
    size, count = _caption_fit(frames, width)
    title = Box(left=MARGIN, top=MARGIN / 2, width=width, height=TITLE_SIZE * LINE_HEIGHT)
    height = size * LINE_HEIGHT * count
    caption = Box(left=MARGIN, top=PAGE.bottom - MARGIN / 2 - height, width=width, height=height)
    top = title.bottom + MARGIN / 2
    room = Box(left=MARGIN, top=top, width=width, height=caption.top - MARGIN / 2 - top)
    return Sheet(
        title=title,
        room=room,
        caption=caption,
        caption_size=size,
        caption_lines=count,
        cotangents=cache(partial(room_for_cotangents, frames)),
    )


class _Choices:
    """The ways to lay frames out; each is laid out when it is asked for, and all within one time limit."""

    def __init__(
        self, frames: Frames, sheet: Sheet, font_size: float, time_limit_s: float, direction: Direction | None
    ) -> None:
        self.frames = frames
        self.sheet = sheet
        self.font_size = font_size
        self.directions = DIRECTIONS if direction is None else (direction,)
        self.deadline = time.monotonic() + time_limit_s
        self.are_numbers = all(len(node.value) < 2 for view in frames.views for node in view.nodes)

    @property
    def may_be_labelled(self) -> bool:
        return len(self.frames.views[0].edges) <= MAX_LABELS

    def laid_out(self, density: Density) -> _Choice:
        """In the direction in which the text is larger.

        Single numbers say as much beside their names as below them, so both are tried.
        """
        found = self._directed(density)
        is_large = WORTH * _scale(found) * NODE_SIZE > LARGEST * self.font_size
        if not self.are_numbers or density.in_one_row or is_large:
            return found
        beside = self._directed(replace(density, in_one_row=True))
        return beside if _scale(beside) > WORTH * _scale(found) else found

    def _directed(self, density: Density) -> _Choice:
        cotangents = self.sheet.cotangents(density.longest)
        layouts = [
            laid_out(
                sketch_of(self.frames, cotangents, density, direction),
                self.sheet.room,
                largest=LARGEST * self.font_size,
                time_limit_s=max(self.deadline - time.monotonic(), SHORTEST_S),
            )
            for direction in self.directions
        ]
        return max(zip([density] * len(layouts), self.directions, layouts, strict=True), key=_scale)


def _largest(choices: _Choices) -> _Choice:
    """How everything is written: with labels if there is room for them, in the direction in which the text is larger.

    The fullest density whose text is comfortably large, else the one with the largest text if that is as large as asked
    for. Where no density is, the fullest that can be read at all, else the one with the largest text.
    """
    tried: list[_Choice] = []
    for densities in (LABELLED if choices.may_be_labelled else (), UNLABELLED):
        found = _first_comfortable(choices, densities)
        if found and _is_comfortable(found[-1], choices.font_size):
            return found[-1]
        largest = max(found, key=_scale, default=None)
        if largest and _scale(largest) * NODE_SIZE >= choices.font_size and _is_readable(largest):
            return largest
        tried += found
    readable = next(filter(_is_readable, tried), None)
    if readable is None:
        in_two_rows = IN_TWO_ROWS if choices.may_be_labelled else IN_TWO_ROWS[1:]
        readable = next(filter(_is_readable, map(choices.laid_out, in_two_rows)), None)
    return readable or max([*tried, choices.laid_out(LAST_RESORT)], key=_scale)


def _first_comfortable(choices: _Choices, densities: Sequence[Density]) -> list[_Choice]:
    """Each of the densities laid out, up to the first whose text is comfortably large."""
    found: list[_Choice] = []
    for density in densities:
        found.append(choices.laid_out(density))
        if _is_comfortable(found[-1], choices.font_size):
            break
    return found


def _is_comfortable(choice: _Choice, font_size: float) -> bool:
    return _scale(choice) * NODE_SIZE >= COMFORT * font_size and _is_readable(choice)


def _is_readable(choice: _Choice) -> bool:
    return is_readable(choice[0], choice[2])


def _scale(choice: _Choice) -> float:
    return choice[2].scale


def _caption_fit(frames: Frames, width: float) -> tuple[float, int]:
    """Size and number of lines with which every sentence fits."""
    for size, most in CAPTIONS:
        found = [wrapped(one_line(frame.text), size, width) for frame in frames]
        count = max(map(len, found))
        if count <= most and all(text_width(line, size) <= width for lines in found for line in lines):
            return size, count
    return CAPTIONS[-1]
