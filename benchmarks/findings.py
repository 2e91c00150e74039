"""`python -m benchmarks.findings`: the bug gallery and healthy models: what diagnosing finds, and how long that takes.

Every broken script of `examples/bugs` must give its finding and every healthy twin none; nor may models with random weights
give any. It ends with 1 where that is not so. The whole models from transformers are here rather than in the tests because
only the environment of the benchmarks has that library.
"""

from __future__ import annotations

import importlib
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import gradviz
from benchmarks.cases import CASES
from gradviz.target import graph_of_target

LIMIT_S = 5.0
"""What diagnosing GPT-2 small may take."""
GALLERY = Path(__file__).parent.parent / "examples" / "bugs"
Result = TypeVar("Result")


def main() -> int:
    return int(gallery() + models() > 0)


def gallery() -> int:
    """Prints the counts of the gallery, and what is not as it should be; how much that is."""
    scripts = sorted(path for path in GALLERY.glob("*.py") if path.name != "__init__.py")
    missed, alarms = [], []
    trace_s = diagnose_s = 0.0
    for script in scripts:
        kind = importlib.import_module(f"examples.bugs.{script.stem}").FINDING
        for function in ("broken", "healthy"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what torch itself says of some of them
                graph, traced_s = timed(lambda target=f"{script}:{function}": graph_of_target(target, at=[], device="cpu"))
                findings, elapsed_s = timed(graph.diagnose)
            trace_s, diagnose_s = trace_s + traced_s, diagnose_s + elapsed_s
            if function == "broken" and all(finding.kind != kind for finding in findings):
                missed.append(f"{script.stem}: {kind}")
            if function == "healthy" and findings:
                alarms.append(f"{script.stem}: {', '.join(finding.kind for finding in findings)}")
    count = len(scripts)
    print(
        f"bug gallery: {count - len(missed)} of {count} bugs found, {len(alarms)} of {count} healthy twins with a finding; "
        f"diagnose takes {diagnose_s / trace_s:.2f} times as long as trace"
    )
    for what in (*missed, *alarms):
        print(f"  {what}")
    return len(missed) + len(alarms)


def models() -> int:
    """Prints a line for each healthy model; how many findings there are, and how many were slow."""
    wrong = 0
    for case in CASES:
        for training in (True, False):
            if not training and case.name in ("resnet", "mlp", "scalar"):
                continue  # fresh running statistics in eval mode are a finding; the others have no mode
            job = case.build()
            job.module.train(training)
            graph, trace_s = timed(lambda job=job: gradviz.trace(job.module, *job.inputs))
            findings, elapsed_s = timed(graph.diagnose)
            mode = "training" if training else "eval"
            print(
                f"{case.title} ({mode}): {len(graph)} nodes, {len(findings)} findings in {elapsed_s:.2f} s, "
                f"{elapsed_s / trace_s:.2f} times as long as trace",
                flush=True,
            )
            wrong += len(findings)
            if findings:
                print(findings)
            if elapsed_s > LIMIT_S:
                print(f"slower than {LIMIT_S:g} s")
                wrong += 1
    return wrong


def timed(run: Callable[[], Result]) -> tuple[Result, float]:
    """A result, and the seconds that it took."""
    started = time.perf_counter()
    return run(), time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
