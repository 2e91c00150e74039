"""`python -m benchmarks.findings`: healthy models with random weights must give no finding; how long it takes to say so.

It ends with 1 where there is a finding. The whole models from transformers are here rather than in the tests because only
the environment of the benchmarks has that library.
"""

from __future__ import annotations

import sys
import time

import gradviz
from benchmarks.cases import CASES

LIMIT_S = 5.0
"""What diagnosing GPT-2 small may take."""


def main() -> int:
    found = 0
    for case in CASES:
        for training in (True, False):
            if not training and case.name in ("resnet", "mlp", "scalar"):
                continue  # fresh running statistics in eval mode are a finding; the others have no mode
            job = case.build()
            job.module.train(training)
            graph = gradviz.trace(job.module, *job.inputs)
            started = time.perf_counter()
            findings = graph.diagnose()
            elapsed_s = time.perf_counter() - started
            mode = "training" if training else "eval"
            print(f"{case.title} ({mode}): {len(graph)} nodes, {len(findings)} findings in {elapsed_s:.2f} s", flush=True)
            found += len(findings)
            if findings:
                print(findings)
            if elapsed_s > LIMIT_S:
                print(f"slower than {LIMIT_S:g} s")
                found += 1
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main())
