"""Random cotangents are exact in every dtype, of either sign and never small; the same seed draws the same."""

from __future__ import annotations

import pytest
import torch

from gradviz.check.draws import drawn_cotangent, drawn_tangent


def _seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.complex64])
def test_cotangents_are_of_size_one_half_to_one_and_the_same_in_every_dtype(dtype: torch.dtype) -> None:
    drawn = drawn_cotangent((7, 300), dtype, _seeded())
    assert drawn.dtype is dtype.to_real()
    assert torch.equal(drawn.double(), drawn_cotangent((7, 300), torch.float64, _seeded()))
    assert (drawn.min(), drawn.abs().min(), drawn.abs().max()) == (-1, 0.5, 1)
    assert 0.45 < (drawn > 0).double().mean() < 0.55


def test_tangents_are_nowhere_zero_and_differ_from_draw_to_draw() -> None:
    random = _seeded()
    first, second = drawn_tangent((5, 400), random), drawn_tangent((5, 400), random)
    assert (first != 0).all()
    assert first.abs().max() < 1
    assert abs(first.mean()) < 0.05
    assert not torch.equal(first, second)
    assert torch.equal(first, drawn_tangent((5, 400), _seeded()))
    assert drawn_tangent((), random).shape == ()
