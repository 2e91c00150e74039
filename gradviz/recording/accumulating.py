"""Runs a backward pass that fills `.grad`, as `.backward()` does: hooks on leaves may act only there.

`torch.autograd.grad` stops before the nodes that gather gradients: hooks on these, hooks after accumulation, and hooks that
wait for several leaves are not called there. Filling `.grad` copies each gradient, so it is done only where such hooks are.
Hooks after accumulation may take a step there and then. A trace takes none: those with an optimizer in sight are not called,
and what others write to a leaf is undone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import Node
from torch.optim.optimizer import Optimizer

from gradviz.recording.data_assignment import set_data
from gradviz.recording.hooks import NodeHooks, count_own, described, hooks_of_node
from gradviz.recording.names import closure_names
from gradviz.recording.nodes import code_behind


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
    """Whether a hook has an optimizer in sight: tracing a step does not take it.

    >>> weight = torch.ones(1, requires_grad=True)
    >>> takes_a_step(partial(print, torch.optim.SGD([weight]))), takes_a_step(print)
    (True, False)
    """
    bound: list[Any] = []
    while isinstance(hook, partial):
        bound += [*hook.args, *hook.keywords.values()]
        hook = hook.func
    named, code = closure_names(hook), code_behind(hook)
    holders = [vars(one) for one in (*named.values(), *bound) if hasattr(one, "__dict__")]
    attributes = [held[name] for name in (code.co_names if code is not None else ()) for held in holders if name in held]
    return any(map(_is_or_holds_optimizer, (*named.values(), *bound, *attributes)))


def _is_or_holds_optimizer(value: Any) -> bool:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else (value,)
    return any(isinstance(item, Optimizer) for item in items)


def accumulated(variables: Mapping[Node, Tensor], run: Callable[[], Any]) -> list[Tensor | None]:
    """The gradients of the leaves after `run`, a backward pass that fills their `.grad`, which is None before.

    Of a leaf whose hook takes `.grad` away, it is what arrived.
    """
    arrived: dict[Node, Tensor | None] = {}
    handles = [node.register_prehook(partial(_note, arrived, node)) for node in variables]
    count_own(len(handles))
    try:
        with _without_steps(variables.values()), _values_restored(variables.values()):
            run()
    finally:
        for handle in handles:
            handle.remove()
    return [arrived.get(node) if leaf.grad is None else leaf.grad for node, leaf in variables.items()]


def _note(arrived: dict[Node, Tensor | None], node: Node, gradients: Sequence[Tensor | None]) -> None:
    arrived[node] = gradients[0]


@contextmanager
def _without_steps(leaves: Iterable[Tensor]) -> Iterator[None]:
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


@contextmanager
def _values_restored(leaves: Iterable[Tensor]) -> Iterator[None]:
    """Undoes what hooks after accumulation write to their leaves, as `p -= lr * p.grad` does."""
    with torch.no_grad():
        hooked = [leaf for leaf in leaves if leaf._post_accumulate_grad_hooks and _has_values(leaf)]
        held = [(leaf, leaf._version, leaf.detach(), leaf.detach().clone()) for leaf in hooked]
    try:
        yield
    finally:
        for leaf, version, memory, values in held:
            with torch.no_grad():
                set_data(leaf, memory)
                if not torch.equal(memory, values):
                    memory.copy_(values)
            torch._C._autograd._unsafe_set_version_counter((leaf,), (version,))


def _has_values(leaf: Tensor) -> bool:
    return leaf.layout is torch.strided and not leaf.is_meta
