"""Paintings -> a LaTeX Beamer document: one frame whose overlays are the frames, drawn by TikZ.

What looks the same from one frame to the next is written once, `\\only<3-7>{...}`. Coordinates are pixels of the page.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TypeVar

from gradviz.explain.latex import MATH_SIGNS
from gradviz.stage import Arrow, Box, Painting, Point, Shape, Text
from gradviz.view.notation import SUPERSCRIPT

_Mark = TypeVar("_Mark", Arrow, Shape, Text)

PAGE_WIDTH_CM = 16.0
"""Of Beamer's pages in the format 16:9."""
POINTS_PER_CM = 72.27 / 2.54
TYPE_SIZE = 10.0
"""Of the letters that are scaled, in TeX's points. They are narrower than those that the layout was measured with."""
PREAMBLE = r"""% Compile twice (pdflatex, lualatex or xelatex): the second run finds the corner of the page.
\documentclass[aspectratio=169, 10pt]{beamer}
\usepackage{tikz}
\usetikzlibrary{arrows.meta}
\setbeamertemplate{navigation symbols}{}
"""

_SUPERSCRIPTS = {chr(raised): chr(plain) for plain, raised in SUPERSCRIPT.items()} | {"⁻": "-"}
_RAISED = re.compile(f"[{''.join(_SUPERSCRIPTS)}]+")
_TEXT = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    '"': r"\textquotedblright{}",
    "…": r"\ldots{}",
    "–": "--",
} | {sign: f"\\{sign}" for sign in "#$%&_{}"}
_MATH = MATH_SIGNS | {"∂": r"\partial", "‖": r"\Vert", "⊙": r"\odot", "→": r"\to", "≈": r"\approx", "∇": r"\nabla"}
_ACCENTS = dict(zip("\u0300\u0301\u0302\u0303\u0308\u030c\u0327", "`'^~\"vc", strict=True))
_GREEK = dict(zip("αβγδεζηθικλμνξπρστυφχψω", (
    r"\alpha", r"\beta", r"\gamma", r"\delta", r"\epsilon", r"\zeta", r"\eta", r"\theta", r"\iota", r"\kappa", r"\lambda",
    r"\mu", r"\nu", r"\xi", r"\pi", r"\rho", r"\sigma", r"\tau", r"\upsilon", r"\phi", r"\chi", r"\psi", r"\omega",
), strict=True))  # fmt: skip
_GREEK |= {sign.upper(): command[0] + command[1:].capitalize() for sign, command in _GREEK.items() if sign in "γδθλξπσυφψω"}


def beamer(paintings: Sequence[Painting]) -> str:
    """The document."""
    colours = _colours(paintings)
    unit = PAGE_WIDTH_CM / paintings[0].page.width
    defined = "".join(f"\\definecolor{{{name}}}{{HTML}}{{{colour[1:].upper()}}}\n" for colour, name in colours.items())
    drawn = "\n".join(_drawn(paintings, colours, unit * POINTS_PER_CM))
    return (
        f"{PREAMBLE}{defined}\\setbeamercolor{{background canvas}}{{bg={colours[paintings[0].background]}}}\n"
        f"\\begin{{document}}\n\\begin{{frame}}<1-{len(paintings)}>[plain]\n"
        "\\begin{tikzpicture}[remember picture, overlay, shift={(current page.north west)}, "
        f"x={unit:.8f}cm, y=-{unit:.8f}cm, line join=round]\n{drawn}\n\\end{{tikzpicture}}\n"
        "\\end{frame}\n\\end{document}\n"
    )


def text_latex(text: str) -> str:
    """Plain text for LaTeX, of ASCII only; a sign that LaTeX does not have becomes `?`.

    >>> text_latex("∂d/∂x_1 = 2·x⁻¹")
    '$\\\\partial$d/$\\\\partial$x\\\\_1 = 2$\\\\cdot$x$^{-1}$'
    """
    parts = _RAISED.split(text)
    raised = [f"$^{{{''.join(_SUPERSCRIPTS[sign] for sign in run)}}}$" for run in _RAISED.findall(text)]
    return "".join("".join(map(_sign, part)) + power for part, power in zip(parts, [*raised, ""], strict=True))


def _sign(sign: str) -> str:
    if sign in _TEXT:
        return _TEXT[sign]
    if sign.isascii():
        return sign
    if command := _MATH.get(sign) or _GREEK.get(sign):
        return f"${command.strip()}$"
    parts = list(unicodedata.normalize("NFD", sign))
    if parts[0].isascii() and len(parts) == 2 and parts[1] in _ACCENTS:
        return f"\\{_ACCENTS[parts[1]]}{{{parts[0]}}}"
    return "?"


