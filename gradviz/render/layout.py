"""DOT text -> a drawn picture, under a time limit.

Graphviz may take minutes over a graph that looks harmless, and it cannot be interrupted inside a process. It therefore
runs in one of its own, started on first use, kept for the next picture and killed when it is late. Graphviz is not safe
to use from two threads, so pictures are drawn one after the other. A forked child gets a drawing process of its own.
"""

from __future__ import annotations

import atexit
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args

from gradviz.errors import RenderError, given
from gradviz.render import worker

DrawnFormat = Literal["svg", "png", "pdf", "json"]
"""JSON holds what Graphviz would draw, with coordinates."""
TIME_LIMIT_S: Final = 20.0
DPI: Final = 144.0
DPI_RANGE: Final = (10, 1200)
"""Below, nothing can be read; above, a page takes gigabytes."""


class OutOfTimeError(RenderError):
    """A picture that was not ready within its time limit."""


class DrawingProcess:
    """One running worker and its folder."""

    def __init__(self) -> None:
        if not sys.executable:
            raise RenderError("cannot draw: this Python does not know its own executable, which drawing starts")
        self.folder = Path(tempfile.mkdtemp(prefix="gradviz-"))
        command = [sys.executable, worker.__file__, str(self.folder)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.late = False

    def draw(self, source: str, picture_format: str, dpi: float, time_limit_s: float, images: dict[str, bytes]) -> bytes:
        """The picture. A refusal leaves the process usable unless `alive` says otherwise.

        Raises:
            OutOfTimeError: it was not ready in time; the process is killed.
            RenderError: Graphviz cannot draw it.
        """
        request = {
            "source": source,
            "format": picture_format,
            "dpi": dpi,
            "time_limit_s": time_limit_s,
            "images": list(images),
        }
        clock = threading.Timer(time_limit_s, self._kill_late)
        clock.daemon = True
        clock.start()
        try:
            answer = self._ask([json.dumps(request).encode(), *images.values()])
        finally:
            clock.cancel()
            clock.join()  # it may be ringing just now
        if answer is None or self.late:
            self.close()
        if answer is None:
            if self.late:
                raise OutOfTimeError(f"drawing took more than {time_limit_s:g} s")
            raise RenderError(f"the drawing process ended by itself (status {self.process.returncode})")
        if answer[:1] == b"!":
            raise RenderError(f"Graphviz could not draw the graph: {answer[1:].decode(errors='replace')}")
        return answer[1:]

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def close(self) -> None:
        """Ends the process and removes its folder; may be called twice."""
        self.process.kill()
        self.process.wait()
        self._close_streams()
        shutil.rmtree(self.folder, ignore_errors=True)

    def disown(self) -> None:
        """In a forked child: lets go of the parent's process without touching it."""
        self._close_streams()
        self.process.returncode = 0  # it is not this process's child, so there is nothing to wait for

    def _close_streams(self) -> None:
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()

    def _ask(self, messages: list[bytes]) -> bytes | None:
        """The answer, or None when the process ended first."""
        requests, answers = self.process.stdin, self.process.stdout
        if requests is None or answers is None:
            return None
        try:
            for message in messages:
                worker.write_message(cast(io.RawIOBase, requests), message)
        except BrokenPipeError:
            return None
        return worker.read_message(cast(io.RawIOBase, answers))

    def _kill_late(self) -> None:
        self.late = True
        self.process.kill()


class _Desk:
    """The one drawing process of this process, and the lock that lets one picture at a time at it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.process: DrawingProcess | None = None

    def draw(self, source: str, picture_format: str, dpi: float, time_limit_s: float, images: dict[str, bytes]) -> bytes:
        with self.lock:
            if self.process is None or not self.process.alive:
                self.close()
                self.process = DrawingProcess()
            try:
                return self.process.draw(source, picture_format, dpi, time_limit_s, images)
            except RenderError:
                raise
            except BaseException:  # interrupted between question and answer: the next answer would be the wrong one
                self.close()
                raise

    def close(self) -> None:
        if self.process is not None:
            self.process.close()
            self.process = None

    def forget(self) -> None:
        """In a forked child: the process belongs to the parent, and the lock may be held by a thread that is gone."""
        self.lock = threading.Lock()
        if self.process is not None:
            self.process.disown()
            self.process = None


_desk = _Desk()
atexit.register(_desk.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_desk.forget)


def draw(
    dot_text: str,
    picture_format: DrawnFormat,
    *,
    dpi: float = DPI,
    time_limit_s: float = TIME_LIMIT_S,
    images: dict[str, bytes] | None = None,
) -> bytes:
    """Draws DOT text.

    Args:
        dot_text: a digraph.
        picture_format: "svg", "png", "pdf" or "json".
        dpi: pixels per inch of a PNG.
        time_limit_s: seconds until drawing is given up; the first picture also starts the process, in about 0.2 s.
        images: file name -> PNG, for the images that the text names.

    Raises:
        OutOfTimeError: the picture was not ready in time.
        RenderError: an option is not accepted, or Graphviz refused.
    """
    if picture_format not in get_args(DrawnFormat):
        raise RenderError(f"unknown format {picture_format!r}; accepted: {', '.join(get_args(DrawnFormat))}")
    check_drawing(time_limit_s, dpi=dpi)
    return _desk.draw(dot_text, picture_format, dpi, time_limit_s, images or {})


def check_drawing(time_limit_s: Any, *, dpi: Any = DPI) -> None:
    """Refuses what is out of range, or no number.

    Raises:
        RenderError: says what is accepted.
    """
    if not isinstance(dpi, (int, float)) or not DPI_RANGE[0] <= dpi <= DPI_RANGE[1]:
        raise RenderError(f"dpi is {given(dpi)}; accepted: {DPI_RANGE[0]} to {DPI_RANGE[1]}")
    if not isinstance(time_limit_s, (int, float)) or not 0 < time_limit_s <= threading.TIMEOUT_MAX:
        raise RenderError(f"time_limit_s is {given(time_limit_s)}; accepted: more than 0")


def start() -> None:
    """Starts the drawing process now, so that the first picture does not wait for it."""
    draw("digraph { a }", "svg")


def stop() -> None:
    """Ends the drawing process; the next picture starts a new one."""
    with _desk.lock:
        _desk.close()
