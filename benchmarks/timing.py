"""Times tools on one job: all in one process, in turn, so that what slows the machine slows them alike.

`python -m benchmarks.timing CASE SECONDS MODULE ...` is such a process; it prints JSON.
"""

from __future__ import annotations

import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from benchmarks.allocator import as_started
from benchmarks.cases import CASES, Job
from benchmarks.peers import load
from benchmarks.peers.tool import Tool

WARM_UP = 1
MOST_ROUNDS = 200
TURN_MS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long the calls of one tool took.

    Attributes:
        median_ms: the middle of all rounds; None where the tool failed.
        rounds: how many were timed.
        failure: what the tool raised, or "".
    """

    median_ms: float | None
    rounds: int
    failure: str = ""


def time_in_turn(job: Job, tools: Sequence[Tool], budget_s: float, least: int = 5) -> dict[str, Timing]:
    """Gives every tool one turn per round until the budget is spent; at least `least` rounds after the warm-up.

    A turn warms up by itself, so that a tool is not measured by what the one before it left in the caches. A run begins with
    dropping the gradients of the one before it, as a step of training does. A tool that raises is left out from then on.
    """
    times_ms: dict[str, list[float]] = {tool.name: [] for tool in tools}
    failures: dict[str, str] = {}
    end = time.perf_counter() + budget_s
    for turn in range(WARM_UP + MOST_ROUNDS):
        if turn >= WARM_UP + least and time.perf_counter() > end:
            break
        for tool in tools:
            if tool.name in failures:
                continue
            tool.before()
            try:
                elapsed_ms = one_turn_ms(lambda tool=tool: (job.drop_gradients(), tool.run(job)))
            except Exception as error:  # whatever another tool raises is its line in the table
                failures[tool.name] = f"{type(error).__name__}: {error}".splitlines()[0]
            else:
                if turn >= WARM_UP:
                    times_ms[tool.name].append(elapsed_ms)
            finally:
                tool.after()
    return {
        name: Timing(median_ms=None, rounds=0, failure=failures[name])
        if name in failures
        else Timing(median_ms=statistics.median(times), rounds=len(times))
        for name, times in times_ms.items()
    }


def time_as_started(case: str, modules: Sequence[str], budget_s: float) -> dict[str, Timing]:
    """The same in a process that gets its memory as every process does, unless told otherwise."""
    command = [sys.executable, "-m", "benchmarks.timing", case, str(budget_s), *modules]
    done = subprocess.run(command, env=as_started(), stdout=subprocess.PIPE, text=True, check=True)
    return {name: Timing(**timing) for name, timing in json.loads(done.stdout.splitlines()[-1]).items()}


def one_turn_ms(run: Callable[[], object]) -> float:
    """The time of one call: after an untimed one, the median of a batch of about `TURN_MS`, or a single call.

    The untimed call takes the page faults: memory that lay idle during the turns of the others may have to be fetched
    again, which made the plain pass of GPT-2 six times slower.
    """
    gc.collect()
    first_ms = timed_ms(run)
    return statistics.median(timed_ms(run) for _ in range(min(50, round(TURN_MS / first_ms) + 1)))


def timed_ms(run: Callable[[], object]) -> float:
    """The time of one call; its result is kept until the clock has stopped."""
    start = time.perf_counter()
    result = run()
    elapsed_ms = (time.perf_counter() - start) * 1000
    del result
    return elapsed_ms


def median_ms(run: Callable[[], object], rounds: int) -> float:
    """The median of `rounds` calls after one that warms up."""
    gc.collect()
    times = [timed_ms(run) for _ in range(WARM_UP + rounds)]
    return statistics.median(times[WARM_UP:])


def main(case: str, budget_s: str, *modules: str) -> None:
    """What the started process does."""
    job = {one.name: one for one in CASES}[case].build()
    times = time_in_turn(job, [tool for module in modules for tool in load(module)], float(budget_s))
    print(json.dumps({name: asdict(timing) for name, timing in times.items()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
