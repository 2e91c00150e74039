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

How the parts go together:

    reference.py     a call -> its true values and derivatives; compose.py the same of several calls
    registry.py      which overload is differentiated how; method.py tells it of any overload
    rules/           the rules, one file a family
    evaluate.py      a call and symbolic inputs -> symbolic outputs, by its rule; binding.py its arguments by their names
    lowering.py      a call without rule, put down to others by torch; what torch cannot state is stated in recurrent.py,
                     grids.py and, of calls on lists, foreach.py
    moved.py         where each element of a data movement comes from
    taps.py          images of another size; signed_zeros.py −0 where its sign decides
    tensor.py        `SymbolicTensor`: elements, pulled lazily; entered.py those that rules are given
    indexing.py, arrays.py          indices of tensors; tensors as numpy arrays
    scalar.py, element.py           how elements are computed with; what an element remembers
    sweep.py         from elements back to their input symbols
    bulk.py, many.py, chain.py      long sums, many elements, and those of a recurrence, as arrays
    full.py          all elements of a pointwise call or a data movement
    function.py      functions of scalars, derived by sympy; tape.py their steps; analytic.py at complex elements
    deadline.py      until when elements may be computed, and how many
    implicit.py      what is defined by equations, as an inverse; matrix.py, products.py matrices and their derivatives
    arithmetic.py    the kinds of numbers: 50 digits, and wide floats (wide.py); why they may be trusted: rounding.py,
                     tracked.py, complex_arithmetic.py
    formula.py       local partials as people write them; notation.py as text; shifts.py through softmax, sigmoids.py
                     (degrees.py: where that would be too large); differentiation.py derivatives of whole expressions
"""

from __future__ import annotations

import gradviz.symbolic.rules  # noqa: F401 for the rules that it registers
from gradviz.symbolic.arrays import exact_array
from gradviz.symbolic.compose import compose
from gradviz.symbolic.deadline import Allowance, OutOfTime, TooMuchWork, require_time, until
from gradviz.symbolic.formula import local_formula
from gradviz.symbolic.full import WideValues
from gradviz.symbolic.method import method_of
from gradviz.symbolic.notation import formula_latex, formula_text
from gradviz.symbolic.reference import Elements, Exact, Reference, Row, reference
from gradviz.symbolic.registry import (
    RULES,
    NoGradient,
    NoRule,
    Undetermined,
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
    "Allowance",
    "Elements",
    "Exact",
    "NoGradient",
    "NoRule",
    "OutOfTime",
    "Reference",
    "Row",
    "SymbolicTensor",
    "TooMuchWork",
    "Undetermined",
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
    "require_time",
    "symbolic_rule",
    "unit_roundoff",
    "until",
]
