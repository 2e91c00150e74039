"""Which call made which node: by what the call's result carried, never by a number alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import gradviz
from gradviz import GradGraph


def values(graph: GradGraph) -> dict[str, Any]:
    return {data["name"]: None if data["value"] is None else data["value"].tolist() for _, data in graph.nodes(data=True)}


def leaf() -> Tensor:
    return torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64, requires_grad=True)


def check_against_autograd(function: Callable[[Tensor], Tensor]) -> GradGraph:
    """Traces and compares the gradient with plain autograd's, every known value and edge with sympy."""
    plain = leaf()
    function(plain).backward()
    graph = gradviz.trace(function, leaf(), names=None)
    (gradient,) = graph.gradients().values()
    assert plain.grad is not None
    assert gradient is not None
    assert torch.equal(gradient, plain.grad)
    report = graph.check()
    assert report.ok, str(report)
    for node in graph:
        for use in graph.arguments_of(node):
            if use.partial is not None and use.contribution is not None:
                assert tuple(use.contribution.shape) == tuple(use.partial.in_shape)
    return graph


@pytest.mark.parametrize("before", [lambda x: x * 2, torch.sin])
def test_a_node_made_before_the_recording_takes_no_recorded_call(before: Callable[[Tensor], Tensor]) -> None:
    x = torch.tensor(3.0, requires_grad=True)
    h = before(x)
    with gradviz.record() as tape:
        y = h * 5
    graph = tape.trace(y)
    assert float(graph.nodes[graph.node("h")]["value"]) == float(h.detach())
    assert float(graph.nodes[graph.output]["value"]) == float(y.detach())
    assert graph.check().ok


def test_a_view_that_was_written_to_through_its_base_keeps_its_own_call() -> None:
    def function(x: Tensor) -> Tensor:
        y = x.clone()
        a = y[:2]
        y.mul_(2)
        return a.sum()

    graph = check_against_autograd(function)
    assert [graph.nodes[node]["op"] for node in graph].count("sum") == 1


def test_two_views_of_one_written_base_are_multiplied_once() -> None:
    def function(x: Tensor) -> Tensor:
        y = x.clone()
        a, b = y[:1], y[1:2]
        y += 1
        return (a * b).sum()

    graph = check_against_autograd(function)
    assert [graph.nodes[node]["op"] for node in graph].count("mul") == 1


def test_a_transpose_that_is_written_to_is_traced() -> None:
    def function(x: Tensor) -> Tensor:
        y = x.reshape(1, 3) * torch.ones(2, 1, dtype=x.dtype)
        z = y.t()
        z[1] *= 3
        return (y.sum(0) * z[:, 0]).sum()

    check_against_autograd(function)


def test_a_part_that_is_changed_in_place_has_its_value() -> None:
    def function(x: Tensor) -> Tensor:
        y = x.clone()
        y[1:] += 1
        return y.sum()

    graph = check_against_autograd(function)
    assert all(data["value"] is not None for _, data in graph.nodes(data=True)), values(graph)


def test_what_another_thread_computed_takes_no_call_of_this_one() -> None:
    x = torch.tensor(2.0, requires_grad=True)
    made: list[Tensor] = []

    def elsewhere() -> None:
        h = x
        for _ in range(400):
            h = h * 1.001
        made.append(h)

    with gradviz.record() as tape:
        for _ in range(30):
            z = x * 7.0
        worker = threading.Thread(target=elsewhere)
        worker.start()
        worker.join()
        y = z * made[0]
    graph = tape.trace(y)
    assert sum(data["value"] is not None and float(data["value"]) == 14.0 for _, data in graph.nodes(data=True)) == 1
    assert graph.check().ok


@pytest.mark.parametrize("pack", [lambda t: t.float(), lambda t: t * 2], ids=["float", "doubled"])
def test_what_a_hook_for_saved_tensors_runs_is_not_the_op(pack: Callable[[Tensor], Tensor]) -> None:
    def function(x: Tensor) -> Tensor:
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t.double()):
            return (x * x).sin().sum()

    graph = gradviz.trace(function, leaf())
    assert [data["op"] for _, data in graph.nodes(data=True) if data["kind"] == "op"][:2] == ["mul", "sin"]
    assert values(graph)["a"] == [1.0, 4.0, 9.0]


def test_lists_written_in_place_are_traced() -> None:
    def function(x: Tensor) -> Tensor:
        both = [x * 1, x * 2]
        torch._foreach_mul_(both, 3.0)
        return (both[0] * both[1]).sum()

    check_against_autograd(function)


def test_a_write_without_grad_does_not_take_the_node_of_the_value() -> None:
    def function(x: Tensor) -> Tensor:
        h = x * 2
        with torch.no_grad():
            h.clamp_(-3, 3)
        return (h * 3).sum()

    graph = gradviz.trace(function, leaf())
    assert values(graph)["h"] == [2.0, 4.0, 6.0]


