"""Not a tool, but what every tool pays that sees each op and each gradient from Python: it keeps them in lists, no more."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import Node

from benchmarks.cases import Job
from benchmarks.peers.tool import Tool
from gradviz.recording.record import UncompiledMode


class Listening(UncompiledMode):
    """Keeps each call with its arguments and its result."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, ...]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs, result))
        return result


def run(job: Job) -> object:
    mode = Listening()
    with mode:
        loss: Tensor = job.module(*job.inputs)
    nodes: dict[Node, None] = {}
    pending = [loss.grad_fn]
    while pending:
        node = pending.pop()
        if node is not None and node not in nodes:
            nodes[node] = None
            pending += [following for following, _ in node.next_functions]
    heard: list[tuple[Any, ...]] = []
    handles = [
        node.register_hook(lambda contributions, cotangents, node=node: heard.append((node, contributions, cotangents)))
        for node in nodes
        if not hasattr(node, "variable")
    ]
    leaves = [tensor for tensor in (*job.module.parameters(), *job.inputs) if tensor.requires_grad]
    gradients = torch.autograd.grad(loss, leaves, retain_graph=True, allow_unused=True)
    for handle in handles:
        handle.remove()
    return mode.calls, heard, gradients


TOOLS = [
    Tool(
        name="listening alone",
        package="torch",
        sees="each call and what each autograd node is handed, as lists",
        misses="names, lines, graph, formulas, the values before writes",
        run=run,
    )
]
