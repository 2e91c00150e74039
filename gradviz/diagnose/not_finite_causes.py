"""Why a call on finite numbers gave NaN or infinity, and what to do about it, as far as its kind and its operands tell."""

from __future__ import annotations

import torch

from gradviz.diagnose.finding import Numbers, listed
from gradviz.diagnose.likelihood import NLL, NLL_IGNORE_INDEX
from gradviz.diagnose.readings import MATRIX_PRODUCTS, Readings

Cause = tuple[str, str, Numbers]
"""(what happened, what to do, the numbers that prove it)"""

_CLAMP_TO_ONE = "clamp its argument to [-1 + 1e-6, 1 - 1e-6]: at ±1 itself the derivative is infinite"
_HINTS = {
    "log": "log of 0 or of a negative number: clamp its argument from below, or use log1p, logsumexp or log_softmax",
    "log1p": "log1p of −1 or less: clamp its argument from below",
    "div": "a division by zero: add a small number to the denominator, or mask it before dividing",
    "reciprocal": "a division by zero: add a small number to the denominator, or mask it before dividing",
    "sqrt": "sqrt of a negative number: clamp its argument from below",
    "rsqrt": "rsqrt of 0 or of a negative number: add a small number to its argument",
    "exp": "exp overflows: subtract the maximum first, or use logsumexp, softmax or softplus",
    "pow": "a power overflows, or a negative number has no such power: clamp the base",
    "acos": f"acos is defined from −1 to 1, which rounding can leave: {_CLAMP_TO_ONE}",
    "asin": f"asin is defined from −1 to 1, which rounding can leave: {_CLAMP_TO_ONE}",
    "atanh": f"atanh is defined between −1 and 1, which rounding can leave: {_CLAMP_TO_ONE}",
    "acosh": "acosh is defined from 1 on, which rounding can leave: clamp its argument from below",
    "xlogy": "xlogy needs y ≥ 0; F.kl_div takes probabilities as its target: pass log_target=True for log-probabilities",
}
_SOFTMAX = frozenset({"_softmax", "_log_softmax", "_safe_softmax"})
_SPREAD = frozenset({"std", "var", "std_mean", "var_mean"})
LARGE = 1e9
"""An operand as large as this did not get so in one call: numbers of layers stay below."""


def cause(readings: Readings, node: int, *, is_nan: bool) -> Cause:
    """Of the first call, on a way to the output, whose value holds NaN (`is_nan`) or infinity."""
    op = readings.op(node)
    if rows := emptied_rows(readings, node):
        return (
            f"row {rows[0]} of its argument is −∞ everywhere, so softmax has nothing to choose from there",
            _mask_hint(readings, node, rows[0])
            or "leave each row at least one place (a padded query may look at itself), or set such rows of the result to 0",
            {"rows that are −∞ everywhere": len(rows)},
        )
    if op in NLL and (targets := ignored_targets(readings, node)):
        return (
            f"all {targets} targets are ignore_index, and the mean over none is 0 / 0",
            "skip such a batch, or take the sum and divide by the number of targets, at least 1; look at the labels",
            {"targets": targets, "targets that count": 0},
        )
    if op in _SPREAD and (elements := _elements_of_spread(readings, node)) is not None:
        return (
            f"each {op.removesuffix('_mean')} is of {elements} element, and torch divides by {elements} − 1",
            "give it more elements (a batch of one row has no spread), or pass correction=0",
            {"elements": elements},
        )
    operands = _of_operands(readings, node)
    if op == "div" and (zeros := _zeros_below(readings, node)):
        return operands, _HINTS[op], zeros
    if not is_nan and (grown := _growth(readings, node)):
        return grown
    return operands, _HINTS.get(op, "look at its operands at that element"), {}


def _of_operands(readings: Readings, node: int) -> str:
    """That they are finite, or which of them nobody knows: not recovered, or not in the file that a graph came from."""
    uses = readings.arguments[node]
    names = [readings.graph.output_name(use.edge[0], use.output) for use in uses if readings.value_of(use) is None]
    return f"the values of {listed(names)} are not known" if names else "what it was computed from is finite"


