"""The first call that turned finite numbers into NaN or infinity, and where they were masked again."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from gradviz.diagnose.finding import Finding, Numbers, found, listed
from gradviz.diagnose.not_finite_causes import cause, emptied_rows
from gradviz.diagnose.readings import MATRIX_PRODUCTS, Readings
from gradviz.view.summary import kept_statistics

ARITHMETIC = frozenset({"add", "sub", "mul", "div", "pow"})
"""Functions whose operands may be broadcast."""
SHOWN = 3
"""How many origins are told one by one: what is wrong once is often wrong in each layer."""


def not_finite(readings: Readings) -> Iterator[Finding]:
    """The origins of what is not finite, where it reaches an output; a hint where NaN was masked again."""
    graph = readings.graph
    bad = {node for node in graph if not all(map(readings.is_finite, readings.values(node)))}
    if not bad:
        return
    reaching = _behind([node for node in graph.outputs if node in bad], bad, readings)
    emptied = sorted(node for node in bad if emptied_rows(readings, node))
    infinite = {node for node in bad if not _has_nan(readings, node)}
    masked = _behind(emptied, infinite, readings) - set(emptied)  # the minus infinities of a mask are meant
    first = {node for node in emptied if not _reads_nan(readings, node)}  # later layers empty the same rows of what is NaN
    origins = [node for node in sorted(bad - masked) if node in first or _is_origin(readings, node, bad)]
    told = [node for node in origins if node in reaching]
    given = [node for node in told if graph.nodes[node]["kind"] != "op"]
    if given:
        yield _given(readings, given)
    for node in [node for node in told if node not in given][:SHOWN]:
        yield _finding(readings, node)
    if not reaching:
        hidden = [node for node in origins if node not in emptied and node not in infinite]
        for node in [node for node in hidden if not _is_memory(readings, node)][:SHOWN]:
            yield _masked(readings, node, bad)


def _is_origin(readings: Readings, node: int, bad: set[int]) -> bool:
    return not any(use.edge[0] in bad for use in readings.arguments[node])


def _reads_nan(readings: Readings, node: int) -> bool:
    return any(_has_nan(readings, use.edge[0]) for use in readings.arguments[node])


def _is_memory(readings: Readings, node: int) -> bool:
    """Whether NaN may be what memory held: of what no gradient flows through, or beside what was written to a part of it."""
    return readings.graph.cotangent(node) is None or readings.op_written(node) == "copy"


def _behind(ends: list[int], bad: set[int], readings: Readings) -> set[int]:
    """The bad nodes from which only bad ones lead to an end."""
    seen, pending = set(ends), list(ends)
    while pending:
        for use in readings.arguments[pending.pop()]:
            if use.edge[0] in bad and use.edge[0] not in seen:
                seen.add(use.edge[0])
                pending.append(use.edge[0])
    return seen


def _given(readings: Readings, nodes: list[int]) -> Finding:
    """One finding for all leaves and constants: an update that diverged leaves NaN in each parameter."""
    values = [next(value for value in readings.values(node) if not readings.is_finite(value)) for node in nodes]
    each = [counts(value) for value in values]
    numbers: Numbers = {name: sum(int(one[name]) for one in each) for name in each[0]}
    what = " or ".join(word for name, word in (("NaN", "NaN"), ("infinite", "infinity")) if numbers[name])
    one = len(nodes) == 1
    names = listed([readings.name(node) for node in nodes])
    return found(
        readings.graph,
        "not-finite-value",
        "error",
        f"{names} hold{'s' * one} {what} from the start, and it reaches the output",
        "look at where it comes from: a division in the preprocessing, a broken file, an earlier step that diverged",
        node=nodes[0],
        numbers=({} if one else {"tensors": len(nodes)}) | numbers,
    )


def _finding(readings: Readings, node: int) -> Finding:
    graph, name = readings.graph, readings.name(node)
    value = next(value for value in readings.values(node) if not readings.is_finite(value))
    numbers = counts(value)
    what = "NaN" if numbers["NaN"] else "infinity"
    numbers |= _operands(readings, node, value)
    limit = torch.finfo(value.dtype)
    reason, hint, proof = cause(readings, node, is_nan=what == "NaN")
    if value.dtype == torch.float16 and what == "infinity":
        return found(
            graph,
            "overflow",
            "error",
            f"{name} = {readings.function(node)}(...) overflows float16, whose largest number is {limit.max:g}",
            "compute this in float32 or bfloat16, or scale its input down",
            node=node,
            numbers=numbers,
        )
    return found(
        graph,
        "not-finite-value",
        "error",
        f"{name} = {readings.function(node)}(...) is the first value with {what}: {reason}",
        hint,
        node=node,
        numbers=numbers | proof,
    )


def _masked(readings: Readings, node: int, bad: set[int]) -> Finding:
    graph = readings.graph
    value = next(readings.values(node))
    seen, pending, masks = {node}, [node], []
    while pending:
        for use in graph.uses_of(pending.pop()):
            head = use.edge[1]
            if head in bad and head not in seen:
                seen.add(head)
                pending.append(head)
            elif head not in bad:
                masks.append(head)
    where = f", masked again by {readings.op(min(masks))} in {readings.name(min(masks))}" if masks else ""
    return found(
        graph,
        "masked-nan",
        "hint",
        f"{readings.name(node)} holds NaN{where}; it does not reach the output",
        "compute it only where it is defined, as in log(where(mask, x, 1)): behind a mask NaN can still reach a gradient",
        node=node,
        numbers=counts(value),
    )


def counts(value: Tensor) -> Numbers:
    """How many elements are NaN or infinite, and of how many."""
    if (known := kept_statistics(value)) is not None:
        return {"NaN": known.nans, "infinite": known.infs, "of": known.count}
    return {
        "NaN": int(torch.isnan(value).sum()),
        "infinite": int(torch.isinf(value).sum()),
        "of": value.numel(),
    }


def _operands(readings: Readings, node: int, value: Tensor) -> Numbers:
    """The operands of an elementwise call at the first element that is not finite; else their largest magnitudes."""
    first = int((~torch.isfinite(value)).reshape(-1).nonzero()[0, 0]) if readings.has_elements(value) else 0
    numbers: Numbers = {}
    for use in readings.arguments[node]:
        operand = readings.value_of(use)
        if operand is None or not operand.numel() or not operand.is_floating_point():
            continue
        name = readings.graph.output_name(use.edge[0], use.output)
        by_element = _is_read_by_element(readings, node, operand, value)
        if by_element and readings.has_elements(value) and readings.has_elements(operand):
            numbers[f"{name} there"] = float(operand.expand(value.shape).reshape(-1)[first])
        else:
            numbers[f"largest |{name}|"] = readings.largest_size(operand)
    return numbers


def _is_read_by_element(readings: Readings, node: int, operand: Tensor, value: Tensor) -> bool:
    op = readings.op(node)
    if op not in ARITHMETIC:
        return operand.shape == value.shape and op not in MATRIX_PRODUCTS
    return bool(torch.broadcast_shapes(operand.shape, value.shape) == value.shape)


def _has_nan(readings: Readings, node: int) -> bool:
    return any(counts(value)["NaN"] for value in readings.values(node) if value.is_floating_point())
