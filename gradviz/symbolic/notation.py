"""Formulas as compact text for labels, `π·cos(b)` and `1 - c²`, and as LaTeX."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

import sympy as sp
from sympy.core.relational import Relational
from sympy.printing.latex import LatexPrinter, translate
from sympy.printing.precedence import PRECEDENCE, precedence
from sympy.printing.str import StrPrinter

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_SIGMOID = sp.Function("σ")
_PLAIN_NAME = re.compile(r"[A-Za-z](_?\d+)?")
_GREEK = re.compile(r"GREEK (SMALL|CAPITAL) LETTER (\w+)")
_CLASS = sp.Symbol("class")
_RELATIONS = {">": ">", "<": "<", ">=": "≥", "<=": "≤", "==": "=", "!=": "≠"}


def formula_text(formula: sp.Expr) -> str:
    """The formula on one line.

    >>> b, c, x = sp.symbols("b c x")
    >>> print(formula_text(sp.pi * sp.cos(b)), formula_text(1 - c**2), formula_text(1 / (2 * c)), sep="   ")
    π·cos(b)   1 - c²   1/(2·c)
    >>> print(formula_text(sp.Piecewise((1, x > 0), (0, True))), formula_text(1 / (1 + sp.exp(-x)) - c), sep="   ")
    [x > 0]   σ(x) - c
    """
    return str(_TextPrinter().doprint(formula))


def formula_latex(formula: sp.Expr) -> str:
    r"""The formula in LaTeX's math mode.

    >>> b, c = sp.symbols("b c")
    >>> print(formula_latex(sp.pi * sp.cos(b)), formula_latex(sp.Symbol("δ") - c**2), sep="   ")
    \pi \cos{\left(b \right)}   \delta - c^{2}
    """
    return str(_LatexPrinter({"fold_short_frac": False}).doprint(_with_sigmoid(formula)))


def _with_sigmoid(formula: sp.Expr) -> sp.Expr:
    """1/(1 + exp(-x)) as σ(x)."""
    return formula.replace(_is_sigmoid, lambda node: _SIGMOID(-node.base.args[1].args[0]))


def _is_sigmoid(node: sp.Basic) -> bool:
    if not (node.is_Pow and node.exp == -1 and node.base.is_Add and len(node.base.args) == 2):
        return False
    one, power = node.base.args
    return one == 1 and isinstance(power, sp.exp)


def _branches(piecewise: sp.Piecewise) -> list[tuple[sp.Expr, Any]]:
    """(value, condition) pairs, neighbours of equal value joined."""
    joined: list[tuple[sp.Expr, Any]] = []
    for value, condition in piecewise.args:
        if joined and joined[-1][0] == value:
            joined[-1] = (value, sp.Or(joined[-1][1], condition))
        else:
            joined.append((value, condition))
    return joined


def _bracket(piecewise: sp.Piecewise) -> Any:
    """The condition C for a piecewise function that is 1 where C holds and 0 elsewhere; None for any other."""
    branches = _branches(piecewise)
    if len(branches) != 2 or branches[1][1] != sp.true:
        return None
    (first, condition), (second, _) = branches
    if (first, second) == (1, 0):
        return condition
    return _negated(condition) if (first, second) == (0, 1) else None


def _negated(condition: Any) -> Any:
    parts = condition.args if isinstance(condition, sp.Or) else (condition,)
    return sp.And(*(sp.Not(part) for part in parts))


def _between(condition: sp.And) -> tuple[Any, str, Any, str, Any] | None:
    """(low, relation, x, relation, high) for `low < x and x < high`; None for any other condition."""
    if len(condition.args) != 2 or not all(isinstance(part, Relational) for part in condition.args):
        return None
    above, below = sorted(condition.args, key=lambda part: str(part.rel_op), reverse=True)
    if above.lhs != below.lhs or above.rel_op[0] != ">" or below.rel_op[0] != "<":
        return None
    return above.rhs, above.rel_op.replace(">", "<"), above.lhs, below.rel_op, below.rhs


def _sides(relation: Any) -> tuple[sp.Expr, sp.Expr]:
    """`class = t`, where sympy, which sorts by name, has `a = class`; any other as it is."""
    left, right = relation.args
    return (right, left) if isinstance(relation, sp.Eq) and right == _CLASS else (left, right)


def _positive_first(terms: Sequence[Any]) -> list[Any]:
    """A sum as people write it: `a - b` and not `-b + a`; the others keep their order.

    >>> x, y = sp.symbols("x y")
    >>> _positive_first([-x, y, sp.Integer(1)]), _positive_first([-x, -y])
    ([y, -x, 1], [-x, -y])
    """
    positive = (place for place, term in enumerate(terms) if not term.as_coeff_Mul()[0].could_extract_minus_sign())
    first = next(positive, 0)
    return [terms[first], *terms[:first], *terms[first + 1 :]]


class _TextPrinter(StrPrinter):  # type: ignore[misc]
    def _print_Add(self, expr: sp.Add, order: Any = None) -> str:
        text = ""
        for term in self._as_ordered_terms(expr, order=order):
            printed = f"({self._print(term)})" if term.is_Add else str(self._print(term))
            if not text:
                text = printed
            elif printed.startswith("-"):
                text += f" - {printed[1:]}"
            else:
                text += f" + {printed}"
        return text

    def _print_Mul(self, expr: sp.Mul) -> str:
        coefficient, rest = expr.as_coeff_Mul()
        sign = ""
        if coefficient.could_extract_minus_sign():
            coefficient, sign = -coefficient, "-"
        above, below = [], []
        if coefficient.is_Rational:
            above += [coefficient.p] if coefficient.p != 1 else []
            below += [coefficient.q] if coefficient.q != 1 else []
        else:
            above.append(coefficient)
        for factor in sp.Mul.make_args(rest):
            if factor.is_Pow and factor.exp.is_Rational and factor.exp < 0 and not _is_sigmoid(factor):
                below.append(factor.base ** (-factor.exp))
            else:
                above.append(factor)
        above = [factor for factor in above if factor != 1]
        numerator = "·".join(self._factor(factor) for factor in above) or "1"
        if not below:
            return sign + numerator
        denominator = "·".join(self._factor(factor) for factor in below)
        return f"{sign}{numerator}/({denominator})" if len(below) > 1 else f"{sign}{numerator}/{denominator}"

    def _factor(self, factor: Any) -> str:
        printed = str(self._print(sp.sympify(factor)))
        return f"({printed})" if precedence(sp.sympify(factor)) < PRECEDENCE["Mul"] or printed.startswith("-") else printed

    def _print_Pow(self, expr: sp.Pow, rational: bool = False) -> str:
        if _is_sigmoid(expr):
            return f"σ({self._print(-expr.base.args[1].args[0])})"
        if expr.exp.is_Rational and expr.exp < 0:
            return self._print_Mul(sp.Mul(1, expr, evaluate=False))
        if expr.exp == sp.S.Half:
            return f"√{self.parenthesize(expr.base, PRECEDENCE['Pow'])}"
        base = self.parenthesize(expr.base, PRECEDENCE["Pow"])
        if expr.exp.is_Integer:
            return f"{base}{str(expr.exp).translate(_SUPERSCRIPTS)}"
        return f"{base}^{self.parenthesize(expr.exp, PRECEDENCE['Pow'])}"

    def _print_Pi(self, expr: sp.Expr) -> str:
        return "π"

    def _print_ImaginaryUnit(self, expr: sp.Expr) -> str:
        return "i"

    def _print_Exp1(self, expr: sp.Expr) -> str:
        return "e"

    def _print_Abs(self, expr: sp.Abs) -> str:
        return f"|{self._print(expr.args[0])}|"

    def _print_Float(self, expr: sp.Float) -> str:
        return f"{float(expr):.6g}"

    def _print_Integer(self, expr: sp.Integer) -> str:
        is_long = 10**12 <= abs(expr.p) < 10**300  # as the largest number of float32, which stands for no bound
        return f"{float(expr):.4g}" if is_long else str(expr.p)

    def _print_Relational(self, expr: Any) -> str:
        left, right = _sides(expr)
        return f"{self._print(left)} {_RELATIONS[expr.rel_op]} {self._print(right)}"

    def _print_And(self, expr: sp.And) -> str:
        found = _between(expr)
        if found is None:
            return " and ".join(self._print(argument) for argument in expr.args)
        low, first, middle, second, high = found
        parts = (self._print(low), _RELATIONS[first], self._print(middle), _RELATIONS[second], self._print(high))
        return " ".join(parts)

    def _print_Not(self, expr: sp.Not) -> str:
        return f"not {self._print(expr.args[0])}"

    def _print_Or(self, expr: sp.Or) -> str:
        return " or ".join(self._print(argument) for argument in expr.args)

    def _print_Piecewise(self, expr: sp.Piecewise) -> str:
        condition = _bracket(expr)
        if condition is not None:
            return f"[{self._print(condition)}]"
        parts = []
        for value, holds in _branches(expr):
            parts.append(str(self._print(value)) if holds == sp.true else f"{self._print(value)} if {self._print(holds)}")
        return f"({' else '.join(parts)})"

    def _print_Transpose(self, expr: Any) -> str:
        return f"{self.parenthesize(expr.arg, PRECEDENCE['Pow'])}ᵀ"

    def _print_MatMul(self, expr: Any) -> str:
        sign = "-" if expr.args[0] == -1 else ""
        factors = expr.args[1:] if sign else expr.args
        return sign + "·".join(self.parenthesize(factor, PRECEDENCE["Mul"]) for factor in factors)

    def _print_MatAdd(self, expr: Any) -> str:
        return self._print_Add(expr)

    def _as_ordered_terms(self, expr: Any, order: Any = None) -> list[Any]:
        if isinstance(expr, sp.MatAdd):
            return sorted(expr.args, key=lambda term: str(self._print(term)).startswith("-"))
        return _positive_first(super()._as_ordered_terms(expr, order=order))

    def _print_DiagMatrix(self, expr: Any) -> str:
        return f"diag({self._print(expr.args[0])})"

    def _print_Identity(self, expr: Any) -> str:
        return "I"

    def _print_Max(self, expr: Any) -> str:
        return f"max({', '.join(self._print(argument) for argument in expr.args)})"

    def _print_Min(self, expr: Any) -> str:
        return f"min({', '.join(self._print(argument) for argument in expr.args)})"

    def _print_OneMatrix(self, expr: Any) -> str:
        return "ones"


class _LatexPrinter(LatexPrinter):  # type: ignore[misc]
    def _as_ordered_terms(self, expr: Any, order: Any = None) -> list[Any]:
        return _positive_first(super()._as_ordered_terms(expr, order=order))

    def _print_Symbol(self, expr: sp.Symbol, style: str = "plain") -> str:
        return _latex_name(expr.name) or str(super()._print_Symbol(expr, style=style))

    def _print_MatrixSymbol(self, expr: Any) -> str:
        return _latex_name(expr.name) or str(super()._print_MatrixSymbol(expr))

    def _print_Piecewise(self, expr: sp.Piecewise) -> str:
        condition = _bracket(expr)
        if condition is None:
            return str(super()._print_Piecewise(expr))
        return rf"\left[{self._print(condition)}\right]"

    def _print_Relational(self, expr: Any) -> str:
        return str(super()._print_Relational(expr.func(*_sides(expr), evaluate=False)))

    def _print_And(self, e: sp.And) -> str:
        found = _between(e)
        if found is None:
            return str(super()._print_And(e))
        low, first, middle, second, high = found
        signs = {"<": "<", "<=": r"\leq"}
        parts = (self._print(low), signs[first], self._print(middle), signs[second], self._print(high))
        return " ".join(parts)

    def _print_DiagMatrix(self, expr: Any) -> str:
        return rf"\operatorname{{diag}}\left({self._print(expr.args[0])}\right)"

    def _print_Function(self, expr: Any, exp: Any = None) -> str:
        if expr.func == _SIGMOID:
            power = "" if exp is None else f"^{{{exp}}}"
            return rf"\sigma{power}\left({self._print(expr.args[0])}\right)"
        return str(super()._print_Function(expr, exp))


def _latex_name(name: str) -> str:
    """LaTeX for names that are not mathematical letters: `fc.weight`, `layer_out`; "" for those that sympy prints well."""
    if len(name) == 1 and (letter := _GREEK.fullmatch(unicodedata.name(name, ""))):
        return str(translate(letter[2].capitalize() if letter[1] == "CAPITAL" else letter[2].lower()))
    letters = {"alpha", "beta", "gamma", "delta", "epsilon", "theta", "lambda", "mu", "sigma", "tau", "phi", "omega"}
    if _PLAIN_NAME.fullmatch(name) or name in letters or (len(name) == 1 and name.isalpha()):
        return ""
    escaped = re.sub(r"([_#$%&{}])", r"\\\1", name).replace("^", r"\hat{}").replace("~", r"\sim ")
    return rf"\mathrm{{{escaped}}}"
