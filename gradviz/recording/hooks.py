"""The hooks of a backward pass, by the names of the user's functions: on tensors, on autograd nodes, and on modules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor
from torch.autograd.graph import Node
from torch.utils.hooks import BackwardHook, RemovableHandle

_own = 0  # how many handles of hooks gradviz has asked for


class NodeHooks(NamedTuple):
    """The hooks on one autograd node, each as "clip at train.py:12".

    Attributes:
        before: those that may change the cotangents that it is handed (`register_prehook`).
        after: those that may change what it hands on (`register_hook`, and what modules registered in full).
    """

    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


def registered_by_others() -> bool:
    """Whether anyone but gradviz has registered any hook yet: torch numbers the handles that it gives out.

    Asking all nodes of a graph for their hooks takes time, and few programs have any.
    """
    return RemovableHandle.next_id > _own


def count_own(handles: int) -> None:
    """Says that gradviz has asked for so many handles. Other threads may have asked for theirs meanwhile."""
    global _own
    _own += handles


def remove_from_nodes(handles: Iterable[RemovableHandle]) -> None:
    """What `handle.remove()` does of hooks on nodes, at less than half the cost: there are as many as nodes."""
    for handle in handles:
        hooks = handle.hooks_dict_ref()
        if hooks is not None:
            hooks.pop(handle.id, None)


def hooks_of_tensor(tensor: Tensor) -> tuple[str, ...]:
    """The hooks that `Tensor.register_hook` put on a tensor, as "clip at train.py:12".

    >>> import torch
    >>> x = torch.ones(2, requires_grad=True)
    >>> handle = x.register_hook(torch.neg)
    >>> hooks_of_tensor(x)
    ('neg',)
    """
    return tuple(map(described, (tensor._backward_hooks or {}).values()))


def hooks_of_node(node: Node) -> NodeHooks:
    """The hooks that lie on a node now. It names none by itself: the handle of one more leads to all."""
    before, after = (_beside(register) for register in (node.register_prehook, node.register_hook))
    return NodeHooks(before=tuple(map(described, before)), after=tuple(map(described, after)))


def _beside(register: Callable[..., Any]) -> list[Any]:
    handle = register(_nothing)
    count_own(1)
    try:
        hooks = handle.hooks_dict_ref() or {}
        return [one for hook in hooks.values() if hook is not _nothing for one in _of_the_user(hook)]
    finally:
        handle.remove()


def _nothing(*gradients: Any) -> None:
    return None


def _of_the_user(hook: Any) -> Iterator[Any]:
    """The hooks of a module behind the one that torch put on a node for it; else the hook itself."""
    holder = _enclosed_self(hook)
    if isinstance(holder, BackwardHook):
        yield from holder.user_pre_hooks if "setup_output_hook" in hook.__qualname__ else holder.user_hooks
    else:
        yield hook


def _enclosed_self(hook: Any) -> Any:
    """What `self` of the enclosing function is to a hook; None where it has none."""
    cells = zip(hook.__code__.co_freevars, hook.__closure__ or (), strict=True) if hasattr(hook, "__code__") else ()
    cell = next((cell for name, cell in cells if name == "self"), None)
    try:
        return None if cell is None else cell.cell_contents
    except ValueError:  # the enclosing function has not assigned it
        return None


def described(hook: Any) -> str:
    """A hook by its name and line: "clip at train.py:12"."""
    while isinstance(hook, partial):
        hook = hook.func
    code = getattr(hook, "__code__", None)
    where = f" at {Path(code.co_filename).name}:{code.co_firstlineno}" if code is not None else ""
    return getattr(hook, "__name__", type(hook).__name__) + where
