"""The nodes of a graph that autograd built earlier -> what each of them computed, each result cross-examined.

What autograd kept is read (`harvest`), followed back through ops that only move elements (`moved`) and forward by
running calls again (`replay`). Three rules keep guesses out:

- A call is run again only when all its arguments are known, and also their strides unless the call only moves elements:
  the order in which a sum is taken depends on them.
- Wherever a call can be run again and its result was kept too, the two must be equal bit for bit. If they are, that
  confirms all that the arguments were computed from. If not, what they were computed from is not shown.
- A leaf may have been written to since (by an optimizer). autograd notices that only for tensors that an op saved.
  Where a leaf was ever written to and no op saved it, it and what is computed from it count only if a kept value
  confirms them.

One thing leaves no trace: a write that autograd does not see (through `.data`, or under `no_grad` to a tensor that no
op saved) and that changes no kept value that a call could be compared with, as in `relu(x - x)`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import Node
from torch.utils._python_dispatch import _disable_current_modes

import gradviz.recover.rules  # noqa: F401  (fills the table of replay)
from gradviz.opcall import OpCall, tensors_of
from gradviz.recover.bits import same_bits
from gradviz.recover.harvest import Key, fits, harvest, is_leaf, output_count
from gradviz.recover.moved import before_move
from gradviz.recover.replay import Rebuilt, rebuild, slot_names


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What could be learned about a graph.

    All dictionaries hold consumers before producers: a dictionary lets go of its keys in order, and letting go of
    autograd nodes producers first makes torch free a long chain by recursion, which ends the process.

    Attributes:
        values: the value of each output of each node that is known, detached. It shares memory with what autograd
            keeps: copy what must survive a later in-place change.
        reasons: why the other outputs are not known.
        calls: the aten call behind a node, where every argument of it is known; an in-place op is given as the op that
            makes a new tensor. Its tensors are the objects in `values`, so data flow is object identity.
        slots: for each node with a call, the edge key (the position among the call's tensor arguments) of each of its
            `next_functions`; None for no edge.
    """

    values: dict[Key, Tensor] = field(default_factory=dict)
    reasons: dict[Key, str] = field(default_factory=dict)
    calls: dict[Node, OpCall] = field(default_factory=dict)
    slots: dict[Node, tuple[int | None, ...]] = field(default_factory=dict)


