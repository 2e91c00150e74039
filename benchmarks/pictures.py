"""`python -m benchmarks.pictures`: the first picture of large models: how long it takes, and how large it is.

Beside it, the pictures that torchview and torchviz make of the same model, drawn by the same Graphviz under a time limit.
Then a cell unrolled to 1,000, 10,000 and 100,000 nodes, of which the trace counts too, beyond the plain pass. It ends with 1
where a picture of gradviz is late or too long.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

import gradviz
from benchmarks.cases import CASES, Job
from gradviz.errors import RenderError
from gradviz.render import draw, render, start
from gradviz.view import view_of

LIMIT_S = 2.0
"""For the first picture after the trace."""
LARGE_LIMIT_S = 10.0
"""For trace and first picture of 100,000 nodes, beyond the plain pass."""
LONGEST_POINTS = 2600
"""A longer picture is not read at a glance."""
PEER_LIMIT_S = 60.0
GROWTH = (1_000, 10_000, 100_000)
NODES_PER_STEP = 16


class Unrolled(nn.Module):
    """An LSTM cell called once per step, and a loss on its last state."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(8, 16)
        self.head = nn.Linear(16, 1)
        self.steps = steps

    def forward(self, x: Tensor) -> Tensor:
        h = c = x.new_zeros(x.shape[1], 16)
        for step in range(self.steps):
            h, c = self.cell(x[step], (h, c))
        loss: Tensor = self.head(h).square().mean()
        return loss


def lstm(steps: int) -> Job:
    torch.manual_seed(0)
    return Job(module=Unrolled(steps), inputs=(torch.randn(steps, 2, 8),))


def first_picture(title: str, job: Job, limit_s: float, folder: Path | None, *, with_trace: bool = False) -> bool:
    """Traces, draws, prints; whether the picture is in time and readable."""
    job.plain()  # the first one warms up
    began = time.perf_counter()
    job.plain()
    plain_s = time.perf_counter() - began
    job.drop_gradients()
    began = time.perf_counter()
    graph = gradviz.trace(job.module, *job.inputs)
    traced = time.perf_counter()
    view = view_of(graph)
    viewed = time.perf_counter()
    svg = render(view, format="svg").decode()
    total_s = time.perf_counter() - traced
    width, height = size_of(svg)
    counted_s = total_s + traced - began - plain_s if with_trace else total_s
    good = counted_s <= limit_s and max(width, height) <= LONGEST_POINTS
    within = f"with the trace {counted_s:.2f} beyond a plain pass, " if with_trace else ""
    print(
        f"{title}: {len(graph):,} nodes traced in {traced - began:.2f} s; first picture {total_s:.2f} s "
        f"(view {viewed - traced:.2f}, drawing {total_s - viewed + traced:.2f}; {within}limit {limit_s:g}), "
        f"{len(view.nodes)} nodes, {len(view.groups)} groups, {width} x {height} points{'' if good else '  MISSED'}",
        flush=True,
    )
    if folder is not None:
        (folder / f"{re.sub(r'[^a-z0-9]+', '_', title.lower())}.svg").write_text(svg)
    return good


def size_of(svg: str) -> tuple[int, int]:
    """Width and height in points, as Graphviz writes them."""
    width, height = re.findall(r'(?:width|height)="([\d.]+)pt"', svg[:2000])[:2]
    return round(float(width)), round(float(height))


def peers() -> dict[str, Callable[[Job], str]]:
    """Name -> the DOT text that a tool makes of a job, with its own defaults."""
    from torchview import draw_graph
    from torchviz import make_dot

    def torchview(job: Job) -> str:
        mode = "train" if job.module.training else "eval"
        text: str = draw_graph(job.module, input_data=list(job.inputs), device="cpu", mode=mode).visual_graph.source
        return text

    def torchviz(job: Job) -> str:
        text: str = make_dot(job.module(*job.inputs), params=dict(job.module.named_parameters())).source
        return text

    return {"torchview": torchview, "torchviz": torchviz}


def peer_picture(name: str, dot_text: Callable[[Job], str], job: Job) -> None:
    """Prints what another tool's picture takes, forward pass included, and how large it is."""
    began = time.perf_counter()
    try:
        text = dot_text(job)
    except RecursionError:
        print(f"    {name}: no picture: RecursionError", flush=True)
        return
    made_s = time.perf_counter() - began
    try:
        svg = draw(text, "svg", time_limit_s=PEER_LIMIT_S).decode()
    except RenderError as failure:
        print(f"    {name}: text {made_s:.2f} s, no picture: {failure}", flush=True)
        return
    width, height = size_of(svg)
    total_s = time.perf_counter() - began
    print(f"    {name}: text {made_s:.2f} s, with drawing {total_s:.2f} s, {width} x {height} points", flush=True)


def main() -> int:
    warnings.simplefilter("ignore")  # what other tools have to say about the models is not what is measured
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pictures", description=__doc__)
    parser.add_argument("--alone", action="store_true", help="gradviz only")
    parser.add_argument("--growth", action="store_true", help="only the unrolled cell, up to 100,000 nodes")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="write the pictures of gradviz there")
    chosen = parser.parse_args()
    tools = {} if chosen.alone else peers()
    start()
    jobs = [(case.title, case.build) for case in CASES if case.name in ("gpt2", "bert", "vit", "resnet")]
    good = True
    for title, build in [] if chosen.growth else [*jobs, ("LSTM, 200 steps unrolled", lambda: lstm(200))]:
        good &= first_picture(title, build(), LIMIT_S, chosen.save)
        for name, dot_text in tools.items():
            peer_picture(name, dot_text, build())
    for nodes in GROWTH:
        steps = nodes // NODES_PER_STEP
        good &= first_picture(f"LSTM, {steps:,} steps unrolled", lstm(steps), LARGE_LIMIT_S, None, with_trace=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
