"""Paintings -> PNG pictures, or one picture that moves: the pages of the PDF, drawn by PDFium.

All frames share one palette: every colour of the paintings, and the shades between ink and ground that smooth the edges.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from itertools import product
from operator import sub
from typing import Any, Literal

from gradviz.slides.document import POINTS_PER_PX, pdf
from gradviz.slides.extra import extra
from gradviz.slides.webp import animated_webp
from gradviz.stage import Painting

PALETTE = 256
APART = 12
"""How far a shade is from each pure colour at least, so that Pillow, which looks for the nearest in coarse steps, never
takes it for one."""


def png_pages(paintings: Sequence[Painting]) -> Iterator[bytes]:
    """One .png file for each frame, of 1920 x 1080 pixels."""
    for picture in _pictures(paintings, "a .png file"):
        found = io.BytesIO()
        picture.save(found, "PNG")
        yield found.getvalue()


def moving_picture(
    paintings: Sequence[Painting], picture_format: Literal["gif", "webp"], *, seconds_per_frame: float
) -> bytes:
    """An animated picture of 1920 x 1080 pixels that begins again at its end; the last frame stays twice as long."""
    pictures = list(_pictures(paintings, f"a .{picture_format} file"))
    durations_ms = [round(1000 * seconds_per_frame)] * len(paintings)
    durations_ms[-1] *= 2
    if picture_format == "webp":
        return animated_webp(pictures, durations_ms)
    found = io.BytesIO()
    first, *others = pictures
    first.save(found, "GIF", save_all=True, append_images=others, duration=durations_ms, loop=0, optimize=False)
    return found.getvalue()


def _pictures(paintings: Sequence[Painting], purpose: str) -> Iterator[Any]:
    """Pillow's pictures of the pages, in the colours of the palette."""
    pillow = extra("PIL.Image", purpose)
    pdfium = extra("pypdfium2", purpose)
    palette = pillow.new("P", (1, 1))
    palette.putpalette(_palette(paintings))
    document = pdfium.PdfDocument(pdf(paintings, title=""))
    try:
        for page in document:
            bitmap = page.render(scale=1 / POINTS_PER_PX, rev_byteorder=True)
            yield bitmap.to_pil().quantize(palette=palette, dither=pillow.Dither.NONE)
            bitmap.close()
            page.close()
    finally:
        document.close()


def _palette(paintings: Sequence[Painting]) -> list[int]:
    """Red, green and blue of every colour in turn: what is drawn, then as many shades between them as there is room for."""
    inks: dict[str, None] = {}
    grounds: dict[str, None] = {}
    for painting in paintings:
        grounds[painting.background] = None
        grounds |= dict.fromkeys(shape.fill for shape in painting.shapes)
        inks |= dict.fromkeys([arrow.colour for arrow in painting.arrows] + [text.colour for text in painting.texts])
        inks |= dict.fromkeys(shape.line for shape in painting.shapes)
    pure = dict.fromkeys(_rgb(colour) for colour in (*grounds, *inks))
    pairs = [(_rgb(ink), _rgb(ground)) for ink, ground in product(inks, grounds)]
    steps = max(0, PALETTE - len(pure)) // len(pairs)
    shades = (_between(*pair, (step + 1) / (steps + 1)) for pair in pairs for step in range(steps))
    apart = (shade for shade in shades if all(max(map(abs, map(sub, shade, colour))) >= APART for colour in pure))
    return [value for colour in dict.fromkeys((*pure, *apart)) for value in colour]


def _rgb(colour: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue


def _between(one: tuple[int, int, int], other: tuple[int, int, int], share: float) -> tuple[int, int, int]:
    red, green, blue = (round((1 - share) * a + share * b) for a, b in zip(one, other, strict=True))
    return red, green, blue
