"""`python -m benchmarks.watching`: what `gradviz.watch` costs on steps that it does not record, and on those that it does.

Ratios of whole training steps (zero_grad, forward, backward, an SGD update), watched to not watched, in blocks that take
turns in one process. The first step of each block, which warms up, does not count. Times are those of the process on all its
cores, so that what else runs on the machine counts little.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

import gradviz
from benchmarks.allocator import hold_memory
from benchmarks.cases import CASES, Case

NEVER = 10**9
CASE_NAMES = ("mlp", "gpt2")


def ratios(case: Case, *, rounds: int, steps: int) -> tuple[float, float, float]:
    """Milliseconds of a plain step, and how many times as long a step takes that is not and that is recorded."""
    job = case.build()
    optimizer = torch.optim.SGD(job.module.parameters(), lr=1e-4)

    def step() -> None:
        optimizer.zero_grad()
        job.module(*job.inputs).backward()
        optimizer.step()

    def block(every: int | None) -> float:
        watching: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
        with tempfile.TemporaryDirectory() as directory:
            if every is not None:
                watching = gradviz.watch(job.module, Path(directory), every=every, first_step=1)
            with watching:
                step()
                return statistics.median(_process_ms(step) for _ in range(steps))

    blocks: dict[int | None, list[float]] = {None: [], NEVER: [], 1: []}
    for _ in range(rounds + 1):
        for every, times in blocks.items():
            times.append(block(every))
    plain, unrecorded, recorded = (times[1:] for times in blocks.values())
    return statistics.median(plain), _ratio(unrecorded, plain), _ratio(recorded, plain)


def _process_ms(run: Callable[[], None]) -> float:
    start = time.process_time_ns()
    run()
    return (time.process_time_ns() - start) / 1e6


def _ratio(times: list[float], plain: list[float]) -> float:
    return statistics.median(one / other for one, other in zip(times, plain, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.watching", description=__doc__)
    parser.add_argument("--case", action="append", choices=[case.name for case in CASES], help="only this; may be repeated")
    chosen = parser.parse_args().case or CASE_NAMES
    hold_memory("benchmarks.watching")
    warnings.simplefilter("ignore")
    print(f"{'model':28}{'plain step':>12}{'not recorded':>14}{'recorded':>10}")
    for case in CASES:
        if case.name in chosen:
            small = case.name in ("scalar", "mlp")
            plain_ms, unrecorded, recorded = ratios(case, rounds=15 if small else 3, steps=200 if small else 2)
            print(f"{case.title:28}{plain_ms:9.2f} ms{unrecorded:14.3f}{recorded:10.2f}", flush=True)


if __name__ == "__main__":
    main()
