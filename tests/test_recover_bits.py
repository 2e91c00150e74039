"""Equality bit for bit."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gradviz.recover.bits import same_bits


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (torch.tensor([1.0, float("nan")]), torch.tensor([1.0, float("nan")]), True),
        (torch.tensor(0.0), torch.tensor(-0.0), False),
        (torch.tensor(1.0, dtype=torch.float64), torch.tensor(1.0, dtype=torch.float32), False),
        (torch.tensor([1 + 2j]).conj(), torch.tensor([1 - 2j]), True),
        (torch.eye(3)[:, :2], torch.eye(3)[:, :2].clone(), True),
        (torch.tensor([True]), torch.tensor([False]), False),
        (torch.ones(2), torch.ones(1, 2), False),
        (torch.ones(2, dtype=torch.bfloat16), torch.ones(2, dtype=torch.bfloat16), True),
    ],
)
def test_bits_are_compared_whatever_the_strides(one: Tensor, other: Tensor, expected: bool) -> None:
    assert same_bits(one, other) is expected
