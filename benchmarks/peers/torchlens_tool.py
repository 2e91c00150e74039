"""TorchLens, twice: forward pass alone, and with the gradients of every op.

It replaces the functions of torch for good when it first traces. Left in place they would slow the plain pass and every
other tool by two thirds on scalars, so they are put in and taken out around each run, untimed. They must have been in
place once before transformers is imported, else TorchLens runs the forward pass twice to find what it missed.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import torch
import torchlens
from torchlens.backends.torch.wrappers import unwrap_torch, wrap_torch

from benchmarks.cases import Job
from benchmarks.peers.tool import Tool

warnings.filterwarnings("ignore", module="torchlens")
torchlens.trace(torch.nn.Identity(), torch.zeros(1))
unwrap_torch()


def run_forward(job: Job) -> object:
    return torchlens.trace(job.module, list(job.inputs))


def run_with_gradients(job: Job) -> torchlens.Trace:
    options = torchlens.options.CaptureOptions(save_grads=True)
    log = torchlens.trace(job.module, list(job.inputs), capture=options)
    log.log_backward(log[log.output_layers[0]].out)
    return log


def draw_with_gradients(job: Job) -> bytes:
    """Condensed, as it is by itself for a reader: its full picture of a large model takes Graphviz minutes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        log = run_with_gradients(job)
        log.draw(vis_outpath=str(path), vis_save_only=True, vis_fileformat="svg", collapse="auto")
        return path.with_suffix(".svg").read_bytes()


TOOLS = [
    Tool(
        name="TorchLens",
        package="torchlens",
        sees="every value",
        misses="backward pass",
        run=run_forward,
        before=wrap_torch,
        after=unwrap_torch,
    ),
    Tool(
        name="TorchLens + gradients",
        package="torchlens",
        sees="every value and cotangent",
        misses="contributions and local partials",
        run=run_with_gradients,
        draw=draw_with_gradients,
        before=wrap_torch,
        after=unwrap_torch,
    ),
]
