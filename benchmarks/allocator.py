"""With what memory a process is measured: what it gets by itself, or memory that it holds on to.

glibc gives large blocks back to the system on free by default, and getting them again costs page faults: the same plain pass
of a large model then takes up to twice as long, and varies. The settings are read when a process starts.
"""

from __future__ import annotations

import os
import sys

HELD = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(64 << 30)}


def hold_memory(module: str) -> None:
    """Starts this process, `python -m module`, again where it does not hold on to its memory."""
    if any(os.environ.get(name) != value for name, value in HELD.items()):
        os.execve(sys.executable, [sys.executable, "-m", module, *sys.argv[1:]], os.environ | HELD)


def as_started() -> dict[str, str]:
    """The environment of a process that gets its memory as any does."""
    return {name: value for name, value in os.environ.items() if name not in HELD}
