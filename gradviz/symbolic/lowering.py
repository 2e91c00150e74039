"""A call without a rule -> the calls that torch's own decomposition of it makes, each of which has one.

torch states most of its ops in terms of fewer ones (`torch._decomp`). The decomposition is run once on the recorded
arguments under a dispatch mode that writes down what it calls, and is believed only where it gives the recorded results.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._decomp import decomposition_table
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from gradviz.opcall import OpCall, is_inexact, tensors_of
from gradviz.symbolic.foreach import foreach_statement, is_of_lists
from gradviz.symbolic.grids import GRID_SAMPLER_3D, grid_sampler_3d
from gradviz.symbolic.recurrent import LSTM, lstm_layer, refuse_long
from gradviz.symbolic.registry import NoGradient, NoRule, find_rule, functional_overload, has_rule
from gradviz.symbolic.rounding import unit_roundoff

MAX_CALLS = 2000
_ROUNDINGS = 2.0**14
_OWN: Mapping[OpOverload, Callable[..., Any]] = {LSTM: lstm_layer, GRID_SAMPLER_3D: grid_sampler_3d}
"""What torch does not state in terms of others."""


def is_lowered(overload: OpOverload) -> bool:
    """Whether torch has a decomposition of an overload that has no rule of its own."""
    return _decomposition(overload) is not None and torch.Tag.nondeterministic_seeded not in overload.tags


def run_own_statement(call: OpCall, tensors: Sequence[Tensor]) -> tuple[Tensor | None, ...] | None:
    """The call with other tensors, by position, run as stated here, in any dtype; None where torch can run it in any."""
    if call.overload is not LSTM:  # torch's is for float32 only
        return None
    statement = _OWN[call.overload]
    args, kwargs = call.arguments_with(lambda position, _: tensors[position])
    return tuple(_flat(statement(*args, **kwargs)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lowered:
    """What a decomposition did.

    Attributes:
        arguments: position -> the tensor that stood for that argument; no two positions share one.
        calls: in order; data flow is object identity.
        results: one per output of the call: the tensor that the decomposition returned.
    """

    arguments: dict[int, Tensor]
    calls: tuple[OpCall, ...]
    results: tuple[Tensor | None, ...]


def lowered(call: OpCall) -> Lowered:
    """The decomposition of a call, run on its recorded arguments.

    Raises:
        NoRule: there is no decomposition, it meets a call without rule, or it does not give the recorded results.
    """
    if not is_lowered(call.overload):
        raise NoRule(f"no symbolic rule for {call.overload}")
    arguments: dict[int, Tensor] = {}
    for argument in call.tensor_arguments():
        known = any(argument.tensor is other for other in arguments.values())
        arguments[argument.position] = argument.tensor.clone() if known else argument.tensor
    _refuse_repeated(call)
    refuse_long(call)
    args, kwargs = call.arguments_with(lambda position, _: arguments[position])
    listener = _Listener(arguments)
    try:
        with torch.no_grad():
            results = _flat(listener.run(call.overload, args, kwargs))
    except NoRule as missing:
        raise NoRule(f"no symbolic rule for {call.overload}: {missing.reason}") from missing
    except (RuntimeError, TypeError, ValueError, NotImplementedError, AssertionError, IndexError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise NoRule(f"no symbolic rule for {call.overload}: its decomposition fails: {reason}") from error
    if len(results) < len(call.outputs):
        raise NoRule(f"no symbolic rule for {call.overload}: its decomposition has {len(results)} results")
    for made, recorded in zip(results, call.outputs, strict=False):
        if made is not None and recorded is not None and is_inexact(recorded):
            _check_same(call, made, recorded)
    return Lowered(arguments=arguments, calls=tuple(listener.calls), results=tuple(results[: len(call.outputs)]))


class _Listener(TorchDispatchMode):
    """Writes down what depends on the arguments of a call, down to ops that have rules."""

    def __init__(self, arguments: dict[int, Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[OpCall] = []
        self._depending = {id(tensor) for tensor in arguments.values() if is_inexact(tensor)}
        self._kept: list[Any] = []
        self._entered: list[OpOverload] = []

    def run(self, overload: OpOverload, args: Any, kwargs: Any) -> Any:
        """The decomposition of a call, with what it calls written down."""
        decomposition = _decomposition(overload)
        if decomposition is None:
            raise NoRule(f"its decomposition calls {overload}, which has no rule")
        if overload in self._entered:  # as tanh -> prims.tanh -> tanh
            raise NoRule(f"its decomposition leads back to {overload}")
        self._entered.append(overload)
        try:
            with self:
                return decomposition(*args, **kwargs)
        finally:
            self._entered.pop()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        depends = any(id(tensor) in self._depending for _, tensor in tensors_of(func, args, kwargs))
        if depends and not has_rule(func):
            return self.run(func, args, kwargs)
        result = func(*args, **kwargs)
        self._kept.append((args, kwargs, result))  # so that ids stay their own
        if not depends or isinstance(find_rule(func), NoGradient):
            return result
        if func._schema.is_mutable:
            raise NoRule(f"its decomposition writes in place ({func})")
        outputs = _flat(result)
        self._depending |= {id(output) for output in outputs if output is not None}
        self.calls.append(OpCall(overload=func, args=args, kwargs=kwargs, outputs=tuple(outputs)))
        if len(self.calls) > MAX_CALLS:
            raise NoRule(f"its decomposition makes more than {MAX_CALLS} calls")
        return result


def _decomposition(overload: OpOverload) -> Callable[..., Any] | None:
    """torch's own statement of an op in terms of others; of a primitive, the aten op that computes it."""
    if overload._schema.is_mutable:
        functional = functional_overload(overload)
        return None if functional is None or is_of_lists(overload) else _decomposition(functional)
    found: Callable[..., Any] | None = _OWN.get(overload) or decomposition_table.get(overload) or foreach_statement(overload)
    if found is not None:
        return found
    if overload.namespace == "prims":
        return getattr(overload, "impl_aten", None)
    return overload.decompose if overload._can_decompose() else None


