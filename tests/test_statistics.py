"""The statistics of a tensor, against numpy's of the same numbers."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
import torch
from torch import Tensor

from gradviz.statistics import statistics_of

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.bool, torch.complex64]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_statistics_are_those_of_numpy(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    tensor = (3 * torch.randn(40, 7)).to(dtype) * (torch.rand(40, 7) < 0.9)
    numbers = (tensor.abs() if dtype.is_complex else tensor).double().numpy()
    found = statistics_of(tensor, bins=5)
    assert found is not None
    assert (found.count, found.nans, found.infs) == (280, 0, 0)
    assert found.zeros == int((numbers == 0).sum())
    assert (found.low, found.high) == (numbers.min(), numbers.max())
    assert [found.mean, found.std] == pytest.approx([numbers.mean(), numbers.std()], rel=1e-5)
    assert found.norm == pytest.approx(float(np.linalg.norm(numbers)), rel=1e-5)
    assert sum(found.histogram) == 280
    if dtype is torch.float64:
        assert found.histogram == tuple(np.histogram(numbers, 5)[0])


def test_nan_and_infinities_are_counted_and_left_out_of_the_rest() -> None:
    tensor = torch.tensor([math.nan, math.inf, -math.inf, 2.0, 0.0, 4.0])
    found = statistics_of(tensor)
    assert found is not None
    assert (found.nans, found.infs, found.finite, found.zeros) == (1, 2, 3, 1)
    assert (found.low, found.high, found.mean) == (0.0, 4.0, 2.0)


def test_nothing_finite_has_no_mean() -> None:
    for tensor in (torch.tensor([math.nan]), torch.empty(0)):
        found = statistics_of(tensor, bins=3)
        assert found is not None
        assert math.isnan(found.mean) and found.norm == 0 and found.histogram == ()


@pytest.mark.parametrize(
    ("scale", "dtype"),
    [(1e-30, torch.float32), (1e30, torch.float32), (1e38, torch.float32), (1e-200, torch.float64), (5e307, torch.float64)],
)
def test_numbers_whose_squares_leave_the_range(scale: float, dtype: torch.dtype) -> None:
    found = statistics_of(torch.tensor([-1.0, 1.0, 3.0, 3.0], dtype=dtype) * scale, bins=3)
    assert found is not None and found.histogram == (1, 1, 2)
    assert [found.mean / scale, found.std / scale] == pytest.approx([1.5, 2.75**0.5], rel=1e-6)


@pytest.mark.parametrize("offset", [3.0, 1e3, 1e6])
def test_spread_far_from_zero(offset: float) -> None:
    tensor = torch.randn(1000) + offset
    found = statistics_of(tensor)
    assert found is not None and found.std == pytest.approx(float(tensor.double().std(correction=0)), rel=1e-5)


WIDE = torch.arange(300_000).remainder(1009).float().view(6, 100, 500) - 200
VIEWS = {
    "whole": WIDE,
    "transposed": WIDE.transpose(0, 2),
    "every third": WIDE[:, :, ::3],
    "one long row after the other": WIDE.view(2, 150_000)[:, 1:],
    "repeated": WIDE[:, :1].expand(-1, 100, -1),
    "one number": WIDE[0, 0, 0].expand(70_000),
    "nothing": WIDE[:0].transpose(0, 1),
}


@pytest.mark.parametrize("tensor", VIEWS.values(), ids=VIEWS)
def test_large_tensors_are_read_in_full_whatever_their_strides(tensor: Tensor) -> None:
    numbers, found = tensor.numpy(), statistics_of(tensor, bins=7)
    assert found is not None
    assert (found.count, found.zeros) == (numbers.size, int((numbers == 0).sum()))
    if numbers.size:
        assert (found.low, found.high) == (numbers.min(), numbers.max())
        assert [found.mean, found.std] == pytest.approx([numbers.mean(dtype=float), numbers.std(dtype=float)], rel=1e-5)
    if found.low < found.high:
        assert found.histogram == tuple(np.histogram(numbers.astype(float), 7)[0])


def holes(numbers: Tensor) -> Tensor:
    """With NaN and infinities here and there, and a stretch of nothing else."""
    spoiled = numbers.clone()
    spoiled[::5], spoiled[::7], spoiled[1::11] = math.nan, math.inf, -math.inf
    spoiled[100_000:300_000] = math.nan  # a whole piece, wherever it begins
    return spoiled


MIXED = {
    "holes": holes(torch.randn(400_001)),
    "holes far from zero": holes(torch.randn(400_001) * 10 + 1000),
    "many bins": torch.randn(400_001),
    "mostly zeros": torch.randn(400_001) * (torch.arange(400_001) % 390_000 < 100),
    "wide stretches in one bin": torch.randn(400_001) * torch.tensor([1.0]).where(torch.arange(400_001) < 1000, 1e-6) - 0.5,
    "wide stretches of one number": torch.arange(400_001).div(150_000, rounding_mode="floor").double(),
}


@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize(("name", "tensor"), MIXED.items(), ids=MIXED)
def test_pieces_add_up_to_the_whole(name: str, tensor: Tensor, library: str) -> None:
    bins = 200 if name == "many bins" else 24
    found = statistics_of(tensor if library == "numpy" else tensor.as_subclass(Elsewhere), bins=bins)
    numbers = tensor.double().numpy()
    finite = numbers[np.isfinite(numbers)]
    assert found is not None
    assert (found.count, found.nans, found.infs) == (400_001, np.isnan(numbers).sum(), np.isinf(numbers).sum())
    assert (found.zeros, found.low, found.high) == ((finite == 0).sum(), finite.min(), finite.max())
    assert [found.mean, found.std] == pytest.approx([finite.mean(), finite.std()], rel=1e-5, abs=1e-7)
    assert sum(found.histogram) == len(finite)
    moved = np.abs(np.cumsum(found.histogram) - np.cumsum(np.histogram(finite, bins)[0]))
    assert moved.max() <= 3, "float32 may put a number on an edge into the bin beside it"


class Elsewhere(Tensor):
    """Computed with as tensors on accelerators are: in torch."""


TINY = torch.tensor([-1e-200, 3e-200], dtype=torch.float64)


@pytest.mark.parametrize("tensor", [TINY, torch.randn(9) + 1e6, MIXED["holes"]], ids=["tiny", "far from zero", "holes"])
def test_nothing_is_written_to_what_is_read(tensor: Tensor) -> None:
    before = tensor.clone()
    statistics_of(tensor, bins=3)
    assert torch.equal(tensor.nan_to_num(1.5), before.nan_to_num(1.5))


@pytest.mark.parametrize("name", ["holes", "holes far from zero", "many bins"])
def test_nothing_as_large_as_the_tensor_is_made(name: str) -> None:
    large = MIXED[name].repeat(5)
    statistics_of(large, bins=24)
    tracemalloc.start()
    statistics_of(large, bins=24)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 2**17 < peak < large.nbytes / 2


def test_numbers_stored_with_their_sign_turned_are_read_with_it() -> None:
    found = statistics_of(torch.tensor([1 + 2j, 3 + 4j]).conj().imag)
    assert found is not None and (found.low, found.high) == (-4.0, -2.0)


def test_zeros_that_are_not_stored_are_counted() -> None:
    found = statistics_of(torch._efficientzerotensor((70, 1000)), bins=3)
    assert found is not None and found.zeros == found.count == 70_000


def test_nan_in_a_repeated_row_counts_as_often_as_it_is_there() -> None:
    found = statistics_of(torch.tensor([math.nan, 0.0, 1.0, math.inf]).expand(5, 4), bins=2)
    assert found is not None
    assert (found.count, found.nans, found.infs, found.zeros, found.histogram) == (20, 5, 5, 5, (5, 5))


@pytest.mark.parametrize("tensor", [torch.empty(2, device="meta"), torch.ones(2, 2).to_sparse()], ids=["meta", "sparse"])
def test_what_cannot_be_read_has_none(tensor: Tensor) -> None:
    assert statistics_of(tensor) is None


@pytest.mark.parametrize("parts", [(3, 5), (0, 4), (4, 0)])
def test_statistics_of_two_parts_are_those_of_the_whole(parts: tuple[int, int]) -> None:
    whole = torch.randn(sum(parts), dtype=torch.float64)
    first, second = (statistics_of(part) for part in whole.split(parts))
    found, expected = first and second and first.with_more(second), statistics_of(whole)
    assert found and expected
    assert (found.count, found.low, found.high) == (expected.count, expected.low, expected.high)
    assert [found.mean, found.std] == pytest.approx([expected.mean, expected.std], rel=1e-12)


def test_gradients_are_not_recorded_and_random_numbers_not_drawn() -> None:
    tensor = torch.randn(5, requires_grad=True)
    state = torch.get_rng_state()
    statistics_of(tensor * 2, bins=3)
    assert torch.equal(torch.get_rng_state(), state)
