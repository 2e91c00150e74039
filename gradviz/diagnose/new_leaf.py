"""A loss that is made of a new leaf, into which the numbers of a model's result were copied: nothing of the model learns.

It is what becomes of code to which torch said that its loss "does not require grad": `torch.tensor(loss.item(),
requires_grad=True)` runs, and trains nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from gradviz.diagnose.finding import Finding, Severity, found, listed
from gradviz.diagnose.readings import Readings

LEFT = frozenset({"item", "dropped", "detach", "no_grad"})
"""The reasons for which a leaf is lost whose numbers may have come back in a leaf without a way to it."""
READ_ONE_BY_ONE = 1024
"""Of a leaf with more elements nobody asks whether each of them was read as a Python number."""


def new_leaf(readings: Readings) -> Iterator[Finding]:
    """Told once, where all that gets a gradient are leaves that the traced code made, and models are left without.

    An error where the leaf holds numbers that were read of a tensor with a gradient, else a warning where an optimizer
    trains what is left without: a step may have a point of its own, beside a model whose result it only prints.
    """
    graph = readings.graph
    reached = {name: node for name, node in graph.leaves.items() if graph.cotangent(node) is not None}
    if not reached or not all(_is_made_by_the_code(readings, node) for node in reached.values()):
        return
    lost = {name: told for name, told in graph.graph.get("lost_leaves", {}).items() if told[0] and told[1] in LEFT}
    held = {graph.optimized()[name].optimizer for name in lost if name in graph.optimized()}
    read = next((line for node in reached.values() if (line := _line_read(readings, node)) is not None), None)
    if not lost or (read is None and not held):
        return
    severity: Severity = "warning" if read is None else "error"
    numbers = "" if read is None else f" of numbers that were read of a tensor with a gradient{read and f' at {read}'}"
    optimizer = f", which {listed(sorted(held))} holds" if held else ""
    yield found(
        graph,
        "leaf-replaced",
        severity,
        f"no gradient reaches {listed(list(lost))}{optimizer}: the loss is made of {listed(list(reached))} alone, a new "
        f"leaf{numbers}",
        "compute the loss of the tensors themselves, without .item(), float(), .tolist() or torch.tensor(...): "
        "requires_grad=True on a copy of their numbers only hides that the way back is cut",
        node=min(reached.values()),
        numbers={"leaves without gradient": len(lost)},
    )


def _is_made_by_the_code(readings: Readings, node: int) -> bool:
    attributes = readings.graph.nodes[node]
    return bool(attributes["source"]) and not attributes["root"]


def _line_read(readings: Readings, node: int) -> str | None:
    """Where the first number of a leaf was read, if each of them was; None if one was not."""
    value, read = readings.graph.value(node), readings.graph.numbers_read()
    if value is None or not 0 < value.numel() <= READ_ONE_BY_ONE or value.is_complex() or not readings.has_elements(value):
        return None
    of_the_leaf = [read.get(number) for number in value.reshape(-1).tolist()]
    return None if None in of_the_leaf else of_the_leaf[0]
