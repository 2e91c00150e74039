"""What is made once and shared by all visitors: the latest of it, bounded by its size in memory, not by its number."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from torch import Tensor
from torch.utils._pytree import tree_leaves

from gradviz.graph import GradGraph
from gradviz.recording.versions import storage_bytes
from gradviz.standin import StandIn

BYTES_PER_NODE = 16 * 1024
"""Of a graph and its report, beside the tensors: measured 5 to 16 KiB."""

T = TypeVar("T")


class Kept(Generic[T]):
    """The latest values, up to so many bytes in all.

    >>> texts = Kept(10, len)
    >>> [texts.get(number, lambda: "four") for number in (1, 2, 1, 3)]
    ['four', 'four', 'four', 'four']
    >>> texts.keys, texts.size_bytes
    ([1, 3], 8)
    """

    def __init__(self, most_bytes: int, size_of: Callable[[T], int]) -> None:
        """Nothing yet.

        Args:
            most_bytes: of all values together; one that is larger alone is handed out and not kept.
            size_of: the bytes of a value.
        """
        self._most_bytes, self._size_of = most_bytes, size_of
        self._values: OrderedDict[Hashable, tuple[T, int]] = OrderedDict()
        self._guard = threading.Lock()

    @property
    def keys(self) -> list[Hashable]:
        """Of what is kept, the one that was not asked for the longest first."""
        return list(self._values)

    @property
    def size_bytes(self) -> int:
        """Of all that is kept."""
        return sum(size for _, size in self._values.values())

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value of a key, made where it is not kept; two threads may both make it, and both get the first one's."""
        with self._guard:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key][0]
        made = make()
        size = self._size_of(made)
        if size > self._most_bytes:
            return made
        with self._guard:
            value, _ = self._values.setdefault(key, (made, size))
            self._values.move_to_end(key)
            while self.size_bytes > self._most_bytes:
                self._values.popitem(last=False)
        return value


def graph_bytes(graph: GradGraph) -> int:
    """About how much memory a graph takes: dense tensors, what they share counted once, and so much for each node.

    >>> import gradviz
    >>> graph = gradviz.trace("sum(A @ A.T)", A=[[1.0] * 20] * 20, device="cpu")
    >>> (graph_bytes(graph) - BYTES_PER_NODE * len(graph)) // (20 * 20 * 8)  # A, A @ A.T and three that flow back
    5
    """
    held = [attributes[name] for _, attributes in graph.nodes(data=True) for name in ("value", "cotangent")]
    held += [contribution for *_, contribution in graph.edges(data="contribution")]
    tensors = [one.held if isinstance(one, StandIn) else one for one in tree_leaves(held) if isinstance(one, Tensor)]
    dense = [one for one in tensors if one is not None and not one.is_meta and storage_bytes(one)]
    sizes = {one.untyped_storage()._cdata: storage_bytes(one) for one in dense}
    return BYTES_PER_NODE * len(graph) + sum(sizes.values())
