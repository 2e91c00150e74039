"""torchviz: forward pass, then a walk over autograd's nodes into DOT text; the time of drawing is left out."""

from __future__ import annotations

from torchviz import make_dot

from benchmarks.cases import Job
from benchmarks.peers.tool import Tool


def run(job: Job) -> object:
    return make_dot(job.module(*job.inputs), params=dict(job.module.named_parameters()))


TOOLS = [
    Tool(
        name="torchviz",
        package="torchviz",
        sees="autograd's nodes, names and shapes of parameters",
        misses="values, constants, backward pass",
        run=run,
    )
]
