"""Constant sub-expressions -> Python numbers, checked when the text is read, so that they are no nodes of the graph.

Integers stay exact where that is possible (`x^(4/2)` is `x^2`); everything else is float arithmetic. What is not a
real, finite number, or has a constant exponent beyond the limit, is an error at its own column.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias, TypeGuard

from gradviz.errors import ExpressionError
from gradviz.expression.functions import FUNCTIONS
from gradviz.expression.limits import MAX_EXACT_INTEGER, MAX_EXPONENT
from gradviz.expression.nodes import (
    BinaryOp,
    Call,
    Comparison,
    Constant,
    Expression,
    Node,
    Number,
    UnaryOp,
    Variable,
    postorder,
)
from gradviz.expression.printing import pretty

Folded: TypeAlias = int | float | bool

COMPARE: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_LONGEST_SHOWN: Final = 60
_CONSTANTS: Final = {"pi": math.pi, "e": math.e}


def check_constants(expression: Expression) -> None:
    """Refuse constants that are not real and finite, exponents beyond the limit, and comparisons outside `where`."""
    values: dict[str, Folded | None] = {}
    for name, root in expression.statements:
        stack: list[Folded | None] = []
        for node in postorder(root):
            first = len(stack) - len(node.children)
            parts = stack[first:]
            _check_comparisons(node, expression.text)
            if isinstance(node, Variable):
                stack.append(values.get(node.name))
                continue
            if all_known(parts):
                stack[first:] = [fold(node, parts, expression.text)]
                continue
            if isinstance(node, BinaryOp) and node.operator == "^":
                check_exponent(node, parts[1], expression.text)
            stack[first:] = [None]
        if isinstance(root, Comparison):
            raise _misplaced(root, expression.text)
        if name:
            values[name] = stack[0]


def all_known(parts: Sequence[object]) -> TypeGuard[Sequence[Folded]]:
    """Whether every part is a plain number (or the truth of a comparison of numbers)."""
    return all(isinstance(part, (int, float)) for part in parts)


def fold(node: Node, parts: Sequence[Folded], text: str) -> Folded:
    """The value of a node, given the constant values of its children.

    Raises:
        ExpressionError: it is not a real finite number (`1/0`, `log(-1)`), or the function is none of numbers.
    """
    if isinstance(node, BinaryOp) and node.operator == "^":
        check_exponent(node, parts[1], text)
    if _needs_variable(node, parts):
        raise ExpressionError(
            f"{_short(node)} at column {node.column} needs a variable: constants are single numbers, and it needs vectors"
            " or matrices",
            text,
            node.column,
        )
    try:
        value = _compute(node, parts)
    except (ValueError, ZeroDivisionError) as problem:
        raise _no_number(node, text, "is not a real number") from problem
    except OverflowError as problem:
        raise _no_number(node, text, "is too large") from problem
    if isinstance(value, complex):
        raise _no_number(node, text, "is not a real number")
    if isinstance(value, float) and not math.isfinite(value):
        raise _no_number(node, text, "is not a finite number")
    return value


def check_exponent(node: BinaryOp, exponent: object, text: str) -> None:
    """Refuse `x^n` for a constant n beyond the limit."""
    if isinstance(exponent, (int, float)) and abs(exponent) > MAX_EXPONENT:
        raise ExpressionError(
            f"the exponent {exponent} at column {node.right.column} is too large;"
            f" accepted are exponents up to {MAX_EXPONENT}",
            text,
            node.right.column,
        )


def _compute(node: Node, parts: Sequence[Folded]) -> Folded | complex:
    match node:
        case Number():
            return node.value
        case Constant():
            return _CONSTANTS[node.name]
        case UnaryOp():
            return -parts[0]
        case Comparison():
            return bool(COMPARE[node.operator](parts[0], parts[1]))
        case Call(function="where"):
            return parts[1] if parts[0] else parts[2]
        case Call():
            scalar = FUNCTIONS[node.function].scalar
            if scalar is None:
                raise TypeError(f"{node.function} is not defined for numbers")
            return _bounded(scalar(*parts))
        case BinaryOp():
            return _bounded(_arithmetic(node.operator, parts[0], parts[1]))
        case Variable():
            raise TypeError("a variable has no constant value")


def _arithmetic(sign: str, left: Folded, right: Folded) -> Folded | complex:
    match sign:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "/":
            exact = isinstance(left, int) and isinstance(right, int) and right != 0 and left % right == 0
            return left // right if exact else left / right
        case "^":
            result: Folded | complex = left**right
            return result
    raise TypeError(f"{sign} is not defined for numbers")


def _bounded(value: Folded | complex) -> Folded | complex:
    return float(value) if isinstance(value, int) and abs(value) > MAX_EXACT_INTEGER else value


def _needs_variable(node: Node, parts: Sequence[Folded]) -> bool:
    """Whether a node means something for vectors and matrices only: sums, `@`, and the largest element of one."""
    if isinstance(node, BinaryOp):
        return node.operator == "@"
    if not isinstance(node, Call) or node.function == "where":
        return False
    return FUNCTIONS[node.function].scalar is None or (node.function in ("min", "max") and len(parts) == 1)


def _no_number(node: Node, text: str, reason: str) -> ExpressionError:
    return ExpressionError(
        f"the constant {_short(node)} at column {node.column} {reason}; accepted are constants with a real, finite value",
        text,
        node.column,
    )


def _check_comparisons(node: Node, text: str) -> None:
    """A comparison is the first argument of `where`, and nothing else is."""
    is_where = isinstance(node, Call) and node.function == "where"
    for place, child in enumerate(node.children):
        if isinstance(child, Comparison) and not (is_where and place == 0):
            raise _misplaced(child, text)
    if is_where and not isinstance(node.children[0], Comparison):
        condition = node.children[0]
        raise ExpressionError(
            f"where has no condition at column {condition.column}; accepted is {FUNCTIONS['where'].signature}",
            text,
            condition.column,
        )


def _misplaced(node: Comparison, text: str) -> ExpressionError:
    return ExpressionError(
        f"a comparison at column {node.column} outside where;"
        " accepted is one comparison as first argument, where(x > 0, x, 0)",
        text,
        node.column,
    )


def _short(node: Node) -> str:
    shown = pretty(node)
    return shown if len(shown) <= _LONGEST_SHOWN else f"{shown[:_LONGEST_SHOWN]}…"
