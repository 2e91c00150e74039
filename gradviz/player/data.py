"""Stage -> what the player's script is given: every mark once, and for each frame what changes. JSON, no code.

    {"title", "language", "words",          texts; `words` are the names of the buttons
     "view": [x, y, width, height],         of the page, the part that holds the picture
     "themes": [{"name", "background", "text", "faint", "highlight", "colours": ["#rrggbb", ...]}, ...],
     "marks": [{"kind": "arrow", "ways": [[curve, tip], [curve, tip]], "dashed"},    forward and backward
               {"kind": "shape", "paths": [outline, ...]},
               {"kind": "text", "y", "size", "bold", "centred", "ground": box behind it or null}, ...],
     "frames": [{"title", "sentence", "phase", "changes": [[mark, ...state], ...]}, ...]}

A state is [way, colour, width] of an arrow, [fill, line, width, dashed] of a shape, [text, colour, x] of a text; a colour is
a place in each theme's `colours`. A mark that is not among a frame's changes is as it was one frame before; the
state of one that is on the picture of another part of the graph is empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradviz.frames import Frame
from gradviz.player.words import WORDS
from gradviz.render.escape import one_line
from gradviz.stage import (
    Arrow,
    Pages,
    Painting,
    Shape,
    Stage,
    StageTheme,
    Text,
    curve_path,
    painted,
    polygon_path,
    shape_paths,
)

MARGIN = 16.0
"""Pixels around the picture."""

Mark = Arrow | Shape | Text


def player_data(pages: Pages, title: str, themes: Sequence[tuple[str, StageTheme]]) -> dict[str, Any]:
    """What `mount(root, data)` takes.

    Args:
        pages: every frame, and the stages that show them.
        title: of the page.
        themes: names and colours; the reader may switch between them, and starts with the one of the system or the first.
    """
    paintings = [[painted(stage, frame, theme) for _, theme in themes] for stage, frame in pages]
    colours = _Colours()
    known = [{versions[0].id: versions for versions in zip(*map(_marks, one), strict=True)} for one in paintings]
    names = list({name: None for frame in known for name in frame})
    states = [[_state(frame[name], colours) if name in frame else [] for name in names] for frame in known]
    marks = [_mark([frame[name][0] for frame in known if name in frame]) for name in names]
    language = pages.stages[0].frames.language
    return {
        "title": one_line(title),
        "language": language,
        "words": WORDS[language],
        "view": _view([one[0] for one in paintings]),
        "themes": [
            {
                "name": name,
                "background": theme.background,
                "text": theme.text,
                "faint": theme.faint,
                "highlight": theme.highlight,
                "colours": [found[place] for found in colours.found],
            }
            for place, (name, theme) in enumerate(themes)
        ],
        "marks": marks,
        "frames": [
            _frame(stage, frame, states[number], states[number - 1] if number else None)
            for number, (stage, frame) in enumerate(pages)
        ],
    }


class _Colours:
    """The colours in use, each once: what one theme has and what the others have in its place."""

    def __init__(self) -> None:
        self.found: list[tuple[str, ...]] = []

    def place(self, versions: tuple[str, ...]) -> int:
        if versions not in self.found:
            self.found.append(versions)
        return self.found.index(versions)


def _marks(painting: Painting) -> list[Mark]:
    """What is on the picture, from back to front; the title and the sentence are texts of the page."""
    texts = [text for text in painting.texts if text.part not in ("title", "caption")]
    return [*painting.arrows, *painting.shapes, *texts]


def _state(versions: tuple[Mark, ...], colours: _Colours) -> list[Any]:
    """What changes about a mark, from the versions of it in each theme."""
    mark = versions[0]
    if isinstance(mark, Arrow):
        return [int(mark.backward), colours.place(_each(versions, "colour")), round(mark.line_width, 1)]
    if isinstance(mark, Shape):
        fill, line = colours.place(_each(versions, "fill")), colours.place(_each(versions, "line"))
        return [fill, line, round(mark.line_width, 1), int(mark.dashed)]
    x = mark.box.middle[0] if mark.centred else mark.box.left
    return [mark.text, colours.place(_each(versions, "colour")), round(x, 1)]


def _each(versions: tuple[Mark, ...], name: str) -> tuple[str, ...]:
    return tuple(getattr(mark, name) for mark in versions)


def _mark(versions: Sequence[Mark]) -> dict[str, Any]:
    """What stays, from the versions of a mark in each frame."""
    mark = versions[0]
    if isinstance(mark, Arrow):
        ways = {version.backward: version for version in versions if isinstance(version, Arrow)}
        paths = [ways.get(backward, mark) for backward in (False, True)]
        drawn = [[curve_path(way.curve), polygon_path(way.tip)] for way in paths]
        return {"kind": "arrow", "ways": drawn, "dashed": mark.dashed}
    if isinstance(mark, Shape):
        return {"kind": "shape", "paths": shape_paths(mark)}
    box = mark.box
    return {
        "kind": "text",
        "y": round(mark.baseline, 1),
        "size": round(mark.size, 1),
        "bold": mark.bold,
        "centred": mark.centred,
        "ground": _rounded(box.left, box.top, box.width, box.height) if mark.ground else None,
    }


def _frame(stage: Stage, frame: Frame, states: list[list[Any]], before: list[list[Any]] | None) -> dict[str, Any]:
    """One frame, with the marks that are not as they were before."""
    changed = [mark for mark, state in enumerate(states) if before is None or before[mark] != state]
    changes = [[mark, *states[mark]] for mark in changed]
    told = {"title": one_line(stage.frames.title), "sentence": one_line(frame.text)}
    return {**told, "phase": frame.phase, "changes": changes}


def _view(paintings: Sequence[Painting]) -> list[float]:
    """The part of the page that holds shapes, arrows and texts of all pictures."""
    marks = [mark for painting in paintings for mark in _marks(painting)]
    boxes = [mark.box for mark in marks if not isinstance(mark, Arrow)]
    points = [point for mark in marks if isinstance(mark, Arrow) for point in (*mark.curve, *mark.tip)]
    left = min([*(box.left for box in boxes), *(x for x, _ in points)]) - MARGIN
    top = min([*(box.top for box in boxes), *(y for _, y in points)]) - MARGIN
    right = max([*(box.right for box in boxes), *(x for x, _ in points)]) + MARGIN
    bottom = max([*(box.bottom for box in boxes), *(y for _, y in points)]) + MARGIN
    return _rounded(left, top, right - left, bottom - top)


def _rounded(*values: float) -> list[float]:
    return [round(value, 1) for value in values]
