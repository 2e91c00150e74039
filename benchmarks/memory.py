"""Peak memory of one call, in a process of its own with the default allocator.

That process is `python -m benchmarks.memory CASE MODULE TOOL`.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.allocator import as_started
from benchmarks.cases import CASES
from benchmarks.peers import load

TIME_LIMIT_S = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """The peak resident size of a process that ran one tool once; None where the tool failed."""

    peak_mb: float | None
    failure: str = ""


def peak_memory(case: str, module: str, tool: str) -> Memory:
    """Starts a process that builds the case, runs the tool on it once, and reports its peak."""
    command = [sys.executable, "-m", "benchmarks.memory", case, module, tool]
    try:
        done = subprocess.run(command, env=as_started(), capture_output=True, text=True, timeout=TIME_LIMIT_S)
    except subprocess.TimeoutExpired:
        return Memory(peak_mb=None, failure=f"took more than {TIME_LIMIT_S} s")
    if done.returncode != 0:
        return Memory(peak_mb=None, failure=done.stderr.strip().rpartition("\n")[2])
    return Memory(peak_mb=float(done.stdout.split()[-1]))


def main(case: str, module: str, tool: str) -> None:
    """What the started process does. The result is kept until the peak has been read."""
    tools = {one.name: one for one in load(module)}
    job = {one.name: one for one in CASES}[case].build()
    tools[tool].before()
    result = tools[tool].run(job)
    print(own_peak_mb())
    del result


def own_peak_mb() -> float:
    """From /proc, because `getrusage` counts in what the parent had when it started this process."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
