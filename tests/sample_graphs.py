"""Small graphs with the documented attributes, made by hand: what the picture is tested on, without tracing anything."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import networkx as nx
import sympy
import torch
from torch import Tensor

from gradviz.errors import PartialError


@dataclass(frozen=True, slots=True, kw_only=True)
class SketchPartial:
    """Answers as a LocalPartial does; a Jacobian that is asked for a number although it has more than one refuses."""

    formula: sympy.Expr | None = None
    number: float | None = None
    in_shape: tuple[int, ...] = ()
    out_shape: tuple[int, ...] = ()

    def __float__(self) -> float:
        if self.number is None:
            raise PartialError("the buffers are freed")
        return self.number


@dataclass(frozen=True, slots=True, kw_only=True)
class SketchChecked:
    edge: tuple[int, int, int]
    verdict: str
    formula: str = ""
    autograd: float | None = None
    reference: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SketchCheckedNode:
    node: int
    verdict: str
    finding: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SketchReport:
    edges: tuple[SketchChecked, ...]
    nodes: tuple[SketchCheckedNode, ...] = ()
    leaves: tuple[SketchCheckedNode, ...] = ()
    sums: tuple[SketchCheckedNode, ...] = ()


class Sketch:
    """Builds a graph node by node; scalar cotangents follow from the numbers on the edges."""

    def __init__(self) -> None:
        self.graph = nx.MultiDiGraph()

    def leaf(self, name: str, value: Tensor | float) -> int:
        return self._node(kind="leaf", name=name, value=value, requires_grad=True)

    def constant(self, name: str, value: Tensor | float) -> int:
        return self._node(kind="constant", name=name, value=value, requires_grad=False)

    def op(self, name: str, op: str, value: Any, *inputs: tuple[int, Any], **attributes: Any) -> int:
        """A node that reads `inputs`, pairs of node and partial: (formula, number), a SketchPartial, or why it is cut."""
        head = self._node(kind="op", name=name, op=op, value=value, **{"requires_grad": True} | attributes)
        for key, (tail, partial) in enumerate(inputs):
            cut = partial if isinstance(partial, str) else ""
            if isinstance(partial, tuple):
                partial = SketchPartial(formula=sympy.sympify(partial[0]), number=partial[1])
            data = {"output": 0, "argument": "self", "contribution": None, "cut": cut}
            self.graph.add_edge(tail, head, key=key, partial=None if cut else partial, **data)
        return head

    def finished(self, output: int) -> nx.MultiDiGraph:
        """The graph with `output` marked and, where all numbers are known, with scalar cotangents."""
        self.graph.nodes[output]["is_output"] = True
        self.graph.nodes[output]["cotangent"] = torch.tensor(1.0, dtype=torch.float64)
        for head in sorted(self.graph, reverse=True):
            cotangent = self.graph.nodes[head]["cotangent"]
            for tail, _, data in self.graph.in_edges(head, data=True):
                if cotangent is None or data["partial"] is None or data["partial"].number is None:
                    continue
                data["contribution"] = cotangent * float(data["partial"])
                before = self.graph.nodes[tail]["cotangent"]
                self.graph.nodes[tail]["cotangent"] = data["contribution"] + (0 if before is None else before)
        return self.graph

    def _node(self, **given: Any) -> int:
        number = len(self.graph)
        value = given["value"]
        if isinstance(value, (int, float)):
            value = given["value"] = torch.tensor(float(value), dtype=torch.float64)
        several = isinstance(value, tuple)
        defaults = {
            "op": "",
            "value_missing": "",
            "cotangent": None,
            "shape": tuple(tuple(one.shape) for one in value) if several else tuple(getattr(value, "shape", ())),
            "dtype": getattr(value, "dtype", None),
            "device": "cpu",
            "module": "",
            "scope": (),
            "source": "",
            "expression": "",
            "call": None,
            "inner_calls": (),
            "backward_order": None,
            "is_output": False,
            "outputs": tuple(range(len(value))) if several else (0,),
            "output_names": tuple(given["name"].split(", ")) if several else (given["name"],),
        }
        self.graph.add_node(number, **defaults | given)
        return number


def product_plus_sine() -> nx.MultiDiGraph:
    """x*y + sin(pi*x) at (2, 3), whose gradient is (3 + pi, 2)."""
    sketch = Sketch()
    x, y = sketch.leaf("x", 2.0), sketch.leaf("y", 3.0)
    a = sketch.op("a", "mul", 6.0, (x, ("y", 3.0)), (y, ("x", 2.0)))
    pi = sketch.constant("pi", math.pi)
    b = sketch.op("b", "mul", 2 * math.pi, (pi, "constant"), (x, (sympy.pi, math.pi)))
    c = sketch.op("c", "sin", math.sin(2 * math.pi), (b, ("cos(b)", 1.0)))
    d = sketch.op("d", "add", 6.0, (a, (1, 1.0)), (c, (1, 1.0)))
    return sketch.finished(d)


def tanh_of_log() -> nx.MultiDiGraph:
    """tanh(log(1 + z*2*x/sin(y))) at x = 1, y = 1, z = 0.5."""
    sketch = Sketch()
    x, y, z = sketch.leaf("x", 1.0), sketch.leaf("y", 1.0), sketch.leaf("z", 0.5)
    two, one = sketch.constant("2", 2.0), sketch.constant("1", 1.0)
    a = sketch.op("a", "mul", 1.0, (z, (2, 2.0)), (two, "constant"))
    b = sketch.op("b", "mul", 1.0, (a, ("x", 1.0)), (x, ("a", 1.0)))
    c = sketch.op("c", "sin", math.sin(1), (y, ("cos(y)", math.cos(1))))
    quotient = 1 / math.sin(1)
    d = sketch.op("d", "div", quotient, (b, ("1/c", quotient)), (c, ("-b/c**2", -(quotient**2))))
    e = sketch.op("e", "add", 1 + quotient, (one, "constant"), (d, (1, 1.0)))
    f = sketch.op("f", "log", math.log(1 + quotient), (e, ("1/e", 1 / (1 + quotient))))
    value = math.tanh(math.log(1 + quotient))
    g = sketch.op("g", "tanh", value, (f, ("1 - g**2", 1 - value**2)))
    return sketch.finished(g)


def two_layer_net() -> nx.MultiDiGraph:
    """A ReLU net with parameters, a batch that needs no gradient and a mean as loss; partials without formulas."""
    random = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random)

    sketch = Sketch()
    batch = sketch.constant("batch", normal(8, 4))
    weight = sketch.leaf("0.weight", normal(16, 4))
    bias = sketch.leaf("0.bias", normal(16))
    hidden_value = normal(8, 16)

    def partial(out_shape: tuple[int, ...], *in_shape: int) -> SketchPartial:
        return SketchPartial(in_shape=in_shape, out_shape=out_shape)

    transposed = sketch.op("a", "t", normal(4, 16), (weight, partial((4, 16), 16, 4)))
    inputs = ((bias, partial((8, 16), 16)), (batch, "constant"), (transposed, partial((8, 16), 4, 16)))
    hidden = sketch.op("h", "addmm", hidden_value, *inputs)
    active = sketch.op("b", "relu", hidden_value.relu(), (hidden, partial((8, 16), 8, 16)))
    second = sketch.leaf("2.weight", normal(16, 1))
    out = sketch.op("out", "mm", normal(8, 1), (active, partial((8, 1), 8, 16)), (second, partial((8, 1), 16, 1)))
    loss = sketch.op("loss", "mean", 0.25, (out, partial((), 8, 1)))
    graph = sketch.finished(loss)
    for node, attributes in graph.nodes(data=True):
        if attributes["requires_grad"] and node != loss:
            attributes["cotangent"] = normal(*attributes["shape"])
    return graph


def cut_product() -> nx.MultiDiGraph:
    """x * detach(x * x): one of the two paths from x carries no gradient."""
    sketch = Sketch()
    x = sketch.leaf("x", 3.0)
    square = sketch.op("square", "mul", 9.0, (x, ("x", 3.0)), (x, ("x", 3.0)))
    frozen = sketch.op("frozen", "detach", 9.0, (square, "detach"), requires_grad=False)
    out = sketch.op("out", "mul", 27.0, (x, ("frozen", 9.0)), (frozen, "constant"))
    return sketch.finished(out)


def chain(length: int, *, fan: int = 0) -> nx.MultiDiGraph:
    """`length` nodes in a row; with `fan`, every `fan`-th of them also reads the leaf."""
    slope = sympy.cos(sympy.Symbol("u"))
    sketch = Sketch()
    leaf = last = sketch.leaf("x", 1.0)
    for place in range(1, length):
        extra = [(leaf, (1, 1.0))] if fan and place % fan == 0 else []
        last = sketch.op(f"v{place}", "add" if extra else "sin", 1.0, (last, (slope, 0.5)), *extra)
    return sketch.finished(last)


def layered(blocks: int) -> nx.MultiDiGraph:
    """Blocks of six nodes with a side path each, and one constant that every block reads: what breaks a plain layout."""
    sketch = Sketch()
    last = sketch.leaf("x", 1.0)
    mask = sketch.constant("mask", 0.5)
    for block in range(blocks):
        weight = sketch.leaf(f"block{block}.weight", 0.5)
        left = sketch.op(f"left{block}", "mul", 1.0, (last, ("w", 0.5)), (weight, ("u", 1.0)))
        masked = sketch.op(f"masked{block}", "add", 1.0, (left, (1, 1.0)), (mask, "constant"))
        active = sketch.op(f"active{block}", "tanh", 1.0, (masked, ("1 - t**2", 0.4)))
        last = sketch.op(f"sum{block}", "add", 1.0, (active, (1, 1.0)), (last, (1, 1.0)))
    return sketch.finished(last)


def report_with(graph: nx.MultiDiGraph, *, mismatch: int = -1, unverified: int = -1) -> SketchReport:
    """Every differentiable edge matches, but for the ones at these places."""
    edges = [(tail, head, key) for tail, head, key, data in graph.edges(keys=True, data=True) if data["partial"]]
    verdicts = {mismatch: "mismatch", unverified: "unverified"}
    return SketchReport(
        edges=tuple(SketchChecked(edge=edge, verdict=verdicts.get(place, "match")) for place, edge in enumerate(edges))
    )


def network(blocks: int) -> nx.MultiDiGraph:
    """Blocks of a residual network, each the call of a module with a scale and a part inside, and a loss."""
    sketch = Sketch()
    last = sketch.leaf("x", 1.0)
    for block in range(blocks):
        scope = (f"h.{block}",)
        inner = {"module": f"h.{block}.mlp", "scope": (*scope, f"h.{block}.mlp")}
        weight = sketch.leaf(f"h.{block}.mlp.weight", 0.5)
        sketch.graph.nodes[weight].update(inner)
        scaled = sketch.op(f"scaled{block}", "mul", 1.0, (last, (2, 2.0)), scope=scope, module=f"h.{block}")
        product = sketch.op(f"product{block}", "mul", 1.0, (scaled, ("w", 0.5)), (weight, ("u", 1.0)), **inner)
        active = sketch.op(f"active{block}", "tanh", 1.0, (product, ("1 - t**2", 0.5)), **inner)
        last = sketch.op(f"sum{block}", "add", 1.0, (active, (1, 1.0)), (last, (1, 1.0)), scope=scope, module=f"h.{block}")
    return sketch.finished(sketch.op("loss", "square", 1.0, (last, (2, 2.0))))
