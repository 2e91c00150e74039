"""Painting -> DrawingML: native shapes with their texts inside, connectors glued to them, and text boxes, as XML text.

A page of 1920 x 1080 pixels becomes a slide of 13⅓ x 7½ inches, so a pixel is half a point.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from xml.sax.saxutils import escape, quoteattr

from gradviz.slides.connectors import Line
from gradviz.stage import Arrow, Box, Painting, Point, Shape, Text
from gradviz.view.notation import SUPERSCRIPT

EMU_PER_PX = 6350
POINTS_PER_PX = 0.5
FONT = "Verdana"
"""As wide as the font that the layout was measured with, and part of every Office; LibreOffice takes DejaVu Sans for it."""
NAMESPACES = (
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
    'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
)
TITLE_ID = 2
_RAISED = {chr(superscript): chr(plain) for plain, superscript in SUPERSCRIPT.items()} | {"⁻": "−", "ᵀ": "T"}
_RUN = re.compile(f"(?P<raised>[{''.join(_RAISED)}]+)|(?P<plain>[^{''.join(_RAISED)}]+)")
_RAISED_BY = 30_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One thing on a slide.

    Attributes:
        key: what it stands for, the same in every frame.
        xml: the element; the numbers of this and other elements are still 0.
        glued: the keys of the shapes at the beginning and the end of a connector; None for what is no connector.
    """

    key: str
    xml: str
    glued: tuple[str, str] | None = None


def marks_of(painting: Painting, lines: Mapping[str, Line]) -> list[Mark]:
    """Everything on a slide but its title; what comes first lies below.

    Args:
        painting: of one frame.
        lines: the arrows that are straight lines, as `straight_lines` finds them.
    """
    rows: dict[str, list[Text]] = {}
    for text in painting.texts:
        rows.setdefault(text.owner, []).append(text)
    labels = [text for arrow in painting.arrows for text in rows.get(arrow.id, ()) if text.text]
    return [
        *(_connector(arrow, lines[arrow.id]) if arrow.id in lines else _curve(arrow) for arrow in painting.arrows),
        *(Mark(key=shape.id, xml=_shape(shape, rows.get(shape.id, []))) for shape in painting.shapes),
        *(Mark(key=text.id, xml=_text_box(_moved(text, lines.get(text.owner)), text.text)) for text in labels),
        _caption([text for text in rows[""] if text.part == "caption"]),
    ]


def cover(painting: Painting) -> Mark:
    """An empty sheet over everything but the title, in the colour of the slide."""
    title = next(text for text in painting.texts if text.part == "title")
    page, top = painting.page, title.box.bottom
    box = Box(left=page.left, top=top, width=page.width, height=page.bottom - top)
    xml = (
        f'<p:sp {NAMESPACES}><p:nvSpPr><p:cNvPr id="0" name="cover"/><p:cNvSpPr/><p:nvPr/></p:nvSpPr><p:spPr>{_place(box)}'
        f'<a:prstGeom prst="rect"><a:avLst/></a:prstGeom>{_fill(painting.background)}<a:ln><a:noFill/></a:ln></p:spPr>'
        f"{_body([], 'ctr')}</p:sp>"
    )
    return Mark(key="cover", xml=xml)


def title_xml(text: Text) -> str:
    """The title's placeholder, which the outline of the presentation shows."""
    return (
        f'<p:sp {NAMESPACES}><p:nvSpPr><p:cNvPr id="{TITLE_ID}" name="Title"/><p:cNvSpPr><a:spLocks noGrp="1"/></p:cNvSpPr>'
        f'<p:nvPr><p:ph type="title"/></p:nvPr></p:nvSpPr><p:spPr>{_place(text.box)}</p:spPr>'
        f"{_body([_paragraph([(text, text.text)], 'ctr')], 'ctr')}</p:sp>"
    )


def emu(pixels: float) -> int:
    """Pixels in the unit of DrawingML, of which an inch has 914,400."""
    return round(pixels * EMU_PER_PX)


