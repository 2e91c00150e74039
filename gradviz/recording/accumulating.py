"""Runs a backward pass that fills `.grad`, as `.backward()` does: hooks on leaves may act only there.

`torch.autograd.grad` stops before the nodes that gather gradients: hooks on these, hooks after accumulation, and hooks that
wait for several leaves are not called there. Filling `.grad` copies each gradient, so it is done only where such hooks are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor
from torch.autograd.graph import Node
from torch.utils.hooks import RemovableHandle

from gradviz.recording.hooks import NodeHooks, count_own, described, hooks_of_node
from gradviz.recording.names import closure_names
from gradviz.recording.optimizers import optimizers_in


def hooks_of_leaves(variables: Mapping[Node, Tensor]) -> dict[Node, NodeHooks]:
    """The hooks that act only where `.grad` is filled, by the node that fills it; hooks on the leaf itself count with none.

    Args:
        variables: AccumulateGrad node -> its leaf.
    """
    found: dict[Node, NodeHooks] = {}
    for node, leaf in variables.items():
        before, after = hooks_of_node(node)
        later = [hook for hook in (leaf._post_accumulate_grad_hooks or {}).values() if not takes_a_step(hook)]
        if before or after or leaf._post_accumulate_grad_hooks or leaf._backward_hooks:
            found[node] = NodeHooks(before=(*before, *map(described, later)), after=after)
    return found


def takes_a_step(hook: Any) -> bool:
    """Whether a hook has an optimizer in sight: tracing a step does not take it."""
    return bool(optimizers_in(closure_names(hook)))


def accumulated(variables: Mapping[Node, Tensor], run: Callable[[], Any]) -> list[Tensor | None]:
    """The gradients of the leaves after `run`, a backward pass that fills their `.grad`, which is None before.

    Of a leaf whose hook takes `.grad` away, it is what arrived.
    """
    arrived: dict[Node, Tensor | None] = {}
    first = RemovableHandle.next_id
    handles = [node.register_prehook(partial(_note, arrived, node)) for node in variables]
    count_own(first)
    try:
        with _without_steps(variables.values()):
            run()
    finally:
        for handle in handles:
            handle.remove()
    return [arrived.get(node) if leaf.grad is None else leaf.grad for node, leaf in variables.items()]


def _note(arrived: dict[Node, Tensor | None], node: Node, gradients: Sequence[Tensor | None]) -> None:
    arrived[node] = gradients[0]


@contextmanager
def _without_steps(leaves: Any) -> Iterator[None]:
    """Takes away the hooks that take a step of an optimizer, and puts them back in their places."""
    held: list[tuple[dict[int, Any], dict[int, Any], set[int]]] = []
    for leaf in leaves:
        hooks = leaf._post_accumulate_grad_hooks or {}
        if stepping := {key for key, hook in hooks.items() if takes_a_step(hook)}:
            held.append((hooks, dict(hooks), stepping))
            for key in stepping:
                del hooks[key]
    try:
        yield
    finally:
        for hooks, before, stepping in held:
            now = dict(hooks)
            hooks.clear()
            hooks.update({key: hook for key, hook in before.items() if key in now or key in stepping} | now)
