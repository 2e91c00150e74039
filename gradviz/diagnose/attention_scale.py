"""What dividing the scores of an attention by √d would change, where nothing divides them: queries times keys of d features.

A sum of d products of independent numbers grows as √d; a softmax of it picks one key, and its local partials vanish. Scores
that are multiplied by √d in place of divided do so sooner, and so do those of layers' own results, with nothing that
normalises them, that are multiplied by a number above 1. Any other factor is meant, as a temperature that divides is. A
fused attention divides by itself, unless it is given a scale.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gradviz.diagnose.attention_dim import PRODUCTS
from gradviz.diagnose.finding import Numbers
from gradviz.diagnose.fused_attention import FusedScores
from gradviz.diagnose.readings import COPIES, MATRIX_PRODUCTS, Readings
from gradviz.graph import Use

SCALES = frozenset({"mul", "div"})
MASKS = frozenset({"masked_fill", "where", "add", "sub"})
TURNED = "scores multiplied by"
"""The number that is there where √d, or another above 1, multiplies the scores."""
ROOT = "√d"
_NEAR = 1e-3
"""√d as it is written by hand, with a few digits."""
HELPED = 0.5
"""So many of the flat rows at most are still flat with the scale, where that is to blame."""


def without_scale(readings: Readings, softmax: int, *, masked: float, flat: float) -> Numbers | None:
    """The numbers that tell that a scale is missing or the wrong way round; None where it is another, or matters little.

    Args:
        readings: of the graph.
        softmax: the call.
        masked: scores below this are masked out.
        flat: rows whose local partials are all below this are flat.
    """
    product, multiplied, is_divided = _product_and_factor(readings, softmax)
    scores = readings.value_of(readings.arguments[softmax][0])
    call = readings.graph.nodes[softmax]["call"]
    if product is None or scores is None or call is None or not readings.has_elements(scores):
        return None
    uses = _factors(readings, product)
    factors = [readings.value_of(use) for use in uses]
    if len(factors) != 2 or factors[0] is None or factors[0].ndim < 2:
        return None
    root = math.sqrt(factors[0].shape[-1])
    if not _is_to_blame(multiplied, root, is_of_layers=not is_divided and _are_of_layers(readings, uses)):
        return None
    return _numbers(scores, call.args[1], multiplied, root, masked=masked, flat=flat)


def without_scale_inside(
    readings: Readings, attention: int, fused: FusedScores, *, masked: float, flat: float
) -> Numbers | None:
    """The same of a fused attention, which divides by √d unless it is given another scale."""
    uses = [use for use in readings.arguments[attention] if use.argument in ("query", "key")]
    made = [readings.behind(use.edge[0], COPIES) for use in uses]
    if any(readings.graph.nodes[one]["kind"] != "op" or readings.op(one) in SCALES for one in made):
        return None
    if not _is_to_blame(fused.scale, fused.root, is_of_layers=_are_of_layers(readings, uses)):
        return None
    return _numbers(fused.scores, -1, fused.scale, fused.root, masked=masked, flat=flat)


def _is_to_blame(multiplied: float, root: float, *, is_of_layers: bool) -> bool:
    """Whether the number that multiplies the scores is 1, √d, or another above 1 where layers made queries and keys."""
    is_turned = root > 1 and math.isclose(multiplied, root, rel_tol=_NEAR)
    return multiplied == 1 or is_turned or (multiplied > 1 and is_of_layers)


def _numbers(scores: Tensor, dim: int, multiplied: float, root: float, *, masked: float, flat: float) -> Numbers | None:
    allowed, wide = scores > masked, scores.float()
    choices = allowed.sum(dim) > 1
    right = wide / (root * multiplied)
    largest = [scores.softmax(dim).amax(dim)[choices] for scores in (wide, torch.where(allowed, right, wide))]
    are_flat, still_flat = (int((one * (1 - one) < flat).sum()) for one in largest)
    if still_flat > HELPED * are_flat:
        return None
    told: Numbers = {} if multiplied == 1 else {TURNED: multiplied}
    return told | {"std of the scores": float(wide[allowed].std()), ROOT: root, "flat if divided by √d": still_flat}


def is_root(told: Numbers) -> bool:
    """Whether what multiplies the scores is √d itself."""
    return math.isclose(float(told[TURNED]), float(told[ROOT]), rel_tol=_NEAR)


def _factors(readings: Readings, product: int) -> list[Use]:
    return [use for use in readings.arguments[product] if use.argument in PRODUCTS[readings.op(product)]]


def _are_of_layers(readings: Readings, uses: list[Use]) -> bool:
    """Whether queries and keys are what layers made, as they made it: normalised ones have scores of known size.

    A number that multiplies both alike is a part of the scale.
    """
    made = [readings.behind(use.edge[0], COPIES) for use in uses]
    if all(readings.op(one) == "mul" and _number(readings, one) is not None for one in made):
        made = [readings.behind(readings.arguments[one][0].edge[0], COPIES) for one in made]
    return all(readings.op(one) in MATRIX_PRODUCTS for one in made)


def _product_and_factor(readings: Readings, softmax: int) -> tuple[int | None, float, bool]:
    """The product of queries and keys that a softmax is of, masked at most, the number that it is multiplied by, and
    whether anything divides it, as a temperature does.

    None where anything else scales it or adds to it.
    """
    node, factor, is_divided = readings.arguments[softmax][0].edge[0], 1.0, False
    while readings.op(node) not in ("mm", "bmm"):
        carriers = [use for use in readings.arguments[node] if use.partial is not None]
        number = _number(readings, node) if readings.op(node) in SCALES else None
        if len(carriers) != 1 or (number is None and readings.op(node) not in MASKS | COPIES):
            return None, factor, is_divided
        factor *= 1.0 if number is None else number
        is_divided |= number is not None and readings.op(node) == "div"
        node = carriers[0].edge[0]
    factors = _factors(readings, node)
    made = [readings.behind(use.edge[0], COPIES) for use in factors]
    if any(use.partial is None for use in factors) or any(readings.graph.nodes[one]["kind"] != "op" for one in made):
        return None, factor, is_divided
    if not any(readings.op(one) in SCALES for one in made):
        return node, factor, is_divided
    roots = [_number(readings, one) if readings.op(one) == "mul" else None for one in made]
    if None in roots or len(roots) != 2 or roots[0] != roots[1]:
        return None, factor, is_divided
    return node, factor * float(roots[0] or 0) ** 2, is_divided  # as torch takes its fused attention apart


def _number(readings: Readings, node: int) -> float | None:
    """The Python number that a call multiplies by, or by whose inverse."""
    call = readings.graph.nodes[node]["call"]
    numbers = [] if call is None else [one for one in call.args[:2] if isinstance(one, (int, float)) and one]
    if len(numbers) != 1:
        return None
    return 1 / numbers[0] if readings.op(node) == "div" else float(numbers[0])
