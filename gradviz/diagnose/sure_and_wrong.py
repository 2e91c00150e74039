"""A classifier that is sure of nearly all samples, and wrong about many or none: its logits are too large to learn."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from gradviz.diagnose.finding import Finding, found
from gradviz.diagnose.likelihood import NLL, NLL_IGNORE_INDEX
from gradviz.diagnose.readings import COPIES, Readings
from gradviz.diagnose.saturation import FLAT, FLAT_SHARE, MIN_ELEMENTS

LEFT = 1e-12
"""Less than this share of a cotangent moves no weight in float32, whatever the learning rate."""
WORSE = 2.0
"""By so much is the loss larger than that of guessing; who was trained on noisy labels is sure too, but mostly right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Of a classifier, per sample: the probability of its first choice, and the loss; the loss of guessing; the logits."""

    first: Tensor
    losses: Tensor
    guessing: float
    logits: Tensor


def sure_and_wrong(readings: Readings) -> Iterator[Finding]:
    """Cross-entropies whose softmax or sigmoid is saturated and whose loss is far above that of guessing."""
    graph = readings.graph
    for node in readings.ops:
        answers = _answers(readings, node) if graph.cotangent(node) is not None else None
        if answers is None or answers.losses.numel() < MIN_ELEMENTS:
            continue
        sure = float((answers.first * (1 - answers.first) < FLAT).float().mean())
        loss = float(answers.losses.mean())
        if sure < FLAT_SHARE or not WORSE * answers.guessing < loss < math.inf:
            continue
        yield found(
            graph,
            "saturated",
            "warning",
            f"{readings.function(node)}: {sure:.0%} of the answers are sure (a probability above {1 - FLAT:g}), and the "
            f"mean loss is {loss:.3g}, where guessing has {answers.guessing:.3g}: the logits are too large",
            "normalise the inputs (pixels / 255), scale the last layer down or divide the logits by a temperature, or lower "
            "the learning rate",
            node=node,
            numbers={
                "mean loss": loss,
                "loss of guessing": answers.guessing,
                "median |logit|": float(answers.logits.abs().float().median()),
            },
        )


def sure_and_still(readings: Readings) -> Iterator[Finding]:
    """Cross-entropies of many samples that are all right, so surely that next to nothing comes back through the softmax."""
    graph = readings.graph
    for node in readings.ops:
        answers = _answers(readings, node) if readings.op(node) in NLL and graph.cotangent(node) is not None else None
        if answers is None or answers.losses.numel() < MIN_ELEMENTS:
            continue
        softmax = readings.behind(readings.arguments[node][0].edge[0], COPIES)
        use = readings.arguments[softmax][0]
        arriving, leaving = readings.arriving(softmax), readings.norm(use.contribution)
        if not 0 < leaving < LEFT * arriving:
            continue  # where it is exactly 0, `zero_gradient` tells
        yield found(
            graph,
            "saturated",
            "warning",
            f"all {answers.losses.numel()} answers of {readings.function(softmax)} {readings.name(softmax)} are right, so "
            f"sure that {leaving / arriving:.2g} of the cotangent comes back through it: nothing is left to learn",
            "raise the temperature by which the logits are divided, or see whether the labels are among the inputs",
            edge=use.edge,
            numbers={
                "largest loss": float(answers.losses.max()),
                "median |logit|": float(answers.logits.abs().float().median()),
            },
        )


def _answers(readings: Readings, node: int) -> Answers | None:
    call, uses = readings.graph.nodes[node]["call"], readings.arguments[node]
    if call is None or len(uses) < 2:
        return None
    given, target = readings.value_of(uses[0]), readings.value_of(uses[1])
    if given is None or target is None or not readings.is_finite(given):
        return None
    if readings.op(node) == "binary_cross_entropy_with_logits":
        probability = given.float().sigmoid()
        losses = torch.nn.functional.binary_cross_entropy_with_logits(given.float(), target.float(), reduction="none")
        return Answers(first=probability, losses=losses, guessing=math.log(2), logits=given)
    softmax = readings.behind(uses[0].edge[0], COPIES)
    if readings.op(node) not in NLL or readings.op(softmax) != "_log_softmax" or given.ndim < 2 or given.shape[1] < 2:
        return None
    counted = target != call.args[NLL_IGNORE_INDEX]
    rows = given.movedim(1, -1)[counted].float()
    losses = -rows.gather(1, target[counted][:, None])[:, 0]
    logits = readings.value_of(readings.arguments[softmax][0])
    first = rows.amax(-1).exp()
    logits = given if logits is None or not readings.has_elements(logits) else logits
    return Answers(first=first, losses=losses, guessing=math.log(given.shape[1]), logits=logits)