def _refuse_repeated(call: OpCall) -> None:
    """Where indices repeat, max_unpool writes one of the values, and torch does not say which."""
    if not call.op.startswith("max_unpool"):
        return
    places = call.args[1].flatten(-3 if call.op == "max_unpool3d" else -2).sort(-1).values
    if bool((places[..., 1:] == places[..., :-1]).any()):
        raise NoRule(f"no symbolic rule for {call.overload} with indices that repeat: one of the values is kept, any")


def _check_same(call: OpCall, made: Tensor, recorded: Tensor) -> None:
    """The decomposition computes what was recorded, to rounding."""
    if made.shape != recorded.shape:
        raise NoRule(f"no symbolic rule for {call.overload}: its decomposition gives another shape")
    if made.device.type == "meta" or not made.numel():
        return
    wide = torch.complex128 if made.is_complex() or recorded.is_complex() else torch.float64
    left, right = made.to(wide), recorded.to(wide)
    finite = torch.isfinite(right)
    size = float(right[finite].abs().max()) if bool(finite.any()) else 0.0
    unit = max(unit_roundoff(made.dtype), unit_roundoff(recorded.dtype))
    near = (left - right).abs() <= _ROUNDINGS * unit * max(size, 1e-30)
    if not bool((near | (left == right) | (torch.isnan(left) & torch.isnan(right))).all()):
        raise NoRule(f"no symbolic rule for {call.overload}: its decomposition does not give the recorded value")


def _flat(result: Any) -> list[Tensor | None]:
    if isinstance(result, Tensor):
        return [result]
    if isinstance(result, (list, tuple)):
        return [output for item in result for output in _flat(item)]
    return [None]
