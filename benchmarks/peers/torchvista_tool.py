"""torchvista: forward pass, then an HTML page."""

from __future__ import annotations

import contextlib
import io
import tempfile
import warnings
from pathlib import Path

from torchvista import trace_model

from benchmarks.cases import Job
from benchmarks.peers.tool import Tool


def run(job: Job) -> object:
    """Its public function always writes the page; it goes to a temporary file, and what it prints is dropped."""
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(action="ignore"),
    ):
        page = Path(folder) / "page.html"
        trace_model(job.module, tuple(job.inputs), export_path=str(page))
        return page.stat().st_size


TOOLS = [
    Tool(
        name="torchvista",
        package="torchvista",
        sees="modules and functions with their shapes",
        misses="values, backward pass",
        run=run,
    )
]
