"""Runs one real backward pass and turns it into cotangents and contributions, in the engine's own order.

A hook on every node listens; nothing is changed. `torch.autograd.grad` is used, so `.grad` stays as it was, and the graph's
buffers are kept, so that local partials can be asked for later.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import filterfalse
from operator import attrgetter

import torch
from torch import Tensor
from torch.autograd.graph import Node

from gradviz.errors import TraceError
from gradviz.recording.accumulating import accumulated, hooks_of_leaves
from gradviz.recording.again import AGAIN_BYTES
from gradviz.recording.backward_log import BudgetedLog, Log
from gradviz.recording.failed_backward import backward_failure
from gradviz.recording.handed_on import HandedOnAgain
from gradviz.recording.hooks import NodeHooks, count_own, hooks_of_node, registered_by_others, remove_from_nodes
from gradviz.recording.keeping import Keeper
from gradviz.recording.nodes import Slot, Slots, Tensors, forward_class, is_custom, node_of
from gradviz.recording.spread import refuse_distributed

_run_engine: Callable[..., tuple[Tensor | None, ...]] = torch.autograd.graph._engine_run_backward
"""What `torch.autograd.grad` calls after checks of shapes that take a twentieth of a small trace; here they fit."""

_retains_grad = attrgetter("retains_grad")

__all__ = ["AutogradGraph", "Backward", "Slots", "autograd_graph", "gradients_aside", "run_backward"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AutogradGraph:
    """The autograd nodes that the outputs reach.

    Attributes:
        slots: node -> its `next_functions`: for each differentiable input, the node that made it and which of its outputs.
        variables: AccumulateGrad node -> its leaf tensor.
        roots: the outputs themselves, each as a node and which of its outputs.
    """

    slots: dict[Node, Slots]
    variables: dict[Node, Tensor]
    roots: Sequence[Slot]

    def forward_order(self) -> list[Node]:
        """The nodes so that each comes after those that feed it."""
        uses = dict.fromkeys(self.slots, 0)
        for slots in self.slots.values():
            for tail, _ in slots:
                if tail is not None:
                    uses[tail] += 1
        ready = [node for node, count in uses.items() if count == 0]
        order: list[Node] = []
        while ready:
            node = ready.pop()
            order.append(node)
            for tail, _ in self.slots[node]:
                if tail is not None:
                    uses[tail] -= 1
                    if uses[tail] == 0:
                        ready.append(tail)
        order.reverse()
        return order


@dataclass(frozen=True, slots=True, kw_only=True)
class Backward:
    """What one backward pass computed.

    Attributes:
        order: nodes in the order in which the engine ran them; AccumulateGrad nodes are not among them.
        cotangents: node -> d(output)/d(its outputs), one per output, None where none arrived.
        contributions: node -> what it adds to each of its slots' cotangents, before a hook there changes or writes to it.
        gradients: AccumulateGrad node -> the gradient of its leaf, None where none arrived.
        inner: leaves, each with the gradient that another backward pass gave it, which a custom Function ran in its own.
        hooks: node -> the hooks that lay on it when the pass began; of an AccumulateGrad node also those after accumulation.
    """

    order: tuple[Node, ...]
    cotangents: dict[Node, Tensors]
    contributions: dict[Node, Tensors]
    gradients: dict[Node, Tensor | None]
    inner: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    hooks: dict[Node, NodeHooks] = field(default_factory=dict)


def autograd_graph(roots: Sequence[Slot]) -> AutogradGraph:
    """Every node that `roots` reach. Iterative: a chain of 100,000 nodes is a legal graph."""
    slots: dict[Node, Slots] = {}
    variables: dict[Node, Tensor] = {}
    pending = [node for node, _ in roots if node is not None]
    while pending:
        node = pending.pop()
        if node in slots:
            continue
        following = slots[node] = node.next_functions
        if not following and hasattr(node, "variable"):
            variables[node] = node.variable
        for tail, _ in following:
            if tail is not None:
                pending.append(tail)
    return AutogradGraph(slots=slots, variables=variables, roots=roots)


def run_backward(
    graph: AutogradGraph,
    outputs: Sequence[Tensor],
    grad_outputs: Sequence[Tensor],
    in_sight: Callable[[], Iterator[Tensor]],
    keeper: Keeper,
    read: Callable[[], Sequence[Tensor]],
    kept_graphs: Collection[str] = (),
) -> Backward:
    """One backward pass from `outputs`, whose cotangents are `grad_outputs`. The hooks of tensors are called as in any.

    It runs outside of autocast, as torch wants backward passes to, also where the code around is inside.

    Args:
        graph: all that `outputs` reach.
        outputs, grad_outputs: one cotangent per output.
        in_sight: tells the tensors that are known, some of which may have hooks, or keep `.grad` although they are no
            leaves; a list of them would look as if somebody held them.
        keeper: has kept the forward values, and says how much room is left.
        read: tells the leaves that the code read, for where a custom Function runs a backward pass of its own.
        kept_graphs: the buffers that hold the graph of an earlier step, as "state of Memory".

    Raises:
        TraceError: where DTensors or compiled code made a part of the graph, an earlier pass freed it, or this one fails.
    """
    nodes = [*filterfalse(graph.variables.__contains__, graph.slots)]
    custom = [*filter(is_custom, nodes)]
    _refuse_compiled(custom)
    refuse_distributed(graph.variables.values(), custom)
    asks = registered_by_others()
    of_leaves = hooks_of_leaves(graph.variables) if asks else {}
    hooks = {node: lying for node in nodes if any(lying := hooks_of_node(node))} if asks else {}
    log = Log() if keeper.keeping.is_total else _budgeted_log(graph, keeper, hooks, in_sight if asks else None)
    leaves = tuple(graph.variables.values())
    filled = {id(leaf): leaf for leaf in (*leaves, *(read() if custom else ()))} if custom or of_leaves else {}
    engine = partial(_run_engine, tuple(outputs), tuple(grad_outputs), True, False, leaves, True)
    with (
        torch._C._DisableAutocast(),
        _heard(graph, nodes, log, _hooked(graph, hooks | of_leaves, in_sight) if asks else frozenset()),
        _gradients_of([*filter(_retains_grad, in_sight())]),
        gradients_aside([*filled.values()]) as inner,
    ):
        try:
            if of_leaves:
                found: Sequence[Tensor | None] = accumulated(graph.variables, partial(engine, accumulate_grad=True))
            else:
                found = engine(accumulate_grad=False)
        except RuntimeError as error:
            raise TraceError(backward_failure(error, custom, kept_graphs)) from error
    log.finish()
    order, contributions, cotangents = zip(*log.entries, strict=True) if log.entries else ((), (), ())
    gathered = {id(leaf) for leaf in leaves} if of_leaves else set()
    return Backward(
        order=order,
        cotangents=dict(zip(order, cotangents, strict=True)),
        contributions=dict(zip(order, contributions, strict=True)),
        gradients=dict(zip(graph.variables, found, strict=True)),
        inner=[(leaf, gradient) for leaf, gradient in inner if id(leaf) not in gathered],
        hooks=hooks | of_leaves,
    )


def _budgeted_log(
    graph: AutogradGraph,
    keeper: Keeper,
    hooks: dict[Node, NodeHooks],
    in_sight: Callable[[], Iterator[Tensor]] | None,
) -> BudgetedLog:
    """The log that keeps to the budget.

    A cotangent is the sum of contributions unless the pass starts there or a hook on the tensor or the node changes it. No
    node tells of the hooks on tensors: the tensor has to be in sight, where there may be hooks (`in_sight` is not None).
    Hooks and hand-written backward functions may also write to what they are handed, which through `.data` or numpy leaves
    no trace.
    """
    again = None
    if keeper.may_compute_again and keeper.made_bytes >= AGAIN_BYTES:  # else no tensor need be asked for its size
        unhooked = in_sight and {(node_of(one), one.output_nr) for one in in_sight() if not one._backward_hooks}
        hooked = {(node_of(one), one.output_nr) for one in in_sight() if one._backward_hooks} if in_sight else set()

        def may_be_written(slot: Slot) -> bool:
            node, _ = slot
            return slot in hooked or (node is not None and (is_custom(node) or bool(hooks.get(node, NodeHooks()).before)))

        def is_sum(slot: Slot) -> bool:
            return slot not in graph.roots and (unhooked is None or slot in unhooked) and not may_be_written(slot)

        again = HandedOnAgain(graph.slots, graph.variables, hooks, is_sum, may_be_written)
    return BudgetedLog(graph.slots, graph.variables, keeper, again)


def _hooked(
    graph: AutogradGraph, hooks: dict[Node, NodeHooks], in_sight: Callable[[], Iterator[Tensor]]
) -> frozenset[Slot]:
    """Who has hooks, on the tensor or the node, that are handed what arrives, and may write to it."""
    of_leaves = {(node, 0) for node, leaf in graph.variables.items() if leaf._backward_hooks}
    of_tensors = {(node_of(one), one.output_nr) for one in in_sight() if one._backward_hooks}
    of_nodes = {slot for slots in graph.slots.values() for slot in slots if slot[0] in hooks and hooks[slot[0]].before}
    return frozenset(of_leaves | of_tensors | of_nodes)


class _heard:
    """The log hears what each node is handed and hands on; of what goes to the hooked a copy, before they write to it.

    A class, as a generator takes as long as hooking ten nodes.
    """

    def __init__(self, graph: AutogradGraph, nodes: Sequence[Node], log: Log, hooked: Collection[Slot]) -> None:
        hear = log.hear
        if hooked:
            self._handles = [node.register_hook(_hearing(hear, node, graph.slots[node], hooked)) for node in nodes]
        else:
            self._handles = [node.register_hook(partial(hear, node)) for node in nodes]
        count_own(len(self._handles))

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: object) -> None:
        remove_from_nodes(self._handles)


def _hearing(
    hear: Callable[[Node, Tensors, Tensors], None], node: Node, slots: Slots, hooked: Collection[Slot]
) -> Callable[[Tensors, Tensors], None]:
    copied = [slot in hooked for slot in slots]
    return partial(_hear_copies, hear, copied, node) if any(copied) else partial(hear, node)


def _hear_copies(
    hear: Callable[[Node, Tensors, Tensors], None],
    copied: Sequence[bool],
    node: Node,
    contributions: Tensors,
    cotangents: Tensors,
) -> None:
    both = zip(contributions, copied, strict=True)
    hear(node, tuple(one.clone() if is_copied and one is not None else one for one, is_copied in both), cotangents)


class _gradients_of:
    """`.grad` of tensors as it was, whatever is added to it within."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._held = [(tensor, tensor.grad) for tensor in tensors]

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: object) -> None:
        for tensor, gradient in self._held:
            tensor.grad = gradient


