"""Units of a layer that start alike and get the same gradient: however long it trains, they stay one unit."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from gradviz.diagnose.finding import Finding, found
from gradviz.diagnose.no_gradient import listed
from gradviz.diagnose.readings import MATRIX_PRODUCTS, Readings

ALIKE = 1e-5
"""Rows of a gradient that differ by less than this share of it differ by rounding only."""


def symmetry(readings: Readings) -> Iterator[Finding]:
    """One finding per model: all its weights zero, or hidden layers whose rows are equal in value and gradient."""
    graph = readings.graph
    by_root: dict[str, dict[str, int]] = {}
    for name, leaf in graph.leaves.items():
        if len(graph.nodes[leaf]["shape"]) >= 2 and graph.cotangent(leaf) is not None:
            by_root.setdefault(graph.nodes[leaf]["root"], {})[name] = leaf
    for root, weights in by_root.items():
        are_zero = all(not readings.norm(graph.value(leaf)) for leaf in weights.values())
        alike = {name: leaf for name, leaf in weights.items() if are_zero or _has_equal_rows(readings, leaf)}
        hidden = {name: leaf for name, leaf in alike.items() if _feeds_another(readings, leaf)}
        if hidden:
            yield _all_zero(readings, root, weights) if are_zero else _alike(readings, hidden)


def _feeds_another(readings: Readings, leaf: int) -> bool:
    """Whether what a layer computes goes into another one. Of a last layer, the loss tells the units apart."""
    users = set(readings.users(leaf))
    return any(readings.op(node) in MATRIX_PRODUCTS and node not in users for node in readings.ahead_of(leaf))


def _has_equal_rows(readings: Readings, leaf: int) -> bool:
    value, gradient = readings.graph.value(leaf), readings.graph.cotangent(leaf)
    if value is None or gradient is None or value.shape[0] < 2 or not readings.norm(gradient):
        return False
    if not torch.equal(value[0], value[1]) or not bool((value == value[:1]).all()):
        return False
    return bool((gradient - gradient[:1]).norm() <= ALIKE * gradient.norm())


def _all_zero(readings: Readings, root: str, weights: dict[str, int]) -> Finding:
    graph = readings.graph
    gradients = [readings.norm(graph.cotangent(leaf)) for leaf in weights.values()]
    return found(
        graph,
        "symmetric-weights",
        "warning",
        f"all {len(weights)} weights{f' of {root}' if root else ''} are zero ({listed(list(weights))}): the units of a "
        "layer compute the same, and no gradient comes through a weight of zero",
        "leave the weights as the layers initialise them; only biases, and the last layer of a branch, may start at zero",
        node=next(iter(weights.values())),
        numbers={"weights": len(weights), "weights with a zero gradient": gradients.count(0.0)},
    )


def _alike(readings: Readings, alike: dict[str, int]) -> Finding:
    graph = readings.graph
    leaf = next(iter(alike.values()))
    gradient = graph.cotangent(leaf)
    assert gradient is not None
    return found(
        graph,
        "symmetric-weights",
        "warning",
        f"the {gradient.shape[0]} units of {listed(list(alike))} start alike and get the same gradient: they stay "
        "alike, as one unit",
        "initialise weights with random numbers (nn.init.kaiming_uniform_, the default of the layers), not with a constant",
        node=leaf,
        numbers={
            "units": gradient.shape[0],
            "gradient norm": readings.norm(gradient),
            "largest difference between rows of the gradient": float((gradient - gradient[:1]).abs().max()),
        },
    )
