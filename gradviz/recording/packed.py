"""What hooks of `saved_tensors_hooks` give back to the backward pass in place of what an autograd node had saved."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from torch import Tensor
from torch.autograd.graph import Node

from gradviz.recording.hooks import described
from gradviz.recording.nodes import is_custom


class Packed(NamedTuple):
    """One saved tensor that went through hooks.

    Attributes:
        saved: what the node calls it: the argument's name, "result", or "" of a custom Function.
        given_back: by the second hook.
        hook: that one, as "unpack at train.py:12".
    """

    saved: str
    given_back: Tensor
    hook: str


def packed_tensors(node: Node) -> Iterator[Packed]:
    """The saved tensors of a node that the user's hooks packed; torch's own, as of `save_on_cpu`, lose nothing.

    >>> import torch
    >>> with torch.autograd.graph.saved_tensors_hooks(torch.Tensor.half, torch.Tensor.float):
    ...     y = torch.tensor([0.1], requires_grad=True).sin()
    >>> [(packed.saved, packed.hook) for packed in packed_tensors(y.grad_fn)]
    [('self', 'float')]
    """
    for name, raw in raw_saved_tensors(node):
        hook = getattr(raw, "unpack_hook", None)
        if hook is None or (getattr(hook, "__module__", None) or "").startswith("torch."):
            continue
        given_back = hook(raw.data)
        if isinstance(given_back, Tensor):
            yield Packed(name, given_back.detach(), described(hook))


def raw_saved_tensors(node: Node) -> Iterator[tuple[str, Any]]:
    """What a node saved as autograd holds it, each with its name as in `Packed`; hooks are not run."""
    for name in ("_raw_saved_tensors",) if is_custom(node) else _raw_names(type(node)):
        held = getattr(node, name)
        saved = "" if is_custom(node) else name.removeprefix("_raw_saved_")
        yield from ((saved, raw) for raw in (held if isinstance(held, tuple) else (held,)))


@cache
def _raw_names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(name for name in dir(kind) if name.startswith("_raw_saved_"))
