"""What is remembered of parameters tells whether an element has changed, wherever it lies."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gradviz.runs.weights import SAMPLE, Unmoved, digest, moved_by, sample


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.complex64])
@pytest.mark.parametrize("count", [1, 7, 8])
def test_digest_changes_with_each_element(dtype: torch.dtype, count: int) -> None:
    ones = torch.ones(count, 2, dtype=dtype)
    for tensor in (torch.ones(count + 1, dtype=dtype)[1:], ones.T, ones[:, 0]):
        before = digest(tensor)
        assert before == digest(tensor.clone())
        for place in range(tensor.numel()):
            changed = tensor.clone(memory_format=torch.contiguous_format)
            changed.view(-1)[place] *= 1 + 2 * torch.finfo(dtype).eps
            assert digest(changed) != before, place


def test_what_cannot_be_read_has_no_digest_and_is_never_said_to_be_unmoved() -> None:
    unread = torch.ones(2, device="meta")
    assert digest(unread) is None and sample(unread) is None
    assert Unmoved([nn.Parameter(unread)]).look() == set()


def test_what_has_moved_is_never_read_again() -> None:
    first, second, frozen = (nn.Parameter(torch.ones(3)) for _ in range(3))
    unmoved = Unmoved([first, second, frozen.requires_grad_(False)])
    assert unmoved.look() == {id(first), id(second)}
    first.data[1] = 2.0
    assert unmoved.look() == {id(second)}
    first.data[1] = 1.0
    assert unmoved.look() == {id(second)}


def test_sample_is_a_bounded_copy_spread_over_the_tensor() -> None:
    tensor = torch.arange(10_000.0)
    taken = sample(tensor)
    assert taken is not None and taken.numel() <= SAMPLE and taken[-1] > 9_900
    tensor += 1
    after = sample(tensor)
    assert after is not None and moved_by(taken, after) == pytest.approx(taken.numel() ** 0.5 / float(taken.norm()))
    assert moved_by(torch.zeros(2), torch.ones(2)) is None