def _shape(shape: Shape, texts: Sequence[Text]) -> str:
    """A node with its rows of text; rows of several runs begin where the painting has them, however long the last one is."""
    side = min(shape.box.width, shape.box.height)
    preset = {"pill": "roundRect", "rounded": "roundRect", "note": "foldedCorner", "double": "rect"}[shape.form]
    adjusted = "" if shape.form == "double" else f'<a:gd name="adj" fmla="val {round(100_000 * shape.inset / side)}"/>'
    width, kind = (3 * shape.line_width, ' cmpd="dbl"') if shape.form == "double" else (shape.line_width, "")
    paragraphs = [_row(list(row), shape.box) for _, row in groupby(texts, key=lambda text: text.baseline)]
    return (
        f'<p:sp {NAMESPACES}><p:nvSpPr><p:cNvPr id="0" name={quoteattr(shape.id)}/><p:cNvSpPr/><p:nvPr/></p:nvSpPr><p:spPr>'
        f'{_place(shape.box)}<a:prstGeom prst="{preset}"><a:avLst>{adjusted}</a:avLst></a:prstGeom>{_fill(shape.fill)}'
        f'<a:ln w="{emu(width)}"{kind}>{_fill(shape.line)}{_dash(shape.dashed)}</a:ln></p:spPr>'
        f"{_body(paragraphs, 'ctr')}</p:sp>"
    )


def _row(texts: Sequence[Text], box: Box) -> str:
    if len(texts) == 1 and texts[0].centred:
        return _paragraph([(texts[0], texts[0].text)], "ctr")
    gaps = ["   " if text.part == "cotangent" else " " for text in texts]
    runs = [(text, (gap if place else "") + text.text) for place, (text, gap) in enumerate(zip(texts, gaps, strict=True))]
    return _paragraph([run for run in runs if run[0].text] or runs[:1], "l", emu(texts[0].box.left - box.left))


def _connector(arrow: Arrow, line: Line) -> Mark:
    """A straight line that is glued to both shapes."""
    (x, y), (to_x, to_y) = line.start, line.end
    box = Box(left=min(x, to_x), top=min(y, to_y), width=abs(to_x - x), height=abs(to_y - y))
    flips = (' flipH="1"' if to_x < x else "") + (' flipV="1"' if to_y < y else "")
    xml = (
        f'<p:cxnSp {NAMESPACES}><p:nvCxnSpPr><p:cNvPr id="0" name={quoteattr(arrow.id)}/><p:cNvCxnSpPr>'
        f'<a:stCxn id="0" idx="{line.start_site}"/><a:endCxn id="0" idx="{line.end_site}"/></p:cNvCxnSpPr><p:nvPr/>'
        f'</p:nvCxnSpPr><p:spPr>{_place(box, flips)}<a:prstGeom prst="line"><a:avLst/></a:prstGeom>{_arrow_line(arrow)}'
        "</p:spPr></p:cxnSp>"
    )
    return Mark(key=arrow.id, xml=xml, glued=(arrow.tail, arrow.head))


def _curve(arrow: Arrow) -> Mark:
    """A free form along the curve of the layout."""
    points = _with_tip(arrow)
    left, top = min(x for x, _ in points), min(y for _, y in points)
    box = Box(left=left, top=top, width=max(x for x, _ in points) - left, height=max(y for _, y in points) - top)
    written = [f'<a:pt x="{emu(x - left)}" y="{emu(y - top)}"/>' for x, y in points]
    curves = (f"<a:cubicBezTo>{''.join(written[place : place + 3])}</a:cubicBezTo>" for place in range(1, len(points), 3))
    xml = (
        f'<p:sp {NAMESPACES}><p:nvSpPr><p:cNvPr id="0" name={quoteattr(arrow.id)}/><p:cNvSpPr/><p:nvPr/></p:nvSpPr><p:spPr>'
        f'{_place(box)}<a:custGeom><a:avLst/><a:gdLst/><a:ahLst/><a:cxnLst/><a:rect l="0" t="0" r="r" b="b"/><a:pathLst>'
        f'<a:path w="{emu(box.width)}" h="{emu(box.height)}" fill="none"><a:moveTo>{written[0]}</a:moveTo>{"".join(curves)}'
        f"</a:path></a:pathLst></a:custGeom><a:noFill/>{_arrow_line(arrow)}</p:spPr></p:sp>"
    )
    return Mark(key=arrow.id, xml=xml)


def _arrow_line(arrow: Arrow) -> str:
    end = "headEnd" if arrow.backward else "tailEnd"
    style = f'{_fill(arrow.colour)}{_dash(arrow.dashed)}<a:round/><a:{end} type="triangle" w="med" len="med"/>'
    return f'<a:ln w="{emu(arrow.line_width)}">{style}</a:ln>'