def emptied_rows(readings: Readings, node: int) -> list[tuple[int, ...]]:
    """The rows that a softmax runs over whose every element is −∞: places of the other dimensions."""
    call = readings.graph.nodes[node]["call"]
    if readings.op(node) not in _SOFTMAX or call is None or not readings.arguments[node]:
        return []
    before = readings.value_of(readings.arguments[node][0])
    if before is None or not before.ndim or not before.numel() or readings.is_finite(before):
        return []
    if not readings.has_elements(before):
        return []
    emptied = (before == -torch.inf).all(call.args[1])
    return [tuple(place) for place in emptied.nonzero().tolist()]


def _mask_hint(readings: Readings, node: int, row: tuple[int, ...]) -> str:
    """What to do about a causal mask that is the wrong way round, or one place too wide; "" where it is neither."""
    before = readings.value_of(readings.arguments[node][0])
    call = readings.graph.nodes[node]["call"]
    if before is None or before.ndim < 2 or call.args[1] % before.ndim != before.ndim - 1:
        return ""
    masked = before[row[:-1]] == -torch.inf
    if masked.shape[0] != masked.shape[1] or len(masked) == 1:
        return ""
    if masked.equal(masked.new_ones(masked.shape).tril()):
        return "the mask is the wrong way round: each row keeps what follows its place, the last row nothing; mask the rest"
    if masked.equal(masked.new_ones(masked.shape).triu()):
        return "the mask takes each row its own place too, and the first all: begin above the diagonal, triu(diagonal=1)"
    return ""


def ignored_targets(readings: Readings, node: int) -> int:
    """How many targets a negative log-likelihood has, if it ignores every one of them; else 0."""
    call, target = readings.graph.nodes[node]["call"], readings.argument(node, "target")
    classes = None if target is None else readings.value_of(target)
    if call is None or classes is None or not readings.has_elements(classes) or len(call.args) <= NLL_IGNORE_INDEX:
        return 0
    return classes.numel() if bool((classes == call.args[NLL_IGNORE_INDEX]).all()) else 0


def _elements_of_spread(readings: Readings, node: int) -> int | None:
    """Over how many elements a spread is taken, where that is 0 or 1."""
    before = readings.value_of(readings.arguments[node][0])
    results = next(readings.values(node), None)
    if before is None or results is None or not results.numel():
        return None
    elements = before.numel() // results.numel()
    return elements if elements <= 1 else None


def _zeros_below(readings: Readings, node: int) -> Numbers:
    """How many zeros the denominator of a division holds, by its name."""
    below = readings.argument(node, "other")
    value = None if below is None else readings.value_of(below)
    if below is None or value is None or not readings.has_elements(value) or not (zeros := int((value == 0).sum())):
        return {}
    return {f"zeros in {readings.graph.output_name(below.edge[0], below.output)}": zeros}


def _growth(readings: Readings, node: int) -> Cause | None:
    """Numbers that were large before this call grew on the way: along the largest operand, through how many products."""
    start, products, sizes = node, 0, []
    while True:
        values = [(use.edge[0], readings.value_of(use)) for use in readings.arguments[node]]
        operands = [
            (readings.largest_size(value), tail)
            for tail, value in values
            if value is not None and value.is_floating_point() and value.numel()
        ]
        if not operands:
            break
        size, node = max(operands)
        sizes.append(size)
        products += readings.op(node) in MATRIX_PRODUCTS
    if not sizes or sizes[0] < LARGE or products < 2 or not sizes[-1]:
        return None
    per_product = (sizes[0] / sizes[-1]) ** (1 / products)
    if per_product <= 1:
        return None
    return (
        f"its operand was {sizes[0]:.2g} already, grown {per_product:.2g} × at each of {products} matrix products before it",
        "scale the weights of these layers down (a recurrent one orthogonal), or normalise between them",
        {"factor per product": per_product, "matrix products before": products + (readings.op(start) in MATRIX_PRODUCTS)},
    )
