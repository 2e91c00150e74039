"""A weight that is used again and again along one chain, as in an RNN: by how much the gradient grows or shrinks per use."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from gradviz.diagnose.finding import Finding, Numbers, found
from gradviz.diagnose.readings import Readings

MIN_STEPS = 10
GROWN = 1e6
"""By so much a cotangent grows over the chain before it is told: the first steps alone decide the gradient then."""
LOST_SHARE = 0.5
"""This share of the steps may add less than the rounding of the last one: a plain RNN of 28 steps is still trained."""
GATES = frozenset({"sigmoid", "hardsigmoid", "_thnn_fused_lstm_cell", "_thnn_fused_gru_cell"})
"""An LSTM or GRU shrinks its gradient too before it is trained, and then learns to open its gates."""
LARGEST_MATRIX = 2048


def recurrence(readings: Readings) -> Iterator[Finding]:
    """The weight of each kind whose cotangents grow or shrink most along the chain of its uses."""
    graph = readings.graph
    worst: dict[bool, tuple[float, int, list[int]]] = {}
    for leaf in graph.leaves.values():
        if len(graph.nodes[leaf]["shape"]) < 2 or graph.cotangent(leaf) is None:
            continue
        steps = _steps(readings, leaf)
        norms = [readings.arriving(step) for step in steps]
        grown = bool(norms) and _growth(norms) > GROWN
        if not grown and not (_is_lost(readings, steps, norms) and _reads_a_sequence(readings, steps)):
            continue
        rate = abs(math.log(norms[0]) - math.log(norms[-1]))
        if grown not in worst or rate > worst[grown][0]:
            worst[grown] = rate, leaf, steps
    for grown, (_, leaf, steps) in worst.items():
        yield _finding(readings, leaf, steps, grown=grown)


def _steps(readings: Readings, leaf: int) -> list[int]:
    """The calls that use a weight, each behind the first one, whose cotangents are finite numbers other than zero."""
    users = sorted(set(readings.users(leaf)))
    if len(users) < MIN_STEPS:
        return []
    behind = readings.ahead_of(users[0])
    chain = [users[0], *(user for user in users[1:] if user in behind)]
    chain = [step for step in chain if 0 < readings.arriving(step) < math.inf]
    return chain if len(chain) >= MIN_STEPS else []


def _growth(norms: Sequence[float]) -> float:
    """By how much a cotangent grows on the way back, from the last step to the first."""
    return norms[0] / norms[-1]


def _is_lost(readings: Readings, steps: Sequence[int], norms: Sequence[float]) -> bool:
    """Whether most steps add less to the gradient than the rounding of the last one, and no gate can change that."""
    if not steps or any(readings.op(node) in GATES for node in range(steps[0], steps[-1])):
        return False
    return _lost_steps(readings, steps, norms) > LOST_SHARE * len(steps)


def _lost_steps(readings: Readings, steps: Sequence[int], norms: Sequence[float]) -> int:
    rounding = torch.finfo(readings.graph.nodes[steps[0]]["dtype"]).eps
    return sum(norm < rounding * norms[-1] for norm in norms)


def _reads_a_sequence(readings: Readings, steps: Sequence[int]) -> bool:
    """Whether each step reads something new. An iteration to a fixed point reads the same again, and is meant to forget."""
    behind = readings.ahead_of(steps[0])
    read: dict[tuple[int, ...], list[Tensor]] = {}
    for node in sorted(behind):
        for use in readings.arguments[node] if steps[0] < node < steps[-1] else ():
            value = readings.value_of(use)
            if use.edge[0] not in behind and use.edge[0] != steps[0] and value is not None:
                read.setdefault(tuple(value.shape), []).append(value)
    return any(
        sum(not torch.equal(one, other) for one, other in pairwise(values)) >= len(steps) // 2
        for values in read.values()
    )


def _finding(readings: Readings, leaf: int, steps: Sequence[int], *, grown: bool) -> Finding:
    graph = readings.graph
    norms = [readings.arriving(step) for step in steps]
    count = len(steps)
    per_step = _growth(norms) ** (1 / (count - 1))
    module = graph.nodes[steps[0]]["module"] or graph.nodes[leaf]["root"]
    numbers: Numbers = {
        "factor per step": per_step,
        "steps": count,
        "cotangent norm at the last step": norms[-1],
        "cotangent norm at the first step": norms[0],
    }
    shape = graph.nodes[leaf]["shape"]
    weight = graph.value(leaf)
    if weight is not None and len(shape) == 2 and shape[0] == shape[1] <= LARGEST_MATRIX:
        numbers[f"spectral norm of {readings.name(leaf)}"] = float(torch.linalg.matrix_norm(weight.float(), 2))
    rest = "" if grown else f"; {_lost_steps(readings, steps, norms)} of them add less than the rounding of the last one"
    return found(
        graph,
        "exploding-gradient" if grown else "vanishing-gradient",
        "warning",
        f"on the way back the gradient {'grows' if grown else 'shrinks to'} {per_step:.2g} × per step over the {count} uses "
        f"of {readings.name(leaf)}{f' by the calls of {module}' if module else ''}: {_growth(norms):.2g} × in all{rest}",
        "make the recurrent weight orthogonal (nn.init.orthogonal_) and clip the gradient norm, or use an LSTM or GRU"
        if grown
        else "make the recurrent weight orthogonal (nn.init.orthogonal_), use an LSTM or GRU, or take losses at more steps",
        node=steps[0],
        numbers=numbers,
    )
