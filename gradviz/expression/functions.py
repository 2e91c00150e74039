"""The functions that math text may call: their names, how many arguments they take, and how torch and plain numbers
compute them.

`tensor` gets at least one tensor among its arguments and calls the torch function that people use for it. `scalar`
computes the same for Python numbers only, so that `sin(pi/4)` in a text becomes one float and no node of the graph;
a function of vectors has none.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

Scalar: TypeAlias = int | float
Value: TypeAlias = Tensor | int | float


class NeedsArrays(ValueError):
    """Single numbers where a function is one of vectors or matrices; the text says what it needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One function of math text.

    Attributes:
        name: its first name, the one in `Call.function`.
        aliases: other accepted names.
        signature: how it is written, for error messages.
        least, most: how many arguments it takes; `most` None for any number.
        tensor: computes it with torch. It raises ValueError, TypeError or RuntimeError for values that do not fit.
        scalar: computes it for plain numbers; ValueError, ZeroDivisionError or OverflowError outside its domain.
            None: not defined for them.
    """

    name: str
    aliases: tuple[str, ...] = ()
    signature: str
    least: int = 1
    most: int | None = 1
    tensor: Callable[..., Tensor]
    scalar: Callable[..., Scalar] | None = None


def pointwise(name: str, tensor: Callable[..., Tensor], scalar: Callable[..., Scalar], *aliases: str) -> Function:
    """A function of one value, applied to each element."""
    return Function(name=name, aliases=aliases, signature=f"{name}(x)", tensor=tensor, scalar=scalar)


def _cbrt(x: Tensor) -> Tensor:
    return torch.sign(x) * torch.abs(x) ** (1 / 3)


def _scalar_sigmoid(x: Scalar) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _option(value: Value, meaning: str) -> Scalar:
    if isinstance(value, Tensor):
        raise ValueError(f"{meaning} must be a constant number, not a variable")
    return value


def _dimension(value: Value) -> int:
    number = _option(value, "the dimension")
    if not isinstance(number, int):
        raise ValueError(f"the dimension must be an integer, not {number}")
    return number


def _main(value: Value, meaning: str) -> Tensor:
    if not isinstance(value, Tensor):
        raise ValueError(f"{meaning} must be a variable or an expression of variables, not the number {value}")
    return value


def _leaky_relu(x: Value, slope: Value = 0.01) -> Tensor:
    return F.leaky_relu(_main(x, "the first argument"), _option(slope, "the slope"))


def _elu(x: Value, alpha: Value = 1.0) -> Tensor:
    return F.elu(_main(x, "the first argument"), _option(alpha, "alpha"))


def _softplus(x: Value, beta: Value = 1) -> Tensor:
    return F.softplus(_main(x, "the first argument"), _option(beta, "beta"))


def _scalar_softplus(x: Scalar, beta: Scalar = 1) -> float:
    return (max(beta * x, 0) + math.log1p(math.exp(-abs(beta * x)))) / beta


def _atan2(y: Value, x: Value) -> Tensor:
    return torch.atan2(as_tensor_like(y, x), as_tensor_like(x, y))


def as_tensor_like(value: Value, other: Value) -> Tensor:
    """`value`; a number becomes a constant of the dtype and device of `other`. One of the two is a tensor."""
    if isinstance(value, Tensor):
        return value
    like = _main(other, "one argument")
    return torch.tensor(value, dtype=like.dtype, device=like.device)


def _smaller(left: Value, right: Value) -> Value:
    if isinstance(left, Tensor):
        return torch.minimum(left, right) if isinstance(right, Tensor) else torch.clamp_max(left, right)
    return torch.clamp_max(right, left) if isinstance(right, Tensor) else min(left, right)


def _larger(left: Value, right: Value) -> Value:
    if isinstance(left, Tensor):
        return torch.maximum(left, right) if isinstance(right, Tensor) else torch.clamp_min(left, right)
    return torch.clamp_min(right, left) if isinstance(right, Tensor) else max(left, right)


def _min(*values: Value) -> Tensor:
    if len(values) == 1:
        return torch.min(_main(values[0], "the argument"))
    smallest = values[0]
    for value in values[1:]:
        smallest = _smaller(smallest, value)
    return _main(smallest, "one argument")


def _max(*values: Value) -> Tensor:
    if len(values) == 1:
        return torch.max(_main(values[0], "the argument"))
    largest = values[0]
    for value in values[1:]:
        largest = _larger(largest, value)
    return _main(largest, "one argument")


def _clamp(x: Value, low: Value, high: Value) -> Tensor:
    if isinstance(x, Tensor) and not isinstance(low, Tensor) and not isinstance(high, Tensor):
        return torch.clamp(x, low, high)
    return _main(_smaller(_larger(x, low), high), "one argument")


def _scalar_clamp(x: Scalar, low: Scalar, high: Scalar) -> Scalar:
    return min(max(x, low), high)


def _where(condition: Tensor, then: Value, otherwise: Value) -> Tensor:
    return torch.where(condition, then, otherwise)


def _sum(x: Value, dim: Value | None = None) -> Tensor:
    return torch.sum(_main(x, "the first argument"), *(() if dim is None else (_dimension(dim),)))


def _mean(x: Value, dim: Value | None = None) -> Tensor:
    return torch.mean(_main(x, "the first argument"), *(() if dim is None else (_dimension(dim),)))


def _norm(x: Value, order: Value = 2) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(_main(x, "the first argument"), _option(order, "the order"))
    return length


def _softmax(x: Value, dim: Value = -1) -> Tensor:
    return torch.softmax(_main(x, "the first argument"), dim=_dimension(dim))


def _log_softmax(x: Value, dim: Value = -1) -> Tensor:
    return torch.log_softmax(_main(x, "the first argument"), dim=_dimension(dim))


def _dot(left: Value, right: Value) -> Tensor:
    left, right = _main(left, "the first argument"), _main(right, "the second argument")
    if left.ndim != 1 or right.ndim != 1:
        raise NeedsArrays("dot needs two vectors; write @ for the product of matrices")
    return torch.dot(left, right)


def _transpose(x: Value) -> Tensor:
    x = _main(x, "the argument")
    if x.ndim < 2:
        raise NeedsArrays("a transpose needs a matrix or a vector, not a single number")
    return x.mT


_TABLE: Final = (
    pointwise("sin", torch.sin, math.sin),
    pointwise("cos", torch.cos, math.cos),
    pointwise("tan", torch.tan, math.tan),
    pointwise("asin", torch.asin, math.asin, "arcsin"),
    pointwise("acos", torch.acos, math.acos, "arccos"),
    pointwise("atan", torch.atan, math.atan, "arctan"),
    Function(
        name="atan2", aliases=("arctan2",), signature="atan2(y, x)", least=2, most=2, tensor=_atan2, scalar=math.atan2,
    ),
    pointwise("sinh", torch.sinh, math.sinh),
    pointwise("cosh", torch.cosh, math.cosh),
    pointwise("tanh", torch.tanh, math.tanh),
    pointwise("asinh", torch.asinh, math.asinh, "arcsinh", "arsinh"),
    pointwise("acosh", torch.acosh, math.acosh, "arccosh", "arcosh"),
    pointwise("atanh", torch.atanh, math.atanh, "arctanh", "artanh"),
    pointwise("exp", torch.exp, math.exp),
    pointwise("expm1", torch.expm1, math.expm1),
    pointwise("log", torch.log, math.log, "ln"),
    pointwise("log2", torch.log2, math.log2),
    pointwise("log10", torch.log10, math.log10),
    pointwise("log1p", torch.log1p, math.log1p),
    pointwise("sqrt", torch.sqrt, math.sqrt),
    pointwise("cbrt", _cbrt, math.cbrt),
    pointwise("abs", torch.abs, abs),
    pointwise("sign", torch.sign, lambda x: (x > 0) - (x < 0), "sgn"),
    pointwise("erf", torch.erf, math.erf),
    pointwise("sigmoid", torch.sigmoid, _scalar_sigmoid, "σ", "sigma", "logistic"),
    pointwise("relu", torch.relu, lambda x: max(x, 0)),
    Function(
        name="leaky_relu", signature="leaky_relu(x, slope=0.01)", most=2, tensor=_leaky_relu,
        scalar=lambda x, slope=0.01: x if x > 0 else slope * x,
    ),
    Function(
        name="elu", signature="elu(x, alpha=1)", most=2, tensor=_elu,
        scalar=lambda x, alpha=1.0: x if x > 0 else alpha * math.expm1(x),
    ),
    pointwise("gelu", F.gelu, lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2),
    pointwise("silu", F.silu, lambda x: x * _scalar_sigmoid(x), "swish"),
    Function(name="softplus", signature="softplus(x, beta=1)", most=2, tensor=_softplus, scalar=_scalar_softplus),
    Function(name="min", signature="min(a, b, ...) or min(x)", most=None, tensor=_min, scalar=min),
    Function(name="max", signature="max(a, b, ...) or max(x)", most=None, tensor=_max, scalar=max),
    Function(
        name="clamp", aliases=("clip",), signature="clamp(x, low, high)", least=3, most=3, tensor=_clamp,
        scalar=_scalar_clamp,
    ),
    Function(name="where", signature="where(a < b, then, otherwise)", least=3, most=3, tensor=_where),
    Function(name="sum", signature="sum(x) or sum(x, dim)", most=2, tensor=_sum),
    Function(name="mean", signature="mean(x) or mean(x, dim)", most=2, tensor=_mean),
    Function(name="norm", signature="norm(x) or norm(x, order)", most=2, tensor=_norm),
    Function(name="dot", signature="dot(a, b)", least=2, most=2, tensor=_dot),
    Function(name="softmax", signature="softmax(x) or softmax(x, dim)", most=2, tensor=_softmax),
    Function(name="log_softmax", signature="log_softmax(x) or log_softmax(x, dim)", most=2, tensor=_log_softmax),
    Function(name="transpose", signature="transpose(A)", tensor=_transpose),
)  # fmt: skip

FUNCTIONS: Final[dict[str, Function]] = {function.name: function for function in _TABLE}
"""First name -> function. `pow(a, b)` is read as `a^b` and is not in the table."""

SPELLINGS: Final[dict[str, str]] = {
    spelling: function.name for function in _TABLE for spelling in (function.name, *function.aliases)
} | {"pow": "pow"}
"""Every accepted name -> the first name of its function."""


def functions_text() -> str:
    """All functions on one line: names of those of one value, signatures of the others; further names in parentheses.

    >>> functions_text()  # doctest: +ELLIPSIS
    'sin, cos, tan, asin (arcsin), ... clamp(x, low, high) (clip), ... transpose(A), pow(x, n)'
    """
    written = []
    for function in _TABLE:
        plain = function.signature == f"{function.name}(x)"
        also = f" ({', '.join(function.aliases)})" if function.aliases else ""
        written.append((function.name if plain else function.signature) + also)
    return ", ".join([*written, "pow(x, n)"])
