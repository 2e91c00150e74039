"""A custom forward that left torch is verified by running it again, or not at all: the calls seen of it tell too little."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import gradviz
from gradviz.check import CheckReport

INPUTS = [0.5, -1.25, 2.0, -0.75]


class Arctan(torch.autograd.Function):
    """In numpy, which keeps the dtype."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.from_numpy(np.arctan(x.detach().numpy()))

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        return cotangent / (1 + x * x)


class ArctanOff(Arctan):
    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        return 1.001 * cotangent / (1 + x * x)


class Scaled(torch.autograd.Function):
    """By a number that depends on the input, and that backward takes for a constant."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.scale = x.abs().max().item()
        return x / ctx.scale

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:  # type: ignore[override]
        return cotangent / ctx.scale


class Counted(Scaled):
    """Gives another result each time."""

    calls = 0

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        Counted.calls += 1
        ctx.scale = x.abs().max().item() + Counted.calls
        return x / ctx.scale


class Narrow(torch.autograd.Function):
    """A kernel that takes float32 only."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        if x.dtype != torch.float32:
            raise TypeError("float32 only")
        ctx.save_for_backward(x)
        return torch.from_numpy(np.exp(np.float32(factor) * x.numpy()))

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Any:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        return 0.5 * cotangent * (0.5 * x).exp(), None


class NarrowOff(Narrow):
    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Any:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        return 0.5 * cotangent * (0.49 * x).exp(), None


class InnerGraph(torch.autograd.Function):
    """Differentiates inside, as implicit layers do."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        with torch.enable_grad():
            own = x.detach().requires_grad_()
            y = own.sin() * own
        ctx.own, ctx.y = own, y
        return y.detach().clone()

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:  # type: ignore[override]
        return torch.autograd.grad(ctx.y, ctx.own, cotangent, retain_graph=True)[0]


class Cast(torch.autograd.Function):
    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.exp()

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:  # type: ignore[override]
        return cotangent * ctx.saved_tensors[0].exp()


class Rounded(torch.autograd.Function):
    """To three decimals: over some steps it looks like a line."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.from_numpy(np.round(x.detach().numpy(), 3))

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:  # type: ignore[override]
        return torch.zeros_like(cotangent)


class TinyRelu(torch.autograd.Function):
    """Of numbers near its kink, with a wrong derivative there, in numbers as small as those of some units."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.from_numpy(1e-12 * np.maximum(x.detach().numpy() - 1, 0))

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:  # type: ignore[override]
        return 0.9e-12 * cotangent


def check_of(function: Any, *more: Any, dtype: torch.dtype = torch.float32, count: int = 4) -> CheckReport:
    values = torch.tensor(INPUTS) if count == 4 else torch.randn(count, generator=torch.Generator().manual_seed(1))
    x = values.to(dtype).requires_grad_()
    return gradviz.trace(lambda x: function.apply(x, *more).sum(), x).check()


@pytest.mark.parametrize("count", [4, 300])
def test_a_numpy_forward_is_verified_by_its_differences(count: int) -> None:
    report = check_of(Arctan, count=count)
    assert report.verified and report.edges[0].method == "numeric"
    assert "forward(), run again in float64" in report.edges[0].how
    wrong = check_of(ArctanOff, count=count).edges[0]
    assert wrong.verdict == "mismatch" and wrong.autograd is not None and wrong.reference is not None
    assert wrong.autograd / wrong.reference == pytest.approx(1.001, rel=1e-4)


def test_a_number_that_a_forward_reads_is_no_constant() -> None:
    edge = check_of(Scaled).edges[0]
    assert edge.verdict == "mismatch" and "forward() read numbers of x (test_forwards.py:" in edge.how
    report = check_of(Scaled)
    assert report.leaves == () and "forward() read numbers of x" in report.summary


def test_a_forward_that_does_not_repeat_itself_is_unverified() -> None:
    edge = check_of(Counted).edges[0]
    assert edge.verdict == "unverified" and "other results when it is run again" in edge.reason
    assert "forward() read numbers of x" in edge.reason


def test_a_forward_that_refuses_float64_is_run_in_its_own_dtype() -> None:
    right, wrong = check_of(Narrow, 0.5).edges[0], check_of(NarrowOff, 0.5).edges[0]
    assert (right.verdict, wrong.verdict) == ("match", "mismatch") and "its own dtype" in right.how


@pytest.mark.parametrize("function", [Rounded, TinyRelu], ids=lambda function: function.__name__)
def test_differences_over_a_jump_or_a_kink_tell_nothing(function: Any) -> None:
    x = torch.ones(1, dtype=torch.float64, requires_grad=True)
    (edge,) = gradviz.trace(lambda: function.apply(x)).check().edges
    assert edge.verdict == "unverified"
    assert edge.reason.endswith("differences of forward() are not accurate at these inputs")


def test_what_runs_under_enable_grad_inside_a_forward_is_followed() -> None:
    report = check_of(InnerGraph)
    assert report.verified and report.edges[0].method == "symbolic"


def test_the_casts_of_custom_fwd_are_part_of_the_forward() -> None:
    def cast(x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return Cast.apply(x).sum()  # type: ignore[no-any-return]

    x = torch.tensor(INPUTS, dtype=torch.bfloat16, requires_grad=True)
    report = gradviz.trace(cast, x).check()
    assert report.verified and report.edges[0].method == "symbolic"


def test_two_calls_of_one_function_are_told_apart() -> None:
    x = torch.tensor(INPUTS, requires_grad=True)
    report = gradviz.trace(lambda x: (InnerGraph.apply(x) * InnerGraph.apply(2 * x)).sum(), x).check()
    assert report.verified


def test_an_edge_that_nothing_recorded_explains_says_no_more_than_that() -> None:
    edge = check_of(Counted).edges[0].to_dict()
    assert (edge["checked"], edge["total"], edge["how"]) == (0, 0, "")


def test_a_result_that_was_written_to_since_leaves_nothing_to_compare_another_run_with() -> None:
    x = torch.tensor(INPUTS, requires_grad=True)
    edge = gradviz.trace(lambda x: Arctan.apply(x).mul_(2).sum(), x).check().edges[0]
    assert edge.verdict == "unverified"
    assert edge.reason.endswith("what it did with them is not known; what forward() returned is not known")
