"""What is on a picture, as values: nodes, edges and notes, before anything is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import Literal

from gradviz.view.summary import HeatMap
from gradviz.view.titles import titled

Role = Literal["leaf", "op", "constant", "output"]
Verdict = Literal["match", "mismatch", "unverified", "intended"]
Direction = Literal["LR", "BT"]
ThemeName = Literal["light", "dark", "slides"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewNode:
    """One shape on the picture.

    Attributes:
        id: unique on the picture, safe in SVG and CSS; a constant that is drawn once per use has several.
        node: the node of the graph.
        role: leaf, op, constant or output; each has its own shape.
        differentiable: False where no gradient can flow (constants, ops under `no_grad`).
        name: the node's name, shortened.
        call: what its function does, for instance `x × y`; "" for leaves and constants.
        origin: on which other part of the picture it is made, for instance `from part 1`; "" where it is made on this one.
        value: the lines that describe the value.
        cotangent: one line, for instance `∂d/∂c = 1`; "" where it is not shown.
        heat: the values of a small tensor, or None.
        hidden_inputs: how many of its inputs are left out of the picture and belong to no gap.
        verdict: of the whole gradient, at a leaf that was checked.
        trouble: what a diagnosis found at this node or on an edge into it, worst first, one line each.
    """

    id: str
    node: int
    role: Role
    name: str
    differentiable: bool = True
    call: str = ""
    origin: str = ""
    value: tuple[str, ...] = ()
    cotangent: str = ""
    heat: HeatMap | None = None
    hidden_inputs: int = 0
    verdict: Verdict | None = None
    trouble: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewEdge:
    """One arrow on the picture, from a value to a function that used it; from or to a group, all uses between the two.

    Attributes:
        id: unique on the picture, safe in SVG and CSS.
        tail, head: ids of view nodes.
        edge: (tail, head, key) in the graph; the first of several.
        uses: how many edges of the graph it stands for.
        derivative: the sign of the local partial, for instance `∂c/∂a`; "" where the edge has no label.
        formula: in the intermediate variables; "" where none is known.
        number: where tail and head have one element each, else "".
        jacobian: where head or tail has more than one element, how elements are moved, else the shapes of both, unless
            there is a formula.
        flow: where head or tail has more than one element, the kind of Jacobian, how much larger what it adds to the tail's
            cotangent is than the head's cotangent, and how much of that is zero.
        contribution: what the edge adds to its tail's cotangent; "" unless asked for.
        verdict: of the check, or None.
        correction: at a mismatch, autograd's number and the true one; "" otherwise.
        trouble: what a diagnosis found about this edge, worst first, one line each.
        cut: why no gradient flows, or "".
    """

    id: str
    tail: str
    head: str
    edge: tuple[int, int, int]
    uses: int = 1
    derivative: str = ""
    formula: str = ""
    number: str = ""
    jacobian: str = ""
    flow: str = ""
    contribution: str = ""
    correction: str = ""
    trouble: tuple[str, ...] = ()
    verdict: Verdict | None = None
    cut: str = ""

    @property
    def text(self) -> str:
        """The label on one line, without the verdict's mark; what is equal is printed once.

        >>> ViewEdge(id="e", tail="a", head="c", edge=(0, 2, 0), derivative="∂c/∂a", formula="z", number="3").text
        '∂c/∂a = z = 3'
        >>> ViewEdge(id="e", tail="a", head="c", edge=(0, 2, 0), derivative="∂c/∂a", formula="1", number="1").text
        '∂c/∂a = 1'
        >>> ViewEdge(id="e", tail="a", head="c", edge=(0, 2, 0), derivative="∂c/∂a", jacobian="[3]×[2]").text
        '∂c/∂a: [3]×[2]'
        """
        number = "" if self.number == self.formula else self.number
        known = [part for part in (self.formula, number) if part]
        equation = " = ".join([self.derivative, *known]) if known or self.jacobian else ""
        return f"{equation}: {self.jacobian}" if self.jacobian else equation


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewGroup:
    """Nodes of the graph that one shape on the picture stands for.

    Attributes:
        id: unique on the picture, safe in SVG and CSS.
        name: the path of a module or the name of a function, shortened; of a constant, its name.
        called: the class of the modules, where their own names are only numbers; else "".
        count: how many calls that are alike it stands for.
        nodes: the nodes of the graph, in forward order.
        opens: the names by which `unfold` opens it, one for each call that it stands for.
        differentiable: False where no gradient flows through it.
        bare: whether it is single calls in a row, of no module or function of their own: drawn like a value.
        lines: shapes that come in and go out, and how much is inside.
        gradient: norms of the gradient that comes in and goes out, and the gain between them.
        verdict: the worst inside.
        trouble: mismatches and findings inside, worst first, one line each.
    """

    id: str
    name: str
    nodes: tuple[int, ...]
    called: str = ""
    count: int = 1
    opens: tuple[str, ...] = ()
    differentiable: bool = True
    bare: bool = False
    lines: tuple[str, ...] = ()
    gradient: tuple[str, ...] = ()
    verdict: Verdict | None = None
    trouble: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The name as it is written."""
        return titled(self.name, self.called)


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewBox:
    """A call that was opened: what is around the shapes that were in its group.

    Attributes:
        id: unique on the picture, safe in SVG and CSS.
        name: the path of the module or the name of the function, by which `fold` closes it.
        called: the class of the module, where its own name is only a number; else "".
        members: ids of the nodes and groups in it that are in no box within it.
        parent: id of the box around it, or "".
    """

    id: str
    name: str
    members: tuple[str, ...]
    parent: str = ""
    called: str = ""

    @property
    def title(self) -> str:
        """The name as it is written."""
        return titled(self.name, self.called)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A connected part of the graph that is left out of the picture.

    Attributes:
        id: unique on the picture, safe in SVG and CSS.
        nodes: how many nodes there are in it.
        leaves: how many of them are leaves.
        tails, heads: ids of the view nodes that it reads, and of those that read it.
    """

    id: str
    nodes: int
    leaves: int
    tails: tuple[str, ...]
    heads: tuple[str, ...]

    @property
    def arrows(self) -> tuple[tuple[str, str], ...]:
        """(tail, head) of each arrow that is drawn to it and from it."""
        return (*((tail, self.id) for tail in self.tails), *((self.id, head) for head in self.heads))

    @property
    def text(self) -> str:
        """
        >>> Gap(id="gap_1", nodes=402, leaves=12, tails=(), heads=()).text
        '⋯ 402 nodes not shown, 12 of them leaves'
        """
        of_them = f", {self.leaves:,} of them {'a leaf' if self.leaves == 1 else 'leaves'}" if self.leaves else ""
        return f"⋯ {self.nodes:,} {'node' if self.nodes == 1 else 'nodes'} not shown{of_them}"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One picture.

    Attributes:
        title: one line for screen readers.
        nodes, edges, groups: in forward order.
        gaps: where parts of the graph are left out.
        boxes: calls that were opened, each before those within it.
        columns: the ids of the nodes, groups and gaps in each column, from left to right, where the picture is broken into
            several that are read one after the other; () where it is not.
        direction: "LR" from left to right, "BT" from the bottom to the top; that of each column.
        theme: the name of the theme.
        notes: what is left out and how to read what is there; printed on the picture.
    """

    title: str
    nodes: tuple[ViewNode, ...]
    edges: tuple[ViewEdge, ...]
    groups: tuple[ViewGroup, ...] = ()
    gaps: tuple[Gap, ...] = ()
    boxes: tuple[ViewBox, ...] = ()
    columns: tuple[tuple[str, ...], ...] = ()
    direction: Direction = "LR"
    theme: ThemeName = "light"
    notes: tuple[str, ...] = ()

    @property
    def shapes(self) -> tuple[str, ...]:
        """The ids of all nodes and groups in forward order, a group where its first node is; then those of the gaps."""
        places = [(node.node, node.id) for node in self.nodes]
        places += [(min(group.nodes, default=0), group.id) for group in self.groups]
        return (*(shape for _, shape in sorted(places, key=itemgetter(0))), *(gap.id for gap in self.gaps))

    @property
    def arrows(self) -> tuple[tuple[str, str], ...]:
        """(tail, head) of every arrow: first those of the edges, in their order, then those of the gaps."""
        return (*((edge.tail, edge.head) for edge in self.edges), *(arrow for gap in self.gaps for arrow in gap.arrows))
