"""What a negative log-likelihood is computed from: whether that is log-probabilities, and of classes or of the batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gradviz.diagnose.finding import Finding, found
from gradviz.diagnose.readings import COPIES, Readings
from gradviz.graph import Use
from gradviz.standin import is_kept

TOO_MUCH = 0.05
"""Log-probabilities of classes have a log-sum-exp of 0; rounding, and a small number added to each, leave it below this."""
ROWS_SHARE = 0.5
NLL = frozenset({"nll_loss_forward", "nll_loss2d_forward"})
CTC = frozenset({"_ctc_loss", "_cudnn_ctc_loss"})
NLL_IGNORE_INDEX = 4
"""The place of `ignore_index` among the arguments of the negative log-likelihood."""
ELEMENTWISE = frozenset({"mul", "mse_loss", "l1_loss", "binary_cross_entropy", "smooth_l1_loss", "huber_loss"})
SOFTMAX = frozenset({"_softmax", "_log_softmax"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Likelihood:
    """A call that reads log-probabilities, or probabilities, of classes.

    Attributes:
        use: the edge that carries them.
        dim: the dimension that counts the classes.
        is_log: whether they must be log-probabilities.
        counted: which rows count, `dim` taken out; None for all.
    """

    use: Use
    dim: int
    is_log: bool
    counted: Tensor | None = None


def likelihood(readings: Readings) -> Iterator[Finding]:
    """Numbers that are no log-probabilities, and a softmax over another dimension than that of the classes."""
    for node in readings.ops:
        read = _read_by(readings, node) if readings.graph.cotangent(node) is not None else None
        if read is None:
            continue
        over_batch = list(_over_the_batch(readings, node, read))
        yield from over_batch or (_not_logarithms(readings, node, read) if read.is_log else ())


def _read_by(readings: Readings, node: int) -> Likelihood | None:
    """What a call says of its argument: which dimension counts classes, by its target or its index."""
    op, call, uses = readings.op(node), readings.graph.nodes[node]["call"], readings.arguments[node]
    if call is None or len(uses) < 2:
        return None
    before = readings.value_of(uses[0])
    if op in NLL and before is not None:
        target = readings.value_of(uses[1])
        counted = None if target is None else target != call.args[NLL_IGNORE_INDEX]
        return Likelihood(use=uses[0], dim=min(1, before.ndim - 1), is_log=True, counted=counted)
    if op in CTC and before is not None:
        return Likelihood(use=uses[0], dim=before.ndim - 1, is_log=True, counted=_frames(readings, node, before))
    if op == "gather" and before is not None:
        index, dim = readings.value_of(uses[1]), call.args[1] % max(before.ndim, 1)
        is_pick = index is not None and index.ndim == before.ndim and index.shape[dim] == 1
        is_pick = is_pick and _is_log(readings, uses[0])
        return Likelihood(use=uses[0], dim=dim, is_log=False) if is_pick else None
    if op == "index":
        return _of_pick(readings, uses) if _is_log(readings, uses[0]) else None
    if op == "sub":
        return _of_divergence(readings, uses)
    if op in ELEMENTWISE:
        for own, other in ((uses[0], uses[1]), (uses[1], uses[0])):
            if other.partial is not None or (op == "mul" and not _is_log(readings, own)):
                continue
            if len(dims := normalised_over(readings.value_of(other))) == 1:
                return Likelihood(use=own, dim=dims[0], is_log=False)
    return None


def _frames(readings: Readings, node: int, logs: Tensor) -> Tensor | None:
    """Which frames (T, N) of a CTC loss lie within their sequences; None where its lengths are not seen."""
    call = readings.graph.nodes[node]["call"]
    lengths = call.args[2] if isinstance(call.args[2], Tensor) else torch.tensor(call.args[2])
    if logs.ndim != 3 or not is_kept(lengths):
        return None
    return torch.arange(len(logs), device=lengths.device)[:, None] < lengths


def _is_log(readings: Readings, use: Use) -> bool:
    """What is picked of, or weighted by, a distribution without a logarithm may be an attention or a routing."""
    return readings.op(readings.behind(use.edge[0], COPIES)) in ("log", "_log_softmax")


def _of_pick(readings: Readings, uses: list[Use]) -> Likelihood | None:
    """`logs[range(rows), labels]`: one number of each row."""
    before, places = readings.value_of(uses[0]), [readings.value_of(use) for use in uses[1:]]
    if before is None or before.ndim != 2 or len(places) != 2:
        return None
    is_each = [place is not None and _is_each(place, size) for place, size in zip(places, before.shape, strict=True)]
    return Likelihood(use=uses[0], dim=is_each.index(False), is_log=False) if sum(is_each) == 1 else None


def _is_each(places: Tensor, size: int) -> bool:
    is_index = is_kept(places) and places.dtype != torch.bool and places.shape == (size,)  # a mask picks other numbers
    return is_index and bool((places.cpu() == torch.arange(size)).all())


def _of_divergence(readings: Readings, uses: list[Use]) -> Likelihood | None:
    """`F.kl_div`: xlogy(target, target) − target × input."""
    first, second = (use.edge[0] for use in uses[:2])
    if readings.op(first) != "xlogy" or readings.op(second) != "mul":
        return None
    targets = {use.edge[0] for use in readings.arguments[first]}
    inputs = [use for use in readings.arguments[second] if use.edge[0] not in targets]
    if len(targets) != 1 or len(inputs) != 1 or len(readings.arguments[second]) != 2:
        return None
    dims = normalised_over(readings.graph.value(targets.pop()))
    return Likelihood(use=inputs[0], dim=dims[-1], is_log=True) if dims else None


def normalised_over(target: Tensor | None) -> list[int]:
    """The dimensions over which numbers of at least 0 sum to 1 everywhere: those of a distribution."""
    if target is None or target.ndim < 1 or not target.numel() or target.dtype == torch.bool or bool((target < 0).any()):
        return []
    wide = target.double()
    return [dim for dim in range(target.ndim) if target.shape[dim] > 1 and bool(((wide.sum(dim) - 1).abs() < 1e-3).all())]


def _over_the_batch(readings: Readings, node: int, read: Likelihood) -> Iterator[Finding]:
    """A softmax before the call, over another dimension than its classes; both sums of a square have a meaning."""
    softmax, classes = _softmax_before(readings, read)
    call, value = readings.graph.nodes[softmax]["call"], readings.graph.value(softmax)
    if readings.op(softmax) not in SOFTMAX or call is None or value is None or value.ndim < 2 or classes >= value.ndim:
        return
    dim = call.args[1] % value.ndim
    carried = readings.value_of(read.use)
    if dim == classes or carried is None or carried.numel() != value.numel() or value.shape[dim] == value.shape[classes]:
        return
    sums = (value.exp() if readings.op(softmax) == "_log_softmax" else value).sum(classes)
    yield found(
        readings.graph,
        "softmax-over-batch",
        "error",
        f"{readings.name(softmax)} = {readings.function(softmax)}(..., dim={dim}) makes the {value.shape[dim]} numbers "
        f"along dimension {dim} sum to 1, while the {value.shape[classes]} classes of {readings.function(node)} are along "
        f"dimension {classes}",
        f"pass dim={classes} to the softmax",
        edge=readings.arguments[softmax][0].edge,
        numbers={"least sum over classes": float(sums.min()), "greatest sum over classes": float(sums.max())},
    )


def _softmax_before(readings: Readings, read: Likelihood) -> tuple[int, int]:
    """(node, which of its dimensions counts the classes) behind logarithms, clamps and dimensions in another order."""
    node, output, dim = read.use.edge[0], read.use.output, read.dim
    while readings.arguments[node]:
        op, call, value = readings.op(node), readings.graph.nodes[node]["call"], readings.graph.value(node, output)
        if call is None or value is None:
            break
        if op in ("transpose", "permute", "t"):
            dim = _order(op, call.args, value.ndim)[dim]
        elif op == "unsqueeze":
            dim -= call.args[1] % value.ndim < dim
        elif op not in ("log", "clamp", "clamp_min", "_to_copy"):
            break
        (use, *_) = readings.arguments[node]
        node, output = use.edge[0], use.output
    return node, dim


def _order(op: str, args: tuple[Any, ...], ndim: int) -> list[int]:
    """Which dimension of its argument each dimension of a transposed tensor was."""
    order = list(range(ndim))
    if op == "permute":
        return [order[dim] for dim in args[1]]
    first, second = args[1:3] if op == "transpose" else (0, ndim - 1)
    order[first], order[second] = order[second], order[first]
    return order


def _not_logarithms(readings: Readings, node: int, read: Likelihood) -> Iterator[Finding]:
    value = readings.value_of(read.use)
    if value is None or not value.numel() or not readings.is_finite(value):
        return
    rows = value.movedim(read.dim, -1)
    rows = rows[read.counted] if read.counted is not None and rows.ndim > 1 else rows
    sums = rows.float().logsumexp(-1)
    if not sums.numel() or float((sums > TOO_MUCH).float().mean()) < ROWS_SHARE:
        return
    name = readings.graph.output_name(read.use.edge[0], read.use.output)
    op = readings.op(node)
    loss = "kl_div" if op == "sub" else "ctc_loss" if op in CTC else "nll_loss"
    are_probabilities = bool((rows >= 0).all()) and bool(((rows.float().sum(-1) - 1).abs() < 1e-2).all())
    if are_probabilities:
        what, hint = "they are probabilities already", f"take log_softmax in place of softmax before {loss}"
    else:
        what = "they are no logarithms of probabilities"
        instead = "" if loss == "ctc_loss" else ", or use cross_entropy, which does"
        hint = f"apply log_softmax(dim={read.dim}) first{instead}"
    yield found(
        readings.graph,
        "not-log-probabilities",
        "error",
        f"{loss} takes log-probabilities, whose exponentials sum to 1 over the classes; those of {name} sum to "
        f"{float(sums.median().exp()):.3g} and more in half of the rows: {what}",
        hint,
        edge=read.use.edge,
        numbers={"largest": float(rows.max()), "smallest": float(rows.min()), "median log-sum-exp": float(sums.median())},
    )