class WithScale(torch.autograd.Function):
    """x / s and the scale s, which is not differentiable."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        scale = x.abs().sum()
        ctx.mark_non_differentiable(scale)
        ctx.save_for_backward(scale)
        return x / scale.item(), scale

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> Tensor:
        (scale,) = ctx.saved_tensors
        return cotangents[0] / scale


class MaskFirst(torch.autograd.Function):
    """A mask, which is not differentiable, before the masked values."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        mask = (x > 1.5).to(x.dtype)
        ctx.mark_non_differentiable(mask)
        ctx.save_for_backward(mask)
        return mask, x * mask

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> Tensor:
        (mask,) = ctx.saved_tensors
        return cotangents[1] * mask


def test_an_output_that_is_not_differentiable_is_an_output_of_its_own() -> None:
    def function(x: Tensor) -> Tensor:
        q, s = WithScale.apply(x)
        return (q * s).sum()

    graph = gradviz.trace(function, leaf())
    product = next(node for node in graph if graph.nodes[node]["op"] == "mul")
    assert graph.argument_names(product) == ["q", "s"]
    assert [use.cut for use in graph.arguments_of(product)] == ["", "not differentiable"]
    assert str(graph.arguments_of(product)[0].partial.formula) == "s"  # type: ignore[union-attr]
    assert all(edge.verdict == "match" for edge in graph.check().edges if edge.edge[1] == product)


def test_a_mask_before_the_result_has_its_value() -> None:
    def function(x: Tensor) -> Tensor:
        m, p = MaskFirst.apply(x)
        return (p * m).sum()

    graph = gradviz.trace(function, leaf())
    custom = next(node for node in graph if graph.nodes[node]["op"] == "MaskFirst")
    assert [value.tolist() for value in graph.nodes[custom]["value"]] == [[0.0, 1.0, 1.0], [0.0, 2.0, 3.0]]
    (gradient,) = graph.gradients().values()
    assert gradient is not None
    assert gradient.tolist() == [0.0, 1.0, 1.0]


def test_the_grad_of_a_value_that_retains_it_is_left_alone() -> None:
    x = torch.tensor(3.0, requires_grad=True)
    y = x * 2
    y.retain_grad()
    z = y.sum()
    gradviz.trace(z)
    assert y.grad is None
    z.backward()
    assert y.grad is not None
    assert float(y.grad) == 1.0


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_a_nested_tensor_is_refused_with_a_reason() -> None:
    nested = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], requires_grad=True)
    with pytest.raises(gradviz.TraceError, match="nested"):
        gradviz.trace(nested * 2)


def test_a_recording_does_not_keep_what_its_function_held() -> None:
    import gc
    import weakref

    def function() -> weakref.ref[Tensor]:
        big = torch.ones(1000, requires_grad=True)
        with gradviz.record() as tape:
            total = big.sum()
        tape.trace(total)
        return weakref.ref(big)

    gc.disable()
    try:
        assert function()() is None
    finally:
        gc.enable()


def test_a_trace_does_not_keep_what_its_caller_has_deleted() -> None:
    import gc
    import weakref

    big = torch.ones(1000, requires_grad=True)
    total = big.sum()
    graph = gradviz.trace(total)
    held = weakref.ref(big)
    del big, total, graph
    gc.collect()
    assert held() is None


def test_a_recording_is_entered_once() -> None:
    recording = gradviz.record()
    with recording:
        pass
    with pytest.raises(gradviz.InputError, match="entered once"), recording:
        pass


def test_a_cotangent_that_a_hook_changed_is_told_to_be_that() -> None:
    x = torch.tensor(2.0, requires_grad=True)
    y = x * 3
    y.register_hook(lambda cotangent: 10 * cotangent)
    assert "as where a hook, or a backward in place, changes it" in gradviz.trace(y * y).check().mismatches[-1].reason


@pytest.mark.parametrize(
    "write",
    [
        lambda y, x: y[0].exp_(),
        lambda y, x: y.__setitem__(0, 3 * x[1]),
        lambda y, x: y[1:].mul_(x[:2]),
        lambda y, x: y.__setitem__(slice(None, None, 2), 5.0),
    ],
    ids=["exp_", "item", "slice times", "constant"],
)
def test_a_write_to_a_part_is_verified_with_its_value_and_the_whole_gradient(write: Callable[[Tensor, Tensor], Any]) -> None:
    def function(x: Tensor) -> Tensor:
        y = x.sin()
        y.mul_(2)
        write(y, x)
        return (y * y).sum()

    graph = check_against_autograd(function)
    report = graph.check()
    assert report.verified, str(report)
    assert len(report.leaves) == 1
