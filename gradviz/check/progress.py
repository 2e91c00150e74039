"""One line on stderr that says what is being checked and how far the check is."""

from __future__ import annotations

import sys
import time
from types import TracebackType

_EVERY_S = 0.1
_WIDTH = 100


class Progress:
    """A line that is rewritten at most ten times per second, and removed at the end."""

    def __init__(self, total: int, *, shown: bool) -> None:
        self._total = total
        self._shown = shown
        self._last_s = 0.0

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._shown:
            self._write("")

    def at(self, done: int, what: str) -> None:
        """Shows that `done` of the total are done and that `what` is next."""
        if not self._shown or time.monotonic() - self._last_s < _EVERY_S:
            return
        self._last_s = time.monotonic()
        self._write(f"checking {done} of {self._total}: {what}"[:_WIDTH])

    def _write(self, text: str) -> None:
        sys.stderr.write(f"\r{text:<{_WIDTH}}\r{text}")
        sys.stderr.flush()
