"""View -> DOT -> SVG, PNG, PDF.

    theme      colours, fonts and distances by name
    heat       a small matrix as coloured cells
    png        PNG files, and how many of their pixels are an inch
    escape     names that a user chose as text that is safe in a label
    arrange    where shapes stand: in boxes and columns
    dot        View -> DOT text; no process, no measuring
    worker     the drawing process: Graphviz and nothing else
    layout     DOT text -> picture, in that process, under a time limit
    svg        Graphviz's SVG made fit for files and pages
    picture    View -> file, bytes or notebook output

Everything here reads a `View` and never a graph.
"""

from gradviz.render.dot import dot_source
from gradviz.render.layout import DPI, TIME_LIMIT_S, OutOfTimeError, check_drawing, draw, start, stop
from gradviz.render.picture import FORMATS, format_name, mimebundle, render, svg_and_view, svg_text, write_file
from gradviz.render.theme import THEMES, Theme, theme_named

__all__ = [
    "DPI",
    "FORMATS",
    "THEMES",
    "TIME_LIMIT_S",
    "OutOfTimeError",
    "Theme",
    "check_drawing",
    "dot_source",
    "draw",
    "format_name",
    "mimebundle",
    "render",
    "start",
    "stop",
    "svg_and_view",
    "svg_text",
    "theme_named",
    "write_file",
]
