"""Formulas through sigmoids as textbooks write them: exp(-x)/(1 + exp(-x))**2 is σ(x) (1 - σ(x)).

Rules write what is stable to compute, with exponentials that a reader would have to gather into sigmoids by hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sympy as sp

from gradviz.symbolic.degrees import dense_size

TIMES = (1, -1, 2, -2)
"""Which multiples of a sigmoid's argument are looked for in exponents."""
MAX_OPERATIONS = 120
"""Of formulas with more operations nothing is gathered: nobody reads them, and it takes long."""
MAX_COEFFICIENTS = 2_000
"""Nor of those that have more when they are multiplied out: the factors of (x + y + z)**27 are sought in that."""


def in_sigmoids(formula: sp.Expr) -> sp.Expr:
    """The same formula with sigmoids in the place of the exponentials that they are made of, where that is shorter.

    >>> x, y = sp.symbols("x y", real=True)
    >>> sigmoid = 1 / (1 + sp.exp(-x))
    >>> in_sigmoids(sp.diff(sigmoid, x)) == sigmoid * (1 - sigmoid)
    True
    >>> in_sigmoids(sp.diff(-y * sp.log(sigmoid) - (1 - y) * sp.log(1 - sigmoid), x)) == sigmoid - y
    True
    >>> in_sigmoids(sp.exp(-x) * y)
    y*exp(-x)
    """
    arguments = {_argument(base) for base in map(_base, formula.atoms(sp.Pow)) if base is not None}
    if not arguments or sp.count_ops(formula) > MAX_OPERATIONS:
        return formula
    sigmoids = {argument: sp.Dummy(f"s{place}", positive=True) for place, argument in enumerate(sorted(arguments, key=str))}
    powers = {
        power: (sigmoid / (1 - sigmoid)) ** times
        for power in formula.atoms(sp.exp)
        for argument, sigmoid in sigmoids.items()
        for times in TIMES
        if power.exp == times * argument
    }
    try:
        gathered = _tidied(formula, powers)
    except sp.PolynomialError:
        return formula
    shown = formula.xreplace({1 / (1 + sp.exp(-argument)): sigmoid for argument, sigmoid in sigmoids.items()})
    if sp.count_ops(gathered) >= sp.count_ops(shown):
        return formula
    return gathered.xreplace({sigmoid: 1 / (1 + sp.exp(-argument)) for argument, sigmoid in sigmoids.items()})


def _base(power: sp.Pow) -> sp.Add | None:
    """`1 + exp(v)` of a negative power of it; None of any other."""
    base = power.base
    is_one = power.exp.is_Integer and power.exp < 0 and base.is_Add and len(base.args) == 2
    return base if is_one and base.args[0] == 1 and isinstance(base.args[1], sp.exp) else None


def _argument(base: sp.Add) -> sp.Expr:
    """u of `1 + exp(u)` and of `1 + exp(-u)`, the one without a minus."""
    exponent: sp.Expr = base.args[1].args[0]
    return -exponent if exponent.could_extract_minus_sign() else exponent


def _tidied(formula: sp.Expr, powers: Mapping[sp.Expr, sp.Expr]) -> sp.Expr:
    """The shortest of the formula, cancelled, factored and multiplied out; branches that are equal become one.

    Raises:
        PolynomialError: it is no rational formula of functions, or would be too large multiplied out.
    """
    if isinstance(formula, sp.Piecewise):
        formula = sp.Piecewise(*((_tidied(value, powers), condition) for value, condition in formula.args))
    elif formula.has(sp.Piecewise):
        formula = formula.func(*(_tidied(part, powers) for part in formula.args))
    if formula.has(sp.Piecewise):
        return formula
    parts: dict[sp.Expr, sp.Dummy] = {}
    cancelled = _cancelled(_rational(formula.xreplace(powers), parts))
    meant = {symbol: part for part, symbol in parts.items()}
    multiplied = [sp.factor(cancelled), cancelled, sp.expand(cancelled)]
    factored, *others = (candidate.xreplace(meant) for candidate in multiplied)
    return _shortest([_signed(factored), *others])


def _rational(formula: sp.Expr, parts: dict[sp.Expr, sp.Dummy]) -> sp.Expr:
    """The formula with symbols for its functions and roots, which `parts` gets; those of sigmoids with shorter arguments."""
    if not formula.args:
        return formula
    inner = [_rational(argument, parts) for argument in formula.args]
    if formula.is_Add or formula.is_Mul or (formula.is_Pow and formula.exp.is_Integer):
        return formula.func(*inner)
    if formula.has(sp.Dummy):
        meant = {symbol: part for part, symbol in parts.items()}
        cancelled = map(_cancelled, inner)
        formula = formula.func(*(_shortest([sp.expand(one).xreplace(meant), one.xreplace(meant)]) for one in cancelled))
    return parts.setdefault(formula, sp.Dummy(f"f{len(parts)}", real=True))


def _shortest(candidates: Sequence[sp.Expr]) -> sp.Expr:
    """The first of several that is the easiest to read."""
    return min(candidates, key=lambda one: (_squares(one), sp.count_ops(one)))


def _cancelled(rational: sp.Expr) -> sp.Expr:
    if dense_size(rational) > MAX_COEFFICIENTS:
        raise sp.PolynomialError("too large when multiplied out")
    return sp.cancel(rational)


def _squares(formula: sp.Expr) -> int:
    """How many higher powers of a sigmoid there are: s (1 - s) is read more easily than s - s**2."""
    return sum(isinstance(power.base, sp.Dummy) and power.exp.is_Integer for power in formula.atoms(sp.Pow))


def _signed(product: sp.Expr) -> sp.Expr:
    """A product with 1 - s for s - 1, and without a minus in front where a factor can take it."""
    factors = []
    for factor in sp.Mul.make_args(product):
        is_turned = factor.is_Add and factor.args[0] == -1 and len(factor.args) == 2 and isinstance(factor.args[1], sp.Dummy)
        factors += [sp.S.NegativeOne, -factor] if is_turned else [factor]
    coefficient, rest = sp.Mul(*factors).as_coeff_Mul()
    sums = [factor for factor in sp.Mul.make_args(rest) if factor.is_Add and _negative_terms(factor) > 0]
    if coefficient.is_negative and sums:
        turned = max(sums, key=_negative_terms)
        return sp.Mul(-coefficient, rest.xreplace({turned: -turned}))
    return sp.Mul(*factors)


def _negative_terms(terms: sp.Add) -> int:
    """How many more terms of a sum have a minus than have none."""
    return sum(1 if term.as_coeff_Mul()[0].is_negative else -1 for term in terms.args)
