"""The first differentiable OpInfo sample of every differentiable op, in float64: torch's own test bed for its ops.

Each op must trace without a crash, with gradients equal to autograd's bit for bit, every value known, every edge's argument
named and holding its producer's value, and every local partial giving the contribution that the engine got.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

import gradviz

NOT_COMPARED = {
    "sparse.sampled_addmm": "sparse gradients: torch cannot compare them",
    "sparse.mm": "sparse gradients: torch cannot compare them",
    "to_sparse": "a sparse value: torch cannot compare it",
    "chalf": "complex half: torch cannot compare it",
}
"""Ops whose tensors torch itself has no comparison for."""
PARTS = 6
"""The ops are gone through in as many tests, so that they spread over the processes of a run."""


def op_infos(part: int) -> list[Any]:
    """One of `PARTS` parts of the differentiable ops; the variants of an op stay together."""
    from torch.testing._internal.common_methods_invocations import op_db

    found = [op for op in op_db if op.supports_autograd and op.supports_dtype(torch.float64, "cpu")]
    names = set(sorted({op.name for op in found})[part::PARTS])
    return [op for op in found if op.name in names]


def label(op: Any) -> str:
    return f"{op.name}.{op.variant_test_name}" if op.variant_test_name else str(op.name)


def differentiable_sample(op: Any) -> tuple[Callable[[], Tensor], list[Tensor]] | None:
    """A function that runs the first sample with a gradient and sums its outputs, and the inputs to differentiate by."""
    for sample in op.sample_inputs("cpu", torch.float64, requires_grad=True):
        arguments = (sample.input, sample.args, sample.kwargs)
        inputs = [leaf for leaf in tree_leaves(arguments) if isinstance(leaf, Tensor) and leaf.requires_grad]
        if inputs:
            return lambda sample=sample: scalar(op, sample), inputs
    return None


def scalar(op: Any, sample: Any) -> Tensor:
    result = sample.output_process_fn_grad(op(sample.input, *sample.args, **sample.kwargs))
    outputs = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor) and leaf.requires_grad]
    return sum((weighted(output) for output in outputs), torch.zeros((), dtype=torch.float64))


def weighted(output: Tensor) -> Tensor:
    return output.real.sum() + 2 * output.imag.sum() if output.is_complex() else (output * output).sum()


def same(left: Tensor, right: Tensor) -> bool:
    return left.shape == right.shape and torch.equal(left.nan_to_num(), right.nan_to_num())


def complaints(graph: gradviz.GradGraph) -> Iterator[str]:
    for tail, head, position, edge in graph.edges(keys=True, data=True):
        node = graph.nodes[head]
        value = graph.value(tail, edge["output"])
        if value is None:
            yield f"{graph.nodes[tail]['op']}: no value: {graph.nodes[tail]['value_missing']}"
        elif not edge["argument"]:
            yield f"{node['op']}: argument {position} has no name"
        elif node["call"] is not None:
            held = {argument.position: argument.tensor for argument in node["call"].tensor_arguments()}[position]
            if not same(held.resolve_conj().resolve_neg(), value.resolve_conj().resolve_neg()):
                yield f"{node['op']}: argument {edge['argument']} does not hold its producer's value"
        if edge["contribution"] is not None and len(node["outputs"]) == 1:
            asked = edge["partial"].vjp(graph.cotangent(head))
            if not torch.allclose(asked, edge["contribution"], equal_nan=True):
                yield f"{node['op']}: the partial does not give the contribution to {edge['argument']}"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("part", range(PARTS))
def test_every_differentiable_op_traces_with_autograds_own_gradients(part: int) -> None:
    failures: dict[str, str] = {}
    traced = 0
    ops = op_infos(part)
    for op in ops:
        if label(op) in NOT_COMPARED or op.name in NOT_COMPARED:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = differentiable_sample(op)
            if found is None:
                continue
            run, inputs = found
            torch.manual_seed(0)
            output = run()
            if not output.requires_grad:
                continue
            expected = torch.autograd.grad(output, inputs, allow_unused=True)
            torch.manual_seed(0)
            graph = gradviz.trace(run)
            gradients = [gradient for gradient in graph.gradients().values() if gradient is not None]
            wrong = [e for e in expected if e is not None and not any(same(e, gradient) for gradient in gradients)]
            problem = "gradient differs from autograd's" if wrong else next(complaints(graph), "")
        traced += 1
        if problem:
            failures[label(op)] = problem
    print(f"{traced} ops traced; not compared: {NOT_COMPARED}")
    assert failures == {}
    assert traced >= 0.9 * len(ops)
