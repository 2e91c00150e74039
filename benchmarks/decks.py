"""`python -m benchmarks.decks`: a deck of 30 frames in every format: how long it takes, and in which parts.

Beside the seconds stand ratios to what was measured in the same run: to one picture of the same graph, drawn by the same
Graphviz, and to the layout of the deck. It ends with 1 where a deck, from text to file, is late.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import gradviz
from benchmarks.timing import median_ms
from gradviz.player import Player, player_data
from gradviz.render import start
from gradviz.slides import FOLDERS, save_slides
from gradviz.slides.beamer import beamer
from gradviz.slides.deck import deck
from gradviz.slides.document import pdf
from gradviz.slides.pixels import moving_picture, png_pages
from gradviz.stage import Pages, Painting, pages_of, painted, painting_svg, stage_theme

TEXT, AT = "tanh(ln(1 + z*2x/sin y)) + sin(x*y)*z", {"x": 1.0, "y": 2.0, "z": 3.0}
FRAMES = 30
LIMIT_S = 3.0
"""For a deck from text to file."""
ROUNDS = 3


def traced() -> gradviz.GradGraph:
    return gradviz.trace(TEXT, at=AT, device="cpu")


def writers(pages: Pages, paintings: list[Painting]) -> dict[str, Callable[[], object]]:
    """Format -> what writes it, once everything is painted."""
    sentences = [frame.text for _, frame in pages]
    return {
        "pptx": lambda: deck(paintings, [paintings[-1]] * len(paintings), title=TEXT, sentences=sentences, animated=False),
        "pdf": lambda: pdf(paintings, title=TEXT),
        "gif": lambda: moving_picture(paintings, "gif", seconds_per_frame=1),
        "webp": lambda: moving_picture(paintings, "webp", seconds_per_frame=1),
        "tex": lambda: beamer(paintings),
        "html": lambda: Player(title=TEXT, data=player_data(pages, TEXT, [("slides", stage_theme("slides"))])).html,
        "png": lambda: list(png_pages(paintings)),
        "svg": lambda: [painting_svg(painting, title=TEXT) for painting in paintings],
    }


def main() -> int:
    start()
    graph = traced()
    frames = graph.frames()
    assert len(frames) == FRAMES
    pages, theme = pages_of(frames), stage_theme("slides")
    paintings = [painted(stage, frame, theme) for stage, frame in pages]
    parts: dict[str, Callable[[], object]] = {
        "one picture of the graph": lambda: graph.render(format="svg"),
        "text -> graph": traced,
        "graph -> frames": graph.frames,
        "frames -> stage (the layout)": lambda: pages_of(frames),
        "stage -> paintings": lambda: [painted(stage, frame, theme) for stage, frame in pages],
    }
    times_ms = {name: median_ms(run, ROUNDS) for name, run in parts.items()}
    picture_ms, layout_ms = times_ms["one picture of the graph"], times_ms["frames -> stage (the layout)"]

    def row(name: str, time_ms: float, writing_ms: float | None = None) -> str:
        ratios = f"{time_ms / picture_ms:6.1f} x a picture {time_ms / layout_ms:6.1f} x the layout"
        written = "" if writing_ms is None else f"   writing {writing_ms / 1000:5.2f} s"
        return f"  {name:<30}{time_ms / 1000:6.2f} s {ratios}{written}"

    print(f"{len(graph)} nodes, {len(frames)} frames; medians of {ROUNDS}")
    for name, time_ms in times_ms.items():
        print(row(name, time_ms), flush=True)
    print(f"  text -> file (limit {LIMIT_S:g} s)")
    good = True
    with tempfile.TemporaryDirectory() as folder:
        for name, write in writers(pages, paintings).items():
            path = Path(folder, "pictures" if name in FOLDERS else f"deck.{name}")
            total_ms = median_ms(lambda path=path, name=name: save_slides(traced().frames(), path, format=name), ROUNDS)
            late = total_ms > 1000 * LIMIT_S
            good &= not late
            print(row(f"  {name}", total_ms, median_ms(write, ROUNDS)) + ("  MISSED" if late else ""), flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
