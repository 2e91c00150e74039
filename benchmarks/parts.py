"""What is not a ratio on a model: text to checked SVG with its parts, the cost per op of a long chain, the import."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

import gradviz
from benchmarks.cases import SCALAR_AT, SCALAR_TEXT, chain
from benchmarks.peers.gradviz_tool import run as trace_job
from benchmarks.timing import median_ms
from gradviz.check import check
from gradviz.render import dot_source, svg_text
from gradviz.view import view_of

SVG_TARGET_MS = 60
CHAIN_TARGET = 1.25
IMPORT_TARGET = 1.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One step between text and picture, or all of them."""

    name: str
    time_ms: float
    target_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """Cost per op of a short and of a long chain, in microseconds."""

    tool: str
    lengths: tuple[int, int]
    per_op_us: tuple[float, float]

    @property
    def ratio(self) -> float:
        return self.per_op_us[1] / self.per_op_us[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Imports:
    """Wall time of a fresh process that imports one thing."""

    torch_ms: float
    gradviz_ms: float

    @property
    def ratio(self) -> float:
        return self.gradviz_ms / self.torch_ms


def text_to_svg(rounds: int) -> list[Part]:
    """The median time of every step from text to checked SVG, warm; each step starts from what the one before made."""

    def traced() -> gradviz.GradGraph:
        return gradviz.trace(SCALAR_TEXT, at=SCALAR_AT, device="cpu")

    def everything() -> str:
        graph = traced()
        return svg_text(view_of(graph, report=check(graph)))

    graph = traced()
    report = check(graph)
    view = view_of(graph, report=report)
    dot_ms = median_ms(lambda: dot_source(view), rounds)
    return [
        Part(name="text -> graph", time_ms=median_ms(traced, rounds)),
        Part(name="graph -> check", time_ms=median_ms(lambda: check(graph), rounds)),
        Part(name="graph, check -> view", time_ms=median_ms(lambda: view_of(graph, report=report), rounds)),
        Part(name="view -> DOT text", time_ms=dot_ms),
        Part(name="DOT text -> SVG", time_ms=median_ms(lambda: svg_text(view), rounds) - dot_ms),
        Part(name="text -> checked SVG", time_ms=median_ms(everything, rounds), target_ms=SVG_TARGET_MS),
    ]


def chain_growth(lengths: tuple[int, int] = (1_000, 100_000)) -> list[Growth]:
    """Cost per op of a chain, for plain PyTorch and for a trace; the long chain is the median of three."""
    jobs = [chain(length) for length in lengths]
    runs = {"plain": lambda job: job.plain(), "gradviz": trace_job}
    return [
        Growth(
            tool=tool,
            lengths=lengths,
            per_op_us=tuple(
                median_ms(lambda run=run, job=job: (job.drop_gradients(), run(job)), rounds) * 1000 / length
                for job, length, rounds in zip(jobs, lengths, (25, 3), strict=True)
            ),
        )
        for tool, run in runs.items()
    ]


def import_times(rounds: int) -> Imports:
    """Fresh processes in turn; the first of each fills the file cache and is not counted."""
    times_ms: dict[str, list[float]] = {"torch": [], "gradviz": []}
    for turn in range(rounds + 1):
        for module, times in times_ms.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
            if turn:
                times.append((time.perf_counter() - start) * 1000)
    medians = {module: statistics.median(times) for module, times in times_ms.items()}
    return Imports(torch_ms=medians["torch"], gradviz_ms=medians["gradviz"])
