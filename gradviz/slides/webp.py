"""Pictures -> one animated WebP: of each only what differs from the one before it is encoded, the rest is transparent.

libwebp's own encoder of animations tries several ways to write each whole page and takes four times as long. What is
written here is the container: chunks of a name, a length and a content, as "WebP Container Specification" describes them.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from gradviz.slides.extra import extra

KEPT_AND_BLENDED = 0b00
"""Flags of a frame that is laid over what is there, and left in place for the next one."""
ANIMATED, TRANSPARENT = 0b10, 0b10000
"""Flags of a file that holds frames, some of which are transparent in places."""
OPAQUE_BUT_THE_FIRST = [0] * 3 + [255] * 3 * 255
"""A palette that makes a mask of places in another one."""
QUICK: dict[str, Any] = {"lossless": True, "method": 1, "quality": 20}


def animated_webp(pictures: Sequence[Any], durations_ms: Sequence[int]) -> bytes:
    """The bytes of a .webp file that begins again at its end.

    Args:
        pictures: of Pillow, all of one size and with one palette, in which no colour comes twice.
        durations_ms: how long each is shown.
    """
    width, height = pictures[0].size
    header = _chunk(b"VP8X", struct.pack("<B3x", ANIMATED | TRANSPARENT) + _three(width - 1) + _three(height - 1))
    endless = _chunk(b"ANIM", struct.pack("<IH", 0, 0))
    parts = zip(_changed(pictures), durations_ms, strict=True)
    frames = (_frame(picture, left, top, duration_ms) for (picture, left, top), duration_ms in parts)
    return _chunk(b"RIFF", b"".join((b"WEBP", header, endless, *frames)))


def _changed(pictures: Sequence[Any]) -> Iterator[tuple[Any, int, int]]:
    """The first picture, then the part of each in which something has changed, with its left and top side."""
    chops = extra("PIL.ImageChops", "a .webp file")
    yield pictures[0].convert("RGB"), 0, 0
    for before, picture in pairwise(pictures):
        difference = chops.difference(before, picture)  # of the places in the palette
        left, top, right, bottom = difference.getbbox() or (0, 0, 1, 1)
        left, top = left - left % 2, top - top % 2  # places are written in units of two pixels
        box = (left, top, right, bottom)
        part, mask = picture.crop(box).convert("RGB"), difference.crop(box)
        mask.putpalette(OPAQUE_BUT_THE_FIRST)
        part.putalpha(mask.convert("L"))
        yield part, left, top


def _frame(picture: Any, left: int, top: int, duration_ms: int) -> bytes:
    found = io.BytesIO()
    picture.save(found, "WEBP", **QUICK)
    still = found.getvalue()
    place = _three(left // 2) + _three(top // 2) + _three(picture.width - 1) + _three(picture.height - 1)
    image = still[still.index(b"VP8L") :]  # the chunk of a lossless picture, which is the last of a file with one picture
    return _chunk(b"ANMF", place + _three(duration_ms) + bytes([KEPT_AND_BLENDED]) + image)


def _chunk(name: bytes, content: bytes) -> bytes:
    """Its length does not count the byte that makes it even."""
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _three(number: int) -> bytes:
    return number.to_bytes(3, "little")
