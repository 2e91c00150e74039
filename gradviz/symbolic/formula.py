"""Local partials as people write them, in intermediate variables: a·z with respect to a is z; tanh(a) = c gives 1 - c².

Pointwise formulas come from the rules themselves (sympy's derivative, or the form in terms of the result where the field
teaches that). Formulas of reductions, matrix products, softmax and losses are a table. For arrays the formula is that of
one element, or of the Jacobian in matrices: ∂(A x)/∂x = A, ∂(A x)/∂A = xᵀ, ∂softmax/∂x = diag(s) - s sᵀ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

import sympy as sp
import torch
from sympy.codegen.cfunctions import exp2, expm1, log1p, log2, log10
from torch import Tensor
from torch._ops import OpOverload

from gradviz.opcall import OpCall, is_inexact
from gradviz.standin import is_kept
from gradviz.symbolic.binding import bind, functional_form
from gradviz.symbolic.evaluate import is_complex, specialize
from gradviz.symbolic.function import RESULT
from gradviz.symbolic.indexing import normalized_dims
from gradviz.symbolic.registry import MovementRule, NoRule, PointwiseRule, find_rule
from gradviz.symbolic.signed_zeros import with_signs_of_zeros

aten = torch.ops.aten
Expr: TypeAlias = sp.Expr
_SCALAR_FORM = {
    exp2: lambda x: 2**x,
    expm1: lambda x: sp.exp(x) - 1,
    log1p: lambda x: sp.log(1 + x),
    log2: lambda x: sp.log(x) / sp.log(2),
    log10: lambda x: sp.log(x) / sp.log(10),
}


def local_formula(call: OpCall, position: int, names: Sequence[str], output_name: str) -> Expr | None:
    """The partial of the call's output with respect to one argument, in the names of its arguments and its output.

    Args:
        call: the recorded call.
        position: the edge key of the argument.
        names: the names of all tensor arguments, in the order of their edge keys.
        output_name: the name of the result.

    Returns:
        A sympy expression (a matrix expression for products of matrices and for softmax); None where no short formula
        is known.

    >>> a, z = torch.tensor(2.0), torch.tensor(3.0)
    >>> local_formula(OpCall(overload=aten.mul.Tensor, args=(a, z), outputs=(a * z,)), 0, ["a", "z"], "c")
    z
    >>> local_formula(OpCall(overload=aten.tanh.default, args=(a,), outputs=(a.tanh(),)), 0, ["a"], "c")
    1 - c**2
    >>> local_formula(OpCall(overload=aten.mul.Tensor, args=(a, math.pi), outputs=(a * math.pi,)), 0, ["a"], "c")
    pi
    """
    try:
        rule = find_rule(call.overload)
    except NoRule:
        return None
    wanted = next((argument.tensor for argument in call.tensor_arguments() if argument.position == position), None)
    if wanted is None or not is_inexact(wanted):
        return None
    if isinstance(rule, MovementRule):
        return sp.S.One if all(made is None or made.is_complex() == wanted.is_complex() for made in call.outputs) else None
    if isinstance(rule, PointwiseRule):
        return _pointwise_formula(rule, call, position, names, output_name)
    if is_complex(call):
        return None
    write = _FORMULAS.get(functional_form(call.overload))
    if any(argument.tensor.layout is torch.jagged for argument in call.tensor_arguments()):
        return None  # of no shape that could be written
    return None if write is None else write(Written(call, position, names, output_name))


def shown_number(value: int | float | complex) -> Expr:
    """A number as people write it: 2, 1/2, π/2, e, 0.1.

    >>> shown_number(math.pi / 2), shown_number(0.5), shown_number(3.0)
    (pi/2, 1/2, 3)
    """
    if isinstance(value, complex):
        return shown_number(value.real) + sp.I * shown_number(value.imag)
    if not math.isfinite(value):
        return sp.nan if math.isnan(value) else sp.oo if value > 0 else -sp.oo
    short = Fraction(value).limit_denominator(16)
    if short == Fraction(value):
        return sp.Rational(short.numerator, short.denominator)
    if abs(value) == math.e:
        return sp.E if value > 0 else -sp.E
    turns = Fraction(value / math.pi).limit_denominator(12)
    if turns and abs(turns.numerator) <= 12 and math.isclose(float(turns) * math.pi, value, rel_tol=4e-16):
        return sp.Rational(turns.numerator, turns.denominator) * sp.pi
    return sp.Float(repr(value), 15)


def _pointwise_formula(
    rule: PointwiseRule, call: OpCall, position: int, names: Sequence[str], output_name: str
) -> Expr | None:
    pointwise = specialize(rule, with_signs_of_zeros(call))
    if position not in pointwise.positions:
        return None
    if any(isinstance(operand, float) and math.isnan(operand) for operand in pointwise.operands):
        return None  # sympy compares nothing with it
    function = pointwise.function
    if is_complex(call) and function.expression.has(sp.Abs):  # not analytic: one partial does not tell its derivative
        return None
    replaced: dict[Expr, Expr] = {RESULT: sp.Symbol(output_name)}
    for parameter, operand, place in zip(function.parameters, pointwise.operands, pointwise.positions, strict=True):
        if place is not None:
            replaced[parameter] = sp.Symbol(names[place])
        elif isinstance(operand, Tensor):
            replaced[parameter] = sp.Symbol(parameter.name)
        else:
            replaced[parameter] = shown_number(operand)
        if isinstance(operand, Tensor) and operand.dtype == torch.bool:
            replaced |= {sp.Ne(parameter, 0): replaced[parameter], sp.Eq(parameter, 0): sp.Not(replaced[parameter])}
    place = pointwise.positions.index(position)
    formula = function.shown_partial(place)
    if place in function.limits and formula.xreplace(replaced).has(sp.zoo, sp.nan):  # along the exponent of 0**y
        formula = function.limits[place]
    for special, plain in _SCALAR_FORM.items():
        formula = formula.replace(special, plain)
    formula = formula.xreplace(replaced)
    return formula.replace(lambda node: node.is_Rational and node.q > 1000, _shown_rational)


def _shown_rational(number: sp.Rational) -> Expr:
    """A float that entered as its exact fraction, as people write it; exponents have lost 1 by differentiation."""
    shown, before = shown_number(float(number)), shown_number(float(number) + 1)
    return before - 1 if shown.is_Float and not before.is_Float else shown


class Written:
    """What a formula of the table is written with.

    Attributes:
        output: the result, as a symbol.
        wanted: the schema name of the argument that is differentiated for.
        shapes: schema name -> shape.
        options: schema name -> value of the arguments that are no tensors.
    """

    def __init__(self, call: OpCall, position: int, names: Sequence[str], output_name: str) -> None:
        self.output = sp.Symbol(output_name)
        self.output_name = output_name
        self.wanted = ""
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.options: dict[str, Any] = {}
        self._tensors: dict[str, Tensor] = {}
        self._names: dict[str, str] = {}
        for argument in bind(call):
            if len(argument.positions) == 1 and isinstance(argument.value, Tensor):
                place = argument.positions[0]
                assert place is not None
                self._names[argument.name] = names[place]
                self.shapes[argument.name] = tuple(argument.value.shape)
                self._tensors[argument.name] = argument.value
                self.wanted = argument.name if place == position else self.wanted
            else:
                self.options[argument.name] = argument.value

    def symbol(self, argument: str) -> Expr:
        """One element of the argument."""
        return sp.Symbol(self._names[argument])

    def matrix(self, argument: str) -> Expr:
        """The argument as a matrix; a vector is a column, of batches one matrix stands for each."""
        shape = self.shapes[argument]
        rows, columns = shape[-2:] if len(shape) > 1 else (*shape, 1) if shape else (1, 1)
        return sp.MatrixSymbol(self._names[argument], rows, columns)

    def targets(self, ignored: int) -> int | None:
        """How many targets of a loss count; None where their numbers cannot be read."""
        classes = self._tensors["target"]
        return int((classes != ignored).sum()) if is_kept(classes) and classes.device.type != "meta" else None

    def count(self, dim: str = "dim") -> int:
        """How many elements the reduction joins."""
        shape = self.shapes["self"]
        dims = normalized_dims(self.options.get(dim), len(shape))
        return math.prod(shape[place] for place in dims)


_FORMULAS: dict[OpOverload, Callable[[Written], Expr | None]] = {}


def _formula(*overloads: OpOverload) -> Callable[[Callable[[Written], Expr | None]], Callable[[Written], Expr | None]]:
    def register(write: Callable[[Written], Expr | None]) -> Callable[[Written], Expr | None]:
        _FORMULAS.update(dict.fromkeys(overloads, write))
        return write

    return register


@_formula(aten.sum.default, aten.sum.dim_IntList, aten.cumsum.default, aten.trace.default)
def _sum(w: Written) -> Expr:
    return sp.S.One


@_formula(aten.mean.default, aten.mean.dim)
def _mean(w: Written) -> Expr:
    return sp.Rational(1, max(w.count(), 1))


@_formula(aten.prod.default, aten.prod.dim_int)
def _prod(w: Written) -> Expr:
    return w.output / w.symbol("self")


@_formula(aten.amax.default, aten.amin.default, aten.max.default, aten.min.default, aten.max.dim, aten.min.dim)
def _extreme(w: Written) -> Expr:
    return sp.Piecewise((1, sp.Eq(w.symbol("self"), w.output)), (0, True))


@_formula(aten.logsumexp.default)
def _logsumexp(w: Written) -> Expr:
    return sp.exp(w.symbol("self") - w.output)


def _deviation(w: Written) -> tuple[Expr, Expr]:
    correction = w.options.get("correction")
    x = w.symbol("self")
    return x - sp.Function("mean")(x), shown_number(w.count() - (1 if correction is None else correction))


@_formula(aten.var.correction)
def _var(w: Written) -> Expr:
    deviation, divisor = _deviation(w)
    return 2 * deviation / divisor


@_formula(aten.std.correction)
def _std(w: Written) -> Expr:
    deviation, divisor = _deviation(w)
    return deviation / (divisor * w.output)


@_formula(aten.linalg_vector_norm.default, aten.norm.ScalarOpt_dim, aten.norm.Scalar)
def _norm(w: Written) -> Expr | None:
    p = w.options.get("ord", w.options.get("p", 2))
    x = w.symbol("self")
    return x / w.output if p in (2, None) else sp.sign(x) if p == 1 else None


@_formula(aten._softmax.default)
def _softmax(w: Written) -> Expr:
    size = w.shapes["self"][w.options["dim"]] if w.shapes["self"] else 1
    s = sp.MatrixSymbol(w.output_name, size, 1)
    return sp.DiagMatrix(s) - s * s.T


@_formula(aten._log_softmax.default)
def _log_softmax(w: Written) -> Expr:
    size = w.shapes["self"][w.options["dim"]] if w.shapes["self"] else 1
    return sp.Identity(size) - sp.OneMatrix(size, 1) * sp.MatrixSymbol(f"exp({w.output_name})", size, 1).T


def _left(w: Written, right: str) -> Expr:
    return w.matrix(right).T


@_formula(aten.mm.default, aten.bmm.default, aten.mv.default, aten.dot.default, aten.vdot.default, aten.matmul.default)
def _product(w: Written) -> Expr:
    left, right = w.shapes
    return _left(w, right) if w.wanted == left else w.matrix(left).T if len(w.shapes[left]) == 1 else w.matrix(left)


@dataclass(frozen=True, slots=True)
class _Scaled:
    """The argument names of `beta * bias + alpha * (left @ right)`."""

    left: str
    right: str

    def __call__(self, w: Written) -> Expr:
        if w.wanted == "self":
            return shown_number(w.options.get("beta", 1))
        factor = shown_number(w.options.get("alpha", 1))
        return factor * (_left(w, self.right) if w.wanted == self.left else w.matrix(self.left))


_formula(aten.addmm.default)(_Scaled("mat1", "mat2"))
_formula(aten.addmv.default)(_Scaled("mat", "vec"))
_formula(aten.baddbmm.default, aten.addbmm.default)(_Scaled("batch1", "batch2"))


@_formula(aten.linear.default)
def _linear(w: Written) -> Expr:
    """y = W x + b for each row x of the input."""
    other = {"input": "weight", "weight": "input"}.get(w.wanted)
    return sp.S.One if other is None else w.matrix(other)


def _averaged(w: Written, formula: Expr) -> Expr:
    """Divided by the number of elements where the loss is a mean; not multiplied out."""
    if w.options.get("reduction", 1) != 1:
        return formula
    coefficient, rest = formula.as_coeff_Mul()
    return sp.Mul(coefficient / math.prod(w.shapes["self"]), rest, evaluate=False)


@_formula(aten.mse_loss.default)
def _mse(w: Written) -> Expr:
    sign = 2 if w.wanted == "self" else -2
    return _averaged(w, sp.Mul(sign, w.symbol("self") - w.symbol("target"), evaluate=False))


@_formula(aten.binary_cross_entropy.default)
def _cross_entropy(w: Written) -> Expr | None:
    if w.wanted != "self" or "weight" in w.shapes:
        return None
    x, t = w.symbol("self"), w.symbol("target")
    return _averaged(w, (x - t) / (x * (1 - x)))


@_formula(aten.binary_cross_entropy_with_logits.default)
def _cross_entropy_of_logits(w: Written) -> Expr | None:
    if w.wanted != "self" or {"weight", "pos_weight"} & set(w.shapes):
        return None
    x, t = w.symbol("self"), w.symbol("target")
    return _averaged(w, 1 / (1 + sp.exp(-x)) - t)


@_formula(aten.nll_loss_forward.default, aten.nll_loss2d_forward.default)
def _nll(w: Written) -> Expr | None:
    if "weight" in w.shapes:
        return None
    is_class = sp.Eq(sp.Symbol("class"), w.symbol("target"))
    divisor = w.targets(w.options["ignore_index"]) if w.options["reduction"] == 1 else 1
    return None if divisor is None else -sp.Piecewise((1, is_class), (0, True)) / max(divisor, 1)
