"""An autograd node and the values it could know -> the aten call that it stands for, with every argument, or why not.

A rule names the overload that a node class belongs to and which arguments its edges carry (in the order of the edges).
All other arguments are looked up by their name in the schema among what the node saved: `SumBackward1` saved `dim` and
`keepdim`, `LeakyReluBackward0` saved `negative_slope`. An argument that is found nowhere makes the call unknown, so a
rule can be written for every class: that `RsubBackward1` did not keep its number is found out here, and is said.

Which class belongs to which overload follows torch's `derivatives.yaml`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.autograd.graph import Node

from gradviz.recover.harvest import Kept, Key, saved_names, signed

aten = torch.ops.aten


class Parameter(NamedTuple):
    """One argument of a schema, read from torch once."""

    name: str
    kwarg_only: bool
    has_default: bool
    default: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How the call of one node class is put together.

    Attributes:
        overload: the aten overload.
        parameters: the arguments of its schema.
        slots: the names of the arguments that the node's edges carry, in order; `tensors*` for a list that takes all.
        given: arguments that nothing needs to have saved, because the output's shape and dtype tell them.
        optional: tensor arguments that may have been absent in the call.
        moves: the elements are only moved, so no rounding can depend on the strides of the argument.
        copies: the strides of the result were chosen by a `memory_format` that autograd does not keep.
        doubtful: arguments that autograd would not have kept, so their absence proves nothing: the call is accepted
            only if it gives a value that was kept, bit for bit.
    """

    overload: torch._ops.OpOverload
    parameters: tuple[Parameter, ...]
    slots: tuple[str, ...] = ("self",)
    given: Mapping[str, Given]
    optional: frozenset[str] = frozenset()
    moves: bool = False
    copies: bool = False
    doubtful: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """A call with all its arguments.

    Attributes:
        overload, args, kwargs: the call.
        used: the values of other nodes among the arguments.
        slots: for each edge of the node the name of its argument, as `opcall.tensors_of` names it; None for no edge.
        rule: where it comes from.
        needs_proof: an argument was taken to be absent, or to lie in memory as it did, without evidence.
    """

    overload: torch._ops.OpOverload
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    used: tuple[Key, ...]
    slots: tuple[str | None, ...]
    rule: Rule
    needs_proof: bool


class Unknown(Exception):
    """An argument of a call that cannot be known; the text says which and why. Never leaves `rebuild`."""


def rebuild(node: Node, kept: Kept, values: Mapping[Key, Tensor]) -> Rebuilt | str:
    """The call behind `node`, given the `values` known so far; a text that says why where it cannot be known.

    >>> import gradviz.recover.rules
    >>> x = torch.tensor(2.0, requires_grad=True)
    >>> y = 1 - x
    >>> rebuild(y.grad_fn, Kept(), {(y.grad_fn.next_functions[0][0], 0): x.detach()})
    'autograd keeps no record of the argument `other` of rsub'
    """
    rule = RULES.get(type(node).__name__)
    if rule is None:
        return missing_rule_reason(node)
    parts = Parts(node, rule, kept, values)
    try:
        return parts.rebuilt()
    except Unknown as unknown:
        return str(unknown)


def missing_rule_reason(node: Node) -> str:
    """Why a node without a rule cannot be recomputed."""
    name = type(node).__name__
    if hasattr(type(node), "saved_tensors"):
        return "it is the result of a custom autograd.Function, whose forward cannot be run again safely"
    if name == "CopySlices":
        return "it is the result of an in-place write to a part of a tensor, of which autograd keeps no record"
    return "it cannot be computed again from what autograd keeps"


def slot_names(node: Node) -> tuple[str, ...]:
    """The names of the arguments that the node's edges carry; empty where no rule knows them.

    >>> import gradviz.recover.rules
    >>> slot_names((torch.ones(2, requires_grad=True) * 2).grad_fn)
    ('self', 'other')
    """
    rule = RULES.get(type(node).__name__)
    if rule is None:
        return ()
    if rule.slots[0].endswith("*"):
        name = rule.slots[0][:-1]
        return tuple(f"{name}[{place}]" for place in range(len(node.next_functions)))
    return rule.slots