def recover(nodes: Sequence[Node], known: Mapping[Key, Tensor]) -> Recovery:
    """Recover what `nodes` computed.

    Args:
        nodes: autograd nodes, producers before consumers.
        known: values that are known for certain, such as that of the output itself.

    Raises:
        TraceError: the graph was freed by an earlier backward pass.

    >>> x = torch.tensor(2.0, requires_grad=True)
    >>> y = (x + x) * 3
    >>> multiplication = y.grad_fn
    >>> addition = multiplication.next_functions[0][0]
    >>> recovery = recover([addition.next_functions[0][0], addition, multiplication], {(multiplication, 0): y})
    >>> recovery.values[addition, 0]
    tensor(4.)
    >>> recovery.calls[addition].overload, recovery.slots[addition]
    (<OpOverload(op='aten.add', overload='Tensor')>, (0, 1))
    """
    with _undisturbed():
        examiner = _Examiner(nodes, known)
        for node in nodes:
            if not is_leaf(node):
                examiner.replay(node)
        return examiner.recovery()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """No gradients, no recording, no autocast, no subclasses, no warning a second time."""
    with (
        torch.no_grad(),
        torch._C._DisableAutocast(),
        torch._C.DisableTorchFunction(),
        _disable_current_modes(),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


class _Examiner:
    """The state of one recovery."""

    def __init__(self, nodes: Sequence[Node], known: Mapping[Key, Tensor]) -> None:
        self._keys = {node: tuple((node, output) for output in range(output_count(node))) for node in nodes}
        self._kept = harvest(nodes)
        self._values = {key: value for key, value in self._kept.values.items() if key[0] not in self._kept.stale}
        self._relaid = set(self._kept.relaid)
        self._certain = set(known)
        for key, value in known.items():
            self._values[key] = value.detach()
            self._relaid.discard(key)
        self._read_edges()
        self._provisional = {
            (node, 0)
            for node in nodes
            if is_leaf(node) and node.variable._version > 0 and not self._is_backed(node)  # type: ignore[attr-defined]
        }
        self._sources: dict[Key, tuple[Key, ...]] = {}
        self._refuted: set[Key] = set()
        self._notes: dict[Node, str] = {}
        self._calls: dict[Node, OpCall] = {}
        self._used: dict[Node, tuple[Key, ...]] = {}
        self._slots: dict[Node, tuple[int | None, ...]] = {}

    def replay(self, node: Node) -> None:
        """Run the node's call again where it can be known; compare its result with what was kept, or take it."""
        outcome = self._run(node)
        if isinstance(outcome, str):
            self._notes[node] = outcome
            return
        rebuilt, results = outcome
        keys = self._keys[node]
        kept = [output for output, key in enumerate(keys) if key in self._values]
        if any(not same_bits(self._values[keys[output]], results[output]) for output in kept):
            self._notes[node] = "running the call again does not give the value that was kept"
            if not rebuilt.needs_proof and not self._rounds_relaid(node, rebuilt):
                self._refute(rebuilt.used)
            return
        if kept:
            self._confirm(self._read_by(rebuilt))
        results = list(results)
        for output, key in enumerate(keys):
            if key in self._values:
                results[output] = self._values[key]
            else:
                results[output] = self._take(key, results[output], rebuilt)
        self._calls[node] = OpCall(
            overload=rebuilt.overload, args=rebuilt.args, kwargs=rebuilt.kwargs, outputs=tuple(results)
        )
        self._used[node] = rebuilt.used
        self._slots[node] = _positions(rebuilt)

    def recovery(self) -> Recovery:
        """What is left when everything has been compared."""
        removed = self._removed()
        uses_lost = self._uses_lost()
        recovery = Recovery()
        for node in reversed(self._keys):
            for key in self._keys[node]:
                if key in removed or key not in self._values:
                    recovery.reasons[key] = removed.get(key) or self._reason(key, uses_lost.get(key, ""))
                else:
                    recovery.values[key] = self._values[key]
            if node in self._calls and removed.keys().isdisjoint((*self._keys[node], *self._used[node])):
                recovery.calls[node] = self._calls[node]
                recovery.slots[node] = self._slots[node]
        return recovery

    def _read_edges(self) -> None:
        """Saved arguments belong to the edge of that name, and what was moved can be moved back. Consumers first."""
        for node in reversed(self._keys):
            record = self._kept.saved.get(node)
            if record is None:
                continue
            for (tail, output), name in zip(node.next_functions, slot_names(node), strict=False):
                saved = record.get(name)
                if tail is not None and isinstance(saved, Tensor) and (tail, output) not in self._values:
                    self._find((tail, output), saved)
            value = self._values.get((node, 0))
            if value is not None and value.layout is torch.strided:
                for place, before, has_strides in before_move(node, value):
                    self._trace_back(node, place, before, has_strides and (node, 0) not in self._relaid)

    def _trace_back(self, node: Node, place: int, before: Tensor, has_strides: bool) -> None:
        tail, output = node.next_functions[place]
        if tail is None:
            return
        key = (tail, output)
        current = self._values.get(key)
        if current is None:
            if self._find(key, before) and not has_strides:
                self._relaid.add(key)
        elif has_strides and is_leaf(tail) and current.data_ptr() == before.data_ptr() != 0:
            # The moved tensor could be read, and it shares its version counter with the leaf.
            self._kept.vouched.add(tail)

    def _find(self, key: Key, value: Tensor) -> bool:
        if not fits(*key, value):
            return False
        self._values[key] = value
        return True

    def _is_backed(self, leaf: Node) -> bool:
        return leaf in self._kept.vouched or (leaf, 0) in self._certain or (leaf, 0) not in self._values

    def _run(self, node: Node) -> tuple[Rebuilt, Sequence[Any]] | str:
        rebuilt = rebuild(node, self._kept, self._values)
        if isinstance(rebuilt, str):
            return rebuilt
        is_kept = any(key in self._values for key in self._keys[node])
        if rebuilt.needs_proof and not is_kept:
            return "autograd does not keep all of its arguments, and no result that could prove them"
        if self._rounds_relaid(node, rebuilt) and not is_kept:
            return "the strides of an argument are not known, and rounding can depend on them"
        tensors = [tensor for _, tensor in tensors_of(rebuilt.overload, rebuilt.args, rebuilt.kwargs)]
        if any(type(tensor) is not Tensor or tensor.layout is not torch.strided for tensor in tensors):
            return "gradviz recomputes plain dense tensors only"
        try:
            results = _flat(rebuilt.overload(*rebuilt.args, **rebuilt.kwargs))
        except (RuntimeError, IndexError, TypeError, ValueError) as error:
            return f"running {rebuilt.overload} again failed ({str(error).splitlines()[0]})"
        count = len(self._keys[node])
        if len(results) < count or not all(fits(node, output, results[output]) for output in range(count)):
            return f"running {rebuilt.overload} again gives another shape, dtype or device than the graph noted"
        return rebuilt, results

    def _rounds_relaid(self, node: Node, rebuilt: Rebuilt) -> bool:
        if rebuilt.rule.moves:
            return False
        return node in self._kept.repacked or any(key in self._relaid for key in rebuilt.used)

    def _take(self, key: Key, value: Tensor, rebuilt: Rebuilt) -> Tensor:
        self._sources[key] = self._read_by(rebuilt)
        if any(source in self._provisional for source in self._sources[key]):
            self._provisional.add(key)
        is_relaid = any(source in self._relaid for source in rebuilt.used)
        # A copy may have been asked for in channels_last, which exists for four and five dimensions.
        is_restrided = rebuilt.rule.copies and (value.ndim in (4, 5) or not rebuilt.args[0].is_contiguous())
        if is_relaid or is_restrided:
            self._relaid.add(key)
        # The likeliest strides, with which a view of the copy works most often.
        value = self._values[key] = value.contiguous() if is_restrided else value
        return value

    def _read_by(self, rebuilt: Rebuilt) -> tuple[Key, ...]:
        """The values that a result shows: not those of which `where` took no element."""
        unread: list[Tensor] = []
        if rebuilt.overload is torch.ops.aten.where.self:
            condition, *choices = rebuilt.args
            taken = (condition.any(), condition.logical_not().any())
            unread = [choice for choice, some in zip(choices, taken, strict=True) if not some]
        return tuple([key for key in rebuilt.used if all(self._values[key] is not one for one in unread)])

    def _confirm(self, keys: Iterable[Key]) -> None:
        pending = [key for key in keys if key in self._provisional]
        while pending:
            key = pending.pop()
            if key in self._provisional:
                self._provisional.discard(key)
                pending.extend(self._sources.get(key, ()))

    def _refute(self, keys: Iterable[Key]) -> None:
        pending = list(keys)
        while pending:
            key = pending.pop()
            suspect = key in self._sources or (is_leaf(key[0]) and not self._is_backed(key[0]))
            if suspect and key not in self._refuted:
                self._refuted.add(key)
                pending.extend(self._sources.get(key, ()))

    def _removed(self) -> dict[Key, str]:
        """Values that the comparisons forbid to show, and all that was computed from them."""
        removed = {}
        for node, keys in self._keys.items():
            for key in keys:
                if key in self._refuted:
                    removed[key] = _REFUTED_LEAF if is_leaf(node) else _REFUTED
                elif key in self._provisional:
                    removed[key] = _UNCONFIRMED_LEAF if is_leaf(node) else _UNCONFIRMED
                elif any(source in removed for source in self._sources.get(key, ())):
                    removed[key] = "it can only be computed from values that are not known"
        return removed

    def _uses_lost(self) -> dict[Key, str]:
        return {
            (tail, output): f"; {type(node).__name__} used it, but {lost[0]}"
            for node, lost in self._kept.lost.items()
            for tail, output in node.next_functions
            if tail is not None
        }

    def _reason(self, key: Key, use_lost: str) -> str:
        node = key[0]
        if is_leaf(node):
            return "the leaf was changed in place after it was used"
        note = self._notes.get(node, "what it was computed from is not known")
        return f"nothing kept the result of {type(node).__name__}, and {note}{use_lost}"


_REFUTED = "running the forward pass again from here does not give what was kept: something was changed meanwhile"
_REFUTED_LEAF = "the leaf no longer holds the value that the results were computed from"
_UNCONFIRMED_LEAF = "the leaf was once changed in place, and nothing shows that this was before its use"
_UNCONFIRMED = (
    "it can only be computed from a leaf that was once changed in place, and nothing shows that this was before its use"
)


def _flat(result: Any) -> list[Any]:
    if isinstance(result, (tuple, list)):
        return [item for part in result for item in _flat(part)]
    return [result]


def _positions(rebuilt: Rebuilt) -> tuple[int | None, ...]:
    names = [name for name, _ in tensors_of(rebuilt.overload, rebuilt.args, rebuilt.kwargs)]
    return tuple(None if name is None else names.index(name) for name in rebuilt.slots)
