"""`python -m benchmarks.coverage`: what the check says about torch's own samples of its ops, counted by method and reason.

Every differentiable op of `op_db` is traced and checked with up to `--samples` of its samples in each dtype. An op counts as
what its worst edge is. It ends with 1 where there is a crash, or a mismatch that is not among torch's own errors.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

import gradviz
from gradviz.check import CheckReport, EdgeCheck

DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "complex128": torch.complex128,
    "complex64": torch.complex64,
}
KINDS = ("mismatch", "crash", "torch's own", "unverified", "refused", "numeric", "symbolic")
"""Worst first. "torch's own" is a mismatch that is right: torch's derivative is wrong. "refused" is a sample that torch does
not run with gradients."""
TORCHS_OWN = {
    "as_strided_scatter": "torch's own derivative of as_strided_scatter is wrong: its gradcheck fails too",
    "native_group_norm": "of its mean or its deviation alone torch takes no gradient: autograd.grad calls the input unused",
}
"""Ops whose mismatches are right, each with the reason."""
FAILED = "the check itself failed here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the check said about one edge (or, where it is wrong, one value, gradient or sum), or how it failed."""

    op: str
    kind: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Surveyed:
    """What was found over the samples of one op."""

    op: str
    found: tuple[Found, ...]
    samples: int
    elapsed_s: float

    @property
    def worst(self) -> str:
        return next((kind for kind in KINDS if any(one.kind == kind for one in self.found)), "")


@cache
def op_infos(dtype: torch.dtype) -> dict[str, Any]:
    """The differentiable ops of torch's own test bed that take this dtype, by name."""
    from torch.testing._internal.common_methods_invocations import op_db

    return {label(op): op for op in op_db if op.supports_autograd and op.supports_dtype(dtype, "cpu")}


def label(op: Any) -> str:
    return f"{op.name}.{op.variant_test_name}" if op.variant_test_name else str(op.name)


def samples(op: Any, dtype: torch.dtype, count: int) -> list[Any]:
    """Up to `count` samples with something to differentiate for; the same at every call."""
    torch.manual_seed(0)
    made: Iterator[Any] = op.sample_inputs("cpu", dtype, requires_grad=True)
    return list(islice((one for one in made if _requires_grad([one.input, one.args, one.kwargs])), count))


def scalar(op: Any, sample: Any) -> Tensor:
    """The sample's outputs, squared and summed: a loss whose cotangents differ from element to element.

    The op is run as torch's own gradcheck runs it: one of symmetric matrices, for instance, on the symmetric part.
    """
    result = sample.output_process_fn_grad(op.gradcheck_wrapper(op.op, sample.input, *sample.args, **sample.kwargs))
    outputs = [leaf for leaf in tree_leaves(result) if _requires_grad(leaf)]
    return sum((_weighted(output) for output in outputs), torch.zeros((), dtype=torch.float64))


def _weighted(output: Tensor) -> Tensor:
    if not output.is_complex():
        return (output * output).sum()
    dense = output if output.layout is torch.strided else output.to_dense()
    return dense.real.sum() + 2 * dense.imag.sum()


def _requires_grad(values: Any) -> bool:
    return any(isinstance(leaf, Tensor) and leaf.requires_grad for leaf in tree_leaves(values))


def checked(op: Any, sample: Any, time_limit_s: float) -> CheckReport | None:
    """The report on one sample; None where its output needs no gradient."""
    torch.manual_seed(0)
    if not scalar(op, sample).requires_grad:
        return None
    torch.manual_seed(0)
    return gradviz.trace(lambda: scalar(op, sample)).check(time_limit_s=time_limit_s, progress=False)


def kind_of(edge: EdgeCheck) -> str:
    """One of `KINDS`; what the check could not do for an exception of its own counts as a crash."""
    if edge.verdict == "unverified" and FAILED in edge.reason:
        return "crash"
    return edge.method if edge.verdict == "match" else edge.verdict


def reason_of(edge: EdgeCheck) -> str:
    """Why an edge is not symbolic; of a numeric one, how it was verified and why so."""
    return edge.how if edge.verdict == "match" else edge.reason


def found_in(name: str, report: CheckReport) -> Iterator[Found]:
    for edge in report.edges:
        yield _found(name, kind_of(edge), reason_of(edge))
    for entry in report.mismatches:
        if not isinstance(entry, EdgeCheck):
            yield _found(name, "mismatch", f"{entry.name}: {entry.reason}")


