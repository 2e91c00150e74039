"""sympy expression -> syntax tree, written the way one writes it by hand: `x - y`, `x/y`, `sqrt(x)`, not `x + -1*y`.

sympy is imported when the function is called, never with the package. The tree is printed and read again, so that
what comes from sympy has a text with columns and passes the same checks as what a person types.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from gradviz.errors import InputError
from gradviz.expression.limits import MAX_EXACT_INTEGER, MAX_NESTING, MAX_NODES
from gradviz.expression.names import is_one_name
from gradviz.expression.nodes import (
    BinaryOp,
    Call,
    Comparison,
    ComparisonOperator,
    Constant,
    Expression,
    Node,
    Number,
    UnaryOp,
    Variable,
)
from gradviz.expression.parser import parse

if TYPE_CHECKING:
    import sympy

_CALLS: Final = {
    "sin": "sin", "cos": "cos", "tan": "tan", "asin": "asin", "acos": "acos", "atan": "atan", "atan2": "atan2",
    "sinh": "sinh", "cosh": "cosh", "tanh": "tanh", "asinh": "asinh", "acosh": "acosh", "atanh": "atanh",
    "exp": "exp", "log": "log", "Abs": "abs", "sign": "sign", "erf": "erf", "Max": "max", "Min": "min",
    "expm1": "expm1", "log1p": "log1p", "log2": "log2", "log10": "log10",  # of sympy.codegen.cfunctions
}  # fmt: skip
_INVERSE_RECIPROCALS: Final = {
    "acot": "atan", "asec": "acos", "acsc": "asin", "acoth": "atanh", "asech": "acosh", "acsch": "asinh",
}  # fmt: skip
_RECIPROCALS: Final = {"cot": "tan", "sec": "cos", "csc": "sin", "coth": "tanh", "sech": "cosh", "csch": "sinh"}
_COMPARISONS: Final[dict[str, ComparisonOperator]] = {
    "StrictLessThan": "<",
    "LessThan": "<=",
    "StrictGreaterThan": ">",
    "GreaterThan": ">=",
    "Equality": "==",
    "Unequality": "!=",
}
_CONSTANTS: Final = {"Pi": Constant(name="pi"), "Exp1": Constant(name="e")}
_ACCEPTED: Final = (
    "accepted are real numbers, pi, E, symbols, +, *, powers, Piecewise with single comparisons, "
    + ", ".join(sorted([*_CALLS, *_RECIPROCALS, *_INVERSE_RECIPROCALS, "sqrt"]))
)


def from_sympy(sympy_expression: sympy.Expr) -> Expression:
    """The syntax tree of a sympy expression; its `text` is the canonical text of that tree.

    Raises:
        InputError: it is no scalar real expression made of the accepted functions, or a symbol's name is no name in
            math text.
        ExpressionError: it is too large, or a constant in it is not a real finite number.

    >>> import sympy
    >>> x, y = sympy.symbols("x y")
    >>> print(from_sympy(sympy.sqrt(x) / y - x * sympy.Rational(2, 3)))
    sqrt(x)/y - 2*x/3
    """
    import sympy

    if not isinstance(sympy_expression, sympy.Expr):
        raise InputError(f"expected a sympy expression, got {type(sympy_expression).__name__}; {_ACCEPTED}")
    reader = _Reader()
    tree = Expression(result=reader.read(sympy_expression, 0))
    return parse(str(tree), variables=reader.symbols)


class _Reader:
    """One conversion; it remembers the symbols it met."""

    def __init__(self) -> None:
        self.symbols: dict[str, Any] = {}
        self.constants: set[str] = set()
        self.nodes = 0

    def read(self, value: Any, depth: int) -> Node:
        """The node of one sympy (sub-)expression."""
        self.nodes += 1
        if self.nodes + len(value.args) > MAX_NODES or depth > MAX_NESTING:
            raise InputError(f"the sympy expression is too large; accepted are {MAX_NODES} parts nested {MAX_NESTING} deep")
        kind = type(value).__name__
        if value.is_Symbol:
            return self.symbol(value)
        if value.is_Add:
            return self.total(value, depth)
        if value.is_Mul:
            return self.product(value, depth)
        if value.is_Pow:
            return self.power(value.base, value.exp, depth)
        if value.is_number and (value.is_Number or value.is_NumberSymbol):
            return self.number(value, kind)
        if kind == "Piecewise":
            return self.piecewise(value, depth)
        if kind == "UnevaluatedExpr":
            return self.read(value.args[0], depth + 1)
        if kind in _CALLS and value.args:
            return Call(function=_CALLS[kind], arguments=tuple(self.read(argument, depth + 1) for argument in value.args))
        if kind in _RECIPROCALS:
            denominator = Call(function=_RECIPROCALS[kind], arguments=(self.read(value.args[0], depth + 1),))
            return BinaryOp(operator="/", left=Number(value=1), right=denominator)
        if kind in _INVERSE_RECIPROCALS:
            reciprocal = BinaryOp(operator="/", left=Number(value=1), right=self.read(value.args[0], depth + 1))
            return Call(function=_INVERSE_RECIPROCALS[kind], arguments=(reciprocal,))
        raise InputError(f"cannot read {kind} in the sympy expression {_short(value)}; {_ACCEPTED}")

    def symbol(self, value: Any) -> Node:
        name = value.name
        if not is_one_name(name):
            raise InputError(
                f"the sympy symbol {name!r} is no name for a variable; accepted are Latin and Greek letters, digits and"
                " underscores, a letter first, and no function's name: replace it with .subs(...)"
            )
        if self.symbols.setdefault(name, value) != value:
            raise InputError(
                f"two different sympy symbols are called {name!r} (their assumptions differ); give them different names"
            )
        if name in self.constants or (name == "π" and "pi" in self.constants):
            raise self.clash(name)
        return Variable(name=name)

    def clash(self, name: str) -> InputError:
        return InputError(
            f"the sympy expression has both a symbol {name!r} and the constant of that name; rename the symbol"
        )

    def number(self, value: Any, kind: str) -> Node:
        if kind in _CONSTANTS:
            name = _CONSTANTS[kind].name
            self.constants.add(name)
            clashing = next(
                (symbol for symbol in (name, "π") if symbol in self.symbols and (symbol != "π" or name == "pi")), None
            )
            if clashing:
                raise self.clash(clashing)
            return _CONSTANTS[kind]
        if not (value.is_real and value.is_finite):
            raise InputError(f"the sympy expression has the number {value}, which is not real and finite; {_ACCEPTED}")
        if value.is_Rational and value.q != 1:
            return _signed(BinaryOp(operator="/", left=_whole(abs(value.p)), right=_whole(value.q)), negative=value.p < 0)
        if value.is_Integer:
            return _signed(_whole(abs(value.p)), negative=value.p < 0)
        return _signed(_float(abs(value)), negative=bool(value < 0))

    def total(self, value: Any, depth: int) -> Node:
        """A sum; terms with a minus are subtracted, and one without leads where there is one."""
        terms = [self.sign_and_size(term) for term in value.as_ordered_terms()]
        first = next((place for place, (negative, _) in enumerate(terms) if not negative), 0)
        terms.insert(0, terms.pop(first))
        node = _signed(self.read(terms[0][1], depth + 1), negative=terms[0][0])
        for negative, size in terms[1:]:
            node = BinaryOp(operator="-" if negative else "+", left=node, right=self.read(size, depth + 1))
        return node

    def sign_and_size(self, term: Any) -> tuple[bool, Any]:
        negative = bool(term.is_Number and term < 0) or bool(term.is_Mul and term.args[0].is_Number and term.args[0] < 0)
        return negative, -term if negative else term

    def product(self, value: Any, depth: int) -> Node:
        """A product over a product: factors with a negative number as exponent go below."""
        negative, size = self.sign_and_size(value)
        if not size.is_Mul:
            return _signed(self.read(size, depth + 1), negative=negative)
        above: list[Node] = []
        below: list[Node] = []
        for factor in size.as_ordered_factors():
            if factor.is_Rational and factor.q != 1:
                above += [] if factor.p == 1 else [_whole(factor.p)]
                below.append(_whole(factor.q))
            elif factor.is_Pow and factor.exp.is_Number and factor.exp < 0:
                below.append(self.power(factor.base, -factor.exp, depth + 1))
            else:
                above.append(self.read(factor, depth + 1))
        node = _product(above or [Number(value=1)])
        if below:
            node = BinaryOp(operator="/", left=node, right=_product(below))
        return _signed(node, negative=negative)

    def power(self, base: Any, exponent: Any, depth: int) -> Node:
        if exponent.is_Number and exponent < 0:
            below = self.power(base, -exponent, depth)
            return BinaryOp(operator="/", left=Number(value=1), right=below)
        node = self.read(base, depth + 1)
        if exponent == 1:
            return node
        if exponent.is_Rational and exponent.p == 1 and exponent.q == 2:
            return Call(function="sqrt", arguments=(node,))
        return BinaryOp(operator="^", left=node, right=self.read(exponent, depth + 1))

    def piecewise(self, value: Any, depth: int) -> Node:
        *conditional, (last, condition) = value.args
        if condition != True:  # noqa: E712  # sympy's true, which is not Python's
            raise InputError(f"{_short(value)} has gaps; accepted is a Piecewise that ends with (value, True)")
        node = self.read(last, depth + 1)
        for place, (then, condition) in enumerate(reversed(conditional)):
            node = Call(
                function="where",
                arguments=(
                    self.condition(condition, depth + 1),
                    self.read(then, depth + len(conditional) - place),
                    node,
                ),
            )
        return node

    def condition(self, value: Any, depth: int) -> Node:
        sign = _COMPARISONS.get(type(value).__name__)
        if sign is None:
            raise InputError(f"cannot read the condition {_short(value)}; accepted is one comparison, such as x > 0")
        return Comparison(operator=sign, left=self.read(value.lhs, depth + 1), right=self.read(value.rhs, depth + 1))


def _signed(node: Node, *, negative: bool) -> Node:
    return UnaryOp(operand=node) if negative else node


def _product(factors: list[Node]) -> Node:
    node = factors[0]
    for factor in factors[1:]:
        node = BinaryOp(operator="*", left=node, right=factor)
    return node


def _whole(value: int) -> Number:
    return Number(value=int(value)) if value <= MAX_EXACT_INTEGER else _float(value)


def _float(value: Any) -> Number:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if number == math.inf:
        raise InputError("a number of the sympy expression is too large for a float; accepted are sizes up to 1.8e308")
    if number == 0 and value != 0:
        raise InputError("a number of the sympy expression is too small for a float; accepted are 0 and sizes from 5e-324")
    return Number(value=number)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
