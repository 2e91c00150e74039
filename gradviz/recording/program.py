"""Turns whatever the user hands in into one `Program`: a callable without arguments, its named inputs, a device.

The parser of math text is imported when the first text comes: `import gradviz` stays cheap.
"""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from types import CellType, FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from gradviz.errors import InputError
from gradviz.recording.names import closure_names, input_names
from gradviz.recording.refusals import refusals_told

if TYPE_CHECKING:
    from gradviz.expression import Expression

ACCEPTED = (
    "a tensor already computed, math text, a sympy expression, a callable with its inputs, or an nn.Module with its inputs"
)


class Note(NamedTuple):
    """What a sub-expression of math text is called: its text, and its name where the text defines one."""

    tensor: Tensor
    text: str
    name: str


META = torch.device("meta")
_DEVICE_CLASHES = ("same device", "not on the expected device")  # torch's wordings


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """Something that can be run once.

    Attributes:
        run: does the forward pass and returns what the user's code returns.
        inputs: argument name -> what was handed in, moved to the device.
        surroundings: name -> what the code reaches besides: closure, globals.
        notes: filled by `run` for math text: what its sub-expressions are called.
        scalar_advice: how to get a single number out of the program; "" where the general advice holds.
        finish: to be called after `run`, whatever happened: carries buffers back to the user's own module.
    """

    run: Callable[[], Any]
    inputs: dict[str, Any]
    surroundings: dict[str, Any] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    scalar_advice: str = ""
    finish: Callable[[], None] = lambda: None


def program_of(
    target: Any, inputs: Sequence[Any], variables: Mapping[str, Any], loss: Callable[[Any], Any] | None, device: str
) -> Program:
    """The program of a target that is not a computed tensor.

    Raises:
        InputError: the target, an input or an option is not accepted.
    """
    if loss is not None and not callable(loss):
        raise InputError(
            f"loss is a {type(loss).__name__}; accepted: a function of what the model or function returns, as "
            "loss=lambda out: (out - y).square().mean(); or trace a function that returns the loss"
        )
    if isinstance(target, FunctionType):
        return _function_program(target, inputs, variables, loss, device)
    if isinstance(target, str):
        _refuse_for_text(inputs, loss, "math text")
        from gradviz.expression import parse

        expression = parse(target, variables=tuple(variables) or None)
        return _text_program(expression, variables, device, "write sum(...), mean(...) or norm(...) around the expression")
    if _is_sympy(target):
        _refuse_for_text(inputs, loss, "a sympy expression")
        from gradviz.expression import from_sympy

        return _text_program(from_sympy(target), variables, device, "give each symbol a single number")
    if isinstance(target, torch.nn.Module):
        target = getattr(target, "_orig_mod", target)  # what torch.compile wraps: ops are recorded one by one anyway
        return _module_program(target, inputs, variables, loss, device)
    if callable(target):
        return _function_program(target, inputs, variables, loss, device)
    raise InputError(f"cannot trace a {type(target).__name__}; {_one_of(target)}trace takes {ACCEPTED}")


def _one_of(target: Any) -> str:
    """Which tensor of an object of several to hand in; "" where it has none with a gradient."""
    held = target if isinstance(target, dict) else getattr(target, "__dict__", {})
    names = [name for name, value in held.items() if isinstance(value, Tensor) and value.requires_grad]
    if not names:
        return ""
    name = "loss" if "loss" in names else names[0]
    return f"hand in one of its tensors, as {f'output[{name!r}]' if isinstance(target, dict) else f'output.{name}'}; "


