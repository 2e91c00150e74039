"""What several findings read of one graph: sizes of tensors, each measured once, and what stands behind views and copies."""

from __future__ import annotations

import cmath
from collections.abc import Iterator
from functools import cached_property

import torch
from torch import Tensor

from gradviz.check import CheckReport
from gradviz.graph import GradGraph, Use
from gradviz.opcall import is_inexact
from gradviz.standin import is_kept
from gradviz.statistics import is_readable, norm_of
from gradviz.view.summary import kept_statistics, norm

VIEWS = frozenset(
    {
        *("view", "_unsafe_view", "reshape", "unsqueeze", "squeeze", "transpose", "permute", "t", "expand", "clone"),
        *("alias", "contiguous", "flatten", "slice", "select", "narrow", "split", "chunk", "unbind", "detach", "index"),
        *("cat", "stack"),
    }
)
"""Ops that move numbers and change none."""
COPIES = VIEWS | {"_to_copy"}
SUMMING = COPIES | {"mean", "sum", "add", "sub", "neg", "pow", "mul", "div"}
STEPS = frozenset({"round", "floor", "ceil", "trunc", "sign", "sgn", "heaviside"})
FLAT_FUNCTIONS = STEPS | {"gt", "ge", "lt", "le", "eq", "ne", "argmax", "argmin", "bernoulli"}
"""Functions whose derivative is zero wherever there is one."""
MATRIX_PRODUCTS = frozenset({"mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "dot", "convolution", "mkldnn_rnn_layer"})


def called(op: str) -> str:
    """A function by the name that people call it by.

    >>> called("nll_loss_forward"), called("_softmax"), called("_scaled_dot_product_flash_attention_for_cpu")
    ('nll_loss', 'softmax', 'scaled_dot_product_attention')
    """
    if op.startswith("_scaled_dot_product"):
        return "scaled_dot_product_attention"
    return op.removesuffix("_forward").strip("_").removeprefix("native_")


class Readings:
    """A graph to be diagnosed.

    Attributes:
        graph: the traced graph.
        report: a check of some or all of its edges.
        is_of_hooks: whether the report tells which hooks change gradients, and which are meant to.
        is_coarse: whether something was told from statistics that the elements would tell more of.
        unanswered: question -> the node at which it came up; only what was traced here can answer it, no loaded graph.
    """

    def __init__(self, graph: GradGraph, report: CheckReport, *, is_of_hooks: bool) -> None:
        self.graph = graph
        self.report = report
        self.is_of_hooks = is_of_hooks
        self.is_coarse = False
        self.unanswered: dict[str, int] = {}
        self._norms: dict[int, float] = {}
        self._finite: dict[int, bool] = {}
        self._heads: dict[int, list[int]] = {}
        self._kept: list[Tensor] = []  # keeps what is known by id alive

    def leave_hooks_unanswered(self, node: int) -> None:
        """Says of a loaded graph that nobody knows what a node hands its hooks, which are told by name and line."""
        if self.graph.is_loaded:
            hooks = " or ".join(self.graph.node_hooks()[node].after)
            self.unanswered[f"whether the hook {hooks} changes what {self.name(node)} passes on"] = node

    def norm(self, tensor: Tensor | None) -> float:
        """The Euclidean norm, in float32 at least; 0 for None and for what has no elements."""
        if tensor is not None and (known := kept_statistics(tensor)) is not None:
            return norm(tensor) if known.count else 0.0
        if tensor is None:
            return 0.0
        if id(tensor) not in self._norms:
            self._norms[id(tensor)] = norm_of(tensor)
            self._kept.append(tensor)
        return self._norms[id(tensor)]

    def is_finite(self, tensor: Tensor | None) -> bool:
        """Whether every element is a finite number; an unknown tensor counts as finite."""
        if tensor is None or not is_readable(tensor) or not is_inexact(tensor):
            return True
        if (known := kept_statistics(tensor)) is not None:
            return known.finite == known.count
        if id(tensor) not in self._finite:
            # A finite sum has finite terms only; one that is not may have overflowed.
            self._finite[id(tensor)] = cmath.isfinite(tensor.sum().item()) or bool(torch.isfinite(tensor).all())
            self._kept.append(tensor)
        return self._finite[id(tensor)]

    def has_elements(self, tensor: Tensor) -> bool:
        """Whether the elements were kept; where not, what is told without them is marked as coarse."""
        self.is_coarse |= not is_kept(tensor)
        return is_kept(tensor)

    def largest(self, tensor: Tensor) -> float:
        """The largest of a tensor's finite elements, whether these are kept or not."""
        known = kept_statistics(tensor)
        return float(tensor.max()) if known is None else known.high

    def largest_size(self, tensor: Tensor) -> float:
        """The largest magnitude, whether the elements are kept or not."""
        known = kept_statistics(tensor)
        return float(tensor.abs().max()) if known is None else max(abs(known.low), abs(known.high))

    def values(self, node: int) -> Iterator[Tensor]:
        """The known forward values of a node's outputs."""
        value = self.graph.nodes[node]["value"]
        yield from (one for one in (value if isinstance(value, tuple) else (value,)) if one is not None)

    def cotangents(self, node: int) -> Iterator[Tensor]:
        """The cotangents that reached a node's outputs."""
        cotangent = self.graph.nodes[node]["cotangent"]
        yield from (one for one in (cotangent if isinstance(cotangent, tuple) else (cotangent,)) if one is not None)

    def arriving(self, node: int) -> float:
        """The largest norm of a cotangent that reached a node's outputs; 0 where none did."""
        return max(map(self.norm, self.cotangents(node)), default=0.0)

    def value_of(self, use: Use) -> Tensor | None:
        """The value that an edge carries."""
        return self.graph.value(use.edge[0], use.output)

    @cached_property
    def ops(self) -> list[int]:
        """The nodes that are calls."""
        return [node for node, kind in self.graph.nodes(data="kind") if kind == "op"]

    @cached_property
    def arguments(self) -> dict[int, list[Use]]:
        """Node -> the edges into it, by argument position."""
        return {node: self.graph.arguments_of(node) for node in self.graph}

    def op(self, node: int) -> str:
        """The name of a node's function, "" of a leaf or constant."""
        return str(self.graph.nodes[node]["op"])

    def op_written(self, node: int) -> str:
        """The name of a node's function; of a write to a view that of the call that wrote, as mul of `y[1:] *= mask`."""
        op, calls = self.op(node), self.graph.nodes[node]["inner_calls"]
        return calls[1].op if op == "copy_slices" and len(calls) > 1 else op

    def function(self, node: int) -> str:
        """What the user calls a node's function: `nll_loss_forward` is nll_loss, `_log_softmax` log_softmax."""
        return called(self.op(node))

    def name(self, node: int) -> str:
        """What a node is called."""
        return str(self.graph.nodes[node]["name"])

    def argument(self, node: int, name: str) -> Use | None:
        """The edge that carries one argument of a call."""
        return next((use for use in self.arguments[node] if use.argument == name), None)

    def behind(self, node: int, through: frozenset[str] = VIEWS) -> int:
        """The node whose numbers a chain of views shows: the first one, going back, whose op is not in `through`.

        Of what was joined it is the first part that has elements: a cache of keys begins empty.
        """
        while self.op(node) in through and self.arguments[node]:
            uses = self.arguments[node]
            if self.op(node) == "cat":
                uses = [use for use in uses if (value := self.value_of(use)) is None or value.numel()] or uses
            node = uses[0].edge[0]
        return node

    def users(self, node: int, through: frozenset[str] = VIEWS) -> Iterator[int]:
        """The ops that use a node's numbers, looked at through views."""
        seen, pending = {node}, [node]
        while pending:
            for use in self.graph.uses_of(pending.pop()):
                head = use.edge[1]
                if head in seen:
                    continue
                seen.add(head)
                if self.op(head) in through:
                    pending.append(head)
                else:
                    yield head

    def is_a_term_of_the_loss(self, node: int) -> bool:
        """Whether the output is nothing but a sum or mean of a node's numbers, or of their powers, with other terms."""
        return all(
            self.op(head) in SUMMING and (self.op(head) not in ("mul", "div") or len(self.arguments[head]) == 1)
            for head in self._going_ahead(node)
        )

    def ahead_of(self, node: int) -> set[int]:
        """Every node on a way from a node to the outputs, without itself."""
        return set(self._going_ahead(node))

    def _going_ahead(self, node: int) -> Iterator[int]:
        seen: set[int] = set()
        pending = [node]
        while pending:
            for head in self._heads_of(pending.pop()):
                if head not in seen:
                    seen.add(head)
                    pending.append(head)
                    yield head

    def _heads_of(self, node: int) -> list[int]:
        """The calls that a node's gradient comes from, looked up once: ways are walked from many nodes."""
        heads = self._heads.get(node)
        if heads is None:
            heads = [use.edge[1] for use in self.graph.uses_of(node) if use.partial is not None]
            self._heads[node] = heads
        return heads

    def behind_of(self, *nodes: int) -> set[int]:
        """Every node that a gradient at one of these nodes goes on to."""
        seen: set[int] = set()
        pending = list(nodes)
        while pending:
            for use in self.arguments[pending.pop()]:
                if use.partial is not None and use.edge[0] not in seen:
                    seen.add(use.edge[0])
                    pending.append(use.edge[0])
        return seen

    def made_of(self, node: int) -> set[int]:
        """Everything that a node was computed from, with and without a gradient, without itself."""
        seen: set[int] = set()
        pending = [node]
        while pending:
            tails = {use.edge[0] for use in self.arguments[pending.pop()]} - seen
            seen |= tails
            pending += tails
        return seen
