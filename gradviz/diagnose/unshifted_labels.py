"""Labels of a causal language model that were not shifted: at each position it learns the token that it reads there.

Two things tell. The targets of a cross-entropy are the very indices that an embedding read, place by place; and what flows
back from the scores of one place comes to that place and to earlier ones, but to none behind it. So masks, recurrences and
causal convolutions count alike. Models that shift inside stay out, and so do masked language models and autoencoders, whose
scores depend on tokens behind too, or on none of the others. Where a model that was meant to be causal is not, by a mask
that is turned round or by heads that mix positions, it tells from which places the scores were moved.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from gradviz.diagnose.attentions import attentions, carried, way_back
from gradviz.diagnose.batch_as_sequence import followed_back
from gradviz.diagnose.finding import Finding, found
from gradviz.diagnose.inverted_mask import reads_later_keys, reads_one_way, turned_round
from gradviz.diagnose.likelihood import NLL, NLL_IGNORE_INDEX
from gradviz.diagnose.readings import Readings
from gradviz.diagnose.reshaped_heads import reshaped_heads
from gradviz.graph import Use

FEWEST_POSITIONS = 4
QUESTION = "whether labels that are the tokens read at the same places should have been shifted by one"


def unshifted_labels(readings: Readings) -> Iterator[Finding]:
    """One for each cross-entropy whose targets are what the model reads at the same places."""
    embeddings = [node for node in readings.ops if readings.op(node) == "embedding" and _indices(readings, node) is not None]
    for node in readings.ops:
        if readings.op(node) not in NLL or readings.graph.cotangent(node) is None or not embeddings:
            continue
        for embedding in embeddings:
            tokens = _indices(readings, embedding)
            if tokens is not None and embedding in readings.behind_of(node):
                finding = _of_pair(readings, node, embedding, tokens)
                if finding is not None:
                    yield finding
                    break


def _indices(readings: Readings, embedding: int) -> Tensor | None:
    """(T,) or (B, T), or time first, as the call read them; None of any other shape."""
    call = readings.graph.nodes[embedding]["call"]
    tokens = None if call is None else call.args[1]
    return tokens if tokens is not None and tokens.ndim in (1, 2) and readings.has_elements(tokens) else None


def _of_pair(readings: Readings, loss: int, embedding: int, tokens: Tensor) -> Finding | None:
    call, use = readings.graph.nodes[loss]["call"], readings.arguments[loss][0]
    scores = readings.value_of(use)
    if call is None:  # a tensor that it read is not in the file
        return None
    targets = call.args[1]
    if scores is None or scores.ndim < 2 or not readings.has_elements(targets):
        return None
    counted = (targets != call.args[NLL_IGNORE_INDEX]).flatten().cpu()
    for axis, places in _slices(tokens):
        if places.numel() != targets.numel() or tokens.shape[axis] < FEWEST_POSITIONS:
            continue
        read = tokens.flatten()[places]
        if not bool((read == targets.flatten()).cpu()[counted].all()) or not _tells_a_shift(tokens, axis, places[counted]):
            continue
        if readings.graph.is_loaded:
            if not _is_an_encoders(readings, embedding) and (
                _are_of_same_places(readings, use, tokens.numel(), places) is not False
            ):
                readings.unanswered.setdefault(QUESTION, loss)
            continue
        leaks = _leaks_by_mistake(readings)
        own, earlier = _is_causal(readings, use, embedding, tokens, axis, places, counted, leaks=leaks)
        if own and (_are_of_same_places(readings, use, tokens.numel(), places) if leaks else earlier):
            return _finding(readings, loss, use, embedding, int(counted.sum()), leaks=leaks)
    return None


def _slices(tokens: Tensor) -> Iterator[tuple[int, Tensor]]:
    """The axes that may count positions, and what targets may be of: all places of `tokens` laid flat, or all but an end."""
    places = torch.arange(tokens.numel()).view(tokens.shape)
    for axis in reversed(range(tokens.ndim)):
        length = tokens.shape[axis]
        for start, stop in ((0, length), (0, length - 1), (1, length)):
            yield axis, places.narrow(axis, start, stop - start).flatten()


def _tells_a_shift(tokens: Tensor, axis: int, places: Tensor) -> bool:
    """Whether targets that are one place ahead would be others for half of the places at least.

    Of sequences that repeat themselves nobody can tell targets some places ahead from those of the same place.
    """
    ahead, length = tokens.roll(-1, axis), tokens.shape[axis]
    for period in range(2, length // 2 + 1):
        if tokens.narrow(axis, period, length - period).equal(tokens.narrow(axis, 0, length - period)):
            return False
    return bool((ahead != tokens).flatten()[places].float().mean() >= 0.5) if places.numel() else False


def _is_causal(
    readings: Readings,
    use: Use,
    embedding: int,
    tokens: Tensor,
    axis: int,
    places: Tensor,
    counted: Tensor,
    *,
    leaks: bool,
) -> tuple[bool, bool]:
    """Whether the scores of a place between others depend on its own token, and, of the others, on earlier ones alone.

    Where a causal attention leaks by a mistake that is told they may depend on any.
    """
    scores, row = readings.value_of(use), _row_in_the_middle(tokens, axis, places, counted)
    if row is None or scores is None:
        return False, False
    positions = _along(tokens, axis).flatten()
    middle = int(positions[places[row]])
    start = torch.zeros_like(scores)
    by_row = start.movedim(1, -1)
    place = torch.zeros(by_row.shape[:-1], dtype=torch.bool).flatten()
    place[row] = True
    noise = torch.rand(by_row.shape[-1], generator=torch.Generator().manual_seed(0)).to(start)
    by_row[place.view(by_row.shape[:-1]).to(start.device)] = noise
    arrived = followed_back(readings, use.edge[0], start, embedding)
    if arrived is None:
        return False, False
    felt = (arrived != 0).any(-1).flatten().cpu()
    same = torch.ones(tokens.shape, dtype=torch.bool)
    if tokens.ndim == 2:
        same = _along(tokens, 1 - axis) == int(_along(tokens, 1 - axis).flatten()[places[row]])
    elsewhere = felt & ~(same.flatten() & ((positions <= middle) | leaks))
    if bool(elsewhere.any()):
        return False, False
    return bool(felt[places[row]]), bool((felt & (positions < middle)).any())


def _is_an_encoders(readings: Readings, embedding: int) -> bool:
    """Whether an attention without a causal mask reads the tokens: of a saved graph that tells that what follows may."""
    told = (one for one in attentions(readings) if embedding in readings.behind_of(one.node))
    return not turned_round(readings) and any(reads_later_keys(readings, one) for one in told)


def _leaks_by_mistake(readings: Readings) -> bool:
    """Whether a causal mask is turned round, so that its last query reads all, or causal attentions get no right heads."""
    if turned_round(readings):
        return True
    are_causal = [reads_one_way(readings, attention) for attention in attentions(readings)]
    return bool(are_causal) and all(are_causal) and any(True for _ in reshaped_heads(readings))


def _are_of_same_places(readings: Readings, use: Use, count: int, places: Tensor) -> bool | None:
    """Whether the scores, moved from a layer's rows, one for each token, are those of these places; None where unknown."""
    softmax = readings.behind(use.edge[0])
    way = way_back(readings, readings.arguments[softmax][0] if readings.op(softmax) == "_log_softmax" else use)
    source = readings.graph.value(way[0].edge[0], way[0].output)
    if source is None or not source.ndim or source.numel() != count * source.shape[-1]:
        return None
    rows = torch.arange(count).view(*source.shape[:-1], 1).expand(source.shape)
    moved = carried(readings, rows, way)
    if moved is None or moved.numel() != places.numel() * source.shape[-1]:
        return None
    moved = moved.movedim(1, -1) if moved.ndim > 2 else moved
    return moved.reshape(places.numel(), -1)[:, 0].equal(places)


