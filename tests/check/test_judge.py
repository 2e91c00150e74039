"""One number beside the true one: ULP, bound, verdict."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from gradviz.check.arrays import as_array, ulp
from gradviz.check.judge import Comparison


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize("value", [1.0, 1.5, 0.1, 123.0, 6e-5])
def test_ulp_is_the_distance_to_the_next_number(value: float, dtype: torch.dtype) -> None:
    at = torch.tensor(value, dtype=dtype)
    following = torch.nextafter(at, torch.tensor(math.inf, dtype=dtype))
    assert ulp(float(at), dtype) == float(following.double() - at.double())


def test_within_the_bound_is_a_match_and_beyond_it_is_none() -> None:
    near, far = Comparison(torch.float64), Comparison(torch.float64)
    for comparison, got in ((near, 1.0 + 2.0**-52), (far, 1.001)):
        comparison.method = "symbolic"
        comparison.element(None, got, 1.0, 2.0**-50)
    assert (near.verdict, near.error_ulp) == ("match", 1.0)
    assert far.verdict == "mismatch"
    assert "ratio 1.001" in far.reason


def test_nothing_compared_is_unverified() -> None:
    assert Comparison(torch.float64).verdict == "unverified"


@pytest.mark.parametrize(
    ("got", "true", "verdict"),
    [
        (math.nan, math.nan, "unverified"),
        (math.inf, math.inf, "match"),
        (math.nan, 1.0, "mismatch"),
        (0.0, math.nan, "unverified"),
        (math.inf, -math.inf, "mismatch"),
        (math.inf, 1e300, "match"),
        (1.0, math.inf, "mismatch"),
    ],
)
def test_what_is_not_finite_is_named(got: float, true: float, verdict: str) -> None:
    comparison = Comparison(torch.float32)
    comparison.method = "symbolic"
    comparison.element((0,), got, true, 1e-7)
    assert comparison.verdict == verdict
    assert comparison.reason


def test_a_bound_without_end_leaves_nothing_to_compare() -> None:
    comparison = Comparison(torch.float32)
    comparison.method = "symbolic"
    comparison.element((), 1.0, 2.0, math.inf)
    assert comparison.verdict in ("match", "unverified")


def test_one_wrong_element_of_many_is_the_one_that_is_shown() -> None:
    true = np.ones((50, 40), dtype=np.longdouble)
    got = np.ones((50, 40))
    got[17, 23] = 1.001
    comparison = Comparison(torch.float64)
    comparison.method = "symbolic"
    comparison.elements(got, true, np.full((50, 40), 1e-12))
    assert comparison.index == (17, 23)
    assert comparison.verdict == "mismatch"


def test_later_matches_do_not_hide_an_earlier_mismatch() -> None:
    comparison = Comparison(torch.float64)
    comparison.method = "symbolic"
    comparison.element((1,), 2.0, 1.0, 1e-15)
    comparison.element((2,), 1.0, 1.0, 1e-15)
    comparison.doubt("later doubt")
    assert comparison.verdict == "mismatch"
    assert comparison.index == (1,)


def test_complex_tensors_become_pairs_and_empty_ones_stay_empty() -> None:
    assert as_array(torch.tensor([1 + 2j])).tolist() == [[1.0, 2.0]]
    assert as_array(torch.zeros(0, 3)).shape == (0, 3)


def test_a_difference_proves_nothing_where_a_number_on_the_way_overflowed() -> None:
    comparison = Comparison(torch.float32)
    comparison.method = "symbolic"
    comparison.overflowed = True
    comparison.element((0,), 0.0, 0.63, 1e-7)
    assert (comparison.verdict, comparison.finding) == ("unverified", "undefined")
    assert "beyond its range" in comparison.reason