def _found(name: str, kind: str, reason: str) -> Found:
    own = TORCHS_OWN.get(name) if kind == "mismatch" else None
    return Found(op=name, kind=kind, reason=reason) if own is None else Found(op=name, kind="torch's own", reason=own)


def survey(dtype: str, count: int, time_limit_s: float, name: str) -> Surveyed:
    """Traces and checks the samples of one op."""
    warnings.simplefilter("ignore")  # what torch has to say about its own samples
    torch.set_num_threads(1)
    started = time.perf_counter()
    op = op_infos(DTYPES[dtype])[name]
    found: list[Found] = []
    made = samples(op, DTYPES[dtype], count)
    for sample in made:
        try:
            torch.manual_seed(0)
            scalar(op, sample)
        except (RuntimeError, NotImplementedError) as refusal:
            found.append(Found(op=name, kind="refused", reason=str(refusal).splitlines()[0]))
            continue
        try:
            report = checked(op, sample, time_limit_s)
        except Exception as error:  # whatever it is, it is what is looked for
            found.append(Found(op=name, kind="crash", reason="".join(traceback.format_exception(error)[-3:])))
            continue
        found += found_in(name, report) if report is not None else ()
    return Surveyed(op=name, found=tuple(found), samples=len(made), elapsed_s=time.perf_counter() - started)


def text(surveyed: list[Surveyed]) -> str:
    """The counts, and what remains by reason."""
    ops = Counter(one.worst for one in surveyed if one.found)
    found = [one for op in surveyed for one in op.found]
    edges = Counter(one.kind for one in found)
    lines = [f"{'':12}{'ops':>8}{'edges':>8}"]
    lines += [f"{kind:12}{ops[kind]:8}{edges[kind]:8}" for kind in reversed(KINDS)]
    lines.append(
        f"{ops.total()} ops, {sum(one.samples for one in surveyed)} samples: symbolic for "
        f"{100 * ops['symbolic'] / max(ops.total(), 1):.1f} % of the ops, {ops['crash']} with a crash, "
        f"{ops['mismatch']} with a false alarm"
    )
    for kind in KINDS[:-1]:
        reasons: dict[str, Counter[str]] = defaultdict(Counter)
        for one in found:
            if one.kind == kind:
                reasons[one.reason][one.op] += 1
        lines.append(f"\n{kind}:")
        for reason, names in sorted(reasons.items(), key=lambda pair: -sum(pair[1].values())):
            listed = ", ".join(f"{name} {count}" for name, count in sorted(names.items()))
            lines.append(f"  {sum(names.values()):5}  {reason}\n         {listed}")
    return "\n".join(lines)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage", description=__doc__)
    parser.add_argument("--samples", type=int, default=20, help="samples per op (default 20)")
    parser.add_argument("--dtype", action="append", choices=DTYPES, help="may be repeated (default float64 and float32)")
    parser.add_argument("--op", action="append", default=[], help="only ops of this name; may be repeated")
    parser.add_argument("--time-limit", type=float, default=60.0, metavar="S", help="seconds per sample (default 60)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default 1)")
    parser.add_argument("--verbose", action="store_true", help="a line per op, with its seconds, on stderr")
    return parser.parse_args()


def main() -> int:
    chosen = options()
    failed = False
    for dtype in chosen.dtype or ["float64", "float32"]:
        started = time.perf_counter()
        names = [name for name, op in op_infos(DTYPES[dtype]).items() if not chosen.op or {name, op.name} & set(chosen.op)]
        surveyed: list[Surveyed] = []
        with ProcessPoolExecutor(chosen.jobs) as pool:
            for one in pool.map(partial(survey, dtype, chosen.samples, chosen.time_limit), names):
                surveyed.append(one)
                if chosen.verbose:
                    print(f"{one.elapsed_s:7.2f} s  {one.worst:11}  {one.op}", file=sys.stderr, flush=True)
        elapsed_s = time.perf_counter() - started
        print(f"{dtype}, up to {chosen.samples} samples per op, {elapsed_s:.0f} s\n{text(surveyed)}\n", flush=True)
        failed |= any(one.worst in ("crash", "mismatch") for one in surveyed)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
