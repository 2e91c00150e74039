"""What an adapter says about its tool."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.cases import Job


def nothing() -> None:
    """The hook of a tool that needs none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A tool that is measured.

    Attributes:
        name: as printed.
        package: what pip installs and `importlib.metadata` knows.
        sees: what one call gives the user.
        misses: what it does not.
        run: one call on a job; what it returns is kept alive until the clock has stopped.
        draw: from a job to an SVG; None where the tool draws none, or none of a gradient.
        before, after: called around each run, not timed.
    """

    name: str
    package: str
    sees: str
    misses: str
    run: Callable[[Job], object]
    draw: Callable[[Job], bytes] | None = None
    before: Callable[[], None] = nothing
    after: Callable[[], None] = nothing
