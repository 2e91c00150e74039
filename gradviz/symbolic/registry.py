"""Which aten overload is differentiated how: four kinds of registered facts, keyed by overload.

- `pointwise_rule`: a function of scalars, written with sympy; its derivative is derived once and run on all elements.
- `symbolic_rule`: numpy-like code over `SymbolicTensor`s.
- `data_movement`: the op only moves elements; running it on positions says where from.
- `no_gradient`: the op has no derivative (comparisons, argmax, random numbers).

In-place overloads and `out=` variants resolve to their functional rule. A missing rule is a `NoRule` with its reason.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

import sympy as sp
import torch
from torch._ops import OpOverload, OpOverloadPacket

from gradviz.errors import CheckError

Function = TypeVar("Function", bound=Callable[..., Any])


class NoRule(CheckError):
    """There is no symbolic derivative for this call; `reason` says why, as a clause for the report."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Undetermined(NoRule):
    """At these inputs there is no derivative that rounding would not decide; differences would find one all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PointwiseRule:
    """A function of scalars, applied to all elements: the first output of the call, the only one that is differentiable.

    Attributes:
        overload: what it is registered for.
        function: symbols of the arguments -> sympy expression; None, str and bool arguments come as they are.
        written: argument -> the partial as torch computes it: the same symbols, and last the result.
        kinks: name -> function of the same symbols that is zero on the kink.
        limits: argument -> the partial where its formula says nothing, as 0 times infinity; see `ScalarFunction`.
        exact: numbers that the function gets as numbers rather than symbols (exponents), so that formulas simplify.
        saved: argument of `function` -> which output of the call holds its values (dropout's mask).
        coarse: relative error of torch's partial in every dtype, for kernels that hold a constant in float32.
        coarse_value: the same of the value.
        takes_nan: whether the branches say what becomes of NaN; see `ScalarFunction`.
        signed: arguments of which −0 is negative; see `signed_zeros.py`.
    """

    overload: OpOverload
    function: Callable[..., sp.Expr]
    written: Mapping[str, Callable[..., sp.Expr]] = field(default_factory=dict)
    kinks: Mapping[str, Callable[..., sp.Expr]] = field(default_factory=dict)
    limits: Mapping[str, Callable[..., sp.Piecewise]] = field(default_factory=dict)
    exact: tuple[str, ...] = ()
    saved: Mapping[str, int] = field(default_factory=dict)
    coarse: float = 0.0
    coarse_value: float = 0.0
    takes_nan: bool = False
    signed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorRule:
    """Code over symbolic tensors.

    Attributes:
        overload: what it is registered for.
        function: called as the op was, tensors replaced; returns one `SymbolicTensor` or a tuple aligned with the
            outputs, None for those that are not differentiable.
        needs_outputs: whether the recorded outputs come as keyword `outputs` (for saved indices and masks).
    """

    overload: OpOverload
    function: Callable[..., Any]
    needs_outputs: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MovementRule:
    """An op whose output elements are input elements or a constant fill.

    Attributes:
        overload: what it is registered for.
        moved: the schema names of the tensors whose elements are moved; all others (indices, masks) are used as they
            are.
        fill: the schema name of the number that fills the rest; None where the op fills with zeros.
        row_major: whether all elements stay in row-major order (copies and reshapes), so that nothing need be run.
    """

    overload: OpOverload
    moved: tuple[str, ...] = ("self", "tensors")
    fill: str | None = None
    row_major: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NoGradient:
    """An op without derivative, and why."""

    overload: OpOverload
    reason: str


Rule = PointwiseRule | TensorRule | MovementRule | NoGradient
RULES: dict[OpOverload, Rule] = {}


def symbolic_rule(*overloads: OpOverload, needs_outputs: bool = False) -> Callable[[Function], Function]:
    """Registers a function of `SymbolicTensor`s as the rule of these overloads.

    Raises:
        TypeError: not an overload, or the function cannot be called as the overload's schema says.
        ValueError: an overload that has a rule.
    """

    def register(function: Function) -> Function:
        for overload in overloads:
            _check_callable(overload, function, ("outputs",) if needs_outputs else ())
            _add(TensorRule(overload=overload, function=function, needs_outputs=needs_outputs))
        return function

    return register


def pointwise_rule(
    *overloads: OpOverload,
    written: Mapping[str, Callable[..., sp.Expr]] | None = None,
    kinks: Mapping[str, Callable[..., sp.Expr]] | None = None,
    limits: Mapping[str, Callable[..., sp.Piecewise]] | None = None,
    exact: Sequence[str] = (),
    saved: Mapping[str, int] | None = None,
    coarse: float = 0.0,
    coarse_value: float = 0.0,
    takes_nan: bool = False,
    signed: Sequence[str] = (),
) -> Callable[[Function], Function]:
    """Registers a function of sympy symbols as the elementwise rule of these overloads; see `PointwiseRule`.

    Raises:
        TypeError: not an overload, or the function cannot be called as the overload's schema says.
        ValueError: an overload that has a rule.
    """

    def register(function: Function) -> Function:
        for overload in overloads:
            _check_callable(overload, function, tuple(saved or ()))
            _add(
                PointwiseRule(
                    overload=overload,
                    function=function,
                    written=dict(written or {}),
                    kinks=dict(kinks or {}),
                    limits=dict(limits or {}),
                    exact=tuple(exact),
                    saved=dict(saved or {}),
                    coarse=coarse,
                    coarse_value=coarse_value,
                    takes_nan=takes_nan,
                    signed=tuple(signed),
                )
            )
        return function

    return register


def data_movement(
    *overloads: OpOverload,
    moved: Sequence[str] = ("self", "tensors"),
    fill: str | None = None,
    row_major: bool = False,
) -> None:
    """Registers overloads that only move elements; see `MovementRule`. Raises as `symbolic_rule` does."""
    for overload in overloads:
        _check_overload(overload)
        names = {argument.name for argument in overload._schema.arguments}
        if not names & set(moved) or (fill is not None and fill not in names):
            raise TypeError(f"{overload} has arguments {sorted(names)}, but moved={tuple(moved)}, fill={fill!r}")
        _add(MovementRule(overload=overload, moved=tuple(moved), fill=fill, row_major=row_major))


def no_gradient(*overloads: OpOverload, reason: str) -> None:
    """Registers overloads that have no derivative. Raises as `symbolic_rule` does."""
    for overload in overloads:
        _check_overload(overload)
        _add(NoGradient(overload=overload, reason=reason))


def if_there(packet: str) -> tuple[OpOverload, ...]:
    """The default overload of an aten op that not every torch has, for a decorator; () where this torch has none.

    >>> if_there("sin"), if_there("no_such_op")
    ((<OpOverload(op='aten.sin', overload='default')>,), ())
    """
    return (getattr(torch.ops.aten, packet).default,) if hasattr(torch.ops.aten, packet) else ()


def find_rule(overload: OpOverload) -> Rule:
    """The rule of the overload, or of the functional overload that it is the in-place or `out=` form of.

    Raises:
        NoRule: there is none.

    >>> find_rule(torch.ops.aten.add_.Tensor).overload
    <OpOverload(op='aten.add', overload='Tensor')>
    """
    rule = RULES.get(overload)
    if rule is None:
        functional = functional_overload(overload)
        rule = RULES.get(functional) if functional is not None else None
    if rule is None:
        raise NoRule(f"no symbolic rule for {overload}")
    return rule


def has_rule(overload: OpOverload) -> bool:
    """Whether `find_rule` finds one."""
    return overload in RULES or functional_overload(overload) in RULES


@cache
def functional_overload(overload: OpOverload) -> OpOverload | None:
    """The overload without in-place or `out=` effect that computes the same, where aten has one.

    >>> functional_overload(torch.ops.aten.mul.out)
    <OpOverload(op='aten.mul', overload='Tensor')>
    """
    schema = overload._schema
    if not schema.is_mutable:
        return None
    namespace, name = schema.name.split("::")
    base = name[:-1] if name.endswith("_") and not name.endswith("__") else name
    packet = getattr(getattr(torch.ops, namespace), base, None)
    if not isinstance(packet, OpOverloadPacket):
        return None
    wanted = _signature(overload)
    for candidate in packet.overloads():
        found: OpOverload = getattr(packet, candidate)
        if not found._schema.is_mutable and _signature(found) == wanted:
            return found
    return None


def _signature(overload: OpOverload) -> list[tuple[str, str]]:
    return [(a.name, str(a.type)) for a in overload._schema.arguments if not a.is_out]


def _add(rule: Rule) -> None:
    if rule.overload in RULES:
        raise ValueError(f"{rule.overload} has a rule already: {RULES[rule.overload]}")
    RULES[rule.overload] = rule


def _check_overload(overload: object) -> None:
    if not isinstance(overload, OpOverload):
        raise TypeError(f"a rule is registered for an overload such as aten.sum.dim_IntList, not for {overload!r}")


def _check_callable(overload: OpOverload, function: Callable[..., Any], extra: Sequence[str]) -> None:
    _check_overload(overload)
    arguments = overload._schema.arguments
    positional = [argument for argument in arguments if not argument.kwarg_only]
    keywords = {argument.name: None for argument in arguments if argument.kwarg_only} | dict.fromkeys(extra)
    signature = inspect.signature(function)
    if signature.return_annotation is inspect.Signature.empty:
        raise TypeError(f"the rule {function.__name__} for {overload} has no type hints")
    try:
        signature.bind(*positional, **keywords)
    except TypeError as error:
        raise TypeError(f"the rule {function.__name__}{signature} cannot be called as {overload._schema}") from error
