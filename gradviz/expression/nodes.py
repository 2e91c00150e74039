"""The syntax tree of math text: frozen values, each knowing which columns of the text it came from.

Trees are compared by structure, not by columns: `parse("x*y") == parse("x y")`. Comparing, hashing, printing and
running never recurse, because a chain `x + x + ...` of thousands of terms is a deep tree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

ArithmeticOperator = Literal["+", "-", "*", "/", "@", "^"]
ComparisonOperator = Literal["<", "<=", ">", ">=", "==", "!="]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Span:
    """What every node carries: `text[start:end]` is what it was read from (0 and 0 where there is none)."""

    start: int = 0
    end: int = 0

    @property
    def column(self) -> int:
        """1-based column of the first character."""
        return self.start + 1

    @property
    def children(self) -> tuple[Node, ...]:
        """The sub-expressions, left to right."""
        return ()

    @property
    def label(self) -> object:
        """What tells this node apart from others of its type, children aside."""
        return None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Span):
            return NotImplemented
        return self is other or _structure(self) == _structure(other)

    def __hash__(self) -> int:
        return hash(tuple(_structure(self)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({_print_node(self)!r})"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Number(Span):
    """A number as written: never negative (that is a `UnaryOp`), never infinite; `2` is an int, `2.0` a float."""

    value: int | float

    @property
    def label(self) -> object:
        return repr(self.value)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Constant(Span):
    """`pi` or `e`."""

    name: Literal["pi", "e"]

    @property
    def label(self) -> object:
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Variable(Span):
    """A name: an input, or what an earlier definition of the same text called by that name."""

    name: str

    @property
    def label(self) -> object:
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class UnaryOp(Span):
    """`-operand`."""

    operator: Literal["-"] = "-"
    operand: Node

    @property
    def children(self) -> tuple[Node, ...]:
        return (self.operand,)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class BinaryOp(Span):
    """`left operator right`; `implicit`: a product written without a sign (`2x`), which makes no other structure."""

    operator: ArithmeticOperator
    left: Node
    right: Node
    implicit: bool = False

    @property
    def children(self) -> tuple[Node, ...]:
        return (self.left, self.right)

    @property
    def label(self) -> object:
        return self.operator


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Comparison(Span):
    """`left operator right` as the condition of `where`; it stands nowhere else."""

    operator: ComparisonOperator
    left: Node
    right: Node

    @property
    def children(self) -> tuple[Node, ...]:
        return (self.left, self.right)

    @property
    def label(self) -> object:
        return self.operator


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Call(Span):
    """A function of the table in `functions.py`, by its first name there, applied to its arguments."""

    function: str
    arguments: tuple[Node, ...]

    @property
    def children(self) -> tuple[Node, ...]:
        return self.arguments

    @property
    def label(self) -> object:
        return self.function


Node: TypeAlias = Number | Constant | Variable | UnaryOp | BinaryOp | Comparison | Call


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """`name = value`, before the final expression."""

    name: str
    value: Node
    start: int = field(default=0, compare=False)
    end: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """Math text that was read and checked.

    Attributes:
        text: what was read; `start` and `end` of every node point into it.
        definitions: the named intermediate values, in the order of the text.
        result: the final expression.

    `str(expression)` is the text in its canonical spelling; `expression.pretty` is for labels on pictures.
    """

    text: str = field(default="", compare=False)
    definitions: tuple[Definition, ...] = ()
    result: Node

    @property
    def variables(self) -> tuple[str, ...]:
        """The names that need a value, in order of first appearance; names that the text defines are not among them."""
        defined = {definition.name for definition in self.definitions}
        names: dict[str, None] = {}
        for _, value in self.statements:
            for node in postorder(value):
                if isinstance(node, Variable) and node.name not in defined:
                    names[node.name] = None
        return tuple(names)

    @property
    def statements(self) -> tuple[tuple[str, Node], ...]:
        """(name, value) of every definition, then ("", result)."""
        return (*((definition.name, definition.value) for definition in self.definitions), ("", self.result))

    @property
    def pretty(self) -> str:
        """The expression as one writes it for people: `x·y + sin(π·x)`."""
        from gradviz.expression.printing import pretty

        return _join(self, pretty)

    def __str__(self) -> str:
        return _join(self, _print_node)


def postorder(node: Node) -> list[Node]:
    """All nodes of a tree, children before parents, left to right: the order in which values are computed."""
    nodes: list[Node] = []
    waiting = [node]
    while waiting:
        current = waiting.pop()
        nodes.append(current)
        waiting.extend(current.children)
    nodes.reverse()
    return nodes


def _join(expression: Expression, write: Callable[[Node], str]) -> str:
    return "; ".join(f"{name} = {write(value)}" if name else write(value) for name, value in expression.statements)


def _structure(node: Span) -> list[tuple[type, object, int]]:
    return [(type(part), part.label, len(part.children)) for part in postorder(node)]  # type: ignore[arg-type]


def _print_node(node: Span) -> str:
    from gradviz.expression.printing import canonical  # printing reads these classes

    return canonical(node)  # type: ignore[arg-type]
