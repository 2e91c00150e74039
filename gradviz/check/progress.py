"""What is being checked and how far the check is: one line on stderr, or told to a function."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from types import TracebackType

Telling = Callable[[int, int, str], None]
"""Takes how many steps are done, how many there are, and what is next."""
_EVERY_S = 0.1
_LONG_S = 1.0
"""Checks that take longer than this are worth a bar."""
_WIDTH = 100
_BAR = 20


class Progress:
    """A bar that is redrawn at most ten times per second, and removed at the end.

    Args:
        total: how many steps there are.
        shown: True: always; False: never; None: on a terminal, once the check has taken a second; or a function that is
            told instead, as often.
    """

    def __init__(self, total: int, *, shown: bool | Telling | None) -> None:
        self._total = max(total, 1)
        self._started_s = time.monotonic()
        self._tell: Telling = shown if callable(shown) else self._draw
        self._is_shown = sys.stderr.isatty() if shown is None else bool(shown)
        self._next_s = self._started_s + (_LONG_S if shown is None else 0.0)
        self._is_drawn = False

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._is_drawn:
            self._write("")

    def at(self, done: int, what: str) -> None:
        """Shows that `done` of the total are done and that `what` is next."""
        now_s = time.monotonic()
        if not self._is_shown or now_s < self._next_s:
            return
        self._next_s = now_s + _EVERY_S
        self._tell(done, self._total, what)

    def _draw(self, done: int, total: int, what: str) -> None:
        self._write(self._line(done, what, time.monotonic() - self._started_s))

    def _line(self, done: int, what: str, elapsed_s: float) -> str:
        share = min(done / self._total, 1.0)
        bar = "█" * round(share * _BAR) + "░" * (_BAR - round(share * _BAR))
        return f"checking {bar} {done} of {self._total}, {elapsed_s:.0f} s: {what}"

    def _write(self, text: str) -> None:
        self._is_drawn = True
        width = _width()
        text = text[:width]
        sys.stderr.write(f"\r{text:<{width}}\r{text}")
        sys.stderr.flush()


def _width() -> int:
    """How much fits on the line: what a terminal wraps stays there, since a carriage return leads to the last line only."""
    try:
        columns = os.get_terminal_size(sys.stderr.fileno()).columns  # of stdout, which may be a file, nothing follows
    except (OSError, ValueError):
        columns = shutil.get_terminal_size((_WIDTH + 1, 24)).columns
    return max(min(_WIDTH, (columns or _WIDTH + 1) - 1), 1)
