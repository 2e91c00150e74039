"""Until when elements may be computed: a check with a time limit stops in the middle of one long part too."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from gradviz.errors import CheckError

_DEADLINE: ContextVar[float] = ContextVar("deadline", default=math.inf)


class OutOfTime(CheckError):
    """The time limit of a check has passed; whatever is left is unverified."""

    def __init__(self) -> None:
        super().__init__("out of time")


@contextmanager
def until(deadline: float | None) -> Iterator[None]:
    """Inside, what takes long is given up after `deadline`, as `time.monotonic` counts seconds; None for no limit.

    >>> with until(time.monotonic() + 60):
    ...     require_time()
    """
    before = _DEADLINE.set(math.inf if deadline is None else deadline)
    try:
        yield
    finally:
        _DEADLINE.reset(before)


def require_time() -> None:
    """To be called now and then by what takes long.

    Raises:
        OutOfTime: the deadline has passed.
    """
    deadline = _DEADLINE.get()
    if deadline < math.inf and time.monotonic() > deadline:
        raise OutOfTime
