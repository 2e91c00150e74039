"""torchview: forward pass, then the DOT text; the time of drawing is left out."""

from __future__ import annotations

from torchview import draw_graph

from benchmarks.cases import Job
from benchmarks.peers.tool import Tool


def run(job: Job) -> object:
    mode = "train" if job.module.training else "eval"
    return draw_graph(job.module, input_data=list(job.inputs), device="cpu", mode=mode, depth=float("inf"))


TOOLS = [
    Tool(
        name="torchview",
        package="torchview",
        sees="modules and functions with their shapes",
        misses="values, backward pass",
        run=run,
    )
]
