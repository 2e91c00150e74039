"""View -> a file, the bytes of a picture, or what a notebook shows."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Final

from gradviz.errors import RenderError
from gradviz.render.dot import dot_source, dot_with_images
from gradviz.render.layout import DPI, TIME_LIMIT_S, DrawnFormat, OutOfTimeError, draw
from gradviz.render.svg import clean_svg
from gradviz.view import View

DRAWN: Final[dict[str, DrawnFormat]] = {"svg": "svg", "png": "png", "pdf": "pdf"}
FORMATS: Final = (*DRAWN, "dot", "gv")
FIRST_SHARE: Final = 0.6
"""The part of the time limit after which a picture is tried again without edge labels, which are what takes longest."""


def render(
    view: View,
    path: str | os.PathLike[str] | None = None,
    *,
    format: str | None = None,
    dpi: float = DPI,
    time_limit_s: float = TIME_LIMIT_S,
) -> bytes:
    """Draws a view, and writes it to `path` when one is given: the whole picture or nothing.

    A picture that is not ready after most of the time limit is tried again without edge labels, and says so.

    Args:
        view: what to draw.
        path: a file; its suffix decides the format unless `format` is given.
        format: "svg", "png", "pdf" or "dot" (also "gv").
        dpi: pixels per inch of a PNG.
        time_limit_s: seconds until drawing is given up.

    Returns:
        the bytes of the file.

    Raises:
        RenderError: the format is unknown, the time is over, or the file cannot be written.
    """
    name = format_name(path, format)
    picture = dot_source(view).encode() if name not in DRAWN else _draw_in_time(view, DRAWN[name], dpi, time_limit_s)
    if path is not None:
        write_file(Path(path), picture)
    return picture


def svg_text(view: View, *, time_limit_s: float = TIME_LIMIT_S) -> str:
    """One `<svg>` element, for a file or inside a page."""
    return _draw_in_time(view, "svg", DPI, time_limit_s).decode()


def mimebundle(view: View, *, text: str = "") -> dict[str, str]:
    """What an object's `_repr_mimebundle_` gives to a notebook: the picture, and a line for where it does not show."""
    return {"image/svg+xml": svg_text(view), "text/plain": text or view.title}


def without_edge_labels(view: View) -> View:
    """The same view with bare arrows, and a note that says so. Verdicts stay, as colours and marks."""
    edges = tuple(
        replace(edge, derivative="", formula="", number="", jacobian="", flow="", contribution="") for edge in view.edges
    )
    return replace(view, edges=edges, notes=(*view.notes, "edge labels left out: drawing them took too long"))


def write_file(path: Path, content: bytes) -> None:
    """Replaces the file in one step, so that nobody reads half a picture.

    Raises:
        RenderError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        try:
            temporary.write_bytes(content)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise RenderError(f"cannot write the picture to {str(path)!r}: {error.strerror or error}") from error


def format_name(path: str | os.PathLike[str] | None, picture_format: str | None, formats: Collection[str] = FORMATS) -> str:
    """The format, in lower case and checked.

    Raises:
        RenderError: it is not among `formats`.
    """
    accepted = ", ".join(formats)
    if picture_format is None and path is None:
        raise RenderError(f"neither a path nor a format is given; accepted formats: {accepted}")
    name = picture_format if picture_format is not None else Path(path or "").suffix
    found = name.lower().removeprefix(".")
    if found not in formats:
        where = "" if path is None else f" of {os.fspath(path)!r}"
        raise RenderError(f"unknown picture format {name!r}{where}; accepted: {accepted}")
    return found


def _draw_in_time(view: View, picture_format: DrawnFormat, dpi: float, time_limit_s: float) -> bytes:
    begun = time.monotonic()
    labelled = any(edge.text or edge.contribution for edge in view.edges)
    try:
        return _draw(view, picture_format, dpi, time_limit_s * FIRST_SHARE if labelled else time_limit_s)
    except OutOfTimeError as late:
        failure = late
    if labelled:
        rest_s = max(time_limit_s - (time.monotonic() - begun), 0.1 * time_limit_s)
        try:
            return _draw(without_edge_labels(view), picture_format, dpi, rest_s)
        except OutOfTimeError as late:
            failure = late
    size = f"{len(view.nodes):,} nodes and {len(view.edges):,} edges"
    raise RenderError(
        f"drawing {size} took more than the time limit of {time_limit_s:g} s; "
        "show fewer nodes (max_nodes), allow more time (time_limit_s), or write DOT text and draw it elsewhere"
    ) from failure


def _draw(view: View, picture_format: DrawnFormat, dpi: float, time_limit_s: float) -> bytes:
    source, images = dot_with_images(view)
    picture = draw(source, picture_format, dpi=dpi, time_limit_s=time_limit_s, images=images)
    if picture_format != "svg":
        return picture
    return clean_svg(picture.decode(), title=view.title, images=images).encode()