def _colours(paintings: Sequence[Painting]) -> dict[str, str]:
    """Colour -> its name in the document, in the order of their first use."""
    found: dict[str, None] = {}
    for painting in paintings:
        found[painting.background] = None
        for text in painting.texts:
            found |= dict.fromkeys(filter(None, (text.colour, text.ground)))
        for shape in painting.shapes:
            found |= dict.fromkeys((shape.fill, shape.line))
        found |= dict.fromkeys(arrow.colour for arrow in painting.arrows)
    return {colour: f"gradviz{chr(ord('A') + number)}" for number, colour in enumerate(found)}


def _drawn(paintings: Sequence[Painting], colours: dict[str, str], points: float) -> Iterator[str]:
    """A line for each look of each mark; what comes first lies below. `points` is TeX's points per pixel."""
    for arrows in _each([painting.arrows for painting in paintings]):
        yield from _overlays([_arrow(arrow, colours, points) if arrow else "" for arrow in arrows])
    for shapes in _each([painting.shapes for painting in paintings]):
        yield from _overlays([_shape(shape, colours, points) if shape else "" for shape in shapes])
    for texts in _each([painting.texts for painting in paintings]):
        yield from _overlays([_text(text, colours, points) if text else "" for text in texts])


def _each(frames: Sequence[Sequence[_Mark]]) -> Iterator[list[_Mark | None]]:
    """Each mark as it is in every frame; None where it is on the picture of another part of the graph."""
    found = [{mark.id: mark for mark in marks} for marks in frames]
    for name in {mark.id: None for marks in frames for mark in marks}:
        yield [marks.get(name) for marks in found]


def _overlays(looks: Sequence[str]) -> Iterator[str]:
    """Each look with the numbers of the frames that show it."""
    for look, places in groupby(range(len(looks)), key=looks.__getitem__):
        first, *others = places
        if look:
            yield f"\\only<{first + 1}{f'-{others[-1] + 1}' if others else ''}>{{{look}}}"


def _arrow(arrow: Arrow, colours: dict[str, str], points: float) -> str:
    first, *others = map(_point, arrow.curve)
    pieces = zip(others[::3], others[1::3], others[2::3], strict=True)
    curve = "".join(f" .. controls {one} and {other} .. {end}" for one, other, end in pieces)
    colour, width = colours[arrow.colour], f"line width={arrow.line_width * points:.3f}pt"
    return (
        f"\\draw[{colour}, {width}{_dash(arrow.dashed)}] {first}{curve}; "
        f"\\filldraw[{colour}, {width}] {' -- '.join(map(_point, arrow.tip))} -- cycle;"
    )


def _shape(shape: Shape, colours: dict[str, str], points: float) -> str:
    line = f"draw={colours[shape.line]}, line width={shape.line_width * points:.3f}pt{_dash(shape.dashed)}"
    fill = f"fill={colours[shape.fill]}"
    corners = _rectangle(shape.box)
    if shape.form in ("pill", "rounded"):
        return f"\\path[{line}, {fill}, rounded corners={shape.inset * points:.3f}pt] {corners};"
    if shape.form == "double":
        return f"\\path[{line}, {fill}] {corners}; \\path[{line}] {_rectangle(shape.inner)};"
    return (
        f"\\path[{line}, {fill}] {' -- '.join(map(_point, shape.folded))} -- cycle; "
        f"\\path[{line}] {' -- '.join(map(_point, shape.fold))};"
    )


def _text(text: Text, colours: dict[str, str], points: float) -> str:
    if not text.text:
        return ""
    box = text.box
    place = (box.middle[0] if text.centred else box.left, text.baseline)
    anchor = "base" if text.centred else "base west"
    words = text_latex(text.text)
    written = f"\\textbf{{{words}}}" if text.bold else words
    style = f"anchor={anchor}, inner sep=0pt, scale={text.size * points / TYPE_SIZE:.4f}, text={colours[text.colour]}"
    node = f"\\node[{style}] at {_point(place)} {{{written}}};"
    if not text.ground:
        return node
    return f"\\fill[{colours[text.ground]}] {_rectangle(box)}; {node}"


def _dash(dashed: bool) -> str:
    return ", dashed" if dashed else ""


def _rectangle(box: Box) -> str:
    return f"{_point((box.left, box.top))} rectangle {_point((box.right, box.bottom))}"


def _point(point: Point) -> str:
    return f"({point[0]:.1f},{point[1]:.1f})"
