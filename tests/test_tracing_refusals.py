"""What cannot be traced is refused, with what to do instead."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from gradviz import InputError, TraceError, record, trace


def test_freed_graph_says_what_to_do() -> None:
    x = torch.tensor(2.0, requires_grad=True)
    y = x**3
    y.backward()
    with pytest.raises(TraceError, match=r"freed by an earlier backward.*retain_graph=True"):
        trace(y)


def test_step_that_runs_its_own_backward_is_told_to_return_the_loss_without() -> None:
    x = torch.tensor(2.0, requires_grad=True)

    def step() -> Tensor:
        loss = x**3
        loss.backward()
        return loss

    with pytest.raises(TraceError, match=r"have a traced step return its loss without calling that, or"):
        trace(step)


@pytest.mark.parametrize(
    "target, options, error, message",
    [
        (3, {}, InputError, "cannot trace a int; trace takes a tensor already computed, math text"),
        (torch.ones(2), {}, TraceError, "it has no grad_fn"),
        (torch.tensor([1]), {}, TraceError, "no gradient"),
        (lambda: None, {}, TraceError, "returned None, not a tensor; return the tensor to differentiate"),
        (lambda: torch.ones(2).mean().item(), {}, TraceError, r"a float, not a tensor; .* number of: \.item\(\), float"),
        (lambda: np.ones(2).sum(), {}, TraceError, "a float64, not a tensor; numpy keeps no gradient"),
        (lambda: {"accuracy": 1.0}, {}, TraceError, "a dict without tensors, not a tensor; return the tensor"),
        ("x*y", {"x": 1.0, "z": 2.0}, InputError, "no value for y; the expression has no variable z"),
        ("x", {"x": 1.0, "device": "tpu9"}, InputError, "device 'tpu9' cannot be used here"),
        ("x", {"x": 1.0, "loss": abs}, InputError, "loss= goes with a model or a function"),
        ("x", {"x": 1.0, "at": {"x": 2.0}}, InputError, "x given twice"),
        ("x*x", {"x": [1.0, 2.0]}, InputError, r"shape \(2,\): a gradient needs a single number"),
        ("x*x", {"x": [1.0, 2.0], "grad_output": [1.0]}, InputError, r"grad_output has shape \(1,\)"),
    ],
)
def test_bad_input_gets_a_clear_error(target: object, options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        trace(target, **options)


def test_missing_argument_is_named() -> None:
    with pytest.raises(InputError, match="cannot take the inputs given: missing a required argument: 'y'"):
        trace(lambda x, y: x, 1.0)


def test_reentrant_checkpoint_says_what_to_do() -> None:
    x = torch.ones(2, requires_grad=True)
    with pytest.raises(TraceError, match="use_reentrant=False"):
        trace(lambda v: checkpoint(torch.sin, v, use_reentrant=True).sum(), x)


def test_functorch_transform_is_refused() -> None:
    def inside(x: Tensor) -> Tensor:
        trace(lambda v: v * v, x)
        return x * x

    with pytest.raises(TraceError, match=r"torch.func transform"):
        torch.func.grad(inside)(torch.tensor(1.0))


def test_inference_mode_is_refused() -> None:
    with torch.inference_mode():
        output = torch.ones(2) * 2
    with pytest.raises(TraceError, match="inference_mode"):
        trace(output)


@pytest.mark.filterwarnings("ignore")  # torch.compile warns of what it would do without a dispatch mode
def test_compiled_code_is_traced_op_by_op_and_its_result_alone_is_refused() -> None:
    def function(x: Tensor) -> Tensor:
        return (torch.sin(x) * x).sum()

    from functorch.compile import aot_function, nop

    x = torch.tensor([1.0, 2.0], requires_grad=True)
    compiled = torch.compile(function, backend="aot_eager")
    with pytest.raises(TraceError, match=r"compile.*has compiled.*trace the function itself"):
        trace(compiled(x))
    with pytest.raises(TraceError, match="has compiled"):
        trace(compiled(x) * 2)
    with pytest.raises(TraceError, match="aot_function has compiled"), record() as tape:
        tape.trace(aot_function(function, nop)(x) * 2)
    graph = trace(compiled, x)
    assert [attributes["op"] for _, attributes in graph.nodes(data=True)] == ["", "sin", "mul", "sum"]
    model = torch.compile(nn.Linear(2, 1), backend="aot_eager")
    assert set(trace(model, torch.randn(3, 2), loss=lambda out: out.sum(), device="cpu").leaves) == {"weight", "bias"}


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_nested_tensors_without_a_shape_are_refused_in_words() -> None:
    parts = [torch.ones(2), torch.ones(3)]
    nested = torch.nested.nested_tensor(parts, requires_grad=True)
    with pytest.raises(TraceError, match=r"nested tensor of layout torch\.strided has no shape.*accepted: a padded tensor"):
        trace((nested * 2).to_padded_tensor(0.0).sum())
    x, y = (part.requires_grad_() for part in parts)
    with pytest.raises(TraceError, match=r"accepted: a padded tensor, or its parts"):
        trace(lambda x, y: torch.nested.as_nested_tensor([x, y]).to_padded_tensor(0.0).sum(), x, y)


def test_several_results_in_one_object_are_refused_with_the_name_of_one() -> None:
    loss = torch.ones(1, requires_grad=True).sum()
    with pytest.raises(InputError, match=r"hand in one of its tensors, as output\['loss'\]"):
        trace({"logits": torch.ones(2), "loss": loss})
    with pytest.raises(InputError, match=r"hand in one of its tensors, as output\.loss"):
        trace(SimpleNamespace(loss=loss))
