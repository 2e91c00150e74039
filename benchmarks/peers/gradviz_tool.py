"""gradviz: one forward and one backward pass."""

from __future__ import annotations

import gradviz
from benchmarks.cases import Job
from benchmarks.peers.tool import Tool
from gradviz.render import render
from gradviz.view import view_of


def run(job: Job) -> object:
    return gradviz.trace(job.module, *job.inputs)


def run_with_statistics(job: Job) -> object:
    return gradviz.trace(job.module, *job.inputs, values="statistics")


def draw(job: Job) -> bytes:
    return render(view_of(gradviz.trace(job.module, *job.inputs)), format="svg")


TOOLS = [
    Tool(
        name="gradviz",
        package="gradviz-explorer",
        sees="every value, cotangent, contribution and local partial",
        misses="-",
        run=run,
        draw=draw,
    ),
    Tool(
        name="gradviz, statistics",
        package="gradviz-explorer",
        sees="the same; of what autograd does not hold anyway, statistics",
        misses="elements",
        run=run_with_statistics,
    ),
]
