"""Runs small passes over tensors in one thread, where those of several would mostly wait for each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from gradviz.check.custom.lengths import is_one_pass
from gradviz.opcall import OpCall

_SMALL = 2**22
"""Up to so many elements a pass takes milliseconds. A check makes hundreds, and after each all threads wait for the last."""


@contextmanager
def fitting(calls: Sequence[OpCall]) -> Iterator[None]:
    """One thread of torch's inside, where these calls only make small passes; the setting is as it was afterwards.

    On a machine that does other work too, two threads took up to 50 times as long as one.
    """
    threads = torch.get_num_threads()
    if threads == 1 or not all(map(_is_small_pass, calls)):
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _is_small_pass(call: OpCall) -> bool:
    tensors = [*(argument.tensor for argument in call.tensor_arguments()), *call.outputs]
    return is_one_pass(call) and all(one is None or one.numel() <= _SMALL for one in tensors)
