"""Syntax tree -> tensor: runs the torch program that the text means, one natural torch call per node.

Numbers stay Python numbers in torch calls (`x*3.14` multiplies by a float), and constant sub-expressions are
computed before torch sees them, so that the graph holds what the text shows and nothing else.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import torch
from torch import Tensor

from gradviz.errors import ExpressionError
from gradviz.expression.folding import COMPARE, Folded, all_known, check_exponent, fold
from gradviz.expression.functions import FUNCTIONS, NeedsArrays
from gradviz.expression.nodes import BinaryOp, Call, Comparison, Expression, Node, UnaryOp, Variable, postorder
from gradviz.expression.printing import Piece, pretty_piece

OnValue: TypeAlias = Callable[[str, str, Tensor], None]


@dataclass(frozen=True, slots=True)
class _Row:
    """The transpose of a vector: it has a meaning only on the left of `@`, where torch wants the vector itself."""

    vector: Tensor


_Value: TypeAlias = Tensor | Folded | _Row

_ARITHMETIC: Final[dict[str, Callable[..., Tensor]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "^": operator.pow,
}
_LONGEST_SHOWN: Final = 60


def evaluate(expression: Expression, values: Mapping[str, Tensor], on_value: OnValue | None = None) -> Tensor:
    """Run the torch program that `expression` means.

    Args:
        expression: a parsed text.
        values: a tensor for each of `expression.variables`; further names are ignored.
        on_value: called as `on_value(text, name, tensor)` for each sub-expression that made a tensor, operands
            first: its pretty text, the name that a definition gives it or "", and the tensor. Variables and
            constants make none.

    Returns:
        The value of the final expression. A constant expression gives a float64 tensor without dimensions.

    Raises:
        ExpressionError: a variable has no value, or torch refuses the values of a sub-expression; the error has its
            column.

    >>> from gradviz.expression import parse
    >>> x, y = torch.tensor([2.0, 3.0], dtype=torch.float64)
    >>> show = lambda text, name, tensor: print(f"{name!r}: {text}")
    >>> evaluate(parse("z = x*y; z + 2"), {"x": x, "y": y}, on_value=show)
    'z': x·y
    '': z + 2
    tensor(8., dtype=torch.float64)
    """
    named: dict[str, _Value] = dict(values)
    result: _Value = math.nan
    for name, root in expression.statements:
        result = _run(root, name, named, expression, on_value)
        if name:
            named[name] = result
    return result if isinstance(result, Tensor) else torch.tensor(float(result), dtype=torch.float64)  # type: ignore[arg-type]


def _run(root: Node, name: str, named: Mapping[str, _Value], expression: Expression, on_value: OnValue | None) -> _Value:
    """The value of one statement."""
    text = expression.text
    stack: list[_Value] = []
    pieces: list[Piece] = []
    for node in postorder(root):
        first = len(stack) - len(node.children)
        parts = stack[first:]
        if on_value is not None:
            pieces[first:] = [pretty_piece(node, pieces[first:])]
        if isinstance(node, Variable):
            if node.name not in named:
                raise _no_value(node, named, expression)
            value = named[node.name]
        elif all_known(parts):
            value = fold(node, parts, text)
        else:
            value = _apply(node, parts, text, named.values())
            if on_value is not None and isinstance(value, Tensor) and not any(value is part for part in parts):
                on_value(pieces[first].text, name if node is root else "", value)
        stack[first:] = [value]
    if isinstance(stack[0], _Row):
        raise _refused(root, [stack[0].vector], text, _loose_row())
    return stack[0]


def _apply(node: Node, parts: Sequence[_Value], text: str, given: Iterable[_Value]) -> _Value:
    """One torch call; what torch refuses becomes an error at the node's column."""
    try:
        return _call(node, parts, text, given)
    except torch.OutOfMemoryError:
        raise
    except (ValueError, TypeError, RuntimeError, IndexError) as problem:
        raise _refused(node, parts, text, problem) from problem


def _call(node: Node, parts: Sequence[_Value], text: str, given: Iterable[_Value]) -> _Value:
    if isinstance(node, BinaryOp) and node.operator == "@":
        return _matrix_product(*parts)
    if any(isinstance(part, _Row) for part in parts):
        raise _loose_row()
    match node:
        case UnaryOp():
            negated: Tensor = operator.neg(parts[0])  # type: ignore[arg-type, assignment]  # no row gets here
            return negated
        case Comparison():
            truth: Tensor = COMPARE[node.operator](parts[0], parts[1])
            return truth
        case BinaryOp():
            if node.operator == "^":
                check_exponent(node, parts[1], text)
            elif node.implicit:
                _check_implicit_product(parts)
            if node.operator == "/" and isinstance(parts[1], Tensor) and not isinstance(parts[0], Tensor) and parts[0] == 1:
                return torch.reciprocal(parts[1])  # torch runs `c/x` as reciprocal(x)*c; of 1/x that leaves one call
            return _ARITHMETIC[node.operator](parts[0], parts[1])
        case Call(function="where"):
            return _where(parts, given)
        case Call(function="transpose") if isinstance(parts[0], Tensor) and parts[0].ndim == 1:
            return _Row(parts[0])
        case Call():
            return FUNCTIONS[node.function].tensor(*parts)
    raise TypeError(f"{type(node).__name__} has no operands")


