"""A sympy expression turned into a straight line of steps that any arithmetic can run.

The same tape gives the true value (50 digits), all elements at once (a wide float) and the rounding bound; see
`arithmetic.py`. Equal sub-expressions become one step. Nothing is printed as source and nothing is compiled from
text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import sympy as sp

from gradviz.errors import CheckError
from gradviz.symbolic.rounding import least_normal


class Arithmetic(Protocol):
    """What a tape needs to run: one method per kind of step, each with a payload and the operands' values."""

    def constant(self, number: sp.Expr) -> Any:
        """A number of sympy's."""

    def add(self, payload: Any, values: Sequence[Any]) -> Any:
        """The sum of two or more."""

    def multiply(self, payload: Any, values: Sequence[Any]) -> Any:
        """The product of two or more."""

    def power(self, payload: sp.Rational | None, values: Sequence[Any]) -> Any:
        """Base to exponent; the payload is the exponent where that is a rational number."""

    def function(self, payload: str, values: Sequence[Any]) -> Any:
        """The function of sympy's that has the payload as its name."""

    def choose(self, payload: Any, values: Sequence[Any]) -> Any:
        """A piecewise function: value, condition, value, condition, ..., and the value where none of these holds."""

    def compare(self, payload: str, values: Sequence[Any]) -> Any:
        """The relation whose sign is the payload, `<=`, between two values."""

    def logic(self, payload: str, values: Sequence[Any]) -> Any:
        """ "And", "Or" or "Not" of truth values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: the arithmetic's method, its payload, and the slots it reads."""

    method: str
    payload: Any
    operands: tuple[int, ...]


class Tape:
    """The steps of one expression in the given parameters.

    >>> from gradviz.symbolic.arithmetic import EXACT
    >>> x, y = sp.symbols("x y", real=True)
    >>> print(Tape(x * y + sp.sin(sp.pi * x), (x, y)).run(EXACT, [EXACT.number(2.0), EXACT.number(3.0)]))
    6.0
    """

    def __init__(self, expression: sp.Expr, parameters: Sequence[sp.Symbol]) -> None:
        self.parameters = tuple(parameters)
        self.constants: dict[int, sp.Expr] = {}
        self.steps: list[tuple[int, Step]] = []
        self._slots: dict[sp.Basic, int] = {symbol: place for place, symbol in enumerate(self.parameters)}
        self._size = len(self.parameters)
        self.result = self._place(sp.sympify(expression))
        self._prepared: dict[
            tuple[Arithmetic, float], tuple[list[tuple[int, Any]], list[tuple[int, Any, Any, tuple[int, ...]]]]
        ] = {}

    def run(self, arithmetic: Arithmetic, arguments: Sequence[Any]) -> Any:
        """The value of the expression at `arguments`, in the arithmetic's own kind of number."""
        within = (arithmetic, least_normal())  # constants may be rounded, too
        prepared = self._prepared.get(within)
        if prepared is None:
            constants = [(slot, arithmetic.constant(number)) for slot, number in self.constants.items()]
            steps = [(slot, getattr(arithmetic, step.method), step.payload, step.operands) for slot, step in self.steps]
            prepared = self._prepared[within] = (constants, steps)
        slots = list(arguments) + [None] * (self._size - len(arguments))
        for slot, constant in prepared[0]:
            slots[slot] = constant
        for slot, method, payload, operands in prepared[1]:
            slots[slot] = method(payload, [slots[operand] for operand in operands])
        return slots[self.result]

    def _place(self, node: sp.Basic) -> int:
        """The slot of `node`, adding the steps that it needs. Rules are small, so recursion is safe here."""
        known = self._slots.get(node)
        if known is not None:
            return known
        if isinstance(node, sp.Expr) and node.is_number and (node.is_Atom or node.is_Rational):
            slot = self._new(node)
            self.constants[slot] = node
            return slot
        step = self._step(node)
        slot = self._new(node)
        self.steps.append((slot, step))
        return slot

    def _new(self, node: sp.Basic) -> int:
        slot = self._size
        self._slots[node] = slot
        self._size += 1
        return slot

    def _step(self, node: sp.Basic) -> Step:
        if isinstance(node, sp.Symbol):
            known = ", ".join(map(str, self.parameters))
            raise CheckError(f"unknown symbol '{node}' in a rule; its parameters: {known}")
        if isinstance(node, sp.Piecewise):
            if node.args[-1].cond != sp.true:
                node = sp.Piecewise(*node.args, (sp.nan, True))
            slots: list[int] = []
            for branch in node.args:
                slots.append(self._place(branch.expr))
                if branch.cond != sp.true:
                    slots.append(self._place(branch.cond))
            return Step(method="choose", payload=None, operands=tuple(slots))
        payload: Any = type(node).__name__
        if isinstance(node, sp.Add):
            method = "add"
        elif isinstance(node, sp.Mul):
            method = "multiply"
        elif isinstance(node, sp.Pow):
            method, payload = "power", node.exp if node.exp.is_Rational else None
        elif isinstance(node, sp.core.relational.Relational):
            method, payload = "compare", node.rel_op
        elif isinstance(node, (sp.And, sp.Or, sp.Not)):
            method = "logic"
        elif isinstance(node, sp.Function):
            method = "function"
        else:
            raise CheckError(f"a rule holds {type(node).__name__} '{node}', which no arithmetic here evaluates")
        return Step(method=method, payload=payload, operands=tuple(self._place(argument) for argument in node.args))
