"""Whose hooks there are is told by their number, whatever other threads register meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.hooks import RemovableHandle

from gradviz.recording import hooks


def test_a_hook_that_another_thread_registers_meanwhile_is_not_our_own() -> None:
    x = torch.ones(2, requires_grad=True)
    node = (x * 2).grad_fn
    assert node is not None

    class Interrupted:
        """An autograd node on which the user's hooks arrive while gradviz asks for its own."""

        def register_prehook(self, hook: Callable[..., Any]) -> RemovableHandle:
            x.register_hook(torch.neg)
            return node.register_prehook(hook)  # type: ignore[union-attr]

        def register_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
            return node.register_hook(hook)  # type: ignore[union-attr]

    of_others = RemovableHandle.next_id - hooks._own
    assert hooks.hooks_of_node(Interrupted()) == ((), ())  # type: ignore[arg-type]
    assert RemovableHandle.next_id - hooks._own == of_others + 1
    assert hooks.registered_by_others()
