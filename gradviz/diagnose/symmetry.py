"""Units of a layer that start alike and get the same gradient: however long it trains, they stay one unit."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from gradviz.diagnose.finding import Finding, found, listed
from gradviz.diagnose.readings import MATRIX_PRODUCTS, Readings

ALIKE = 1e-5
"""Rows of a gradient that differ by less than this share of it differ by rounding only."""


def symmetry(readings: Readings) -> Iterator[Finding]:
    """At most one finding for layers of zeros that feed layers of zeros, and one for hidden layers with equal rows."""
    graph = readings.graph
    weights = {
        name: leaf
        for name, leaf in graph.leaves.items()
        if len(graph.nodes[leaf]["shape"]) >= 2 and graph.cotangent(leaf) is not None
    }
    zero = {name: leaf for name, leaf in weights.items() if not readings.norm(graph.value(leaf))}
    fed_by_zero = {user for leaf in zero.values() if _stays_alike(readings, leaf) for user in readings.users(leaf)}
    following = [_next_products(readings, leaf) for leaf in zero.values()]
    if any(products and products <= fed_by_zero for products in following):
        yield _zeros(readings, zero)
    alike = [name for name, leaf in weights.items() if _has_equal_rows(readings, leaf) and _next_products(readings, leaf)]
    if alike:
        yield _alike(readings, alike)


def _next_products(readings: Readings, leaf: int) -> set[int]:
    """The products with other weights that what a layer computes goes into first; none for a last layer."""
    own = set(readings.users(leaf))
    seen, pending, found_products = set(own), list(own), set()
    while pending:
        for use in readings.graph.uses_of(pending.pop()):
            head = use.edge[1]
            if use.partial is None or head in seen:
                continue
            seen.add(head)
            if readings.op(head) in MATRIX_PRODUCTS:
                found_products.add(head)
            else:
                pending.append(head)
    return found_products


def _stays_alike(readings: Readings, leaf: int) -> bool:
    """Whether a weight of zeros gets no gradient, or the same from all of its inputs: else one step tells these apart."""
    gradient = readings.graph.cotangent(leaf)
    if gradient is None or gradient.layout is not torch.strided or gradient.shape[1] < 2:
        return True
    return bool((gradient - gradient[:, :1]).norm() <= ALIKE * gradient.norm())


def _has_equal_rows(readings: Readings, leaf: int) -> bool:
    value, gradient = readings.graph.value(leaf), readings.graph.cotangent(leaf)
    if value is None or gradient is None or value.shape[0] < 2 or not (readings.norm(value) or readings.norm(gradient)):
        return False
    if not torch.equal(value[0], value[1]) or not bool((value == value[:1]).all()):
        return False
    return bool((gradient - gradient[:1]).norm() <= ALIKE * gradient.norm())


def _zeros(readings: Readings, zero: dict[str, int]) -> Finding:
    graph = readings.graph
    gradients = [readings.norm(graph.cotangent(leaf)) for leaf in zero.values()]
    return found(
        graph,
        "symmetric-weights",
        "warning",
        f"{len(zero)} weights are zero, and feed one another: {listed(list(zero))}; the units of such a layer compute the "
        "same, and no gradient comes through a weight of zero",
        "leave the weights as the layers initialise them; only biases, and the last layer of a branch, may start at zero",
        node=next(iter(zero.values())),
        numbers={"weights that are zero": len(zero), "of these with a zero gradient": gradients.count(0.0)},
    )


def _alike(readings: Readings, alike: list[str]) -> Finding:
    graph = readings.graph
    leaf = graph.leaves[alike[0]]
    gradient = graph.cotangent(leaf)
    assert gradient is not None
    return found(
        graph,
        "symmetric-weights",
        "warning",
        f"the {gradient.shape[0]} units of {listed(alike)} start alike and get the same gradient: they stay "
        "alike, as one unit",
        "initialise weights with random numbers (nn.init.kaiming_uniform_, the default of the layers), not with a constant",
        node=leaf,
        numbers={
            "units": gradient.shape[0],
            "gradient norm": readings.norm(gradient),
            "largest difference between rows of the gradient": float((gradient - gradient[:1]).abs().max()),
        },
    )
