"""PNG files: made of chunks, and told how many of their pixels are an inch."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable

SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADER_END = len(SIGNATURE) + 25
"""The header is the first chunk: 13 bytes, with length, kind and checksum."""
INCH_M = 0.0254


def png(width: int, height: int, colours: int, chunks: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A PNG file of 8 bits per channel.

    Args:
        width, height: in pixels.
        colours: PNG's number for how a pixel tells its colour: 2 by red, green and blue, 3 by its place in a palette.
        chunks: kind and content of what stands between header and end.
    """
    header = struct.pack(">IIBBBBB", width, height, 8, colours, 0, 0, 0)
    whole = ((b"IHDR", header), *chunks, (b"IEND", b""))
    return SIGNATURE + b"".join(_chunk(kind, data) for kind, data in whole)


def with_dpi(picture: bytes, dpi: float) -> bytes:
    """The PNG, which says in pixels per metre how large it is: without that, a document takes 72 or 96 for an inch.

    Args:
        picture: as Graphviz draws it, which does not say so.
        dpi: pixels per inch.
    """
    per_metre = round(dpi / INCH_M)
    return picture[:HEADER_END] + _chunk(b"pHYs", struct.pack(">IIB", per_metre, per_metre, 1)) + picture[HEADER_END:]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
