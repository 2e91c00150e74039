"""Hears of assignments to `Tensor.data` while code is recorded: torch tells no dispatch mode of them.

`h.data = other` gives a tensor other memory, below autograd and below dispatch. While anyone listens, a property of the same
name lies over torch's own; afterwards `torch.Tensor` is as it was.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import _disable_current_modes

Listener = Callable[[Tensor, Tensor, Tensor], None]
"""What is told of an assignment: the tensor, what looks at what it held before, and what was assigned."""
_DATA: Any = torch._C.TensorBase.data  # torch's own, below any property
set_data: Callable[[Tensor, Tensor], None] = _DATA.__set__
"""`tensor.data = value` of which no listener is told."""
_listeners: dict[int, list[Listener]] = {}  # by thread
_lock = threading.Lock()


def listen(listener: Listener) -> None:
    """From now on `listener` is told of the assignments of this thread, right after each."""
    with _lock:
        if not _listeners:
            torch.Tensor.data = property(_DATA.__get__, _assign, _DATA.__delete__, _DATA.__doc__)  # type: ignore[assignment]
        _listeners.setdefault(threading.get_ident(), []).append(listener)


def stop_listening(listener: Listener) -> None:
    """The end of `listen`. The thread may be another one: Python closes a generator wherever it is let go."""
    with _lock:
        thread = next(one for one, listening in _listeners.items() if listener in listening)
        _listeners[thread].remove(listener)
        if not _listeners[thread]:
            del _listeners[thread]
        if not _listeners:
            del torch.Tensor.data


def _assign(tensor: Tensor, value: Any) -> None:
    listeners = _listeners.get(threading.get_ident())
    before = None
    if listeners is not None and not is_lazy(tensor):  # a lazy one has held nothing yet
        with _disable_current_modes():  # looking at it is no call of the user's
            before = _DATA.__get__(tensor)
    set_data(tensor, value)  # which raises where the value does not fit
    if listeners is not None and before is not None and not _is_same(before, tensor):
        for listener in list(listeners):
            listener(tensor, before, value)


def _is_same(before: Tensor, after: Tensor) -> bool:
    """Whether two tensors look at the same memory in the same way: a subclass that handles torch functions asks twice."""
    if before.layout is not torch.strided or after.layout is not torch.strided or before.is_nested or after.is_nested:
        return False
    return (
        before.untyped_storage()._cdata == after.untyped_storage()._cdata
        and before.storage_offset() == after.storage_offset()
        and before.shape == after.shape
        and before.stride() == after.stride()
    )
