"""Gradients asserted in a test suite: function and inputs -> nothing wrong, or an `AssertionError` that names the edge.

`assert_gradients` is to `torch.autograd.gradcheck` what a stack trace is to an exit code: the same question, asked of every
single edge, so that the answer says which one is wrong, on which line. It works in any dtype, since the true derivative
is not a difference of rounded values. With pytest it also comes as the fixture `assert_gradients`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gradviz.check import CheckReport, Intended
from gradviz.check.report import Checked, EdgeCheck, LeafCheck, NodeCheck, SumCheck
from gradviz.errors import CheckError, GradvizError
from gradviz.graph import GradGraph
from gradviz.recording.names import input_names, named_tensors
from gradviz.tracing import trace

SHOWN = 10
"""How many of many entries of a kind a message lists."""


def assert_gradients(
    fn: Any,
    /,
    *inputs: Any,
    loss: Callable[[Any], Any] | None = None,
    grad_output: Any = None,
    at: Mapping[str, Any] | None = None,
    device: str = "auto",
    samples: int = 8,
    seed: int = 0,
    time_limit_s: float | None = None,
    allow_unverified: bool = False,
    intended: Intended = (),
    **variables: Any,
) -> CheckReport:
    """Asserts that autograd's derivative is right on every edge from the inputs to the outputs of a function.

    What passes was compared with its true value: each edge's local partial, what it contributed to the backward pass, the
    sums of contributions, and (for up to 12 numbers) the whole gradients. What could not be compared does not pass, unless
    `allow_unverified` says so: an edge or a sum without a verdict, and a tensor handed in that requires grad but gets none.
    A whole gradient or a forward value without a verdict is told in the report only, since the edges on its way have theirs.
    On a kink (relu at 0) every subgradient is right.

    Args:
        fn: a function, an nn.Module, math text or whatever else `gradviz.trace` takes. It runs once.
        *inputs: what it is called with. Those that require grad are differentiated by, as are a module's parameters; all
            others are constants. Where none of them is a tensor, floats become float64 leaves.
        loss: maps what `fn` returns to the output to differentiate.
        grad_output: d(result)/d(output), shaped like the output, a sequence of them for several outputs, or a function that
            makes one. None: 1 for a real number, random numbers of `seed` for all else.
        at: the same as `variables`, for names that clash with an option.
        device: as for `gradviz.trace`.
        samples: how many rows of a large Jacobian are looked at one by one.
        seed: rows, probes and cotangents are drawn from it; the same seed gives the same verdicts.
        time_limit_s: after this many seconds the rest is unverified.
        allow_unverified: whether what could not be verified passes.
        intended: custom Functions (classes or names) and custom ops (as objects or "mylib::round") whose backward is meant
            to differ from the derivative of their forward, such as straight-through estimators: edges into them are not
            judged, all else is; and names of hooks (on tensors, autograd nodes, modules) that are meant to change what
            flows back, such as clipping.
        **variables: keyword inputs of `fn`.

    Returns:
        The report of the check, in which nothing is a mismatch.

    Raises:
        AssertionError: a derivative is wrong or, unless allowed, unverified; says which, where, and how wrong.
        GradvizError: there is nothing to differentiate (no input requires grad, no gradient leads to the output), or the
            function cannot be traced.

    >>> x = torch.tensor([0.5, -1.0], requires_grad=True)
    >>> assert_gradients(torch.tanh, x).summary
    '1 edge: 1 match (symbolic). 1 value matches. 1 gradient matches. 1 sum matches.'
    """
    __tracebackhide__ = True
    started = _drawn_from(seed) if grad_output is None and not isinstance(fn, Tensor) else grad_output
    try:
        graph = trace(fn, *inputs, loss=loss, grad_output=started, at=at, device=device, **variables)
        report = graph.check(samples=samples, seed=seed, time_limit_s=time_limit_s, intended=intended)
    except GradvizError as refusal:
        raise refusal.with_traceback(None) from refusal.__cause__  # the sentence says all; gradviz's frames add nothing
    if not report.edges:
        raise CheckError("no op lies between the inputs that require grad and the output: there is no gradient to check")
    unverified = [entry for entry in (*report.edges, *report.sums) if entry.verdict == "unverified"]
    unreached = list(_unreached(graph, report, fn, inputs, {**variables, **(at or {})}))
    if not report.ok or ((unverified or unreached) and not allow_unverified):
        raise AssertionError(_message(graph, report, _name_of(fn), unverified, unreached))
    return report


def _drawn_from(seed: int) -> Callable[[Tensor], Tensor]:
    """Makes the cotangent of an output: random, so that nothing cancels; 1 for a real number."""
    generator = torch.Generator().manual_seed(seed)

    def cotangent(output: Tensor) -> Tensor:
        if output.numel() == 1 and not output.is_complex():
            return torch.ones_like(output)
        return torch.randn(output.shape, generator=generator, dtype=output.dtype).to(output.device)

    return cotangent


def _unreached(
    graph: GradGraph, report: CheckReport, fn: Any, inputs: Sequence[Any], variables: Mapping[str, Any]
) -> Iterator[str]:
    """Tensors handed in that require grad and get none, each as a sentence that says why.

    Not those of which an edge has said it, or whose gradient ends in a Function that is intended to end it.
    """
    told = {entry.edge for entry in report.edges if entry.verdict in ("mismatch", "intended")}
    if not callable(fn):
        return
    called = fn.forward if isinstance(fn, torch.nn.Module) else fn
    named = input_names(called, inputs, variables)
    handed_in = {name: value for name, value in named.items() if not isinstance(value, torch.nn.Module)}
    names: dict[int, list[str]] = {}
    for name, tensor in named_tensors(handed_in):
        if tensor.requires_grad:
            names.setdefault(id(tensor), []).append(name)
    nodes = {graph.output_name(node, place): node for node in graph for place in graph.nodes[node]["outputs"] or (0,)}
    for alike in names.values():
        found = [nodes[name] for name in alike if name in nodes]
        if any(graph.nodes[node]["cotangent"] is not None for node in found):
            continue
        uses = [use for node in found for use in graph.uses_of(node)]
        if any(use.edge in told for use in uses):
            continue
        cuts = [f"cut by {use.cut}{_at(graph, use.edge[1])}" for use in uses if use.cut]
        heads = [graph.nodes[use.edge[1]]["op"] for use in uses if use.partial is not None]
        cuts += [f"{head}.backward() returns None for it" for head in heads]
        why = "; ".join(cuts) or "the output does not depend on it"
        yield f"{alike[0]} requires grad, but no gradient reaches it: {why}"


def _at(graph: GradGraph, node: int) -> str:
    source = graph.nodes[node]["source"]
    return f" at {source}" if source else ""


def _message(graph: GradGraph, report: CheckReport, name: str, unverified: Sequence[Checked], unreached: list[str]) -> str:
    """What is wrong, what is not verified, and how much is what."""
    wrong = [entry for entry in report.mismatches if not isinstance(entry, LeafCheck)]
    leaves = [entry for entry in report.leaves if entry.verdict == "mismatch"]
    parts = []
    if wrong:
        edges = sum(isinstance(entry, EdgeCheck) for entry in wrong)
        where = f"on {edges} of {_count(len(report.edges), 'edge')}" if edges else "beside its edges, which match"
        parts += [f"the backward pass of {name} is wrong {where}", *_first([_block("✗", graph, entry) for entry in wrong])]
        parts += [f"wrong because of it: the gradient of {', '.join(entry.name for entry in leaves)}"] if leaves else []
    elif leaves:
        parts.append(f"no single edge of {name} is wrong, but a whole gradient is")
        parts += _first([_block("✗", graph, entry) for entry in leaves])
    elif report.nan_gradients:
        parts.append(f"the gradient that {name} gives {', '.join(report.nan_gradients)} is not a number (NaN)")
    else:
        parts.append(f"the gradients of {name} are not all verified; allow_unverified=True lets that pass")
    parts += _first([*(_block("?", graph, entry) for entry in unverified), *(f"? {sentence}" for sentence in unreached)])
    return "\n".join([*parts, report.summary])


def _block(mark: str, graph: GradGraph, entry: Checked) -> str:
    """One entry: what and where on the first line, numbers and reason on the next ones."""
    ratio = entry.autograd / entry.reference if entry.autograd is not None and entry.reference else None
    at = f" at {list(entry.index)}" if entry.index else ""
    fields = {
        "formula": entry.formula,
        "autograd": "" if entry.autograd is None else f"{entry.autograd!r}{at}",
        "true value": "" if entry.reference is None else repr(entry.reference),
        "ratio": "" if ratio is None else f"{ratio:.9g}",
        "error": f"{entry.error_ulp:.3g} ULP of {str(entry.dtype).removeprefix('torch.')}" if entry.error_ulp else "",
        "reason": entry.reason,
    }
    lines = [f"{mark} {_title(graph, entry)}"]
    return "\n".join([*lines, *(f"    {field:<10}  {text}" for field, text in fields.items() if text)])


def _title(graph: GradGraph, entry: Checked) -> str:
    """The edge `∂h/∂x` with the line and the argument, or what else the entry is about."""
    if isinstance(entry, EdgeCheck):
        head = graph.nodes[entry.edge[1]]
        argument = graph.edges[entry.edge]["argument"] or f"argument {entry.edge[2]}"
        backward = f"; {entry.backward}" if entry.backward else ""
        return f"{entry.name}{_at(graph, entry.edge[1])}, through {argument} of {head['op']}{backward}"
    if isinstance(entry, SumCheck):
        return f"the sum of contributions into {entry.name}"
    if isinstance(entry, NodeCheck):
        return f"the forward value of {entry.name}{_at(graph, entry.node)}"
    return f"the gradient of {entry.name}"


def _first(entries: list[str]) -> list[str]:
    more = len(entries) - SHOWN
    return [*entries[:SHOWN], f"... and {more} more"] if more > 0 else entries


def _count(times: int, what: str) -> str:
    return f"{times} {what}" if times == 1 else f"{times} {what}s"


def _name_of(fn: Any) -> str:
    """The name of a function; of a custom Function's `apply` that of its class."""
    owner = getattr(fn, "__self__", None)
    if isinstance(owner, type) and issubclass(owner, torch.autograd.Function):
        return owner.__name__
    return repr(fn) if isinstance(fn, str) else str(getattr(fn, "__name__", type(fn).__name__))