class Parts:
    """Collects the arguments of one call."""

    def __init__(self, node: Node, rule: Rule, kept: Kept, values: Mapping[Key, Tensor]) -> None:
        self.node = node
        self.rule = rule
        self.named: dict[str, Any] = {}
        self._record = kept.saved.get(node, {})
        self._lost = kept.lost.get(node, [])
        self._values = values
        self._used: list[Key] = []
        self._slot_of = {name: place for place, name in enumerate(slot_names(node))}
        self._needs_proof = False

    def rebuilt(self) -> Rebuilt:
        """Put the call together.

        Raises:
            Unknown: an argument cannot be known.
        """
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        positional_defaults = 0
        for name, kwarg_only, has_default, default in self.rule.parameters:
            value = self.named[name] = self._argument(name)
            is_default = has_default and _same_plain_value(value, default)
            if not kwarg_only:
                args.append(value)
                positional_defaults = positional_defaults + 1 if is_default else 0
            elif not is_default:
                kwargs[name] = value
        edges, names = self.node.next_functions, slot_names(self.node)
        if len(edges) != len(names):
            raise Unknown(f"{type(self.node).__name__} has {len(edges)} edges where its rule has {len(names)}")
        return Rebuilt(
            overload=self.rule.overload,
            args=tuple(args[: len(args) - positional_defaults]),
            kwargs=kwargs,
            used=tuple(self._used),
            slots=tuple(name if edge[0] is not None else None for name, edge in zip(names, edges, strict=True)),
            rule=self.rule,
            needs_proof=self._needs_proof,
        )

    def shape(self) -> list[int]:
        """The shape of the (first) output."""
        return list(self.node._input_metadata[0].shape)

    def new_dtype(self) -> torch.dtype | None:
        """The dtype of the output where it is not the one of the first argument."""
        dtype: torch.dtype = self.node._input_metadata[0].dtype
        return None if dtype == self._first().dtype else dtype

    def new_device(self) -> torch.device | None:
        """The device of the output where it is not the one of the first argument."""
        device: torch.device = self.node._input_metadata[0].device
        return None if device == self._first().device else device

    def require_proof(self) -> None:
        """Accepts the call only if it gives a value that was kept."""
        self._needs_proof = True

    def attribute(self, name: str) -> Any:
        """A number, text or list of them that the node saved.

        Raises:
            Unknown: it saved none under this name.
        """
        try:
            return signed(getattr(self.node, f"_saved_{name}"))
        except AttributeError:
            raise Unknown(f"autograd keeps no record of the argument `{name}` of {self._op()}") from None

    def _argument(self, name: str) -> Any:
        rule = self.rule
        if rule.slots[0] == f"{name}*":
            return [self._operand(f"{name}[{place}]") for place in range(len(self._slot_of))]
        if name in rule.given:
            return rule.given[name](self)
        if name in self._slot_of:
            return self._operand(name)
        if name in saved_names(type(self.node)):
            return self.saved_tensor(name)
        return self.attribute(name)

    def _operand(self, name: str) -> Any:
        tail, output = self.node.next_functions[self._slot_of[name]]
        if tail is None:
            return self.saved_tensor(name)
        return self.take(tail, output, name)

    def take(self, tail: Node, output: int, name: str) -> Tensor:
        """The value of another node, as the argument `name`.

        Raises:
            Unknown: nobody knows it.
        """
        key = (tail, output)
        if key not in self._values:
            raise Unknown(f"its argument `{name}` (from {type(tail).__name__}) is not known")
        self._used.append(key)
        return self._values[key]

    def saved_tensor(self, name: str) -> Any:
        """A tensor (list) that the node saved, or a plain number; None where it was absent in the call.

        Raises:
            Unknown: it was not saved, or cannot be read.
        """
        value = self._record.get(name)
        if value is not None:
            return value
        if self._lost:
            raise Unknown(self._lost[0])
        if name in self.rule.doubtful:
            self._needs_proof = True
        elif name not in self.rule.optional:
            raise Unknown(f"autograd keeps no record of the constant argument `{name}` of {self._op()}")
        elif self.node.next_functions[0][0] is None:
            # What the derivative of the first argument needs is saved only when that argument takes a gradient.
            self._needs_proof = True
        return None

    def _first(self) -> Tensor:
        first = next(iter(self.named.values()))
        if not isinstance(first, Tensor):
            raise Unknown(f"the first argument of {self._op()} is not a tensor")
        return first

    def _op(self) -> str:
        return str(self.rule.overload._schema.name.split("::")[-1])


def _same_plain_value(value: Any, default: Any) -> bool:
    if isinstance(value, Tensor) or isinstance(default, Tensor):
        return False
    return type(value) is type(default) and bool(value == default)


Given: TypeAlias = Callable[[Parts], Any]
"""Tells an argument from the node's output."""

RULES: dict[str, Rule] = {}
"""Node class name -> rule; filled at import by `gradviz.recover.rules`."""


def rule(
    node_class: str,
    overload: torch._ops.OpOverload,
    slots: str = "self",
    *,
    given: Mapping[str, Given] | None = None,
    optional: str = "",
    doubtful: str = "",
    moves: bool = False,
    copies: bool = False,
) -> None:
    """Register the rule of one node class; names are separated by blanks.

    Raises:
        ValueError: the class has a rule already, or a name is no argument of the overload.
    """
    parameters = tuple(
        Parameter(
            argument.name,
            argument.kwarg_only,
            argument.has_default_value(),
            argument.default_value if argument.has_default_value() else None,
        )
        for argument in overload._schema.arguments
    )
    names = {parameter.name for parameter in parameters}
    entry = Rule(
        overload=overload,
        parameters=parameters,
        slots=tuple(slots.split()),
        given=given or {},
        optional=frozenset(optional.split()),
        doubtful=frozenset(doubtful.split()),
        moves=moves,
        copies=copies,
    )
    named = {name.rstrip("*") for name in entry.slots} | set(entry.given) | entry.optional | entry.doubtful
    if node_class in RULES:
        raise ValueError(f"{node_class} has a rule already")
    if not named <= names:
        raise ValueError(f"{overload} has no argument {sorted(named - names)}")
    RULES[node_class] = entry
