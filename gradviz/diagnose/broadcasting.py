"""Two vectors that became a matrix in the loss: shapes (N, 1) and (N,) broadcast to (N, N), as do (N, 1, D) and (N, D)."""

from __future__ import annotations

from collections.abc import Iterator

from gradviz.diagnose.finding import Finding, found
from gradviz.diagnose.readings import MATRIX_PRODUCTS, Readings
from gradviz.graph import Use
from gradviz.view.notation import shape_text

PAIRING = frozenset(
    {
        *("sub", "add", "mul", "div", "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy"),
        *("binary_cross_entropy_with_logits", "maximum", "minimum", "pow", "where"),
    }
)
WHOLE = frozenset({"view", "_unsafe_view", "unsqueeze", "clone", "detach"})
"""What leaves all rows there, in their order."""
LOSSES = frozenset({"mse_loss", "smooth_l1_loss", "huber_loss"})
"""Of what these average nobody wants all pairs of rows: there, rows may have features."""


def broadcasting(readings: Readings) -> Iterator[Finding]:
    """Calls on a column and a vector of the same length. Who wants all pairs writes a row, (1, N)."""
    yield from _of_vectors(readings)
    yield from _of_rows(readings)


def _of_rows(readings: Readings) -> Iterator[Finding]:
    """Losses of one number that compare each of N rows of features with each of N others."""
    graph = readings.graph
    for node in readings.ops:
        if readings.op(node) not in LOSSES or graph.cotangent(node) is None or graph.nodes[node]["shape"]:
            continue
        uses = readings.arguments[node][:2]
        shapes = [_shape(readings, use) for use in uses]
        for rows, apart in ((0, 1), (1, 0)) if len(shapes) == 2 else ():
            size, *features = shapes[rows] or (0,)
            if size < 2 or not features or shapes[apart] != (size, 1, *features):
                continue
            given = [_before_expansion(readings, uses[place]).edge[0] for place in (rows, apart)]
            if readings.behind(given[0], WHOLE) == readings.behind(given[1], WHOLE):
                continue  # rows that are compared with each other
            names = [readings.name(node) for node in given]
            yield found(
                graph,
                "broadcast-pairs",
                "error",
                f"{readings.op(node)} compares each row of {names[0]} {shape_text(shapes[rows])} with each of {names[1]} "
                f"{shape_text(shapes[apart])}: {size} × {size} pairs of rows, where {size} were meant",
                f"give both the same shape: squeeze(1) on {names[1]}",
                node=node,
                numbers={"pairs": size * size, "meant": size},
            )


def _of_vectors(readings: Readings) -> Iterator[Finding]:
    graph = readings.graph
    for node in readings.ops:
        if readings.op(node) not in PAIRING or graph.cotangent(node) is None:
            continue
        shapes = [_shape(readings, use) for use in readings.arguments[node]]
        size = next((shape[0] for shape in shapes if len(shape) == 1 and shape[0] > 1), None)
        if size is None or (size, 1) not in shapes:
            continue
        column = shapes.index((size, 1))
        later = readings.ahead_of(node)
        if any(readings.op(one) in MATRIX_PRODUCTS for one in later) or _meets_a_matrix(readings, node, later, size):
            continue  # within a model a layer may be as wide as the batch is long; pairs of pairs are meant
        names = [readings.name(readings.arguments[node][place].edge[0]) for place in (column, shapes.index((size,)))]
        yield found(
            graph,
            "broadcast-pairs",
            "error",
            f"{readings.op(node)} pairs each of {names[0]} {shape_text((size, 1))} with each of {names[1]} "
            f"{shape_text((size,))}: a {size} × {size} matrix, where {size} pairs were meant",
            "give both the same shape: squeeze(-1) on one, or unsqueeze(-1) on the other; for all pairs write x[None, :]",
            node=node,
            numbers={"elements": size * size, "meant": size},
        )


def _meets_a_matrix(readings: Readings, node: int, later: set[int], size: int) -> bool:
    """Whether the pairs go with what is a matrix of pairs in its own right, as potentials with the costs of a transport."""
    made = {node, *later}
    return any(
        _shape(readings, use) == (size, size) and not made & readings.made_of(use.edge[0]) and use.edge[0] not in made
        for head in later
        if readings.op(head) in PAIRING and any(use.edge[0] in made for use in readings.arguments[head])
        for use in readings.arguments[head]
    )


def _shape(readings: Readings, use: Use) -> tuple[int, ...]:
    """The shape of an argument before it was expanded, as its call read it: a write by index hands on the part it wrote."""
    graph, use = readings.graph, _before_expansion(readings, use)
    _, head, position = use.edge
    call = graph.nodes[head]["call"]
    read = () if call is None else call.tensor_arguments()
    value = next((one.tensor for one in read if one.position == position), graph.value(use.edge[0], use.output))
    return () if value is None else tuple(value.shape)


def _before_expansion(readings: Readings, use: Use) -> Use:
    node = use.edge[0]
    return readings.arguments[node][0] if readings.op(node) == "expand" and readings.arguments[node] else use
