"""Layers that do not train between layers that do: frozen on purpose, or left over from an earlier experiment."""

from __future__ import annotations

from collections.abc import Iterator

from gradviz.diagnose.finding import Finding, found, listed
from gradviz.diagnose.readings import MATRIX_PRODUCTS, Readings

FEW = 0.5
"""Where as many weights are frozen as train, or more, what trains is an adapter, a prompt or a head."""


def frozen(readings: Readings) -> Iterator[Finding]:
    """One hint per model for the frozen weights of layers behind which and before which others train."""
    graph = readings.graph
    by_root: dict[str, list[int]] = {}
    for node, attributes in graph.nodes(data=True):
        if attributes["root"] and len(attributes["shape"]) >= 2:
            by_root.setdefault(attributes["root"], []).append(node)
    for root, weights in by_root.items():
        trained = [node for node in weights if graph.cotangent(node) is not None]
        still = [node for node in weights if graph.nodes[node]["kind"] == "constant"]
        if not 0 < len(still) < FEW * len(trained):
            continue
        layers = {user for weight in trained for user in readings.users(weight)}
        between = [node for node in still if not _is_a_filter(readings, node) and _is_between(readings, node, layers)]
        if between:
            yield found(
                graph,
                "frozen-layer",
                "hint",
                f"frozen (requires_grad is False) between layers of {root} that train: "
                f"{listed([readings.name(node) for node in between])}; {len(trained)} weights get a gradient",
                "all is well where that is meant; else call requires_grad_(True) on them before the optimizer is made",
                node=between[0],
                numbers={"frozen weights between": len(between), "weights that train": len(trained)},
            )


def _is_a_filter(readings: Readings, weight: int) -> bool:
    """Whether numbers repeat: in a fixed filter (a blur, a wavelet) they do, in a weight that was drawn or trained not."""
    value = readings.graph.value(weight)
    return value is None or 2 * value.unique().numel() < value.numel()


def _is_between(readings: Readings, weight: int, layers: set[int]) -> bool:
    """Whether a gradient comes to a product with a frozen weight from layers that train, and leads on to others."""
    products = {user for user in readings.users(weight) if readings.op(user) in MATRIX_PRODUCTS}
    return any(not layers.isdisjoint(readings.ahead_of(product)) for product in products) and any(
        not products.isdisjoint(readings.ahead_of(layer)) for layer in layers
    )
