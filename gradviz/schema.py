"""GradGraph -> plain values for JSON: what `gradviz trace --json` prints, schema version 1.

    schema      1; it grows when a key changes its meaning or goes, not when one is added
    gradviz     version of gradviz
    target      as given on the command line
    outputs     ids of the output nodes
    nodes       one object per node, in forward order:
        id, name, kind ("leaf", "op", "constant"), op, expression, shape, dtype, device, requires_grad, module, scope,
        source, value_missing, backward_order, is_output: the node attributes of `GradGraph`
        value, cotangent: a tensor object; null where there is none; a list of them where a call has several outputs
    edges       one object per use of a value:
        tail, head, key (argument position), argument (the name in torch's schema), output (which of the tail's)
        name ("∂c/∂a"), cut ("" or why no gradient flows)
        contribution: a tensor object or null
        partial: null, or an object
            in_shape, out_shape
            formula: text, or null where none is known
            jacobian: a tensor object of shape out_shape + in_shape; null above 1,000 elements, or where `error` says why
            error: "" or why autograd's node cannot be asked
    gradients   leaf name -> tensor object, or null where no gradient reached the leaf

A tensor object has `shape`, `dtype` and `values`: a number or nested lists. Above 1,000 elements `values` is null, and
`mean`, `min` and `max` stand in (of the finite elements, or of their moduli; null without any). So it is, with the key
`not_kept` that says why, where the graph kept no elements (`values=` of `trace`). Numbers that are not finite
are the texts "nan", "inf" and "-inf"; a complex number is the list [real, imaginary].

`gradviz check --json` prints `schema`, `gradviz` and `target`, and an object `check`, as `trace --check --json` does:
    ok, verified, summary, seed, remarks    of the whole report; `summary` is one line
    nan_gradients                           names of the leaves whose gradient holds NaN; `ok` is false where there are any
    edges, nodes, leaves, sums              one object per edge, forward value, gradient and sum of contributions, with
        name, verdict ("match", "mismatch", "unverified", "intended"), method ("symbolic", "numeric", ""), formula, finding,
            how, reason
        autograd, reference, index, quantity, error_ulp, dtype: the numbers that tell most, and where they are
        checked, total: how many elements were looked at one by one, and of how many; fewer where a Jacobian is sampled
        noticed: of a sampled Jacobian, the smallest slip in one element of a vector-Jacobian product, relative to an element
            of usual size, that the probe of the whole Jacobian would have shown; null where there was no probe, "inf" where
            it left elements out
        and what says whose it is: edge ([tail, head, key]), source and backward, or node; of a sum also contributions

`gradviz compare --json` prints `schema`, `gradviz`, `target` and `other`, and an object `comparison`:
    same            whether nothing differs: the exit code is 0 then, else 1
    first_value, first_cotangent, structure: the first difference of each kind, or null: in forward order, in the order
                    of the backward pass, and the first place at which the graphs are not of the same calls, or read
                    other values
    differences     all of them; of each what ("value", "cotangent", "structure"), node (its id in the first graph, or null),
                    name, source, relative (the largest difference over the largest magnitude, or "inf") and message
    compared, skipped, summed: how many tensors were compared, how many were not as one side does not hold them, and how
                    many of those compared were by their statistics
    rtol            the tolerance

`gradviz trace --diagnose --json` has an object `diagnosis`, with the keys ok to findings of the following.

`gradviz diagnose --json` prints `schema`, `gradviz` and `target`, and with them, as `gradviz report --json` without these,
    ok          whether no finding is an error: the exit code is 0 then, else 1
    summary     how many findings there are, in one line
    unread      what was not looked for in all of the graph, as only statistics were kept of it
    coarse      what was told from such statistics alone
    unchecked   which derivatives nobody could ask for, or which values nobody knows, and why; "" where there are none
    findings    one object per finding, errors first: kind, severity ("error", "warning", "hint"), message, hint,
                node and edge ([tail, head, key]) or null, source ("file.py:12"), module, numbers (name -> number or text);
                of a training run also step and rank, where they are known
"""

from __future__ import annotations

import importlib.metadata
import math
from typing import Any

import torch
from torch import Tensor

