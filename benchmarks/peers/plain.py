"""Plain PyTorch: the forward and backward pass that every ratio is taken to."""

from __future__ import annotations

from benchmarks.cases import Job
from benchmarks.peers.tool import Tool


def run(job: Job) -> object:
    return job.plain()


TOOLS = [
    Tool(name="plain", package="torch", sees="the loss, the gradients of the leaves", misses="all between", run=run)
]
