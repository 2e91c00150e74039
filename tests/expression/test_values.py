"""What a user gives as the value of a variable, and the tensor that comes of it."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hypothesis_numpy

from gradviz.errors import InputError
from gradviz.expression import to_tensor


@pytest.mark.parametrize("value", [2, 2.0, Fraction(4, 2), np.float32(2), np.int8(2), np.array(2.0)])
def test_a_number_becomes_a_float_without_dimensions(value: Any) -> None:
    tensor = to_tensor(value, "x")
    assert tensor.shape == ()
    assert tensor.item() == 2.0
    assert tensor.is_floating_point()
    assert not tensor.requires_grad


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_keeps_all_its_bits(value: float) -> None:
    tensor = to_tensor(value, "x")
    assert tensor.dtype == torch.float64
    assert tensor.item().hex() == value.hex()


def test_nested_lists_become_a_matrix() -> None:
    assert torch.equal(to_tensor([[1, 2], (3, 4.5)], "A"), torch.tensor([[1.0, 2.0], [3.0, 4.5]], dtype=torch.float64))


@given(hypothesis_numpy.arrays(np.float64, hypothesis_numpy.array_shapes(max_dims=3, max_side=4)))
def test_an_array_is_copied_as_it_is(array: np.ndarray[Any, np.dtype[np.float64]]) -> None:
    expected = array.copy()
    tensor = to_tensor(array, "x")
    array += 1
    assert np.array_equal(tensor.numpy(), expected, equal_nan=True)


def test_arrays_keep_their_dtype_and_integers_become_float64() -> None:
    assert to_tensor(np.ones(2, dtype=np.float32), "x").dtype == torch.float32
    assert to_tensor(np.ones(2, dtype=np.int32), "x").dtype == torch.float64
    assert to_tensor(np.ones(2, dtype=">f8"), "x").tolist() == [1.0, 1.0]
    assert to_tensor(np.ones((2, 3))[:, ::-1], "x").shape == (2, 3)


def test_a_tensor_stays_the_same_object() -> None:
    tensor = torch.ones(2, requires_grad=True)
    assert to_tensor(tensor, "x") is tensor


SELF_CONTAINING: list[Any] = [[1.0]]
SELF_CONTAINING[0] = SELF_CONTAINING


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            "2",
            r"the value of x is '2' \(str\); accepted are numbers, nested lists of numbers, numpy arrays and torch tensors",
        ),
        (True, r"the value of x is True \(bool\)"),
        (None, r"the value of x is None \(NoneType\)"),
        (1j, r"the value of x is 1j \(complex\)"),
        (
            [1, [2]],
            r"the list x is ragged: x\[0\] has shape \(\), x\[1\] has shape \(1,\); accepted are rows of equal length",
        ),
        ([[1, 2], [3]], r"the list x is ragged: x\[0\] has shape \(2,\), x\[1\] has shape \(1,\)"),
        ([1, [2, "a"]], r"the value of x\[1\]\[1\] is 'a' \(str\)"),
        ([], "the value of x is an empty list; accepted are lists of at least one number"),
        ([[1], []], r"the value of x\[1\] is an empty list"),
        (math.nan, "the value of x is nan; accepted are finite numbers, or a tensor to look into a NaN or infinity"),
        ([1, math.inf], r"the value of x\[1\] is inf"),
        (10**400, "the value of x is too large for a float; accepted are sizes up to 1.8e308"),
        (np.array(["a"]), "the value of x is an array of <U1; accepted are floats, complex numbers and integers"),
        (np.zeros((0, 2)), r"the value of x is an empty array of shape \(0, 2\)"),
        (SELF_CONTAINING, "the value of x nests lists more than 8 deep; accepted are at most 8"),
    ],
)
def test_any_other_value_is_refused_at_its_place(value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        to_tensor(value, "x")
