"""Keeps Python's cyclic garbage collector away while a graph grows: it would walk all of it again and again."""

from __future__ import annotations

import gc


class collector_paused:
    """Pauses cyclic garbage collection. Without this, 100,000 calls cost half as much again, each, as 1,000.

    Meant for one forward and backward pass: what is freed by reference counting, tensors first of all, is freed as ever.
    """

    def __enter__(self) -> None:
        self._was_enabled = gc.isenabled()
        gc.disable()

    def __exit__(self, *exception: object) -> None:
        if self._was_enabled:
            gc.enable()
