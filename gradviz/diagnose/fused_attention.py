"""The scores that `F.scaled_dot_product_attention` keeps to itself, computed again of its queries and keys.

Of many the first samples and heads are taken, and of long sequences some queries: a share of them is what is asked for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gradviz.diagnose.batch_as_sequence import ATTENTIONS
from gradviz.diagnose.readings import Readings
from gradviz.opcall import OpCall

MASKS = ("attn_mask", "attn_bias")
MOST_SCORES = 2**20
"""So many are computed at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FusedScores:
    """What goes into the softmax of a fused attention.

    Attributes:
        scores: (samples and heads, queries, keys), scaled, with the masks; −∞ where a query may not read a key.
        scale: what the products of queries and keys were multiplied by.
        root: √d of d features.
    """

    scores: Tensor
    scale: float
    root: float


def is_fused(readings: Readings, node: int) -> bool:
    """Whether a node is one call that weights values, with the softmax inside."""
    return readings.op(node) in ATTENTIONS


def is_causal(call: OpCall) -> bool:
    """Whether a fused attention was asked for a causal mask of its own."""
    return _given(call, "is_causal") is True


def fused_scores(readings: Readings, node: int) -> FusedScores | None:
    """Those of a fused attention; None where its queries, keys or masks are not known."""
    call = readings.graph.nodes[node]["call"]
    query, key = (_tensor(readings, node, name) for name in ("query", "key"))
    if call is None or query is None or key is None or not query.numel() or not key.numel():
        return None
    masks = [use for name in MASKS if (use := readings.argument(node, name)) is not None]
    mask = _tensor(readings, node, str(masks[0].argument)) if masks else None
    if masks and mask is None:
        return None
    root, scale = math.sqrt(query.shape[-1]), _given(call, "scale")
    factor = float(scale) if isinstance(scale, (int, float)) else 1 / root
    queries, keys = query.shape[-2], key.shape[-2]
    taken = torch.arange(0, queries, math.ceil(queries * keys / MOST_SCORES), device=query.device)
    count = max(1, MOST_SCORES // (len(taken) * keys))
    lead = query.shape[:-2]
    if key.shape[:-2] != lead:
        key = key.repeat_interleave(lead[-1] // key.shape[-3], -3)  # a few heads of keys for many of queries
    some, others = (part.flatten(0, -3)[:count].float() for part in (query, key))
    scores = some[:, taken] @ others.transpose(-1, -2) * factor
    if is_causal(call):
        scores.masked_fill_(torch.arange(keys, device=query.device) > taken[:, None], -torch.inf)
    if mask is not None:
        added = mask.expand(*lead, queries, keys).flatten(0, -3)[:count, taken]
        scores = scores.masked_fill(~added, -torch.inf) if added.dtype == torch.bool else scores + added.float()
    return FusedScores(scores=scores, scale=factor, root=root)


def _tensor(readings: Readings, node: int, name: str) -> Tensor | None:
    use = readings.argument(node, name)
    value = None if use is None else readings.value_of(use)
    return value if value is not None and readings.has_elements(value) else None


def _given(call: OpCall, name: str) -> object:
    """What a call was given for an argument; None where that is left to the function."""
    names = [argument.name for argument in call.overload._schema.arguments]
    return dict(zip(names, call.args, strict=False)).get(name, call.kwargs.get(name))
