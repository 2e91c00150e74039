"""How far two tensors are apart, and how far rounding alone may bring them."""

from __future__ import annotations

import torch
from torch import Tensor

from gradviz.graph import GradGraph
from gradviz.standin import is_kept, statistics_kept

COARSEST = 0.1
"""The largest tolerance that is taken without being asked for: a thousand roundings of half precision are all there is."""


def tolerance_of(first: GradGraph, second: GradGraph, pairs: list[tuple[int, int]] | None) -> float:
    """A thousand roundings of the coarser dtype, `COARSEST` at most: what two orders of summation may make in a network.

    A cast that one graph alone has is not among `pairs`: what it rounds is a difference.
    """
    nodes = [*first.nodes.values(), *second.nodes.values()]
    if pairs is not None:
        nodes = [graph.nodes[node] for pair in pairs for graph, node in zip((first, second), pair, strict=True)]
    dtypes = {data["dtype"] for data in nodes if data["requires_grad"]}
    rounded = (dtype for dtype in dtypes if dtype.is_floating_point or dtype.is_complex)  # the positions of maxima are not
    return min(1000 * max((torch.finfo(dtype).eps for dtype in rounded), default=0.0), COARSEST)


def relative(one: Tensor, other: Tensor) -> float:
    """The largest difference over the largest magnitude of either; NaN equals NaN."""
    if one.shape != other.shape:
        return float("inf")
    left, right = _wide(one), _wide(other)
    if not left.numel():
        return 0.0
    same = (left == right) | (torch.isnan(left) & torch.isnan(right))
    if bool(same.all()):
        return 0.0
    differs, scale = (left - right).abs()[~same], torch.maximum(left.abs(), right.abs())
    if not bool(torch.isfinite(differs).all()):
        return float("inf")
    return float(differs.max() / scale[torch.isfinite(scale)].max())


def relative_of_statistics(one: Tensor, other: Tensor) -> float | None:
    """The same of extremes, mean and standard deviation; None where a side has not even these."""
    left, right = statistics_kept(one), statistics_kept(other)
    if left is None or right is None:
        return None
    if (left.count, left.nans, left.infs) != (right.count, right.nans, right.infs):
        return float("inf")
    pairs = ((left.low, right.low), (left.high, right.high), (left.mean, right.mean), (left.std, right.std))
    scale = max((abs(end) for ends in pairs[:2] for end in ends), default=0.0) if left.finite else 0.0
    return max(abs(here - there) for here, there in pairs) / scale if scale else 0.0


def is_zero(tensor: Tensor) -> bool:
    if not is_kept(tensor):
        known = statistics_kept(tensor)
        return known is not None and known.finite > 0 and known.low == known.high == 0
    return not bool(_wide(tensor).any())


def _wide(tensor: Tensor) -> Tensor:
    dense = tensor.detach().to_dense() if tensor.layout is not torch.strided else tensor.detach()
    numbers = torch.view_as_real(dense.resolve_conj()) if dense.is_complex() else dense
    return numbers.cpu().to(torch.float64)
