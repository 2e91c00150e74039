"""The value after an op that only moves elements -> the values before it, where every element is still there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor
from torch.autograd.graph import Node

from gradviz.recover.harvest import output_shape, signed


def before_move(node: Node, value: Tensor) -> Iterator[tuple[int, Tensor, bool]]:
    """For each edge of `node` whose value can be told: its place, the value, whether its strides are the original's.

    >>> import torch
    >>> x = torch.tensor([[1.0, 2.0]], requires_grad=True)
    >>> node = x.t().grad_fn
    >>> [(place, before.tolist()) for place, before, _ in before_move(node, torch.tensor([[1.0], [2.0]]))]
    [(0, [[1.0, 2.0]])]
    """
    undo = _UNDO.get(type(node).__name__)
    if undo is not None:
        yield from undo(node, value)


def _reshape(node: Node, value: Tensor) -> Iterator[tuple[int, Tensor, bool]]:
    tail, output = node.next_functions[0]
    if tail is None:
        return
    shape = output_shape(tail, output)
    try:
        yield 0, value.view(shape), True
    except RuntimeError:
        yield 0, value.reshape(shape), False


def _expanded(node: Node, value: Tensor) -> Iterator[tuple[int, Tensor, bool]]:
    tail, output = node.next_functions[0]
    if tail is None:
        return
    shape = output_shape(tail, output)
    for _ in range(value.ndim - len(shape)):
        value = value.select(0, 0)
    for dim, size in enumerate(shape):
        value = value.narrow(dim, 0, 1) if size == 1 else value
    yield 0, value, True


def _transposed_matrix(node: Node, value: Tensor) -> Iterator[tuple[int, Tensor, bool]]:
    yield 0, value.t(), True


def _transposed(node: Any, value: Tensor) -> Iterator[tuple[int, Tensor, bool]]:
    first, second = (signed(dim) for dim in (node._saved_dim0, node._saved_dim1))
    yield 0, value.transpose(first, second), True


def _permuted(node: Any, value: Tensor) -> Iterator[tuple[int, Tensor, bool]]:
    dims = [signed(dim) % value.ndim for dim in node._saved_dims]
    yield 0, value.permute([dims.index(place) for place in range(value.ndim)]), True


def _same(node: Node, value: Tensor) -> Iterator[tuple[int, Tensor, bool]]:
    yield 0, value, True


def _copied(node: Node, value: Tensor) -> Iterator[tuple[int, Tensor, bool]]:
    yield 0, value, False


def _concatenated(node: Any, value: Tensor) -> Iterator[tuple[int, Tensor, bool]]:
    dim, start = signed(node._saved_dim), 0
    if any(tail is None for tail, _ in node.next_functions):
        return
    for place, (tail, output) in enumerate(node.next_functions):
        shape = output_shape(tail, output)
        if len(shape) != value.ndim:
            return
        yield place, value.narrow(dim, start, shape[dim]), False
        start += shape[dim]


def _stacked(node: Any, value: Tensor) -> Iterator[tuple[int, Tensor, bool]]:
    for place, part in enumerate(value.unbind(signed(node._saved_dim))):
        yield place, part, False


_UNDO: dict[str, Callable[[Node, Tensor], Iterator[tuple[int, Tensor, bool]]]] = {
    "AliasBackward0": _same,
    "CatBackward0": _concatenated,
    "CloneBackward0": _copied,
    "ExpandBackward0": _expanded,
    "PermuteBackward0": _permuted,
    "ReshapeAliasBackward0": _reshape,
    "SqueezeBackward0": _reshape,
    "SqueezeBackward1": _reshape,
    "SqueezeBackward2": _reshape,
    "StackBackward0": _stacked,
    "TBackward0": _transposed_matrix,
    "TransposeBackward0": _transposed,
    "UnsafeViewBackward0": _reshape,
    "UnsqueezeBackward0": _reshape,
    "ViewBackward0": _reshape,
}