def _row_in_the_middle(tokens: Tensor, axis: int, places: Tensor, counted: Tensor) -> int | None:
    """The row of scores in the middle of those that count, of the sequence with most of them; None of fewer than three.

    Places before and behind it count too: they are no padding, on which nothing depends.
    """
    samples = _along(tokens, 1 - axis).flatten() if tokens.ndim == 2 else torch.zeros(tokens.numel(), dtype=torch.long)
    counts = samples[places[counted]].bincount()
    if not counts.numel() or int(counts.max()) < 3:
        return None
    rows = (counted & (samples[places] == counts.argmax())).nonzero().flatten()
    in_order = rows[_along(tokens, axis).flatten()[places[rows]].argsort()]
    return int(in_order[(len(in_order) - 1) // 2])


def _along(tokens: Tensor, axis: int) -> Tensor:
    """The place along one axis, of each token."""
    shape = [size if dim == axis else 1 for dim, size in enumerate(tokens.shape)]
    return torch.arange(tokens.shape[axis]).view(shape).expand(tokens.shape)


def _finding(readings: Readings, loss: int, use: Use, embedding: int, targets: int, *, leaks: bool) -> Finding:
    others = "others" if leaks else "earlier ones alone"
    return found(
        readings.graph,
        "unshifted-labels",
        "warning",
        f"the targets of {readings.function(loss)} {readings.name(loss)} are the tokens that {readings.name(embedding)} "
        f"reads at the same places, and the scores of a place depend on it and on {others}: the model learns to repeat what "
        "it reads, not to tell what comes next",
        "shift the labels by one: scores[:, :-1] against tokens[:, 1:]",
        edge=use.edge,
        numbers={"targets": targets, "that are the token read": targets},
    )
