"""Frames -> a file, or a folder with a picture for each frame, in the format of the name's ending."""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Literal, TypedDict, Unpack

from gradviz.errors import InputError, RenderError, given
from gradviz.frames import FrameOptions, Frames
from gradviz.graph import GradGraph
from gradviz.player import player_of
from gradviz.render import TIME_LIMIT_S, write_file
from gradviz.slides.beamer import beamer
from gradviz.slides.deck import deck
from gradviz.slides.document import pdf
from gradviz.slides.pixels import moving_picture, png_pages
from gradviz.stage import FONT_SIZE, pages_of, painted, painting_svg, stage_theme

FILES: Final = ("pptx", "pdf", "gif", "webp", "tex", "html")
FOLDERS: Final = ("png", "svg")
SECONDS_PER_FRAME: Final = 2.5
SLOWEST_S: Final = 600.0
_NUMBERED = re.compile(r"frame-\d+\.(png|svg)")


class SlideOptions(TypedDict, total=False):
    """The options of `save_slides`, for functions that hand them on."""

    format: str | None
    theme: Literal["light", "dark", "slides", "print"]
    font_size: float
    highlight: str | None
    one_slide: bool
    seconds_per_frame: float
    time_limit_s: float


class GraphSlideOptions(SlideOptions, FrameOptions, total=False):
    """The options of `save_graph_slides`: those of the frames too."""


def save_graph_slides(graph: GradGraph, path: str | os.PathLike[str], **options: Unpack[GraphSlideOptions]) -> None:
    """Writes the frames of a graph as slides; `GradGraph.save_slides` tells the options."""
    of_slides: Any = {name: value for name, value in options.items() if name in SlideOptions.__annotations__}
    of_frames: Any = {name: value for name, value in options.items() if name not in of_slides}
    save_slides(graph.frames(**of_frames), path, **of_slides)


def save_slides(
    frames: Frames,
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    theme: str = "slides",
    font_size: float = FONT_SIZE,
    highlight: str | None = None,
    one_slide: bool = False,
    seconds_per_frame: float = SECONDS_PER_FRAME,
    time_limit_s: float = TIME_LIMIT_S,
) -> None:
    """Writes frames as slides: the whole file or nothing.

    Args:
        frames: of a graph.
        path: a file that ends in .pptx, .pdf, .gif, .webp, .tex or .html; else a folder.
        format: one of these endings, or "png" or "svg" for a folder; None for that of `path`, and PNG in a folder.
        theme: "light", "dark", "slides" or "print".
        font_size: as in `stage_of`.
        highlight: the colour of what is looked at, as `#rrggbb`; None for the theme's.
        one_slide: of a .pptx file: one slide on which each click shows the next frame, instead of one for each. Printed,
            or as a PDF made of it, it shows the last frame; for a handout of every step write a .pdf file.
        seconds_per_frame: how long a .gif or .webp file shows each frame.
        time_limit_s: seconds until drawing is given up.

    Raises:
        InputError: an option is not accepted.
        RenderError: the format is unknown, a library is missing, the time is over, or nothing can be written there.
    """
    name = _format(path, format)
    if one_slide and name != "pptx":
        timed = "seconds_per_frame=, " if name in ("gif", "webp") else ""
        accepted = f"{timed}theme=, font_size=, highlight= and time_limit_s="
        raise InputError(f"one_slide is for .pptx files, not for {name}; accepted: {accepted}")
    if not isinstance(seconds_per_frame, (int, float)) or not 0 < seconds_per_frame <= SLOWEST_S:
        raise InputError(f"seconds_per_frame is {given(seconds_per_frame)}; accepted: above 0, up to {SLOWEST_S:g}")
    colours = stage_theme(theme, highlight=highlight)
    if name == "html":
        page = player_of(frames, theme=theme, font_size=font_size, highlight=highlight, time_limit_s=time_limit_s)
        page.save(path)
        return
    pages = pages_of(frames, font_size=font_size, time_limit_s=time_limit_s)
    if one_slide:
        pages = pages.titled(frames.title)
    paintings = [painted(stage, frame, colours) for stage, frame in pages]
    sentences = [frame.text for frame in frames]
    match name:
        case "pptx":
            finished = [painted(stage, stage.frames[-1], colours) for stage in pages.stages]
            last = [finished[place] for place in pages.places]
            write_file(Path(path), deck(paintings, last, title=frames.title, sentences=sentences, animated=one_slide))
        case "pdf":
            write_file(Path(path), pdf(paintings, title=frames.title))
        case "tex":
            write_file(Path(path), beamer(paintings).encode())
        case "gif" | "webp":
            write_file(Path(path), moving_picture(paintings, name, seconds_per_frame=seconds_per_frame))
        case "png":
            _write_folder(Path(path), name, png_pages(paintings))
        case _:
            pictures = (painting_svg(one, title=text).encode() for one, text in zip(paintings, sentences, strict=True))
            _write_folder(Path(path), name, pictures)


def _format(path: str | os.PathLike[str], asked: str | None) -> str:
    """The format, in lower case and checked; a path without an ending, or one that is there as a folder, is a folder."""
    text = os.fspath(path)
    suffix = "" if text.endswith(("/", os.sep)) or Path(text).is_dir() else Path(text).suffix
    found = (asked or suffix or "png").lower().removeprefix(".")
    if suffix and found in FOLDERS:
        raise RenderError(f"{text!r} is one file, and {found} slides are one for each frame; accepted: a folder ('slides/')")
    if not suffix and found in FILES:
        raise RenderError(f"{text!r} is a folder, and {found} slides are one file; accepted: a path that ends in .{found}")
    if found not in (*FILES, *FOLDERS):
        accepted = f"{', '.join(f'.{one}' for one in FILES)}, or a folder for {' or '.join(FOLDERS)}"
        raise RenderError(f"unknown slide format {asked or suffix!r} of {text!r}; accepted: {accepted}")
    return found


def _write_folder(folder: Path, suffix: str, pages: Iterable[bytes]) -> None:
    """Puts numbered pictures into a folder, in the place of those of an earlier call; all are made before one is moved."""
    parent = folder if folder.is_dir() else folder.parent
    temporary = parent / f".{folder.name}.{uuid.uuid4().hex}"
    try:
        try:
            temporary.mkdir()
            contents = list(pages)
            for number, content in enumerate(contents, 1):
                (temporary / f"frame-{number:0{len(str(len(contents)))}d}.{suffix}").write_bytes(content)
            folder.mkdir(exist_ok=True)
            for old in [found for found in folder.iterdir() if _NUMBERED.fullmatch(found.name)]:
                old.unlink()
            for new in sorted(temporary.iterdir()):
                new.replace(folder / new.name)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise RenderError(f"cannot write slides to {str(folder)!r}: {error.strerror or error}") from error
