"""Derivatives of whole expressions, one function after the other.

sympy differentiates a nested expression as a whole, and at each step asks of all that stands inside whether it is real or
zero. To answer it may multiply out real and imaginary parts: of thirty operations that takes minutes.
"""

from __future__ import annotations

import sympy as sp
from sympy.core.function import Application


def derivative(expression: sp.Expr, symbol: sp.Symbol) -> sp.Expr:
    """d(expression)/d(symbol) by the chain rule, with a real variable in the place of each function's result.

    >>> x, y = sp.symbols("x y", real=True)
    >>> derivative(sp.tanh(sp.sin(x * y)) + x, x)
    y*(1 - tanh(sin(x*y))**2)*cos(x*y) + 1
    """
    return _Differentiation(symbol).of(expression)


class _Differentiation:
    """With respect to one symbol; functions of it are real variables, each with a derivative of its own."""

    def __init__(self, symbol: sp.Symbol) -> None:
        self.variables: dict[sp.Basic, sp.Dummy] = {}
        self.slopes: dict[sp.Symbol, sp.Expr] = {symbol: sp.S.One}

    def of(self, expression: sp.Expr) -> sp.Expr:
        slope = self._slope(self._in_variables(expression))
        functions = {variable: function for function, variable in self.variables.items()}
        while not functions.keys().isdisjoint(slope.free_symbols):
            slope = slope.xreplace(functions)
        return slope

    def _in_variables(self, part: sp.Basic) -> sp.Basic:
        """The part with variables for the functions that depend on the symbol; cases stay cases, of such parts.

        Conditions stay as they are: they are not differentiated.
        """
        if part in self.variables:
            return self.variables[part]
        if not part.args:
            return part
        if isinstance(part, sp.Piecewise):
            return sp.Piecewise(*((self._in_variables(case), condition) for case, condition in part.args))
        inner = part.func(*map(self._in_variables, part.args))
        if not isinstance(part, Application) or self._is_constant(inner):
            return inner
        variable = self.variables[part] = sp.Dummy(f"v{len(self.variables)}", real=True)
        self.slopes[variable] = self._of_function(inner)
        return variable

    def _slope(self, part: sp.Basic) -> sp.Expr:
        """Of a part in variables."""
        if self._is_constant(part):
            return sp.S.Zero
        if part.is_Symbol:
            return self.slopes[part]
        if part.is_Add:
            return sp.Add(*map(self._slope, part.args))
        if isinstance(part, sp.Piecewise):
            return sp.Piecewise(*((self._slope(case), condition) for case, condition in part.args))
        return self._of_function(part)

    def _of_function(self, function: sp.Basic) -> sp.Expr:
        """Of a function, a product or a power: by each argument, times that argument's own derivative."""
        places = {place: sp.Dummy(f"a{place}", real=True) for place, one in enumerate(function.args) if not one.is_number}
        general = function.func(*(places.get(place, one) for place, one in enumerate(function.args)))
        given = {variable: function.args[place] for place, variable in places.items()}
        factor = sp.Dummy("slope", real=True)  # multiplied by all at once: 2 times a sum alone would be multiplied out
        terms = ((sp.diff(general, one) * factor).xreplace({**given, factor: self._slope(given[one])}) for one in given)
        return sp.Add(*terms)

    def _is_constant(self, part: sp.Basic) -> bool:
        return self.slopes.keys().isdisjoint(part.free_symbols)
