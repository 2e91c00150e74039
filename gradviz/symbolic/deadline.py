"""Until when elements may be computed, and how many: a check with a time limit stops in the middle of one long part too."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from gradviz.errors import CheckError

_DEADLINE: ContextVar[float] = ContextVar("deadline", default=math.inf)


class Allowance:
    """So much work may be done, in elements that are made and terms that are added up: the same on every machine.

    Attributes:
        left: how much of it is left.
    """

    def __init__(self, work: float) -> None:
        self.left = work

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Inside, what takes more is given up; other allowances are not drawn on.

        >>> with Allowance(10).entered():
        ...     require_time(work=8)
        """
        before = _ALLOWANCE.set(self)
        try:
            yield
        finally:
            _ALLOWANCE.reset(before)


_ALLOWANCE: ContextVar[Allowance] = ContextVar("allowance", default=Allowance(math.inf))  # noqa: B039


class TooMuchWork(CheckError):
    """Something is made of more numbers than are allowed for."""

    def __init__(self) -> None:
        super().__init__("it is made of more numbers than are followed one by one")


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


def require_time(*, work: int = 1) -> None:
    """To be called by what takes long, with how many elements it makes or adds up.

    Raises:
        OutOfTime: the deadline has passed.
        TooMuchWork: the allowance is used up.
    """
    allowance = _ALLOWANCE.get()
    allowance.left -= work
    if allowance.left < 0:
        raise TooMuchWork
    deadline = _DEADLINE.get()
    if deadline < math.inf and time.monotonic() > deadline:
        raise OutOfTime
