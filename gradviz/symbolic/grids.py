"""Volumes read at the places of a grid, which torch states for images only, in ops that have rules."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

GRID_SAMPLER_3D = torch.ops.aten.grid_sampler_3d.default
_NEAREST = 1
_BORDER, _REFLECTION = 1, 2


def grid_sampler_3d(input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool) -> Tensor:
    """`input` (batch, channels, *sizes) at `grid` (batch, *out, 3), places from -1 to 1 with the innermost dim's first.

    Each output element is the mean of the 2 x 2 x 2 elements around its place, weighted by nearness, or (mode 1) the nearest
    one. Outside are zeros, or (padding 1, 2) the place is first moved to the border or reflected into the volume.
    """
    batch, channels, *sizes = input.shape
    places = [
        _inside(_unnormalized(grid[..., 2 - dim], size, align_corners), size, padding_mode, align_corners)
        for dim, size in enumerate(sizes)
    ]
    if interpolation_mode == _NEAREST:
        corners = [[(place.round(), torch.ones_like(place))] for place in places]
    else:
        corners = [[(low, low + 1 - place), (low + 1, place - low)] for place in places for low in (place.floor(),)]
    in_batch = torch.arange(batch, device=input.device).view(-1, 1, 1, 1, 1)
    in_channels = torch.arange(channels, device=input.device).view(1, -1, 1, 1, 1)
    terms = []
    for corner in itertools.product(*corners):
        valid = torch.stack([(at >= 0) & (at < size) for (at, _), size in zip(corner, sizes, strict=True)]).all(0)
        index = [torch.where(valid, at.detach(), 0).to(torch.int64).unsqueeze(1) for at, _ in corner]
        weight = torch.where(valid, corner[0][1] * corner[1][1] * corner[2][1], 0)
        terms.append(input[(in_batch, in_channels, *index)] * weight.unsqueeze(1))
    return torch.stack(terms).sum(0)


def _unnormalized(place: Tensor, size: int, align_corners: bool) -> Tensor:
    """From -1 to 1 to places in a line of elements: its ends are the outer elements, or half an element outside."""
    return (place + 1) / 2 * (size - 1) if align_corners else ((place + 1) * size - 1) / 2


def _inside(place: Tensor, size: int, padding_mode: int, align_corners: bool) -> Tensor:
    if padding_mode == _REFLECTION:
        low, span = (0.0, size - 1) if align_corners else (-0.5, size)
        place = span - (torch.remainder(place - low, 2 * span) - span).abs() + low if span else place * 0
    return place.clamp(0, size - 1) if padding_mode in (_BORDER, _REFLECTION) else place
