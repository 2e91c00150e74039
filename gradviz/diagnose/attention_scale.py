"""What dividing the scores of an attention by √d would change, where nothing divides them: queries times keys of d features.

A sum of d products of independent numbers grows as √d; a softmax of it picks one key, and its local partials vanish.
"""

from __future__ import annotations

import math

import torch

from gradviz.diagnose.attention_dim import PRODUCTS
from gradviz.diagnose.finding import Numbers
from gradviz.diagnose.readings import COPIES, Readings
from gradviz.graph import Use

SCALES = frozenset({"mul", "div"})
MASKS = frozenset({"masked_fill", "where", "add", "sub"})
HELPED = 0.5
"""So many of the flat rows at most are still flat with the scale, where that is to blame."""


def without_scale(readings: Readings, softmax: int, *, masked: float, flat: float) -> Numbers | None:
    """The numbers that tell that a scale is missing; None where scores are scaled, or dividing them would change little.

    Args:
        readings: of the graph.
        softmax: the call.
        masked: scores below this are masked out.
        flat: rows whose local partials are all below this are flat.
    """
    product = _unscaled_product(readings, softmax)
    scores = readings.value_of(readings.arguments[softmax][0])
    call = readings.graph.nodes[softmax]["call"]
    if product is None or scores is None or call is None or not readings.has_elements(scores):
        return None
    factors = [readings.value_of(use) for use in _factors(readings, product)]
    if len(factors) != 2 or factors[0] is None or factors[0].ndim < 2:
        return None
    root, dim = math.sqrt(factors[0].shape[-1]), call.args[1]
    allowed, wide = scores > masked, scores.float()
    choices = allowed.sum(dim) > 1
    largest = [scores.softmax(dim).amax(dim)[choices] for scores in (wide, torch.where(allowed, wide / root, wide))]
    are_flat, still_flat = (int((one * (1 - one) < flat).sum()) for one in largest)
    if still_flat > HELPED * are_flat:
        return None
    return {"std of the scores": float(wide[allowed].std()), "√d": root, "flat if divided by √d": still_flat}


def _factors(readings: Readings, product: int) -> list[Use]:
    return [use for use in readings.arguments[product] if use.argument in PRODUCTS[readings.op(product)]]


def _unscaled_product(readings: Readings, softmax: int) -> int | None:
    """The product of queries and keys that a softmax is of, masked at most; None where anything scales it or adds to it."""
    node = readings.arguments[softmax][0].edge[0]
    while readings.op(node) not in ("mm", "bmm"):
        carriers = [use for use in readings.arguments[node] if use.partial is not None]
        if len(carriers) != 1 or readings.op(node) not in MASKS | COPIES:
            return None
        node = carriers[0].edge[0]
    factors = _factors(readings, node)
    made = [readings.behind(use.edge[0], COPIES) for use in factors]
    if any(use.partial is None for use in factors) or any(readings.graph.nodes[one]["kind"] != "op" for one in made):
        return None
    return None if any(readings.op(one) in SCALES for one in made) else node