from gradviz.check.formulas import edge_name
from gradviz.errors import PartialError
from gradviz.graph import GradGraph, Use
from gradviz.partials import LocalPartial
from gradviz.standin import StandIn, is_kept
from gradviz.statistics import Statistics
from gradviz.symbolic import formula_text

SCHEMA = 1
MAX_ELEMENTS = 1000
AS_THEY_ARE = (
    *("name", "kind", "op", "expression", "requires_grad"),
    *("module", "scope", "source", "value_missing", "backward_order", "is_output"),
)


def graph_document(graph: GradGraph, target: str) -> dict[str, Any]:
    """The whole graph, as the module describes it."""
    return {
        **header(target),
        "outputs": graph.outputs,
        "nodes": [_node(node, graph.nodes[node]) for node in graph],
        "edges": [_edge(graph, use) for node in graph for use in graph.arguments_of(node)],
        "gradients": {name: _tensor(gradient) for name, gradient in graph.gradients().items()},
    }


def header(target: str) -> dict[str, Any]:
    """The keys that every document begins with."""
    return {"schema": SCHEMA, "gradviz": _version(), "target": target}


def _node(node: int, attributes: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": node,
        **{key: attributes[key] for key in AS_THEY_ARE},
        "shape": _shape(attributes["shape"]),
        "dtype": _dtype(attributes["dtype"]),
        "device": str(attributes["device"]),
        "value": _one_or_several(attributes["value"]),
        "cotangent": _one_or_several(attributes["cotangent"]),
    }


def _edge(graph: GradGraph, use: Use) -> dict[str, Any]:
    tail, head, key = use.edge
    return {
        "tail": tail,
        "head": head,
        "key": key,
        "argument": use.argument,
        "output": use.output,
        "name": edge_name(graph, use.edge),
        "cut": use.cut,
        "contribution": _tensor(use.contribution),
        "partial": None if use.partial is None else _partial(use.partial),
    }


def _partial(partial: LocalPartial) -> dict[str, Any]:
    jacobian, error = None, ""
    try:
        if math.prod((*partial.out_shape, *partial.in_shape)) <= MAX_ELEMENTS:
            jacobian = _tensor(partial.jacobian())
    except PartialError as refusal:
        error = str(refusal)
    formula = partial.formula
    return {
        "in_shape": list(partial.in_shape),
        "out_shape": list(partial.out_shape),
        "formula": None if formula is None else formula_text(formula),
        "jacobian": jacobian,
        "error": error,
    }


def _one_or_several(value: Any) -> Any:
    return [_tensor(item) for item in value] if isinstance(value, tuple) else _tensor(value)


def _tensor(value: Tensor | None) -> dict[str, Any] | None:
    if value is None:
        return None
    described: dict[str, Any] = {"shape": list(value.shape), "dtype": _dtype(value.dtype)}
    if isinstance(value, StandIn) and not is_kept(value):
        return described | {"values": None, "not_kept": value.reason} | _known(value.statistics)
    dense = value.detach().to_dense() if value.layout != torch.strided else value.detach()
    if dense.numel() <= MAX_ELEMENTS:
        return described | {"values": _numbers(dense.cpu().tolist())}
    return described | {"values": None} | _statistics(dense)


def _known(statistics: Statistics | None) -> dict[str, Any]:
    if statistics is None or not statistics.finite:
        return {"mean": None, "min": None, "max": None}
    return {"mean": statistics.mean, "min": statistics.low, "max": statistics.high}


def _statistics(value: Tensor) -> dict[str, Any]:
    numbers = value.abs() if value.is_complex() else value
    numbers = numbers.to(torch.float64)
    finite = numbers[torch.isfinite(numbers)]
    if not finite.numel():
        return {"mean": None, "min": None, "max": None}
    return {"mean": finite.mean().item(), "min": finite.min().item(), "max": finite.max().item()}


def _numbers(value: Any) -> Any:
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    if isinstance(value, complex):
        return [_numbers(value.real), _numbers(value.imag)]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _shape(shape: tuple[Any, ...]) -> list[Any]:
    return [list(item) if isinstance(item, tuple) else item for item in shape]


def _dtype(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _version() -> str:
    try:
        return importlib.metadata.version("gradviz-explorer")
    except importlib.metadata.PackageNotFoundError:  # run from its folder, not installed
        return ""
