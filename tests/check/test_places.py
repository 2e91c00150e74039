"""Images read at places on the edge between two pixels, where rounding decides which are read."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import gradviz
from gradviz.check import CheckReport, heads
from gradviz.check.parts import vjps_of
from gradviz.partials import LocalPartial


def _identity(dtype: torch.dtype) -> Tensor:
    """All places are centres of pixels."""
    return F.affine_grid(torch.eye(2, 3)[None], [1, 2, 5, 6], align_corners=True).to(dtype)


def _drawn(dtype: torch.dtype, seed: int) -> Tensor:
    return (torch.rand((1, 4, 4, 2), generator=torch.Generator().manual_seed(seed)) * 2.4 - 1.2).to(dtype)


def _report(grid: Tensor, mode: str, padding: str) -> CheckReport:
    image = torch.randn((1, 2, 5, 6), generator=torch.Generator().manual_seed(0)).to(grid.dtype).requires_grad_()

    def sampled(image: Tensor, grid: Tensor) -> Tensor:
        return F.grid_sample(image, grid, mode=mode, padding_mode=padding, align_corners=True).square().sum()

    return gradviz.trace(sampled, image, grid.requires_grad_()).check()


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_an_identity_transform_is_right(padding: str) -> None:
    assert _report(_identity(torch.float32), "bilinear", padding).mismatches == ()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_places_in_half_precision_are_right(mode: str, seed: int) -> None:
    """Of these some come out on the other side of a pixel than they truly lie."""
    assert _report(_drawn(torch.bfloat16, seed), mode, "zeros").mismatches == ()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("seed", range(2))
def test_cubic_weights_are_right(dtype: torch.dtype, seed: int) -> None:
    """Their rounding in half precision is coarse, but it is no jump."""
    assert _report(_drawn(dtype, seed), "bicubic", "zeros").mismatches == ()


@pytest.mark.parametrize("grid", [_identity(torch.float32), _drawn(torch.float32, 0)], ids=["identity", "drawn"])
def test_an_edge_excuses_no_slip(grid: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    jacobian = LocalPartial.jacobian
    monkeypatch.setattr(LocalPartial, "jacobian", lambda partial: jacobian(partial) * 1.001)
    monkeypatch.setattr(heads, "vjps_of", lambda *given: [answer * 1.001 for answer in vjps_of(*given)])
    wrong = [edge.name for edge in _report(grid, "bilinear", "zeros").edges if edge.verdict == "mismatch"]
    assert any("image" in name for name in wrong)
    assert any("grid" in name for name in wrong)
