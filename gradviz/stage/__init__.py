"""Frames -> a stage: where everything stands, once for all frames, and how each frame looks.

    font     how wide text is
    texts    what is written where in each frame
    sketch   views and a density -> DOT text, with room for the longest text that each line ever shows
    layout   DOT text -> places on the page: Graphviz lays it out, in the drawing process, and tells the coordinates
    choose   how much is written, in which direction, so that the letters are large
    pages    frames -> a stage, or one for each part of a graph that cannot be read on one page
    look     a frame -> the state of each node and arrow
    theme    colours
    paint    stage, frame and theme -> shapes, arrows and texts with places and colours, which any format can write
    svg      these as SVG

The layout of a stage never moves: it is laid out once, and a frame only changes colours, the ends of arrows, and texts.

    for stage, frame in pages_of(frames_of([graph])):
        painting = painted(stage, frame, stage_theme("slides"))
"""

from gradviz.stage.choose import FONT_SIZE, MIN_TEXT_PX, PAGE, Stage, smallest_text, stage_of
from gradviz.stage.layout import Box, Point
from gradviz.stage.pages import Pages, pages_of
from gradviz.stage.paint import Arrow, Form, Painting, Shape, Text, painted
from gradviz.stage.svg import curve_path, painting_svg, polygon_path, shape_paths
from gradviz.stage.theme import THEMES, StageTheme, stage_theme

__all__ = [
    "FONT_SIZE",
    "MIN_TEXT_PX",
    "PAGE",
    "THEMES",
    "Arrow",
    "Box",
    "Form",
    "Pages",
    "Painting",
    "Point",
    "Shape",
    "Stage",
    "StageTheme",
    "Text",
    "curve_path",
    "pages_of",
    "painted",
    "painting_svg",
    "polygon_path",
    "shape_paths",
    "smallest_text",
    "stage_of",
    "stage_theme",
]
