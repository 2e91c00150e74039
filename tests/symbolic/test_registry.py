"""The registry refuses what it cannot carry and resolves in-place and out= forms."""

from __future__ import annotations

import pytest
import sympy as sp
import torch

from gradviz.opcall import OpCall
from gradviz.symbolic import (
    RULES,
    NoRule,
    SymbolicTensor,
    data_movement,
    find_rule,
    method_of,
    no_gradient,
    pointwise_rule,
    reference,
    symbolic_rule,
)

aten = torch.ops.aten


def test_registering_an_overload_twice_is_refused() -> None:
    with pytest.raises(ValueError, match=r"aten\.sum\.default has a rule already"):

        @symbolic_rule(aten.sum.default)
        def sum_again(self: SymbolicTensor, *, dtype: torch.dtype | None = None) -> SymbolicTensor:
            return self.sum()

    with pytest.raises(ValueError, match="has a rule already"):
        no_gradient(aten.argmax.default, reason="again")
    with pytest.raises(ValueError, match="has a rule already"):
        data_movement(aten.t.default)


def test_only_overloads_can_be_registered() -> None:
    with pytest.raises(TypeError, match="not for"):
        no_gradient(aten.argmin, reason="a packet")


def test_a_rule_must_be_callable_as_its_overload_and_typed() -> None:
    with pytest.raises(TypeError, match="cannot be called as"):

        @pointwise_rule(aten.special_i0.default)
        def two_arguments(self: sp.Expr, other: sp.Expr) -> sp.Expr:
            return self * other

    with pytest.raises(TypeError, match="no type hints"):
        pointwise_rule(aten.special_i0.default)(lambda self: self)
    with pytest.raises(TypeError, match="moved="):
        data_movement(aten.special_i0.default, moved=("tensors",))
    assert aten.special_i0.default not in RULES


@pytest.mark.parametrize(
    ("variant", "functional"),
    [
        (aten.add_.Tensor, aten.add.Tensor),
        (aten.add.out, aten.add.Tensor),
        (aten.relu_.default, aten.relu.default),
        (aten.masked_fill_.Scalar, aten.masked_fill.Scalar),
        (aten.copy_.default, aten.copy.default),
        (aten.index_put_.default, aten.index_put.default),
        (aten.sum.IntList_out, aten.sum.dim_IntList),
        (aten.t_.default, aten.t.default),
    ],
    ids=str,
)
def test_in_place_and_out_forms_use_the_functional_rule(
    variant: torch._ops.OpOverload, functional: torch._ops.OpOverload
) -> None:
    assert find_rule(variant) is RULES[functional]


@pytest.mark.parametrize(
    ("overload", "method"),
    [
        (aten.tanh.default, "pointwise"),
        (aten.mul_.Tensor, "pointwise"),
        (aten.mm.default, "tensor"),
        (aten.t.default, "movement"),
        (aten.argmax.default, "no gradient"),
        (aten.linalg_eig.default, "none"),
    ],
    ids=str,
)
def test_an_overload_tells_how_it_is_differentiated(overload: torch._ops.OpOverload, method: str) -> None:
    assert method_of(overload) == method


def test_an_in_place_call_is_differentiated_by_its_snapshots() -> None:
    x, y = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])
    truth = reference(OpCall(overload=aten.mul_.Tensor, args=(x, y), outputs=(x * y,)))
    assert float(truth.row((1,)).partial(0, (1,))) == 4.0


def test_a_missing_rule_and_a_missing_gradient_say_why() -> None:
    x = torch.tensor([1.0])
    with pytest.raises(NoRule, match=r"no symbolic rule for aten\.special_i0\.default"):
        reference(OpCall(overload=aten.special_i0.default, args=(x,), outputs=(x,)))
    with pytest.raises(NoRule, match=r"has no gradient: it answers yes or no"):
        reference(OpCall(overload=aten.gt.Scalar, args=(x, 0), outputs=(x > 0,)))
    with pytest.raises(NoRule, match="erf of a complex number has no complex derivative"):
        z = torch.tensor([1j])
        reference(OpCall(overload=aten.erf.default, args=(z,), outputs=(z,)))
