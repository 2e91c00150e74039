"""Attention masks that are the wrong way round: queries that read later keys alone, or nothing but padding.

`F.scaled_dot_product_attention` takes True for a key that may be read, `nn.MultiheadAttention` for one that may not, and
`masked_fill` fills where the mask is True. A last row with nothing to read is NaN only where it is −∞ everywhere in a plain
softmax, which `not_finite` tells; elsewhere it is zero, or even, and training goes on.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from gradviz.diagnose.attention_dim import SOFTMAX
from gradviz.diagnose.attentions import Attention, attentions
from gradviz.diagnose.finding import Finding, Numbers, Severity, found
from gradviz.diagnose.fused_attention import MASKS, is_causal
from gradviz.diagnose.readings import Readings

MASKED = -5e3
"""A score below this was masked; masks of half precision are −10,000."""
FEWEST_QUERIES = 3
PADDING_IDX = 2
"""The place of `padding_idx` among the arguments of an embedding; −1 stands for none."""
REMEDY = (
    "turn the mask round: scaled_dot_product_attention takes True for a key that may be read, nn.MultiheadAttention and "
    "nn.Transformer take it for one that may not, and masked_fill fills where it is True"
)


def inverted_mask(readings: Readings) -> Iterator[Finding]:
    """At most one of each kind, for the first of the attentions that it is true of."""
    padded = list(_padded(readings))
    ahead: list[Attention] = []
    padding: list[tuple[Attention, int, int]] = []
    is_two_ways = False
    for attention in attentions(readings):
        if _leaves_out_itself(readings, attention):
            reads = _read_by_any(readings, attention)
            ahead += [attention] if _is_strict(reads, later=True) else []
            is_two_ways |= _is_strict(reads, later=False)
        for embedding, places in padded:
            if embedding in readings.made_of(attention.node) and (rows := _padding_rows(readings, attention, places)):
                padding.append((attention, rows, embedding))
                break
    if ahead and not is_two_ways:
        yield _of_later_keys(readings, ahead)
    if padding:
        yield _of_padding(readings, padding)


def reads_one_way(readings: Readings, attention: Attention) -> bool:
    """Whether queries read the keys on one side alone, themselves among them or not: a causal mask, either way round."""
    call = readings.graph.nodes[attention.node]["call"]
    if attention.weights is None and call is not None and is_causal(call):
        return True
    reads = _read_by_any(readings, attention)
    if reads is None or reads.shape[0] != reads.shape[1] or len(reads) < FEWEST_QUERIES:
        return False
    every = torch.ones_like(reads)
    return any(bool(reads.equal(side)) for side in (every.tril(), every.triu(), every.triu(1)))


def reads_later_keys(readings: Readings, attention: Attention) -> bool:
    """Whether queries of a sequence, as many as keys, read keys behind themselves; not where the mask is not known."""
    call, values = readings.graph.nodes[attention.node]["call"], readings.value_of(attention.values)
    sums = readings.graph.value(attention.node)
    if call is None or values is None or sums is None or sums.shape[attention.rows] != values.shape[attention.rows]:
        return False
    if attention.weights is None and all(readings.argument(attention.node, name) is None for name in MASKS):
        return not is_causal(call)
    reads = _read_by_any(readings, attention)
    return reads is not None and bool(reads.triu(1).any())


def turned_round(readings: Readings) -> bool:
    """Whether some attention has a causal mask that is the wrong way round, and none the other way."""
    read = [_read_by_any(readings, one) for one in attentions(readings) if _leaves_out_itself(readings, one)]
    return any(_is_strict(one, later=True) for one in read) and not any(_is_strict(one, later=False) for one in read)


def _mask(readings: Readings, attention: Attention) -> Tensor | None:
    """What is added to the scores of a fused call; None where there is nothing, or a mask of its own."""
    call = readings.graph.nodes[attention.node]["call"]
    named = (readings.argument(attention.node, name) for name in MASKS)
    use = next((use for use in named if use is not None), None)
    return None if use is None or call is None or is_causal(call) else readings.value_of(use)


def _allowed(readings: Readings, attention: Attention) -> Tensor | None:
    """(..., T, S) whether a query reads a key; None where nothing is masked or it is not known."""
    if attention.weights is None:
        mask = _mask(readings, attention)
        if mask is None or mask.ndim < 2:
            return None
        return mask if mask.dtype == torch.bool else mask > MASKED
    weights, use = readings.graph.value(attention.weights), readings.arguments[attention.weights][0]
    scores, call = readings.value_of(use), readings.graph.nodes[attention.weights]["call"]
    if weights is None or scores is None or call is None or call.args[1] % weights.ndim != weights.ndim - 1:
        return None
    if not readings.is_finite(weights):
        return None  # NaN is told as that
    return (weights > 0) & (scores > MASKED)


def _leaves_out_itself(readings: Readings, attention: Attention) -> bool:
    """Whether the keys are as many as the queries, of which the second does not read itself: a look at one place."""
    mask = _mask(readings, attention) if attention.weights is None else readings.graph.value(attention.weights)
    if mask is None or mask.ndim < 2 or mask.shape[-1] != mask.shape[-2] or mask.shape[-1] < FEWEST_QUERIES:
        return False
    own = mask[..., 1, 1]
    return not bool((own > (MASKED if attention.weights is None and mask.dtype != torch.bool else 0)).any())


def _read_by_any(readings: Readings, attention: Attention) -> Tensor | None:
    """(T, S) whether a query reads a key in any sample or head."""
    allowed = _allowed(readings, attention)
    return None if allowed is None else allowed.flatten(0, -3).any(0) if allowed.ndim > 2 else allowed


def _is_strict(reads: Tensor | None, *, later: bool) -> bool:
    """Whether each query reads all keys that are later (or earlier) than itself, and no other."""
    if reads is None:
        return False
    every = torch.ones_like(reads)
    return bool(reads.equal(every.triu(1) if later else every.tril(-1)))


def _padded(readings: Readings) -> Iterator[tuple[int, Tensor]]:
    """The embeddings with `padding_idx`, and where (B, S) they read it beside others."""
    for node in readings.ops:
        call = readings.graph.nodes[node]["call"] if readings.op(node) == "embedding" else None
        if call is None or len(call.args) <= PADDING_IDX or call.args[PADDING_IDX] < 0:
            continue
        places = call.args[1]  # as the call read them: what wrote parts of them in place has parts as its value
        if places.ndim != 2 or not readings.has_elements(places):
            continue
        is_padding = places == call.args[PADDING_IDX]
        if bool(_in_part(is_padding).any()):
            yield node, is_padding


def _in_part(is_padding: Tensor) -> Tensor:
    """The samples with some padding, but not that alone."""
    return is_padding.any(1) & ~is_padding.all(1)


def _padding_rows(readings: Readings, attention: Attention, is_padding: Tensor) -> int:
    """In how many samples the queries read all of the padding and nothing else; 0 unless that is so in each with padding."""
    allowed, (samples, keys) = _allowed(readings, attention), is_padding.shape
    if allowed is None or allowed.shape[-1] != keys or allowed.numel() % (samples * keys):
        return 0
    if allowed.ndim < 3 or allowed.shape[0] % samples:
        return 0
    read = allowed.reshape(samples, -1, keys).any(1)
    counted = _in_part(is_padding)
    return int(counted.sum()) if bool(read[counted].equal(is_padding[counted])) else 0


def _of_later_keys(readings: Readings, told: list[Attention]) -> Finding:
    node = told[0].node if told[0].weights is None else told[0].weights
    queries = _rows(readings, told[0])
    return _finding(
        readings,
        node,
        "warning",
        f"the mask of {_called(readings, node)} lets each of {queries} queries read the keys behind it alone, neither "
        "itself nor any before it, and the last one nothing: it is the wrong way round",
        {"queries": queries, "keys that the first reads": queries - 1, "that the last reads": 0, "attentions": len(told)},
    )


def _rows(readings: Readings, attention: Attention) -> int:
    sums = readings.graph.value(attention.node)
    return 0 if sums is None else sums.shape[attention.rows]


def _of_padding(readings: Readings, told: list[tuple[Attention, int, int]]) -> Finding:
    attention, samples, embedding = told[0]
    node = attention.node if attention.weights is None else attention.weights
    return _finding(
        readings,
        node,
        "error",
        f"the mask of {_called(readings, node)} lets the queries read nothing but padding, the keys for which "
        f"{readings.name(embedding)} read padding_idx: it is the wrong way round",
        {"samples that read padding alone": samples, "attentions": len(told)},
    )


def _called(readings: Readings, node: int) -> str:
    """The attention as people call it."""
    name = readings.name(node)
    return f"softmax {name}" if readings.op(node) in SOFTMAX else f"scaled_dot_product_attention {name}"


def _finding(readings: Readings, node: int, severity: Severity, message: str, numbers: Numbers) -> Finding:
    return found(readings.graph, "inverted-mask", severity, message, REMEDY, node=node, numbers=numbers)
