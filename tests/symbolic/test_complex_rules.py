"""Rules at complex numbers against autograd, part by part: every rule that holds there, and those stated in parts."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import sympy as sp
import torch
from all_samples import SAMPLES
from torch import Tensor
from torch._ops import OpOverload

from gradviz.opcall import OpCall
from gradviz.symbolic import RULES, NoRule, Reference, reference
from gradviz.symbolic.element import Pair
from gradviz.symbolic.registry import PointwiseRule, TensorRule

aten = torch.ops.aten
Arguments = tuple[tuple[Any, ...], dict[str, Any]]
ROWS_UP_TO = 8


def z(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.complex128, generator=torch.Generator().manual_seed(seed))


def x(*shape: int, seed: int = 1) -> Tensor:
    return z(*shape, seed=seed).real.clone()


IN_PARTS: dict[OpOverload, list[tuple[Any, ...]]] = {
    aten._conj.default: [(z(3),)],
    aten._conj_physical.default: [(z(3),)],
    aten.conj_physical.default: [(z(2, 2),)],
    aten.view_as_real.default: [(z(2, 2),)],
    aten.view_as_real_copy.default: [(z(2, 2),)],
    aten.view_as_complex.default: [(x(3, 2),)],
    aten.complex.default: [(x(2, 2), x(2, 2, seed=2)), (x(2, 1), x(3))],
    aten.polar.default: [(x(3).abs(), x(3, seed=2))],
    aten._fft_c2c.default: [(z(2, 4), [0, 1], 1, True), (z(5), [0], 2, False), (z(2, 3).mT, [0], 0, True)],
    aten._fft_r2c.default: [(x(2, 5), [0, 1], 0, True), (x(4), [0], 1, False)],
    aten._fft_c2r.default: [(z(2, 3), [0, 1], 2, 4), (z(3), [0], 0, 5), (z(2), [0], 1, 2)],
}
MIXED: dict[OpOverload, list[tuple[Any, ...]]] = {
    aten.mul.Tensor: [(z(2, 3), x(3))],
    aten.div.Tensor: [(x(3), z(3))],
    aten.pow.Tensor_Tensor: [(x(3).abs(), z(3)), (z(3), x(3))],
    aten.pow.Tensor_Scalar: [(z(3), 2), (z(3), 0.5), (z(3), 1 - 2j)],
    aten.pow.Scalar: [(1.5 + 0.5j, z(3))],
    aten.where.self: [(torch.tensor([True, False]), z(2), z(2, seed=3))],
    aten._to_copy.default: [(x(2), {"dtype": torch.complex128}), (z(2), {"dtype": torch.float64})],
    aten.linalg_vector_norm.default: [(z(3), order) for order in (1, 2, 3, 4, 0.5, float("inf"))],
    aten.var.correction: [(z(4),)],
    aten.angle.default: [(z(4),), (x(4),)],
    aten.sgn.default: [(z(4),)],
    aten.mm.default: [(z(2, 3), z(2, 3).conj().mT)],
    aten.cumprod.default: [(z(4), 0)],
    aten.linalg_inv_ex.default: [(z(2, 2),)],
    aten.linalg_pinv.atol_rtol_tensor: [(z(3, 2),), (z(2, 3),)],
    aten.linalg_lu_solve.default: [
        (*torch.linalg.lu_factor(z(2, 2)), z(2, 2), {"left": left, "adjoint": adjoint})
        for left in (True, False)
        for adjoint in (True, False)
    ],
}
STATED_IN_PARTS = [
    overload
    for overload, rule in RULES.items()
    if isinstance(rule, TensorRule) and rule.function.__module__ == "gradviz.symbolic.rules.complex_rules"
]


def complexified(overload: OpOverload) -> Iterator[Arguments]:
    """The first samples of a rule with imaginary parts added to their floats."""
    for args, kwargs in SAMPLES.get(overload, [])[:2]:
        if all(not isinstance(value, Tensor) or value.numel() <= 64 for value in args):
            made = tuple(_complexified(value, seed) for seed, value in enumerate(args))
            if any(isinstance(value, Tensor) and value.is_complex() for value in made):
                yield made, kwargs


def _complexified(value: Any, seed: int) -> Any:
    if isinstance(value, Tensor) and value.layout is not torch.strided:
        return value.to(torch.complex128) * (1 + 0.5j)
    if isinstance(value, Tensor) and value.is_floating_point():
        return torch.complex(value, 0.5 * x(*value.shape, seed=seed))
    return [_complexified(item, seed) for item in value] if isinstance(value, list) else value


def compared(overload: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any], stretched: float = 1.0) -> int:
    """How many numbers of autograd's, stretched, agree with the rule's; -1 where torch or the rule refuses."""
    leaves: list[Tensor] = []

    def enter(value: Any) -> Any:
        if isinstance(value, Tensor):
            leaves.append(value.detach().requires_grad_(value.is_floating_point() or value.is_complex()))
            return leaves[-1]
        return [enter(item) for item in value] if isinstance(value, list) else value

    try:
        entered = [enter(value) for value in args]
        results = overload(*entered, **kwargs)
    except (RuntimeError, NotImplementedError, TypeError):
        return -1
    outputs = list(results) if isinstance(results, (list, tuple)) else [results]
    snapshots = tuple(value.detach() if isinstance(value, Tensor) else value for value in args)
    recorded = tuple(output.detach() for output in outputs)
    try:
        truth = reference(OpCall(overload=overload, args=snapshots, kwargs=kwargs, outputs=recorded))
        return sum(_rows(truth, place, output, leaves, stretched) for place, output in enumerate(outputs))
    except NoRule:
        return -1


def _rows(truth: Reference, place: int, output: Tensor, leaves: list[Tensor], stretched: float) -> int:
    if truth.outputs[place] is None or not output.requires_grad or output.layout is not torch.strided:
        return 0  # of a sparse output, the parts of which torch cannot take
    count = 0
    parts = parts_of(output)
    for index in list(np.ndindex(*parts.shape))[:ROWS_UP_TO]:
        exact = truth.value(index, output=place)
        assert abs(float(exact.value - parts[index].item())) <= exact.bound, index
        row = truth.row(index, output=place)
        wanted = {position: leaf for position, leaf in enumerate(leaves) if leaf.requires_grad}
        found = torch.autograd.grad(parts[index], list(wanted.values()), retain_graph=True, allow_unused=True)
        for (position, leaf), gradient in zip(wanted.items(), found, strict=True):
            got = parts_of(torch.zeros_like(leaf) if gradient is None else gradient)
            for column in np.ndindex(*got.shape):
                true = row.partial(position, column)
                assert abs(float(true.value - got[column].item() * stretched)) <= true.bound, (index, position, column)
                count += 1
    return count


def parts_of(tensor: Tensor) -> Tensor:
    dense = tensor if tensor.layout is torch.strided else tensor.to_dense()
    return torch.view_as_real(dense.resolve_conj()) if dense.is_complex() else dense


def split(given: tuple[Any, ...]) -> Arguments:
    return (given[:-1], given[-1]) if isinstance(given[-1], dict) else (given, {})


def test_every_rule_stated_in_parts_has_a_sample() -> None:
    assert set(STATED_IN_PARTS) == set(IN_PARTS)


@pytest.mark.filterwarnings("ignore:Casting complex values to real:UserWarning")
@pytest.mark.parametrize("overload", [*IN_PARTS, *MIXED], ids=str)
def test_values_and_jacobian_rows_agree_with_autograd_within_the_rounding_bound(overload: OpOverload) -> None:
    for given in (IN_PARTS | MIXED)[overload]:
        assert compared(overload, *split(given)) > 0


@pytest.mark.parametrize("overload", [aten._fft_c2r.default, aten.polar.default, aten.sgn.default, aten.mul.Tensor], ids=str)
def test_partials_wrong_by_a_thousandth_are_outside_the_bound(overload: OpOverload) -> None:
    with pytest.raises(AssertionError):
        compared(overload, *split((IN_PARTS | MIXED)[overload][0]), stretched=1.001)


@pytest.mark.filterwarnings("ignore:torch.cholesky is deprecated")
def test_rules_written_for_real_numbers_hold_for_complex_ones_or_say_that_they_do_not() -> None:
    holding = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for overload, rule in RULES.items():
            if isinstance(rule, (PointwiseRule, TensorRule)) and overload not in IN_PARTS:
                counts = [compared(overload, args, kwargs) for args, kwargs in complexified(overload)]
                holding |= {overload} if counts and max(counts) > 0 else set()
    assert len(holding) >= 70, sorted(map(str, holding))


@pytest.mark.parametrize("name", ["exp", "log", "sqrt", "tan", "asin", "acosh", "atanh", "reciprocal", "sigmoid"])
def test_the_expression_of_a_part_is_that_part(name: str) -> None:
    overload = getattr(aten, name).default
    at = torch.tensor(0.3 + 0.4j, dtype=torch.complex128)
    truth = reference(OpCall(overload=overload, args=(at,), outputs=(overload(at),)))
    for part in (0, 1):
        expression = truth.outputs[0].expression((part,))  # type: ignore[union-attr]
        re, im = sp.Symbol("self_0", real=True), sp.Symbol("self_1", real=True)
        number = complex(expression.subs({re: 0.3, im: 0.4}).evalf(30))
        assert number == pytest.approx(float(truth.value((part,))), abs=1e-15)


@pytest.mark.parametrize(
    "function",
    [lambda v: v * v.conj(), lambda v: v.abs() ** 3 + v.angle(), lambda v: torch.exp(v) / v, lambda v: v.real * v.imag],
)
def test_a_gradient_is_that_of_the_parts_by_central_differences(function: Callable[[Tensor], Tensor]) -> None:
    """The convention: ∂L/∂x + i ∂L/∂y, without a half."""
    at = torch.tensor(0.7 - 1.2j, dtype=torch.complex128, requires_grad=True)
    value = function(at)
    loss = value.real * 2 + value.imag if value.is_complex() else value
    (gradient,) = torch.autograd.grad(loss, at)
    for direction, part in ((1, gradient.real), (1j, gradient.imag)):
        right, left = (function(at.detach() + sign * 1e-6 * direction) for sign in (1, -1))
        slope = (right - left) / 2e-6
        slope = slope.real * 2 + slope.imag if slope.is_complex() else slope
        assert slope.item() == pytest.approx(part.item(), rel=1e-7)


def test_a_complex_element_is_not_differentiated_as_if_it_were_real() -> None:
    from gradviz.symbolic.entered import from_torch
    from gradviz.symbolic.sweep import partials_of

    element = from_torch(z(1), position=0, name="z")[(0,)]
    assert isinstance(element, Pair)
    with pytest.raises(NoRule, match="derivative of a complex one"):
        partials_of([(element, 1)])
