"""Hand-written backward passes that are right are never accused, whatever their rounding; their wrong twins are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import gradviz
from gradviz.testing import assert_gradients


def linear(slip: Callable[[Tensor], Tensor] = lambda right: right) -> Callable[..., Tensor]:
    """y = x Wᵀ + b, hand-written; the gradient for W goes through `slip`."""

    class Linear(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, w: Tensor, b: Tensor) -> Tensor:
            ctx.save_for_backward(x, w)
            return x @ w.t() + b

        @staticmethod
        def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            x, w = ctx.saved_tensors
            return cotangent @ w, slip(cotangent.t() @ x), cotangent.sum(0)

    return Linear.apply


def traced_linear(size: int, seed: int, slip: Callable[[Tensor], Tensor] = lambda right: right) -> gradviz.GradGraph:
    torch.manual_seed(seed)
    layer, x = torch.nn.Linear(size, 64), torch.randn(size, size)
    function = linear(slip)
    return gradviz.trace(lambda: torch.nn.functional.gelu(function(x, layer.weight, layer.bias)).square().mean())


@pytest.mark.parametrize("size", [200, 512])
def test_a_right_linear_layer_is_verified_at_ordinary_sizes(size: int) -> None:
    assert all(traced_linear(size, seed).check().verified for seed in range(2))


@pytest.mark.parametrize("size", [200, 512])
def test_a_linear_layer_off_by_a_tenth_of_a_percent_is_found(size: int) -> None:
    report = traced_linear(size, 0, lambda right: right * 1.001).check()
    assert [entry.name for entry in report.edges if entry.verdict == "mismatch"] == ["∂a/∂weight"]


class TwoTanhs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        first = torch.tanh(x)
        second = torch.tanh(first @ w)
        ctx.save_for_backward(first, second, w)
        return second

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, Tensor]:
        first, second, w = ctx.saved_tensors
        inner = cotangent * (1 - second * second).conj()
        return inner @ w.t().conj() * (1 - first * first).conj(), first.t().conj() @ inner


class Softmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = torch.softmax(x, -1)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return y * (cotangent - (cotangent * y).sum(-1, keepdim=True))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.complex64], ids=str)
def test_two_right_layers_that_cancel_are_verified(dtype: torch.dtype) -> None:
    for seed in range(3):
        torch.manual_seed(seed)
        drawn = dtype if dtype.is_complex else torch.float32
        x = (2 * torch.randn(2, 3, dtype=drawn)).to(dtype).requires_grad_()
        w = (3 * torch.randn(3, 3, dtype=drawn)).to(dtype).requires_grad_()
        assert_gradients(TwoTanhs.apply, x, w, seed=seed)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_a_right_softmax_of_large_logits_is_verified(dtype: torch.dtype) -> None:
    for seed in range(2):
        torch.manual_seed(seed)
        assert_gradients(Softmax.apply, (4 * torch.randn(3, 10)).to(dtype).requires_grad_(), seed=seed)


def test_a_factor_without_a_name_is_told_as_a_ratio_and_as_no_slip() -> None:
    entry = next(
        entry for entry in traced_linear(200, 0, lambda right: right * 1.001).check().edges if entry.verdict == "mismatch"
    )
    assert "ratio 1.001" in entry.reason
    assert "likely slip" not in entry.reason


WEIGHT = torch.linspace(-1, 1, 12).reshape(3, 4)


class CastWeight(torch.autograd.Function):
    """With a constant of a wider dtype, which forward and backward both round."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.square() @ WEIGHT.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        return 2 * x * (cotangent @ WEIGHT.to(x.dtype).T)


def test_a_constant_that_both_passes_round_to_the_working_dtype_is_the_rounded_one() -> None:
    x = torch.linspace(0.5, 2, 6).reshape(2, 3).to(torch.bfloat16).requires_grad_()
    report = gradviz.trace(lambda x: CastWeight.apply(x).sum(), x).check()
    assert report.ok and report.edges[0].verdict == "match", report


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "match"), (2.0, "mismatch")])
def test_a_backward_that_multiplies_by_a_sparse_matrix_is_judged(factor: float, verdict: str) -> None:
    class SparseProduct(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, matrix: Tensor, x: Tensor) -> Tensor:
            ctx.matrix = matrix
            return torch.sparse.mm(matrix, x)

        @staticmethod
        def backward(ctx: Any, cotangent: Tensor) -> tuple[None, Tensor]:
            return None, torch.sparse.mm(ctx.matrix.t(), factor * cotangent)

    matrix = torch.tensor([[0.0, 2.0, 0.0], [1.0, 0.0, 3.0]]).to_sparse()
    x = torch.randn(3, 2, generator=torch.Generator().manual_seed(0), requires_grad=True)
    (edge,) = gradviz.trace(SparseProduct.apply, matrix, x, grad_output=torch.ones_like).check().edges
    assert (edge.verdict, edge.method) == (verdict, "symbolic")


class Recomputed(torch.autograd.Function):
    """Checkpointing by hand, as diffusion models have it: backward() runs the forward again, for what is not frozen."""

    @staticmethod
    def forward(ctx: Any, run: Callable[[Tensor], Tensor], x: Tensor, *parameters: Tensor) -> Tensor:
        ctx.run, ctx.x, ctx.parameters = run, x, parameters
        with torch.no_grad():
            return run(x)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x = ctx.x.detach().requires_grad_()
        with torch.enable_grad():
            y = ctx.run(x)
        found = iter(torch.autograd.grad(y, [x, *(one for one in ctx.parameters if one.requires_grad)], cotangent))
        return None, next(found), *(next(found) if one.requires_grad else None for one in ctx.parameters)


class Reversible(torch.autograd.Function):
    """Two streams, of which backward() computes the inputs again from the outputs."""

    @staticmethod
    def forward(ctx: Any, first: Any, second: Any, a: Tensor, b: Tensor, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            a = a + first(b)
            b = b + second(a)
        ctx.first, ctx.second, ctx.parameters = first, second, parameters
        ctx.save_for_backward(a, b)
        return a, b

    @staticmethod
    def backward(ctx: Any, to_a: Tensor, to_b: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        a, b = ctx.saved_tensors
        with torch.no_grad():
            b = b - ctx.second(a)
            a = a - ctx.first(b)
        a, b = a.detach().requires_grad_(), b.detach().requires_grad_()
        with torch.enable_grad():
            made = a + ctx.first(b)
            ends = (made, b + ctx.second(made))
        free = [one for one in ctx.parameters if one.requires_grad]
        found = iter(torch.autograd.grad(ends, [a, b, *free], (to_a, to_b)))
        return None, None, next(found), next(found), *(next(found) if one.requires_grad else None for one in ctx.parameters)


@pytest.mark.parametrize("frozen", ["0.weight", "0.weight 0.bias 2.weight 2.bias"], ids=["one", "all"])
def test_inputs_that_are_computed_again_are_verified_whatever_is_frozen(frozen: str) -> None:
    torch.manual_seed(0)
    head = torch.nn.Linear(2, 2)
    first, second = (torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2)) for _ in range(2))
    for name in frozen.split():
        first.get_parameter(name).requires_grad_(False)
    x = torch.randn(3, 2)

    def loss() -> Tensor:
        h = Recomputed.apply(first, head(x), *first.parameters())
        a, b = Reversible.apply(first, second, h, head(x), *first.parameters(), *second.parameters())
        return (a * b).square().mean()

    graph = gradviz.trace(loss)
    report = graph.check(samples=2)
    assert report.verified
    assert not graph.diagnose(report=report)
