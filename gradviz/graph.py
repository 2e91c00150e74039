"""`GradGraph`: the traced graph as a `networkx.MultiDiGraph`, on which every networkx algorithm runs.

Node attributes: `kind` ("leaf", "op", "constant"), `name`, `output_names`, `op`, `expression`, `value`, `value_missing`,
`cotangent`, `shape`, `dtype`, `device`, `requires_grad`, `outputs`, `differentiable`, `module`, `training` (of that module),
`scope` (the calls of modules and functions that it lies in, from the outside in; see `gradviz.scopes`),
`root` (a leaf's outermost module), `is_named` (False where the name is a letter), `earlier_gradient` (the norm of what a
leaf's `.grad` held), `source`, `call`, `inner_calls`, `backward_order`, `is_output`. Edge key: argument position. Edge
attributes: `argument`, `output`, `partial`, `contribution`, `cut`. A call of which several outputs are used has tuples for
`value`, `cotangent` and `shape`, one place per output of the call; `outputs` lists the places that are used, and an edge's
`output` says which one it carries; `differentiable` lists the places that autograd counts as outputs of its node, in its
order.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import networkx as nx
from torch import Tensor

from gradviz.errors import CheckError, InputError, RenderError

if TYPE_CHECKING:
    from gradviz.check import CheckReport
    from gradviz.compare import Comparison
    from gradviz.diagnose import Diagnosis
    from gradviz.explain import Explanation, Level
    from gradviz.partials import LocalPartial
    from gradviz.paths import Paths
    from gradviz.view import Direction, Part, ThemeName, View

Edge = tuple[int, int, int]
"""(tail, head, argument position)"""


class Use(NamedTuple):
    """One edge with what it carries."""

    edge: Edge
    argument: str
    output: int
    partial: LocalPartial | None
    contribution: Tensor | None
    cut: str


class GradGraph(nx.MultiDiGraph):
    """A traced computation: nodes are values, edges are uses of values, from producer to consumer.

    `trace` makes it; networkx's own copies and subgraphs of it carry the same attributes.

    Attributes:
        outputs: the nodes of the outputs, as the traced code returned them.
        leaves: name -> node, for the inputs and parameters that require grad.
    """

    @property
    def outputs(self) -> list[int]:
        return [node for node in self.graph.get("outputs", ()) if node in self]

    @property
    def output(self) -> int:
        """The node of the (first) output."""
        if not self.outputs:
            raise InputError("this part of the graph does not hold an output; ask the whole graph")
        return self.outputs[0]

    @property
    def leaves(self) -> dict[str, int]:
        return {name: node for name, node in self.graph.get("leaves", {}).items() if node in self}

    def gradients(self) -> dict[str, Tensor | None]:
        """Name of each leaf -> its gradient, shaped like the leaf; None where none reached it.

        The tensors are those of one real backward pass: bit for bit what `.backward()` would store in `.grad`.
        """
        return {name: self.nodes[node]["cotangent"] for name, node in self.leaves.items()}

    def starting_cotangents(self) -> dict[tuple[int, int], Tensor]:
        """(node, output) -> the cotangent with which the backward pass started there: 1, or what `grad_output` says."""
        given: dict[tuple[int, int], Tensor] = self.graph.get("starting_cotangents", {})
        return {(node, place): cotangent for (node, place), cotangent in given.items() if node in self}

    def node(self, name: str) -> int:
        """The node called `name`.

        Raises:
            InputError: no node has that name.
        """
        names: dict[str, int] = self.graph["names"]
        if name not in names or names[name] not in self:
            known = ", ".join(list(names)[:20]) + (", ..." if len(names) > 20 else "")
            raise InputError(f"the graph has no node called {name!r}; its nodes are called {known}")
        return names[name]

    def value(self, node: int, output: int | None = None) -> Tensor | None:
        """The forward value of a node, or of one of its outputs; None where it is not known (see `value_missing`)."""
        return _one_output(self.nodes[node], "value", output)

    def cotangent(self, node: int, output: int | None = None) -> Tensor | None:
        """d(graph output)/d(value) of a node, or of one of its outputs; None where no gradient reaches it."""
        return _one_output(self.nodes[node], "cotangent", output)

    def output_name(self, node: int, output: int = 0) -> str:
        """What one output of a node is called: the node's name, or `q` for the first of `q, k, v = x.split(8)`."""
        attributes = self.nodes[node]
        if len(attributes["outputs"]) < 2:
            return str(attributes["name"])
        return str(attributes["output_names"][output])

    def uses_of(self, node: int) -> list[Use]:
        """The edges out of a node: who uses its value."""
        return [_use(*edge) for edge in self.out_edges(node, keys=True, data=True)]

    def arguments_of(self, node: int) -> list[Use]:
        """The edges into a node, by argument position."""
        return sorted((_use(*edge) for edge in self.in_edges(node, keys=True, data=True)), key=lambda use: use.edge[2])

    def partials_of(self, edge: Edge) -> dict[int, LocalPartial]:
        """Used output of the head -> the local partial of that output; empty where the edge carries no gradient."""
        partial: LocalPartial | None = self.edges[edge]["partial"]
        attributes = self.nodes[edge[1]]
        if partial is None:
            return {}
        return {
            place: partial.of_output(output)
            for output, place in enumerate(attributes["differentiable"])
            if place in attributes["outputs"]
        }

    def argument_names(self, node: int) -> list[str]:
        """The names of a call's tensor arguments, one per argument position."""
        named = {use.edge[2]: self.output_name(use.edge[0], use.output) for use in self.arguments_of(node)}
        return [named.get(position, "") for position in range(max(named, default=-1) + 1)]

    def differentiable_edges(self) -> Iterable[Edge]:
        """The edges along which a gradient can flow, in forward order of their heads."""
        for head in self:
            yield from (use.edge for use in self.arguments_of(head) if use.partial is not None)

    def check(
        self,
        *,
        edges: Iterable[Edge] | None = None,
        samples: int = 8,
        seed: int = 0,
        time_limit_s: float | None = None,
        progress: bool | None = None,
    ) -> CheckReport:
        """Every edge, forward value and (for up to 12 scalar leaves) whole gradient against sympy.

        Args:
            edges: (tail, head, key) of the edges to check, with the forward values of their heads; None for all.
            samples: how many rows of a large Jacobian, and elements of a large value, are looked at one by one.
            seed: random rows and cotangents are drawn from it; the same seed gives the same report.
            time_limit_s: after this many seconds the rest is unverified, "out of time".
            progress: whether to show on stderr what is being checked; None: on a terminal, once the check takes long.

        Raises:
            CheckError: `edges` names an edge that does not exist or carries no gradient, or an option is out of range.
        """
        from gradviz.check import check

        if "loaded_from" in self.graph:
            raise CheckError("a loaded graph has no autograd nodes to check; check it where it is traced")
        return check(self, edges=edges, samples=samples, seed=seed, time_limit_s=time_limit_s, progress=progress)

    def paths(self, name: str, *, top: int = 5) -> Paths:
        """The paths along which the gradient of a value arrives, and what each contributes.

        Args:
            name: of a leaf, or of any other value that a gradient reaches.
            top: how many of the largest are returned one by one; the others are in `.rest`, as one sum.

        Raises:
            InputError: no node has that name, or `top` is negative.
        """
        from gradviz.paths import paths_from

        return paths_from(self, name, top=top)

    def explain(
        self, name: str, *, level: Level = "full", index: tuple[int, ...] | None = None, top: int = 5
    ) -> Explanation:
        """The chain rule written out for one value: why its gradient is what it is, why it is zero, or why there is none.

        Args:
            name: of a leaf, or of any other value.
            level: "short" for one line, "full", or "quiz" with blanks to fill in and their key at the end.
            index: one element of a tensor, which is then written out as scalars too.
            top: how many paths are written one by one.

        Returns:
            `str()` of it is plain text; `.markdown`, `.latex` and `.html` are for slides, papers and pages.

        Raises:
            InputError: no node has that name, or an option is not accepted.
        """
        from gradviz.explain import explain

        return explain(self, name, level=level, index=index, top=top)

    def save(self, path: str | os.PathLike[str], *, max_bytes: int = 2**30) -> None:
        """Writes the graph to a file that `gradviz.load` reads, on any machine: numbers, names, formulas; no code.

        Args:
            path: by custom it ends in `.gradviz`.
            max_bytes: the budget for tensors; those that do not fit are left out, and the loaded graph says so.

        Raises:
            InputError: the file cannot be written.
        """
        from gradviz.saved import save

        save(self, path, max_bytes=max_bytes)

    def compare(self, other: GradGraph, *, rtol: float | None = None) -> Comparison:
        """Where the numbers of another trace of the same code part from these: two steps, two dtypes, CPU and CUDA.

        Args:
            other: a graph of the same structure, traced here or loaded.
            rtol: the largest difference over the largest magnitude that counts as none; None for a thousand roundings
                of the coarser dtype.

        Raises:
            InputError: `rtol` is negative.
        """
        from gradviz.compare import compare

        return compare(self, other, rtol=rtol)

    def diagnose(self, *, report: CheckReport | None = None) -> Diagnosis:
        """What is wrong with this step, or worth a look: a list of findings, worst first, each with its line.

        Args:
            report: of a check of the whole graph; None checks only the edges into custom autograd.Functions.

        >>> import gradviz
        >>> print(gradviz.trace("log(x - x)", x=2.0, device="cpu").diagnose())  # doctest: +ELLIPSIS
        error not-finite-value...
        """
        from gradviz.diagnose import diagnose

        return diagnose(self, report=report)

    def view(
        self,
        *,
        report: CheckReport | None = None,
        show: Collection[Part] | None = None,
        max_nodes: int = 200,
        max_edge_labels: int = 250,
        direction: Direction | None = None,
        theme: ThemeName = "light",
    ) -> View:
        """What is on the picture of this graph, decided before anything is drawn.

        Args:
            report: what `check()` found; puts a verdict on each edge and leaf, and on each node with a mismatch.
            show: what is written on nodes and edges: any of "call", "value", "cotangent", "heat", "formula", "number",
                "contribution", "verdict"; None for all but the contribution.
            max_nodes: the budget; over it, the nodes nearest to the output and the first ones stay, and the picture says
                where others are left out.
            max_edge_labels: with more edges than this, only mismatches and cuts are labelled, and a note says so.
            direction: "LR" from left to right, "BT" from the bottom to the top; None for "LR" unless the graph is deep.
            theme: "light", "dark" or "slides".

        Raises:
            InputError: an option has a value that is not accepted.
        """
        from gradviz.view import DEFAULT_PARTS, view_of

        return view_of(
            self,
            report=report,
            show=DEFAULT_PARTS if show is None else show,
            max_nodes=max_nodes,
            max_edge_labels=max_edge_labels,
            direction=direction,
            theme=theme,
        )

    def to_dot(
        self,
        *,
        report: CheckReport | None = None,
        show: Collection[Part] | None = None,
        max_nodes: int = 200,
        max_edge_labels: int = 250,
        direction: Direction | None = None,
        theme: ThemeName = "light",
    ) -> str:
        """The picture as DOT text, which any Graphviz draws. The options are those of `view`; no process is started."""
        from gradviz.render import dot_source

        return dot_source(
            self.view(
                report=report,
                show=show,
                max_nodes=max_nodes,
                max_edge_labels=max_edge_labels,
                direction=direction,
                theme=theme,
            )
        )

    def render(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        format: Literal["svg", "png", "pdf", "dot", "gv"] | None = None,
        report: CheckReport | None = None,
        show: Collection[Part] | None = None,
        max_nodes: int = 200,
        max_edge_labels: int = 250,
        direction: Direction | None = None,
        theme: ThemeName = "light",
        dpi: float = 144.0,
        time_limit_s: float = 20.0,
    ) -> bytes:
        """Draws the picture, and writes it to `path` when one is given.

        Args:
            path: a file; its suffix decides the format unless `format` is given.
            format: "svg", "png", "pdf" or "dot" (also "gv").
            report, show, max_nodes, max_edge_labels, direction, theme: as for `view`.
            dpi: pixels per inch of a PNG.
            time_limit_s: seconds until drawing is given up. A picture that is not ready after most of them is tried
                again without edge labels, and says so.

        Returns:
            the bytes of the file; for SVG, one `<svg>` element in UTF-8.

        Raises:
            InputError: an option of the view has a value that is not accepted.
            RenderError: the format is unknown, the time is over, or the file cannot be written.
        """
        from gradviz.render import render

        view = self.view(
            report=report,
            show=show,
            max_nodes=max_nodes,
            max_edge_labels=max_edge_labels,
            direction=direction,
            theme=theme,
        )
        return render(view, path, format=format, dpi=dpi, time_limit_s=time_limit_s)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """What a notebook shows: the picture, or a line that says why there is none."""
        from gradviz.render import mimebundle

        try:
            return mimebundle(self.view(), text=repr(self))
        except RenderError as failure:
            return {"text/plain": f"{self!r}; no picture: {failure}"}

    def __deepcopy__(self, memo: dict[int, Any]) -> GradGraph:
        copied = type(self)()
        copied.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return copied

    def __reduce_ex__(self, protocol: object) -> Any:
        raise InputError(
            "a graph holds live autograd nodes and cannot be pickled; graph.save(path) keeps its numbers and "
            "gradviz.load(path) reads them"
        )

    def __str__(self) -> str:
        return repr(self)

    def __repr__(self) -> str:
        of_what = f"of {self.nodes[self.output]['name']!r}" if self.outputs else "without outputs"
        return (
            f"<{type(self).__name__} {of_what}: {self.number_of_nodes()} nodes, "
            f"{self.number_of_edges()} edges, {len(self.leaves)} leaves>"
        )


def _one_output(attributes: dict[str, Any], which: str, output: int | None) -> Tensor | None:
    found = attributes[which]
    if not isinstance(found, tuple):
        return found  # type: ignore[no-any-return]
    return found[attributes["outputs"][0] if output is None else output]  # type: ignore[no-any-return]


def _use(tail: int, head: int, key: int, attributes: dict[str, Any]) -> Use:
    return Use(
        edge=(tail, head, key),
        argument=attributes["argument"],
        output=attributes["output"],
        partial=attributes["partial"],
        contribution=attributes["contribution"],
        cut=attributes["cut"],
    )
