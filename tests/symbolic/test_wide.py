"""erf and erfc in wide floats are those to 50 digits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradviz.symbolic import OutOfTime, until
from gradviz.symbolic.arithmetic import MP, WIDE, WIDE_UNIT, from_wide
from gradviz.symbolic.wide import erf_wide, erfc_wide

UNITS = 8
_random = np.random.default_rng(0)
NUMBERS = np.concatenate(
    [_random.uniform(-9, 9, 600), _random.uniform(-1, 1, 300), 10.0 ** _random.uniform(-300, -3, 60), [0.0, 8.0, 20.0]]
).astype(np.longdouble)


@pytest.mark.parametrize(("wide", "exact", "units"), [(erf_wide, MP.erf, UNITS), (erfc_wide, MP.erfc, 2**6 * UNITS)])
def test_the_error_function_in_wide_floats_is_that_to_50_digits(
    wide: Callable[[Any], Any], exact: Callable[[Any], Any], units: int
) -> None:
    for number, found in zip(NUMBERS, wide(NUMBERS), strict=True):
        true = exact(from_wide(number))
        assert abs(from_wide(found) - true) <= units * WIDE_UNIT * abs(true)


def test_the_error_function_of_what_is_not_finite() -> None:
    assert str(erf_wide(np.array([np.inf, -np.inf, np.nan]))) == "[ 1. -1. nan]"


def test_a_function_that_is_had_one_element_after_the_other_looks_at_the_clock() -> None:
    with until(0.0), pytest.raises(OutOfTime):
        WIDE.function("Entr", [np.ones(3, dtype=np.longdouble)])
