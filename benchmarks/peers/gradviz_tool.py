"""gradviz: one forward and one backward pass."""

from __future__ import annotations

import gradviz
from benchmarks.cases import Job
from benchmarks.peers.tool import Tool


def run(job: Job) -> object:
    return gradviz.trace(job.module, *job.inputs)


TOOLS = [
    Tool(
        name="gradviz",
        package="gradviz-explorer",
        sees="every value, cotangent, contribution and local partial",
        misses="-",
        run=run,
    )
]