@contextmanager
def gradients_aside(leaves: Sequence[Tensor]) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Leaves `.grad` and the random numbers as they were, whatever runs a backward pass within; see `Backward.inner`."""
    inner: list[tuple[Tensor, Tensor]] = []
    if not leaves:
        yield inner
        return
    devices = {leaf.device for leaf in leaves if leaf.device.type == "cuda"}
    held = [leaf.grad for leaf in leaves]
    for leaf in leaves:
        leaf.grad = None
    try:
        with torch.random.fork_rng(devices=devices):
            yield inner
        inner += [(leaf, leaf.grad) for leaf in leaves if leaf.grad is not None]
    finally:
        for leaf, gradient in zip(leaves, held, strict=True):
            leaf.grad = gradient


def _refuse_compiled(custom: Sequence[Node]) -> None:
    """Objects to what AOTAutograd, the middle of `torch.compile`, made of many calls, among nodes of custom Functions."""
    if any(getattr(forward_class(node), "__module__", "").startswith("torch._functorch") for node in custom):
        raise TraceError(
            "a part of this was computed by code that torch.compile or functorch's aot_function has compiled, whose ops "
            "autograd does not see one by one; trace the function itself (gradviz.trace(fn, x) runs what torch.compile made "
            "op by op), or the model or function before it is compiled"
        )
