"""Frames -> one HTML page that plays them: no file, script or font from elsewhere, and the browser is told to load none."""

from __future__ import annotations

import html
import json
import os
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from gradviz.errors import InputError
from gradviz.frames import Frames
from gradviz.player.data import player_data
from gradviz.render import write_file
from gradviz.stage import pages_of, stage_theme
from gradviz.view import Direction, PartOptions, ViewOptions

MOST_NODES = 200
"""On a page that is asked for as a picture is."""
PART = PartOptions.__optional_keys__

POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"
START = """const player = mount(
  document.getElementById("player"), JSON.parse(document.getElementById("data").textContent));
document.addEventListener("keydown", player.press);"""
HEIGHT_PX = 640
"""Of the frame in a notebook."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Player:
    """Frames as a page; a notebook shows it as it is.

    Attributes:
        title: of the page.
        data: what the script's `mount(root, data)` takes; JSON.
    """

    title: str
    data: dict[str, Any]

    @property
    def html(self) -> str:
        """The whole page."""
        content = json.dumps(self.data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
        return (
            f'<!DOCTYPE html>\n<html lang="{html.escape(self.data["language"])}">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{html.escape(self.data['title'])}</title>\n"
            "<style>html, body { margin: 0; height: 100% } #player > section { min-height: 100vh }</style>\n"
            f'</head>\n<body>\n<div id="player"></div>\n<script id="data" type="application/json">{content}</script>\n'
            f"<script>\n{script()}\n"
            f"{START}\n"
            "</script>\n</body>\n</html>\n"
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the page.

        Raises:
            RenderError: the file cannot be written.
        """
        write_file(Path(path), self.html.encode())

    def _repr_html_(self) -> str:
        """The page in a frame of its own, so that neither its script nor its style meets those of the notebook."""
        return (
            f'<iframe srcdoc="{html.escape(self.html)}" title="{html.escape(self.data["title"])}" sandbox="allow-scripts" '
            f'allow="fullscreen" style="width: 100%; height: {HEIGHT_PX}px; border: 0"></iframe>'
        )

    def __repr__(self) -> str:
        return f"<player of {len(self.data['frames'])} frames of {self.title!r}>"


def player_of(
    frames: Frames,
    *,
    theme: str | None,
    font_size: float,
    highlight: str | None,
    time_limit_s: float,
    direction: Direction | None = None,
) -> Player:
    """A player of frames.

    Args:
        frames: of a graph.
        theme: "light", "dark", "slides" or "print"; None for light and dark, as the reader's system has it, with a button.
        font_size: as in `stage_of`.
        highlight: the colour of what is looked at, as `#rrggbb`; None for the theme's.
        time_limit_s: seconds until drawing is given up.
        direction: of the ranks; None for the one in which the text is larger.

    Raises:
        InputError: an option is not accepted.
        RenderError: the time is over.
    """
    names = ("light", "dark") if theme is None else (theme,)
    themes = [(name, stage_theme(name, highlight=highlight)) for name in names]
    pages = pages_of(frames, font_size=font_size, time_limit_s=time_limit_s, direction=direction)
    return Player(title=frames.title, data=player_data(pages, frames.title, themes))


def page_options(options: ViewOptions) -> dict[str, Any]:
    """What `player` takes of the options that a picture takes: what is drawn and what of it as one, `max_nodes`, `theme`.

    Raises:
        InputError: one of them is about pictures only.

    >>> page_options({"theme": "dark", "collapse": "auto"})
    {'theme': 'dark', 'max_nodes': 200, 'collapse': 'auto'}
    """
    found: dict[str, Any] = {**options}
    if others := sorted(set(found) - PART - {"max_nodes", "theme"}):
        accepted = ", ".join(["max_nodes", "theme", *sorted(PART)])
        raise InputError(f"{others[0]} is for pictures; an HTML page accepts {accepted}")
    theme = found.pop("theme", "light")
    return {"theme": None if theme == "light" else theme, "max_nodes": found.pop("max_nodes", None) or MOST_NODES, **found}


@cache
def script() -> str:
    """The player's script: a function `mount(root, data)`, where `root` is an element or a shadow root."""
    return resources.files("gradviz.player").joinpath("player.js").read_text(encoding="utf-8")