def _with_tip(arrow: Arrow) -> list[Point]:
    """The curve with a straight piece to the point of the arrowhead."""
    start, end = (arrow.tip[1], arrow.curve[0]) if arrow.backward else (arrow.curve[-1], arrow.tip[1])
    (x, y), (to_x, to_y) = start, end
    piece = [(x + part * (to_x - x) / 3, y + part * (to_y - y) / 3) for part in range(4)]
    return [*piece, *arrow.curve[1:]] if arrow.backward else [*arrow.curve, *piece[1:]]


def _moved(label: Text, line: Line | None) -> Text:
    """A label where its line has it."""
    return replace(label, box=line.label) if line and line.label else label


def _caption(lines: Sequence[Text]) -> Mark:
    """The sentence as one text that can be edited; the slide breaks its lines."""
    first, last = lines[0], lines[-1]
    box = replace(first.box, height=last.box.bottom - first.box.top)
    words = " ".join(line.text for line in lines if line.text)
    text = replace(first, id="caption", box=box)
    return Mark(key="caption", xml=_text_box(text, words, wrap="square", anchor="t"))


def _text_box(text: Text, words: str, *, wrap: str = "none", anchor: str = "ctr") -> str:
    fill = _fill(text.ground) if text.ground else "<a:noFill/>"
    return (
        f'<p:sp {NAMESPACES}><p:nvSpPr><p:cNvPr id="0" name={quoteattr(text.id)}/><p:cNvSpPr txBox="1"/><p:nvPr/>'
        f'</p:nvSpPr><p:spPr>{_place(text.box)}<a:prstGeom prst="rect"><a:avLst/></a:prstGeom>{fill}</p:spPr>'
        f"{_body([_paragraph([(text, words)], 'ctr' if text.centred else 'l')], anchor, wrap)}</p:sp>"
    )


def _body(paragraphs: Sequence[str], anchor: str, wrap: str = "square") -> str:
    return (
        f'<p:txBody><a:bodyPr wrap="{wrap}" lIns="0" tIns="0" rIns="0" bIns="0" anchor="{anchor}"><a:noAutofit/></a:bodyPr>'
        f"<a:lstStyle/>{''.join(paragraphs) or '<a:p/>'}</p:txBody>"
    )


def _paragraph(runs: Sequence[tuple[Text, str]], align: str, indent: int = 0) -> str:
    """One row; an empty one keeps its height."""
    written = "".join(run for text, words in runs for run in _runs(text, words))
    end = f'<a:endParaRPr lang="en-US" sz="{_size(runs[0][0])}"/>' if not written else ""
    return f'<a:p><a:pPr marL="{indent}" indent="0" algn="{align}"><a:buNone/></a:pPr>{written}{end}</a:p>'


def _runs(text: Text, words: str) -> Iterator[str]:
    """Superscripts become raised runs, which every font has."""
    weight = ' b="1"' if text.bold else ' b="0"'
    for run in _RUN.finditer(words):
        raised = f' baseline="{_RAISED_BY}"' if run["raised"] else ""
        shown = "".join(_RAISED[sign] for sign in run["raised"]) if run["raised"] else run["plain"]
        yield (
            f'<a:r><a:rPr lang="en-US" sz="{_size(text)}"{weight}{raised} dirty="0">{_fill(text.colour)}'
            f'<a:latin typeface="{FONT}"/></a:rPr><a:t>{escape(shown)}</a:t></a:r>'
        )


def _size(text: Text) -> int:
    """Of the font, in hundredths of a point."""
    return math.floor(100 * POINTS_PER_PX * text.size + 1e-6)


def _place(box: Box, flips: str = "") -> str:
    size = f'cx="{emu(box.width)}" cy="{emu(box.height)}"'
    return f'<a:xfrm{flips}><a:off x="{emu(box.left)}" y="{emu(box.top)}"/><a:ext {size}/></a:xfrm>'


def _fill(colour: str) -> str:
    return f'<a:solidFill><a:srgbClr val="{colour.removeprefix("#").upper()}"/></a:solidFill>'


def _dash(dashed: bool) -> str:
    return '<a:prstDash val="dash"/>' if dashed else '<a:prstDash val="solid"/>'