def _loose_row() -> ValueError:
    return ValueError(
        "the transpose of a vector is accepted on the left of @ only; of two vectors write a^T @ b or dot(a, b)"
    )


def _matrix_product(left: _Value, right: _Value) -> Tensor:
    if isinstance(right, _Row):
        raise _loose_row()
    if isinstance(left, _Row):
        left = left.vector
    if not isinstance(left, Tensor) or not isinstance(right, Tensor) or left.ndim == 0 or right.ndim == 0:
        raise NeedsArrays("@ needs vectors or matrices on both sides; write * for a product with a number")
    return torch.matmul(left, right)


def _check_implicit_product(parts: Sequence[_Value]) -> None:
    """`Ax` on paper is the matrix product, in torch's habit the elementwise one: make the writer choose."""
    ranks = [part.ndim if isinstance(part, Tensor) else 0 for part in parts]
    if min(ranks) >= 1 and max(ranks) >= 2:
        raise ValueError(
            "a product without a sign is only for numbers; write @ for the matrix product or * for the elementwise one"
        )


def _where(parts: Sequence[_Value], given: Iterable[_Value]) -> _Value:
    condition, then, otherwise = parts
    if not isinstance(condition, Tensor):
        return then if condition else otherwise
    if not isinstance(then, Tensor) and not isinstance(otherwise, Tensor):
        # of two numbers torch would make float32 or int64
        like = next((value for value in given if isinstance(value, Tensor) and value.is_floating_point()), None)
        dtype = torch.float64 if like is None else like.dtype
        then = torch.tensor(then, dtype=dtype, device=condition.device)
    return torch.where(condition, then, otherwise)  # type: ignore[arg-type]


def _no_value(node: Variable, named: Mapping[str, _Value], expression: Expression) -> ExpressionError:
    given = ", ".join(sorted(set(named) - {definition.name for definition in expression.definitions}))
    return ExpressionError(
        f"the variable '{node.name}' at column {node.column} has no value; "
        + (f"given are: {given}" if given else "none were given"),
        expression.text,
        node.column,
    )


def _refused(node: Node, parts: Sequence[_Value], text: str, problem: Exception) -> ExpressionError:
    shapes = [_shape(part) for part in parts]
    shown = text[node.start : node.end] or repr(node)
    if len(shown) > _LONGEST_SHOWN:
        shown = f"{shown[:_LONGEST_SHOWN]}…"
    reason = _accepted(node, problem) or f": {str(problem).splitlines()[0] if str(problem) else type(problem).__name__}"
    return ExpressionError(
        f"cannot compute {shown} at column {node.column} from {' and '.join(shapes)}{reason}",
        text,
        node.column,
        single=_single_numbers(node, parts) if isinstance(problem, NeedsArrays) else (),
    )


def _single_numbers(node: Node, parts: Sequence[_Value]) -> tuple[str, ...]:
    """The variables of the operands that are single numbers."""
    operands = zip(node.children, parts, strict=True)
    single = [child for child, part in operands if isinstance(part, Tensor) and part.ndim == 0]
    names = (inner.name for child in single for inner in postorder(child) if isinstance(inner, Variable))
    return tuple(dict.fromkeys(names))


def _accepted(node: Node, problem: Exception) -> str:
    """Which shapes are; "" where torch's own sentence says more."""
    if isinstance(problem, ValueError) or not any(word in str(problem) for word in ("size", "shape")):
        return ""  # ours says what is accepted itself; others are about dtypes or dimensions
    if isinstance(node, BinaryOp) and node.operator == "@":
        return "; accepted are shapes where the left operand has as many columns as the right one has rows"
    if isinstance(node, (BinaryOp, Comparison)):
        return "; accepted are equal shapes, or size 1 where they differ"
    return ""


def _shape(part: _Value) -> str:
    tensor = part.vector if isinstance(part, _Row) else part
    return f"shape {tuple(tensor.shape)}" if isinstance(tensor, Tensor) else f"the number {tensor}"
