"""Painting -> SVG: one `<svg>` element that stands alone, for a file or inside a page."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence

from gradviz.render.escape import one_line
from gradviz.render.theme import FONTS
from gradviz.stage.layout import Box, Point
from gradviz.stage.paint import Arrow, Painting, Shape, Text


def painting_svg(painting: Painting, *, title: str) -> str:
    """The whole page.

    Args:
        painting: of one frame.
        title: for screen readers: the sentence, for instance.
    """
    page = painting.page
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{page.width:g}" height="{page.height:g}" '
        f'viewBox="0 0 {page.width:g} {page.height:g}" role="img" xml:space="preserve" font-family="{FONTS}">',
        f"<title>{html.escape(one_line(title), quote=False)}</title>",
        f'<rect width="{page.width:g}" height="{page.height:g}" fill="{painting.background}"/>',
        *map(_arrow, painting.arrows),
        *(part for shape in painting.shapes for part in _shape(shape)),
        *(part for text in painting.texts for part in _text(text)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def curve_path(points: Sequence[Point]) -> str:
    """Bézier curves as the `d` of a `<path>`.

    >>> curve_path([(0, 0), (1, 0), (2, 1.25), (3, 1)])
    'M0,0C1,0 2,1.2 3,1'
    """
    return f"M{_point(points[0])}C{' '.join(map(_point, points[1:]))}"


def polygon_path(corners: Sequence[Point]) -> str:
    """A closed outline as the `d` of a `<path>`."""
    return f"M{'L'.join(map(_point, corners))}Z"


def shape_paths(shape: Shape) -> list[str]:
    """The outlines of a shape, each as the `d` of a `<path>`; the first is filled."""
    if shape.form in ("pill", "rounded"):
        return [_rounded(shape.box, shape.inset)]
    if shape.form == "double":
        return [polygon_path(shape.box.corners), polygon_path(shape.inner.corners)]
    return [polygon_path(shape.folded), f"M{'L'.join(map(_point, shape.fold))}"]


def _shape(shape: Shape) -> Iterator[str]:
    line = f'stroke="{shape.line}" stroke-width="{_number(shape.line_width)}"{_dashes(shape)}'
    for number, path in enumerate(shape_paths(shape)):
        yield f'<path d="{path}" fill="{"none" if number else shape.fill}" {line}/>'


def _dashes(mark: Shape | Arrow) -> str:
    if not mark.dashed:
        return ""
    return f' stroke-dasharray="{_number(4 * mark.line_width)} {_number(2.5 * mark.line_width)}"'


def _arrow(arrow: Arrow) -> str:
    curve = f'<path d="{curve_path(arrow.curve)}" fill="none"{_dashes(arrow)}/>'
    tip = f'<path d="{polygon_path(arrow.tip)}" fill="{arrow.colour}"/>'
    return f'<g stroke="{arrow.colour}" stroke-width="{_number(arrow.line_width)}">{curve}{tip}</g>'


def _text(text: Text) -> Iterator[str]:
    if not text.text:
        return
    box = text.box
    if text.ground:
        place = f'x="{_number(box.left)}" y="{_number(box.top)}" width="{_number(box.width)}" height="{_number(box.height)}"'
        yield f'<rect {place} fill="{text.ground}"/>'
    x, anchor = (box.middle[0], "middle") if text.centred else (box.left, "start")
    weight = ' font-weight="bold"' if text.bold else ""
    yield (
        f'<text x="{_number(x)}" y="{_number(text.baseline)}" text-anchor="{anchor}" font-size="{_number(text.size)}"'
        f'{weight} fill="{text.colour}">{html.escape(text.text, quote=False)}</text>'
    )


def _rounded(box: Box, radius: float) -> str:
    r = _number(radius)
    across, down = _number(box.width - 2 * radius), _number(box.height - 2 * radius)
    return (
        f"M{_number(box.left + radius)},{_number(box.top)}h{across}a{r},{r} 0 0 1 {r},{r}v{down}"
        f"a{r},{r} 0 0 1 -{r},{r}h-{across}a{r},{r} 0 0 1 -{r},-{r}v-{down}a{r},{r} 0 0 1 {r},-{r}Z"
    )


def _point(point: Point) -> str:
    return f"{_number(point[0])},{_number(point[1])}"


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
