"""Symbolic truth for recorded aten calls: true values and derivatives by sympy, to 50 digits, with rounding bounds.

What the check uses:

    truth = reference(call)                      # raises NoRule with a .reason where there is no rule or no gradient
    truth.method                                 # "pointwise" | "movement" | "tensor" | "lowered" | "composed"
    truth.dtype                                  # the coarsest dtype involved: rounding is bounded in it
    truth.value((0, 1), output=0)                # Exact: .value (mpmath, 50 digits), .bound (absolute), float(...)
    truth.row((0, 1), output=0)                  # Row: one row of the local Jacobian, for all arguments in one sweep
    row.partial(position, index)                 # Exact; exactly 0 where the output does not depend on it
    row.partials[position]                       # {index: Exact}, only what is reached
    row.kinks                                    # ("relu at 0",): the inputs lie on a kink, any subgradient is right
    truth.vjp({(output, index): weight, ...})    # Row of sum(weight * out[index]): several elements in one sweep
    truth.values_at_once(flats, output=0)        # Elements in wide floats; None where they are had one by one only
    truth.vjp_at_once(flats, weights, output=0)  # position -> Elements of such a sum of rows; None as above, and on kinks
    truth.pointwise_value()                      # all elements of a pointwise call: WideValues
    truth.pointwise_partial(position)            # d out[i] / d in[i] for all i: WideValues, shaped like the output
    truth.pointwise_partial(position, elements=[7, 9])  # those flat elements again, to 50 digits first
    truth.full_vjp(position, cotangents)         # pointwise and movement: the whole VJP, shaped like the argument

`WideValues`: `.value` (numpy longdouble), `.bound` (float64, absolute), `.kinks` {name: mask}, `.kink` (any of them).
`position` is the edge key: `TensorArgument.position`. A number of torch's, `got`, is right where
`abs(got - value) <= bound`; the distance in ULP is `abs(got - value) / spacing(abs(value), dtype)`. A bound of inf or
nan says that rounding (cancellation, overflow) leaves nothing to compare. Sample columns with `reference(call,
chosen=...)`.

How an overload is covered, for lists of them:

    method_of(overload)                          # "pointwise" | "tensor" | "movement" | "lowered" | "no gradient" | "none"

Several calls as one (a custom autograd.Function's forward, a graph of few leaves):

    truth = compose(calls, inputs, outputs)      # a Reference whose edge keys are places in `inputs`; raises NoRule
    truth.outputs[0].expression(())              # a sympy expression in symbols named after the inputs

Formulas for people, in intermediate variables:

    local_formula(call, position, ["a", "z"], "c")   # sympy: mul(a, z) wrt a -> z; tanh(a) = c -> 1 - c**2
    formula_text(formula), formula_latex(formula)    # "1 - c²", "1 - c^{2}"

Rules are registered per overload by family: one file each, `_FAMILIES` lists them. What has no closed form but is
defined by equations (`solving.py`, `factors.py`) is solved in `implicit.py`. How they are stated is in `registry.py`; how a
call without rule is put down to others in `lowering.py`; how elements are computed in `tensor.py` and `scalar.py`, many at
once in `many.py`, those of a recurrence in `chain.py`; why a number may be trusted in `arithmetic.py` and `rounding.py`.
"""

from __future__ import annotations

from gradviz.symbolic import (
    activation,
    binary,
    complex_rules,
    convolution,
    drawn,
    factors,
    linear,
    loss,
    matrix_functions,
    movement,
    normalization,
    pointwise,
    pooling,
    reduction,
    resampling,
    scatter,
    selection,
    softmax,
    solving,
    sparse,
    special,
)
from gradviz.symbolic.arrays import exact_array
from gradviz.symbolic.compose import compose
from gradviz.symbolic.formula import local_formula
from gradviz.symbolic.full import WideValues
from gradviz.symbolic.method import method_of
from gradviz.symbolic.notation import formula_latex, formula_text
from gradviz.symbolic.reference import Exact, Reference, Row, reference
from gradviz.symbolic.registry import (
    RULES,
    NoGradient,
    NoRule,
    data_movement,
    find_rule,
    functional_overload,
    no_gradient,
    pointwise_rule,
    symbolic_rule,
)
from gradviz.symbolic.rounding import unit_roundoff
from gradviz.symbolic.tensor import SymbolicTensor

__all__ = [
    "RULES",
    "Exact",
    "NoGradient",
    "NoRule",
    "Reference",
    "Row",
    "SymbolicTensor",
    "WideValues",
    "compose",
    "data_movement",
    "exact_array",
    "find_rule",
    "formula_latex",
    "formula_text",
    "functional_overload",
    "local_formula",
    "method_of",
    "no_gradient",
    "pointwise_rule",
    "reference",
    "symbolic_rule",
    "unit_roundoff",
]

# Imported for the rules that they register.
_FAMILIES = (
    activation,
    binary,
    complex_rules,
    convolution,
    drawn,
    factors,
    linear,
    loss,
    matrix_functions,
    movement,
    normalization,
    pointwise,
    pooling,
    reduction,
    resampling,
    scatter,
    selection,
    softmax,
    solving,
    sparse,
    special,
)
