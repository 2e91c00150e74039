"""Gradients that shrink or grow on the way back through a deep model: gains per module, and the edges that cost most."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from gradviz.diagnose.batch_as_sequence import ATTENTIONS
from gradviz.diagnose.finding import Finding, Numbers, found
from gradviz.diagnose.readings import Readings
from gradviz.diagnose.recurrence import recurrence
from gradviz.graph import Edge, Use
from gradviz.signs import derivative_sign

APART = 1e-6
"""The smallest norm over the largest. Gradients of the weights of transformers and ResNets with random weights stay above
1e-4, of ten tanh layers above 1e-3; below 1e-6 one learning rate, and one clipping norm, cannot serve both."""
SHOWN = 3
SOFTMAXES = frozenset({"_softmax", "_safe_softmax"})
"""Behind these on the way to the output are queries and keys."""

SATURATING = frozenset({"sigmoid", "sigmoid_", "tanh", "tanh_", "hardtanh", "hardsigmoid", "softsign"})


def depth(readings: Readings) -> Iterator[Finding]:
    """The weight furthest from the output with a vanishing gradient, the one to which an exploding cotangent comes.

    What vanishes is told by the gradients of the weights themselves. What explodes is not: where values shrink as fast as
    cotangents grow, their products are all alike; so the cotangents are compared at the calls that the weights are used in.
    """
    graph = readings.graph
    told = set()
    for finding in recurrence(readings):
        told.add(finding.kind)
        yield finding
    weights = [node for node in graph.leaves.values() if len(graph.nodes[node]["shape"]) >= 2]
    gradients = {node: readings.norm(graph.cotangent(node)) for node in weights}
    reached = [node for node in weights if 0 < gradients[node] < float("inf")]
    if len(reached) < 2:
        return
    distance = _distances(readings)
    arriving = {node: _arriving(readings, node) for node in reached}
    near = max(reached, key=lambda node: gradients[node])
    floor = APART * gradients[near]
    faint = sorted((node for node in reached if gradients[node] < floor), key=lambda node: gradients[node])
    far = next((one for one in faint if distance[one] > distance[near] and not _is_aside(readings, one, floor)), None)
    if far is not None and "vanishing-gradient" not in told:
        yield _finding(readings, far, near, gradients, vanishing=True)
    far = max(reached, key=lambda node: arriving[node])
    passed = {use.edge[1] for use in _path(readings, far)}  # what lies beside it, as the gate of a mixture, is no measure
    known = [node for node in reached if arriving[node]]  # a file may hold a gradient and not what came to its call
    ahead = [node for node in known if not passed.isdisjoint(readings.users(node))]
    near = min(ahead, key=lambda node: arriving[node], default=far)
    if arriving[near] < APART * arriving[far] and "exploding-gradient" not in told:
        yield _finding(readings, far, near, arriving, vanishing=False)


def _finding(readings: Readings, leaf: int, near: int, norms: dict[int, float], *, vanishing: bool) -> Finding:
    ratio = norms[leaf] / norms[near] if norms[near] else float("inf")
    path = _path(readings, leaf)
    gains = {use.edge: _gain(readings, use) for use in path}
    worst = sorted(gains, key=lambda edge: gains[edge], reverse=not vanishing)[:SHOWN]
    what = "gradient" if vanishing else "cotangent"
    numbers: Numbers = {"ratio": ratio}
    numbers |= {f"{what} norm at {readings.name(node)}": norms[node] for node in (leaf, near)}
    numbers |= {f"gain of {name}": gain for name, gain in _module_gains(readings, path, gains, vanishing)}
    costs = ", ".join(derivative_sign(readings.name(head), readings.name(tail)) for tail, head, _ in worst)
    numbers |= {f"gain of edge {number}": gains[edge] for number, edge in enumerate(worst, 1)}
    return found(
        readings.graph,
        "vanishing-gradient" if vanishing else "exploding-gradient",
        "warning",
        f"on the way back to {readings.name(leaf)} the {what} {'shrinks' if vanishing else 'grows'} to {ratio:.2g} times "
        f"that of {readings.name(near)}; the edges that {'cost' if vanishing else 'add'} most: {costs}",
        _vanishing_hint({readings.op(use.edge[1]) for use in path})
        if vanishing
        else "normalise inputs and layers, scale the initialisation down, or clip the gradient norm",
        node=leaf,
        edge=worst[0] if worst else None,
        numbers=numbers,
    )


def _vanishing_hint(ops: set[str]) -> str:
    """What to do, given the functions on the way."""
    others = "use relu or gelu in place of sigmoid or tanh, " if ops & SATURATING else "use "
    return f"{others}residual connections, normalisation, an initialisation made for depth"


def _is_aside(readings: Readings, leaf: int, floor: float) -> bool:
    """Whether a faint gradient is that of a branch, not of a depth: what lies behind or beside the weight gets enough.

    The queries and keys of an attention that is still uniform have next to none, as has a branch scaled by 1e-6 that is
    added to its own input (ConvNeXt), or the rates of a state space (A_log of Mamba), which short steps hardly read.
    """
    if any(_makes_weights(readings, use) for use in _path(readings, leaf)):
        return True
    own = _joining(readings, leaf)
    read = {readings.behind(use.edge[0]) for node in own for use in readings.arguments[node]}
    others = (readings.behind_of(*own) | {user for node in read for user in readings.users(node)}) - own
    return any(
        readings.norm(use.contribution) >= floor
        for node in others
        for use in readings.arguments[node]
        if readings.graph.nodes[readings.behind(use.edge[0])]["kind"] == "leaf"
    )


def _makes_weights(readings: Readings, use: Use) -> bool:
    """Whether a way goes on through the weights of an attention."""
    op = readings.op(use.edge[1])
    return op in SOFTMAXES or (op in ATTENTIONS and use.argument in ("query", "key"))


def _joining(readings: Readings, leaf: int) -> set[int]:
    """The leaf, what is computed of it alone (−exp of a logarithm), and the first calls that read anything else too."""
    own = {leaf, *readings.users(leaf)}
    pending = list(own)
    while pending:
        node = pending.pop()
        if all(use.edge[0] in own or readings.behind(use.edge[0]) in own for use in readings.arguments[node]):
            heads = {use.edge[1] for use in readings.graph.uses_of(node) if use.partial is not None} - own
            own |= heads
            pending += heads
    return own


def _arriving(readings: Readings, leaf: int) -> float:
    """The largest norm of a cotangent at the calls that a weight is used in."""
    return max(map(readings.arriving, readings.users(leaf)), default=0.0)


def _distances(readings: Readings) -> dict[int, int]:
    """Node -> the number of edges on the shortest way to an output."""
    pending = list(readings.graph.outputs)
    found_at = dict.fromkeys(pending, 0)
    for node in pending:
        for use in readings.arguments[node]:
            if use.partial is not None and use.edge[0] not in found_at:
                found_at[use.edge[0]] = found_at[node] + 1
                pending.append(use.edge[0])
    return found_at


def _path(readings: Readings, leaf: int) -> list[Use]:
    """From the call that a weight is used in to an output, along the largest contribution at each step."""
    path: list[Use] = []
    users = list(readings.users(leaf))
    node = max(users, key=lambda user: max(map(readings.norm, readings.cotangents(user)), default=0.0))
    while True:
        uses = [use for use in readings.graph.uses_of(node) if use.contribution is not None]
        if not uses:
            return path
        path.append(max(uses, key=lambda use: readings.norm(use.contribution)))
        node = path[-1].edge[1]


def _gain(readings: Readings, use: Use) -> float:
    """|contribution| / |cotangent|"""
    before = max(map(readings.norm, readings.cotangents(use.edge[1])), default=0.0)
    return readings.norm(use.contribution) / before if before else float("inf")


def _module_gains(
    readings: Readings, path: list[Use], gains: dict[Edge, float], vanishing: bool
) -> list[tuple[str, float]]:
    """The modules on the path with the smallest (or largest) products of gains."""
    products: list[tuple[str, float]] = []
    for module, uses in groupby(path, key=lambda use: str(readings.graph.nodes[use.edge[1]]["module"])):
        gain = 1.0
        for use in uses:
            gain *= gains[use.edge]
        if module:
            products.append((module, gain))
    return sorted(products, key=lambda item: item[1], reverse=not vanishing)[:SHOWN]
