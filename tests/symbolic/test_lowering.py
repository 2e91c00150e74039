"""Calls without a rule, through torch's own decompositions: exact derivatives, and refusal where they do not hold."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

import gradviz
from gradviz.opcall import OpCall
from gradviz.symbolic import NoRule, method_of, reference
from gradviz.symbolic.lowering import is_lowered, lowered

aten = torch.ops.aten

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "nearest pixels": lambda x: functional.interpolate(x.reshape(1, 1, 3, 4), size=(5, 5)),
    "gated": lambda x: functional.glu(x, 1),
    "renormalized": lambda x: x.renorm(2, 0, 1.0),
    "rotation": lambda x: x.rot90(),
    "folding": lambda x: functional.fold(x.reshape(1, 4, 3), (2, 4), (2, 2)),
    "grid sample": lambda x: functional.grid_sample(
        x.reshape(1, 1, 3, 4), torch.tensor([[[[0.1, 0.2], [-0.3, 0.7]]]], dtype=x.dtype), align_corners=False
    ),
    "grid sample of a volume": lambda x: functional.grid_sample(
        x.reshape(1, 2, 3, 1, 2),
        0.9 * torch.cos(torch.arange(12, dtype=x.dtype) + x.sum()).reshape(1, 2, 1, 2, 3),
        align_corners=False,
    ),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_what_torch_decomposes_is_verified_symbolically(name: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 4, dtype=dtype, requires_grad=True)
    report = gradviz.trace(lambda x: FUNCTIONS[name](x).square().sum(), x).check()
    assert {edge.method for edge in report.edges} == {"symbolic"}, str(report)
    assert report.ok
    assert all(edge.verdict == "match" for edge in report.edges), str(report)


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_a_volume_read_at_a_grid_has_the_gradients_of_float64_autograd(mode: str, padding: str, align_corners: bool) -> None:
    generator = torch.Generator().manual_seed(5)
    volume = torch.randn(2, 1, 3, 1, 4, dtype=torch.float64, generator=generator, requires_grad=True)
    grid = 3.5 * torch.rand(2, 1, 2, 1, 3, dtype=torch.float64, generator=generator) - 1.75  # some of it far outside
    modes = (["bilinear", "nearest"].index(mode), ["zeros", "border", "reflection"].index(padding), align_corners)
    found = aten.grid_sampler_3d.default(volume, grid.requires_grad_(), *modes)
    call = OpCall(
        overload=aten.grid_sampler_3d.default, args=(volume.detach(), grid.detach(), *modes), outputs=(found.detach(),)
    )
    truth = reference(call)
    for index in np.ndindex(*found.shape):
        row = truth.row(index)
        for position, gradient in enumerate(torch.autograd.grad(found[index], (volume, grid), retain_graph=True)):
            for place in np.ndindex(*gradient.shape):
                exact = row.partial(position, place)
                assert abs(float(exact) - float(gradient[place])) <= exact.bound, (index, position, place)


def test_some_of_them_have_no_rule_of_their_own() -> None:
    assert method_of(aten.glu.default) == "lowered"
    assert not is_lowered(aten.linalg_qr.default)


def test_the_same_tensor_twice_keeps_its_two_places_apart() -> None:
    x = torch.tensor([2.0, 3.0], dtype=torch.float64)
    call = OpCall(overload=aten.addcmul.default, args=(x, x, x), outputs=(torch.addcmul(x, x, x),))
    found = lowered(call)
    assert len({id(tensor) for tensor in found.arguments.values()}) == 3


def test_a_decomposition_that_gives_other_numbers_is_not_believed() -> None:
    x = torch.tensor([0.3, 0.4], dtype=torch.float64)
    call = OpCall(overload=aten.addcmul.default, args=(x, x, x), outputs=(torch.addcmul(x, x, x) * 1.001,))
    with pytest.raises(NoRule, match="does not give the recorded value"):
        lowered(call)


def test_what_draws_random_numbers_is_not_run_again() -> None:
    state = torch.get_rng_state()
    x = torch.ones(3)
    call = OpCall(overload=aten._standard_gamma.default, args=(x,), outputs=(x,))
    with pytest.raises(NoRule, match="no symbolic rule"):
        reference(call)
    assert torch.equal(torch.get_rng_state(), state)


def test_indices_that_repeat_are_left_open() -> None:
    values, indices = torch.ones(1, 1, 2, 2), torch.tensor([[[[0, 0], [5, 7]]]])
    out = functional.max_unpool2d(values, indices, 2)
    call = OpCall(overload=aten.max_unpool2d.default, args=(values, indices, [4, 4]), outputs=(out,))
    with pytest.raises(NoRule, match="indices that repeat"):
        reference(call)
    distinct = torch.tensor([[[[0, 2], [5, 7]]]])
    out = functional.max_unpool2d(values, distinct, 2)
    truth = reference(OpCall(overload=aten.max_unpool2d.default, args=(values, distinct, [4, 4]), outputs=(out,)))
    assert float(truth.row((0, 0, 0, 2)).partial(0, (0, 0, 0, 1))) == 1.0


def test_a_slip_of_a_thousandth_in_a_lowered_call_is_a_mismatch() -> None:
    class Enlarged(torch.autograd.Function):
        @staticmethod
        def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return functional.glu(x)

        @staticmethod
        def backward(ctx: torch.autograd.function.FunctionCtx, *cotangents: Tensor) -> Tensor:
            with torch.enable_grad():
                (x,) = ctx.saved_tensors
                x = x.detach().requires_grad_()
                y = functional.glu(x)
            return 1.001 * torch.autograd.grad(y, x, cotangents[0])[0]

    x = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    report = gradviz.trace(lambda x: Enlarged.apply(x).square().sum(), x).check()
    assert [edge.verdict for edge in report.edges] == ["mismatch", "match", "match"]


@pytest.mark.parametrize("uses", [2, 3])
def test_a_tensor_that_is_given_several_times_moves_all_its_places(uses: int) -> None:
    x = torch.tensor([[0.5, -1.0], [2.0, 0.25]], dtype=torch.float64, requires_grad=True)
    report = gradviz.trace(lambda x: (torch.block_diag(*[x * 1] * uses) ** 2).sum(), x).check()
    assert report.verified and [leaf.verdict for leaf in report.leaves] == ["match"], report
    composed = gradviz.trace(lambda x: torch.block_diag(*[x] * uses).sum(), x).check().leaves[0]
    assert (composed.verdict, composed.reference) == ("match", uses), composed
