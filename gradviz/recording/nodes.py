"""What is read of an autograd node, in one place: torch's own type stubs know only half of it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction
from torch.autograd.graph import Node

Tensors = tuple[Tensor | None, ...]
Slot = tuple[Node | None, int]
Slots = tuple[Slot, ...]
"""A node's `next_functions`: for each differentiable input, the node that made it and which of its outputs."""
_TORCH = str(Path(torch.__file__).parent)


def node_of(tensor: Tensor) -> Node | None:
    """The autograd node that made a tensor; None for a leaf, a constant, and a view taken and written under no_grad.

    Of such a view torch refuses to tell, since it cannot say whether the write was meant to be differentiated.
    """
    try:
        return tensor.grad_fn
    except RuntimeError as error:
        if "no_grad mode" not in str(error):
            raise
        return None


def is_leaf(tensor: Tensor) -> bool:
    """Whether a tensor is one to differentiate by. A view of such a tensor taken under no_grad says so too, but is none.

    A view of a constant is one: `torch.linspace(0, 1, 30)[:, None].requires_grad_()`.
    """
    if (base := tensor._base) is not None and base.requires_grad:
        return False  # of a view whose base was written to since, torch would refuse to tell
    return tensor.is_leaf and tensor.requires_grad


def is_custom(node: Node) -> bool:
    """Whether the node belongs to a Python `autograd.Function`."""
    return isinstance(node, BackwardCFunction)


def sequence_number(node: Node) -> int:
    """Where the node stands in the order in which this thread made nodes."""
    return int(node._sequence_nr())


def output_metadata(node: Node) -> tuple[Any, ...]:
    """Shape, dtype and device of each differentiable output of the call that the node was made for."""
    return tuple(node._input_metadata)


def needed_arguments(node: Node) -> list[int]:
    """The places of the arguments of a custom Function's forward whose gradient is needed."""
    return [place for place, needs in enumerate(node.needs_input_grad) if needs]  # type: ignore[attr-defined]


def forward_class(node: Node) -> Any:
    """The user's `autograd.Function` class of a custom node; None where torch does not tell."""
    return getattr(node, "_forward_cls", None)


def code_behind(function: Any) -> CodeType | None:
    """The code of a function, below its decorators; None where it is none of Python's."""
    return getattr(inspect.unwrap(function), "__code__", None)


def custom_name(node: Node) -> str:
    """The name of the user's `autograd.Function` class of a custom node."""
    function = forward_class(node)
    return str(function.__name__) if function is not None else node.name().removesuffix("Backward")


def forward_code(node: Node) -> CodeType | None:
    """The code of a custom Function's forward."""
    function = forward_class(node)
    return None if function is None else code_behind(function.forward)


def saved_tensors(node: Node) -> tuple[Tensor, ...]:
    """The very tensors that the forward of a custom Function saved; none where hooks packed or code changed them."""
    if any(getattr(raw, "unpack_hook", None) is not None for raw in node._raw_saved_tensors):  # type: ignore[attr-defined]
        return ()
    try:
        saved = node.saved_tensors  # type: ignore[attr-defined]
    except RuntimeError as error:
        if "modified by an inplace operation" not in str(error):
            raise
        return ()
    return tuple(tensor for tensor in saved if tensor is not None)


def tensors_saved_by(node: Node) -> Iterator[Tensor]:
    """The tensors that a node of either kind saved for the backward pass; those that hooks packed are left packed.

    >>> x = torch.ones(2, requires_grad=True)
    >>> [saved is x for saved in tensors_saved_by(node_of(x.sin()))]
    [True]
    """
    if is_custom(node):
        yield from saved_tensors(node)
        return
    for name in (one for one in dir(node) if one.startswith("_raw_saved_")):
        raw = getattr(node, name)
        if all(getattr(one, "unpack_hook", None) is None for one in (raw if type(raw) is tuple else [raw])):
            saved = getattr(node, name.removeprefix("_raw"))
            yield from (one for one in (saved if type(saved) is tuple else [saved]) if isinstance(one, Tensor))


def is_torchs_own(node: Node) -> bool:
    """Whether a custom node belongs to a Function that torch itself defines, as for a `torch.library` op."""
    code = forward_code(node)
    return code is not None and is_torchs_code(code)


def is_torchs_code(code: CodeType) -> bool:
    """Whether code lies in one of torch's own files."""
    return code.co_filename.startswith(_TORCH)


def contributions(node: Node, cotangents: list[Any]) -> tuple[Any, ...]:
    """What the node adds to the cotangents of its inputs; one entry per slot, or per argument of a custom forward.

    As outside of autocast, which would have the formulas themselves run in 16 bits.
    """
    with torch._C._DisableAutocast():
        answer = node.apply(*cotangents) if is_custom(node) else node(*cotangents)  # type: ignore[attr-defined, operator]
    return answer if isinstance(answer, tuple) else (answer,)


def op_of_node(node: Node) -> str:
    """The op that a node's class is named after: `ReluBackward0` -> `relu`, `CopySlices` -> `copy_slices`."""
    stem = re.sub(r"Backward\d*$", "", node.name().rpartition("::")[2])
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", stem).lower()
