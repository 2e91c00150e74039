"""Formulas of local partials: the notation of the field, and the same numbers as autograd."""

from __future__ import annotations

import math
from typing import Any

import pytest
import sympy as sp
import torch
from torch import Tensor
from torch._ops import OpOverload

from gradviz.opcall import OpCall
from gradviz.symbolic import formula_latex, formula_text, local_formula

aten = torch.ops.aten
X = torch.tensor([1.0, 2.0, 4.0])
A = torch.arange(6.0).reshape(2, 3)
S = torch.tensor(2.0)


def call_of(overload: OpOverload, *args: Any, **kwargs: Any) -> OpCall:
    results = overload(*args, **kwargs)
    outputs = results if isinstance(results, tuple) else (results,)
    return OpCall(overload=overload, args=args, kwargs=kwargs, outputs=outputs)


def text(overload: OpOverload, *args: Any, position: int = 0, names: str = "x y z", **kwargs: Any) -> str | None:
    formula = local_formula(call_of(overload, *args, **kwargs), position, names.split(), "c")
    return None if formula is None else formula_text(formula)


@pytest.mark.parametrize(
    ("overload", "args", "position", "expected"),
    [
        (aten.mul.Tensor, (S, S), 0, "y"),
        (aten.mul.Tensor, (S, S), 1, "x"),
        (aten.mul.Tensor, (S, math.pi), 0, "π"),
        (aten.mul.Tensor, (S, math.e), 0, "e"),
        (aten.mul.Tensor, (S, 0.1), 0, "0.1"),
        (aten.mul.Tensor, (S, math.pi / 2), 0, "π/2"),
        (aten.add.Tensor, (S, S), 1, "1"),
        (aten.sub.Tensor, (S, S), 1, "-1"),
        (aten.div.Tensor, (S, S), 0, "1/y"),
        (aten.div.Tensor, (S, S), 1, "-c/y"),
        (aten.pow.Tensor_Scalar, (S, 2), 0, "2·x"),
        (aten.pow.Tensor_Scalar, (S, 3), 0, "3·x²"),
        (aten.sin.default, (S,), 0, "cos(x)"),
        (aten.log.default, (S,), 0, "1/x"),
        (aten.exp.default, (S,), 0, "c"),
        (aten.tanh.default, (S,), 0, "1 - c²"),
        (aten.sigmoid.default, (S,), 0, "c·(1 - c)"),
        (aten.sqrt.default, (S,), 0, "1/(2·c)"),
        (aten.relu.default, (S,), 0, "[x > 0]"),
        (aten.hardtanh.default, (S,), 0, "[-1 < x < 1]"),
        (aten.leaky_relu.default, (S, 0.01), 0, "(1 if x > 0 else 0.01)"),
        (aten.where.self, (S > 0, S, S), 1, "[x]"),
        (aten.sum.default, (X,), 0, "1"),
        (aten.mean.default, (X,), 0, "1/3"),
        (aten._softmax.default, (X, 0, False), 0, "diag(c) - c·cᵀ"),
        (aten.mv.default, (A, X), 1, "x"),
        (aten.mv.default, (A, X), 0, "yᵀ"),
        (aten.mm.default, (A, A.T), 0, "yᵀ"),
        (aten.addmm.default, (X[:2], A, A.T), 2, "y"),
        (aten.linear.default, (A, A), 0, "y"),
        (aten.mse_loss.default, (X, X), 0, "2·(x - y)/3"),
        (aten.binary_cross_entropy_with_logits.default, (X, X), 0, "(σ(x) - y)/3"),
        (aten.t.default, (A,), 0, "1"),
    ],
)
def test_formulas_are_written_as_on_the_blackboard(
    overload: OpOverload, args: tuple[Any, ...], position: int, expected: str
) -> None:
    assert text(overload, *args, position=position) == expected


def test_integer_arguments_and_unknown_formulas_have_none() -> None:
    assert text(aten.nll_loss_forward.default, A, torch.tensor([0, 1]), None, 1, -100, position=1) is None
    assert text(aten.native_layer_norm.default, A, [3], None, None, 1e-5) is None
    assert text(aten.special_i0.default, S) is None


def test_latex_keeps_module_paths_upright_and_escapes_them() -> None:
    call = call_of(aten.mul.Tensor, S, S)
    formula = local_formula(call, 0, ["h", "fc_1.weight"], "c")
    assert formula_latex(formula) == r"\mathrm{fc\_1.weight}"
    assert formula_latex(sp.Symbol("x_1") * sp.pi) == r"\pi x_{1}"


@pytest.mark.parametrize("overload", [aten.tanh.default, aten.gelu.default, aten.silu.default, aten.mish.default], ids=str)
@pytest.mark.parametrize("overload_input", [-1.3, 0.4, 2.2])
def test_a_formula_evaluates_to_autograds_number(overload: OpOverload, overload_input: float) -> None:
    x = torch.tensor(overload_input, dtype=torch.float64, requires_grad=True)
    out: Tensor = overload(x)
    out.backward()
    call = OpCall(overload=overload, args=(x.detach(),), outputs=(out.detach(),))
    formula = local_formula(call, 0, ["x"], "c")
    assert formula is not None and x.grad is not None
    number = formula.subs({sp.Symbol("x"): overload_input, sp.Symbol("c"): out.item()})
    assert float(number) == pytest.approx(x.grad.item(), rel=1e-12)
