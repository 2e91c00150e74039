"""View -> a file, the bytes of a picture, or what a notebook shows."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Final

from gradviz.errors import RenderError
from gradviz.render.dot import dot_source, dot_with_images
from gradviz.render.layout import DPI, TIME_LIMIT_S, DrawnFormat, OutOfTimeError, check_drawing, draw
from gradviz.render.png import with_dpi
from gradviz.render.svg import clean_svg
from gradviz.view import View

DRAWN: Final[dict[str, DrawnFormat]] = {"svg": "svg", "png": "png", "pdf": "pdf"}
FORMATS: Final = (*DRAWN, "dot", "gv")
FIRST_SHARE: Final = 0.6
"""The part of the time after which a picture is tried again with less: without edge labels, which take longest; smaller."""
SMALLER_S: Final = 2.0
"""What the smaller picture may take at least, however little time is left."""


def render(
    view: View,
    path: str | os.PathLike[str] | None = None,
    *,
    format: str | None = None,
    dpi: float = DPI,
    time_limit_s: float = TIME_LIMIT_S,
    smaller: Callable[[], View] | None = None,
) -> bytes:
    """Draws a view, and writes it to `path` when one is given: the whole picture or nothing.

    A picture that is not ready after most of the time limit is tried again without edge labels, then `smaller`, and says so.

    Args:
        view: what to draw.
        path: a file; its suffix decides the format unless `format` is given.
        format: "svg", "png", "pdf" or "dot" (also "gv").
        dpi: pixels per inch of a PNG.
        time_limit_s: seconds until drawing is given up.
        smaller: makes a view that is surely drawn in time.

    Returns:
        the bytes of the file.

    Raises:
        RenderError: the format is unknown, the time is over, or the file cannot be written.
    """
    name = format_name(path, format)
    drawn = DRAWN.get(name)
    picture = dot_source(view).encode() if drawn is None else _draw_in_time(view, drawn, dpi, time_limit_s, smaller)[0]
    if path is not None:
        write_file(Path(path), picture)
    return picture


def svg_text(view: View, *, time_limit_s: float = TIME_LIMIT_S) -> str:
    """One `<svg>` element, for a file or inside a page."""
    return svg_and_view(view, time_limit_s=time_limit_s)[0]


def svg_and_view(view: View, *, time_limit_s: float = TIME_LIMIT_S) -> tuple[str, View]:
    """One `<svg>` element, and the view as it is there: without edge labels where these took too long."""
    svg, drawn = _draw_in_time(view, "svg", DPI, time_limit_s)
    return svg.decode(), drawn


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
        raise RenderError(f"cannot write {str(path)!r}: {error.strerror or error}") from error


def format_name(path: str | os.PathLike[str] | None, picture_format: str | None, formats: Collection[str] = FORMATS) -> str:
    """The format, in lower case and checked.

    Raises:
        RenderError: it is not among `formats`.
    """
    accepted = ", ".join(formats)
    if picture_format is None and path is None:
        raise RenderError(f"neither a path nor a format is given; accepted formats: {accepted}")
    name = picture_format if picture_format is not None else Path(path or "").suffix
    found = str(name).lower().removeprefix(".")
    if found not in formats:
        where = "" if path is None else f" of {os.fspath(path)!r}"
        raise RenderError(f"unknown picture format {name!r}{where}; accepted: {accepted}")
    return found


def _draw_in_time(
    view: View, picture_format: DrawnFormat, dpi: float, time_limit_s: float, smaller: Callable[[], View] | None = None
) -> tuple[bytes, View]:
    """The picture, and what it shows; each attempt gets most of the time that is left, the last one all of it."""
    check_drawing(time_limit_s, dpi=dpi)
    ends = time.monotonic() + time_limit_s
    rest_s = time_limit_s
    attempts: list[Callable[[], View]] = [lambda: view]
    if any(edge.text or edge.contribution for edge in view.edges):
        attempts.append(lambda: without_edge_labels(view))
    if smaller is not None:
        attempts.append(lambda: _said_to_be_smaller(view, smaller()))
    for place, attempt in enumerate(attempts, 1):
        wanted = attempt()
        try:
            return _draw(wanted, picture_format, dpi, rest_s * FIRST_SHARE if place < len(attempts) else rest_s), wanted
        except OutOfTimeError as late:
            failure = late
            least_s = SMALLER_S if smaller is not None and place == len(attempts) - 1 else 0.1 * time_limit_s
            rest_s = max(ends - time.monotonic(), least_s)
    raise RenderError(
        f"drawing {_size(view)} took more than the time limit of {time_limit_s:g} s; "
        "show fewer nodes (max_nodes), allow more time (time_limit_s), or write DOT text and draw it elsewhere"
    ) from failure


def _said_to_be_smaller(view: View, smaller: View) -> View:
    return replace(smaller, notes=(*smaller.notes, f"drawn smaller: drawing {_size(view)} took too long"))


def _size(view: View) -> str:
    groups = f" and {len(view.groups):,} groups" if view.groups else ""
    return f"{len(view.nodes):,} nodes{groups} and {len(view.edges):,} edges"


def _draw(view: View, picture_format: DrawnFormat, dpi: float, time_limit_s: float) -> bytes:
    source, images = dot_with_images(view)
    picture = draw(source, picture_format, dpi=dpi, time_limit_s=time_limit_s, images=images)
    if picture_format == "png":
        return with_dpi(picture, dpi)
    if picture_format != "svg":
        return picture
    return clean_svg(picture.decode(), title=view.title, images=images).encode()