def _text_program(expression: Expression, variables: Mapping[str, Any], device: str, scalar_advice: str) -> Program:
    from gradviz.expression import evaluate, to_tensor

    missing = [name for name in expression.variables if name not in variables]
    surplus = [name for name in variables if name not in expression.variables]
    if missing or surplus:
        raise InputError(_variables_message(expression, missing, surplus))
    if not expression.variables:
        raise InputError(f'the expression "{expression}" has no variable, so it has no gradient; write for example x*y')
    place = _chosen_device(device, automatic=torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    leaves = {name: _leaf(to_tensor(variables[name], name), place) for name in expression.variables}
    notes: list[Note] = []

    def run() -> Tensor:
        result = evaluate(
            expression, leaves, on_value=lambda text, name, tensor: notes.append(Note(tensor, text, name or ""))
        )
        if not result.requires_grad:
            names = ", ".join(expression.variables)
            raise InputError(f'the value of "{expression}" does not depend on {names}, so it has no gradient')
        return result

    return Program(run=run, inputs=dict(leaves), notes=notes, scalar_advice=scalar_advice)


def _function_program(
    function: Callable[..., Any], inputs: Sequence[Any], variables: Mapping[str, Any], loss: Any, device: str
) -> Program:
    place = None if device == "auto" else _chosen_device(device)
    args, kwargs = tuple(inputs), dict(variables)
    holds_tensor = _holds_tensor((inputs, variables))
    if place is not None or not holds_tensor:
        mover = _Mover(place, floats_to_leaves=not holds_tensor)
        args, kwargs = mover.moved(args), mover.moved(kwargs)
    try:
        named = input_names(function, args, kwargs)
    except TypeError as error:
        raise InputError(f"{_name_of(function)} cannot take the inputs given: {error}") from error

    def run() -> Any:
        with refusals_told(named, None):
            result = function(*args, **kwargs)
            return result if loss is None else loss(result)

    return Program(
        run=run if place != META else _without_numbers(run),
        inputs=named,
        surroundings=closure_names(function) | (closure_names(loss) if loss is not None else {}),
    )


def _module_program(
    module: torch.nn.Module, inputs: Sequence[Any], variables: Mapping[str, Any], loss: Any, device: str
) -> Program:
    home = next((tensor.device for tensor in chain(module.parameters(), module.buffers())), None)
    place = _device_of_module(home, device)
    working = module if place == home or place is None else copy.deepcopy(module).to(place)
    mover = _Mover(place, replaced={} if working is module else {id(module): working})
    args, kwargs = mover.moved(tuple(inputs)), mover.moved(dict(variables))
    try:
        named = input_names(module.forward, args, kwargs)
    except TypeError as error:
        raise InputError(f"{type(module).__name__}.forward cannot take the inputs given: {error}") from error
    moved_loss = mover.rebound(loss)

    def run() -> Any:
        try:
            with refusals_told(named, working):
                result = working(*args, **kwargs)
                return result if moved_loss is None else moved_loss(result)
        except RuntimeError as error:
            if working is module or not any(text in str(error) for text in _DEVICE_CLASHES):
                raise
            raise InputError(
                f"the model was moved to {place} (device={device!r}), but it or its loss uses a tensor elsewhere that "
                f"gradviz cannot see; pass device={str(home)!r}, or move that tensor: {error}"
            ) from error

    def finish() -> None:
        if working is not module and place != META:  # meta tensors have shapes and no values
            with torch.no_grad():
                for theirs, ours in zip(module.buffers(), working.buffers(), strict=True):
                    theirs.copy_(ours)

    return Program(
        run=run if place != META else _without_numbers(run),
        inputs=named,
        surroundings={"": working} | (closure_names(moved_loss) if moved_loss is not None else {}),
        finish=finish,
    )


def _device_of_module(home: torch.device | None, asked: str) -> torch.device | None:
    """Where a module that lives at `home` runs; None for one that holds no tensors and is left where it is."""
    if asked != "auto":
        return _chosen_device(asked)
    if torch.cuda.is_available() and (home is None or home.type == "cpu"):
        return torch.device("cuda")
    return home


def _without_numbers(run: Callable[[], Any]) -> Callable[[], Any]:
    """The same on the meta device: what the code makes without naming a device, as `torch.ones(3)` does, is there too."""

    def run_on_meta() -> Any:
        try:
            with META:
                return run()
        except RuntimeError as error:
            if not re.search(r"meta(?![a-z])", str(error)):
                raise
            raise InputError(
                "on the meta device the code asks for a number, or uses a tensor that lies elsewhere "
                f"({str(error).splitlines()[0]}): hand such a tensor in as an input, make it within the code, or trace with "
                "another device="
            ) from error

    return run_on_meta


class _Mover:
    """Moves the tensors in nested containers to a device, each tensor once. What is there already stays the same object."""

    def __init__(
        self, device: torch.device | None, *, floats_to_leaves: bool = False, replaced: dict[int, Any] | None = None
    ) -> None:
        self._device = device
        self._floats_to_leaves = floats_to_leaves
        self._moved: dict[int, Any] = dict(replaced or {})
        self._kept: list[Any] = []  # keeps what `_moved` names by id alive

    def moved(self, value: Any) -> Any:
        if self._device is None and not self._moved and not self._floats_to_leaves:
            return value  # there is nothing to do
        if id(value) in self._moved:
            return self._moved[id(value)]
        if isinstance(value, Tensor):
            return self._remember(value, _leaf_like(value, self._device))
        if isinstance(value, float) and self._floats_to_leaves:
            return torch.tensor(value, dtype=torch.float64, device=self._device, requires_grad=True)
        if type(value) in (list, tuple):
            items = [self.moved(item) for item in value]
            return value if all(a is b for a, b in zip(items, value, strict=True)) else type(value)(items)
        if type(value) is dict:
            return {key: self.moved(item) for key, item in value.items()}
        return value

    def rebound(self, function: Any) -> Any:
        """A function (or partial of one) whose closure, globals and bound arguments hold the moved tensors."""
        if isinstance(function, functools.partial):
            moved = self.moved(function.args), self.moved(function.keywords)
            return functools.partial(self.rebound(function.func), *moved[0], **moved[1])
        if self._device is None or not isinstance(function, FunctionType):
            return function
        named = closure_names(function)
        replaced = {name: self.moved(value) for name, value in named.items() if self._movable(value)}
        if all(replaced[name] is named[name] for name in replaced):
            return function
        cells = tuple(
            CellType(replaced[name]) if name in replaced else cell
            for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        )
        rebound = FunctionType(
            function.__code__, function.__globals__ | replaced, function.__name__, function.__defaults__, cells
        )
        rebound.__kwdefaults__ = function.__kwdefaults__
        return rebound

    def _movable(self, value: Any) -> bool:
        return isinstance(value, Tensor) or id(value) in self._moved

    def _remember(self, value: Any, moved: Any) -> Any:
        self._kept.append(value)
        self._moved[id(value)] = moved
        return moved


def _leaf_like(tensor: Tensor, device: torch.device | None) -> Tensor:
    if device is None or tensor.device == device or (tensor.device.type == device.type and device.index is None):
        return tensor
    if tensor.requires_grad and not tensor.is_leaf:
        return tensor.to(device)
    return tensor.detach().to(device).requires_grad_(tensor.requires_grad)


def _leaf(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor to differentiate by: the user's own where it already requires grad, else a leaf of its own."""
    if tensor.requires_grad and tensor.device.type == device.type:
        return tensor
    if not (tensor.is_floating_point() or tensor.is_complex()):
        tensor = tensor.to(torch.float64)
    return tensor.detach().to(device).clone().requires_grad_()


def _chosen_device(device: str | torch.device, automatic: torch.device | None = None) -> torch.device:
    if device == "auto" and automatic is not None:
        return automatic
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise InputError(
            f"device {device!r} cannot be used here ({str(error).splitlines()[0]}); accepted: 'auto', 'cpu'"
            + (", 'cuda'" if torch.cuda.is_available() else "")
        ) from error
    return chosen


def _variables_message(expression: Expression, missing: Sequence[str], surplus: Sequence[str]) -> str:
    wanted = ", ".join(expression.variables) or "none"
    parts = []
    if missing:
        parts.append(f"no value for {', '.join(missing)}")
    if surplus:
        parts.append(f"the expression has no variable {', '.join(surplus)}")
    return f'{"; ".join(parts)}; the variables of "{expression}" are: {wanted}'


def _refuse_for_text(inputs: Sequence[Any], loss: Any, what: str) -> None:
    if inputs:
        raise InputError(f"{what} takes its values by name, as in trace(..., x=2.0); got {len(inputs)} positional inputs")
    if loss is not None:
        raise InputError(f"loss= goes with a model or a function; with {what} write the loss into the expression")


def _is_sympy(target: Any) -> bool:
    return any(kind.__module__.startswith("sympy.") and kind.__name__ == "Basic" for kind in type(target).__mro__)


def _name_of(function: Any) -> str:
    owner = getattr(function, "__self__", None)
    if isinstance(owner, type):  # a method of a class, which may have it from another
        return f"{owner.__qualname__}.{function.__name__}"
    return str(getattr(function, "__qualname__", type(function).__name__))


def _holds_tensor(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_holds_tensor, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(_holds_tensor, value))
    return isinstance(value, Tensor)
