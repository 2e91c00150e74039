"""Paintings -> a PDF, one page for each: vectors and the font that comes with gradviz."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from gradviz.slides.extra import extra
from gradviz.stage import Arrow, Box, Painting, Point, Shape, Text
from gradviz.stage.font import FONTS

POINTS_PER_PX = 0.5
"""A page is as large as a slide: 13⅓ x 7½ inches."""
FACES = {False: "DejaVuSans", True: "DejaVuSans-Bold"}


def pdf(paintings: Sequence[Painting], *, title: str) -> bytes:
    """The bytes of a .pdf file."""
    canvas_module = extra("reportlab.pdfgen.canvas", "a .pdf file")
    metrics, fonts = extra("reportlab.pdfbase.pdfmetrics", "a .pdf file"), extra("reportlab.pdfbase.ttfonts", "a .pdf file")
    for face in FACES.values():
        if face not in metrics.getRegisteredFontNames():
            metrics.registerFont(fonts.TTFont(face, FONTS / f"{face}.ttf"))
    page = paintings[0].page
    found = io.BytesIO()
    size = (page.width * POINTS_PER_PX, page.height * POINTS_PER_PX)
    canvas = canvas_module.Canvas(found, pagesize=size, invariant=1, initialFontName=FACES[False])  # else it names Helvetica
    canvas.setTitle(title)
    for painting in paintings:
        canvas.scale(POINTS_PER_PX, POINTS_PER_PX)
        _Page(canvas, page.height).paint(painting)
        canvas.showPage()
    canvas.save()
    return found.getvalue()


class _Page:
    """Pixels with y downwards, on a canvas with y upwards."""

    def __init__(self, canvas: Any, height: float) -> None:
        self.canvas = canvas
        self.height = height

    def paint(self, painting: Painting) -> None:
        self.canvas.setLineJoin(1)
        self.canvas.setFillColor(painting.background)
        self.canvas.rect(0, 0, painting.page.width, painting.page.height, stroke=0, fill=1)
        for arrow in painting.arrows:
            self.arrow(arrow)
        for shape in painting.shapes:
            self.shape(shape)
        for text in painting.texts:
            self.text(text)

    def arrow(self, arrow: Arrow) -> None:
        self.line(arrow)
        self.canvas.setStrokeColor(arrow.colour)
        curve = self.canvas.beginPath()
        curve.moveTo(*self.point(arrow.curve[0]))
        for place in range(1, len(arrow.curve), 3):
            curve.curveTo(*(value for point in arrow.curve[place : place + 3] for value in self.point(point)))
        self.canvas.drawPath(curve)
        self.canvas.setDash()
        self.polygon(arrow.tip, fill=arrow.colour)

    def shape(self, shape: Shape) -> None:
        self.line(shape)
        self.canvas.setStrokeColor(shape.line)
        self.canvas.setFillColor(shape.fill)
        if shape.form in ("pill", "rounded"):
            self.canvas.roundRect(*self.rectangle(shape.box), shape.inset, fill=1)
        elif shape.form == "double":
            self.canvas.rect(*self.rectangle(shape.box), fill=1)
            self.canvas.rect(*self.rectangle(shape.inner), fill=0)
        else:
            self.polygon(shape.folded, fill=shape.fill)
            self.polygon(shape.fold, closed=False)
        self.canvas.setDash()

    def text(self, text: Text) -> None:
        if not text.text:
            return
        box = text.box
        if text.ground:
            self.canvas.setFillColor(text.ground)
            self.canvas.rect(*self.rectangle(box), stroke=0, fill=1)
        self.canvas.setFillColor(text.colour)
        self.canvas.setFont(FACES[text.bold], text.size)
        baseline = self.height - text.baseline
        if text.centred:
            self.canvas.drawCentredString(box.middle[0], baseline, text.text)
        else:
            self.canvas.drawString(box.left, baseline, text.text)

    def line(self, mark: Shape | Arrow) -> None:
        self.canvas.setLineWidth(mark.line_width)
        if mark.dashed:
            self.canvas.setDash(4 * mark.line_width, 2.5 * mark.line_width)

    def polygon(self, corners: Sequence[Point], *, fill: str = "", closed: bool = True) -> None:
        path = self.canvas.beginPath()
        path.moveTo(*self.point(corners[0]))
        for corner in corners[1:]:
            path.lineTo(*self.point(corner))
        if closed:
            path.close()
        if fill:
            self.canvas.setFillColor(fill)
        self.canvas.drawPath(path, fill=int(bool(fill)))

    def rectangle(self, box: Box) -> tuple[float, float, float, float]:
        """Left side, lower side, width and height."""
        return box.left, self.height - box.bottom, box.width, box.height

    def point(self, point: Point) -> Point:
        return point[0], self.height - point[1]
