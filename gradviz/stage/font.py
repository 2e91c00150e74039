"""How wide text is, by the metrics of the font that comes with gradviz: lines are broken and checked without drawing.

Reads the two tables of a TrueType file that say it: `cmap` (character -> glyph) and `hmtx` (glyph -> advance).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from gradviz import render

FONTS = Path(render.__file__).parent / "fonts"
ASCENT, DESCENT = 0.93, 0.24
"""What a line takes above and below its baseline, relative to the size: brackets, bars, capitals with accents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Advance of each character, relative to the font's size; `unknown` for characters that another font would draw."""

    advances: dict[str, float]
    unknown: float


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """The width of one line of text, in the units of `size`.

    >>> text_width("", 20), text_width("m", 20) < text_width("m", 20, bold=True)
    (0, True)
    """
    metrics = _metrics("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")
    return size * sum(metrics.advances.get(character, metrics.unknown) for character in text)


def wrapped(text: str, size: float, width: float) -> list[str]:
    """The text in lines no wider than `width`, broken at spaces; a word that is too wide has a line of its own.

    >>> wrapped("one two three", 10, 50)
    ['one two', 'three']
    """
    lines: list[str] = []
    for word in text.split(" "):
        if lines and text_width(f"{lines[-1]} {word}", size) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def balanced(text: str, size: float, width: float) -> list[str]:
    """As few lines as `wrapped` makes, of about the same length, so that no word is left alone on the last one.

    >>> wrapped("aa bb cc dd", 10, 50), balanced("aa bb cc dd", 10, 50)
    (['aa bb cc', 'dd'], ['aa bb', 'cc dd'])
    """
    lines = wrapped(text, size, width)
    widest_word = max(text_width(word, size) for word in text.split(" "))
    while len(narrower := wrapped(text, size, width)) == len(lines) > 1 and width > widest_word:
        lines, width = narrower, 0.95 * width
    return lines


def cut_to(text: str, size: float, width: float, *, bold: bool = False) -> str:
    """The text, its end replaced by `…` where it is wider than `width`."""
    if text_width(text, size, bold=bold) <= width:
        return text
    kept = len(text)
    while kept and text_width(text[:kept] + "…", size, bold=bold) > width:
        kept -= 1
    return text[:kept].rstrip() + "…"


@cache
def _metrics(name: str) -> Metrics:
    data = (FONTS / name).read_bytes()
    (count,) = struct.unpack_from(">H", data, 4)
    entries = (struct.unpack_from(">4sLLL", data, 12 + 16 * place) for place in range(count))
    tables = {tag.decode(): offset for tag, _, offset, _ in entries}
    (units,) = struct.unpack_from(">H", data, tables["head"] + 18)
    (long_advances,) = struct.unpack_from(">H", data, tables["hhea"] + 34)
    advances = [struct.unpack_from(">H", data, tables["hmtx"] + 4 * glyph)[0] / units for glyph in range(long_advances)]
    glyphs = _glyphs(data, tables["cmap"])
    return Metrics(
        advances={chr(code): advances[min(glyph, long_advances - 1)] for code, glyph in glyphs if glyph}, unknown=1.1
    )


def _glyphs(data: bytes, start: int) -> Iterator[tuple[int, int]]:
    """Character and glyph, from the first part of the table, which has format 4: segments of characters in a row."""
    (part,) = struct.unpack_from(">L", data, start + 8)
    start += part
    (double,) = struct.unpack_from(">H", data, start + 6)
    count = double // 2
    ends = struct.unpack_from(f">{count}H", data, start + 14)
    begins = struct.unpack_from(f">{count}H", data, start + 16 + double)
    shifts = struct.unpack_from(f">{count}H", data, start + 16 + 2 * double)
    ranges = start + 16 + 3 * double
    for place, (first, last, shift) in enumerate(zip(begins, ends, shifts, strict=True)):
        (distance,) = struct.unpack_from(">H", data, ranges + 2 * place)
        for code in range(first, min(last, 0xFFFE) + 1):
            if not distance:
                yield code, (code + shift) & 0xFFFF
                continue
            (glyph,) = struct.unpack_from(">H", data, ranges + 2 * place + distance + 2 * (code - first))
            yield code, (glyph + shift) & 0xFFFF if glyph else 0
