"""Tensors as a few lines and a heat map."""

from __future__ import annotations

import math

import pytest
import torch

from gradviz.view.summary import cotangent_text, heat_map, statistics_lines, value_lines


def test_statistics_are_those_of_the_tensor() -> None:
    value = torch.randn(7, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mean, ends = f"mean {value.mean():.4g}", f"min {value.min():.4g}  max {value.max():.4g}"
    assert value_lines(value) == ("float64 [7, 5]", mean.replace("-", "−"), ends.replace("-", "−"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.int8, torch.int64])
def test_every_real_dtype_has_statistics(dtype: torch.dtype) -> None:
    assert statistics_lines(torch.arange(6.0).to(dtype)) == ("mean 2.5", "min 0  max 5")


def test_what_is_not_finite_is_counted_and_does_not_spoil_the_mean() -> None:
    value = torch.tensor([1.0, math.nan, math.inf, -math.inf, 3.0])
    assert statistics_lines(value) == ("mean 2", "min 1  max 3", "1 NaN, 2 ∞")
    assert statistics_lines(torch.full((3,), math.nan)) == ("nothing finite", "3 NaN")


def test_complex_numbers_are_summed_up_by_modulus() -> None:
    assert statistics_lines(torch.tensor([3 + 4j, 0j])) == ("modulus: mean 2.5", "min 0  max 5")


@pytest.mark.parametrize(
    ("value", "lines"),
    [
        (torch.tensor(2), ("2",)),
        (torch.tensor(True), ("True",)),
        (torch.tensor([[1.5]]), ("[[1.5]]",)),
        (torch.zeros(0, 3), ("float32 [0, 3]", "empty")),
        (torch.zeros(5, device="meta"), ("float32 [5] meta",)),
        (torch.eye(3).to_sparse(), ("float32 [3, 3] sparse_coo",)),
    ],
)
def test_unusual_tensors_have_lines(value: torch.Tensor, lines: tuple[str, ...]) -> None:
    assert value_lines(value) == lines


def test_a_large_cotangent_is_its_norm() -> None:
    assert cotangent_text(torch.full((4, 4), 0.5), "∂L/∂w") == "‖∂L/∂w‖ = 2"
    assert cotangent_text(torch.tensor([0.0, 1.0]), "∂L/∂b") == "∂L/∂b = [0, 1]"
    assert cotangent_text(torch.tensor([[math.nan] * 5]), "∂L/∂b") == "‖∂L/∂b‖ = NaN"


def test_a_small_matrix_is_written_out() -> None:
    assert value_lines(torch.tensor([[1.0, -2.0], [0.5, 0.25]])) == ("float32 [2, 2]", "[[1, −2], [0.5, 0.25]]")
    assert cotangent_text(torch.tensor([[math.nan, 0.0]]), "∂L/∂b") == "∂L/∂b = [[NaN, 0]]"
    assert value_lines(torch.ones(1, 2, 2))[1] == "mean 1"


def test_a_vector_whose_elements_take_too_much_room_is_not_written_out() -> None:
    value = torch.tensor([-1.234e-05, 1.234e-05, -1.234e-05], dtype=torch.float64)
    assert value_lines(value)[1] == "mean −4.113e−06"
    assert cotangent_text(value, "∂L/∂b") == "‖∂L/∂b‖ = 2.137e−05"
    assert value_lines(value[:2])[1] == "[−1.234e−05, 1.234e−05]"


@pytest.mark.parametrize(
    ("shape", "rows", "columns"),
    [((32, 32), 32, 32), ((2, 32), 2, 32), ((5,), 1, 5), ((1, 4, 1, 6), 4, 6), ((16, 1), 1, 16)],
)
def test_a_heat_map_has_the_shape_of_the_tensor(shape: tuple[int, ...], rows: int, columns: int) -> None:
    heat = heat_map(torch.ones(shape))
    assert heat is not None
    assert (heat.rows, heat.columns) == (rows, columns)


@pytest.mark.parametrize("shape", [(), (1,), (33, 2), (2, 33), (2, 2, 2), (0, 4)])
def test_other_shapes_have_no_heat_map(shape: tuple[int, ...]) -> None:
    assert heat_map(torch.zeros(shape)) is None


def test_the_colours_end_at_the_largest_finite_magnitude() -> None:
    heat = heat_map(torch.tensor([[1.0, -4.0], [math.inf, math.nan]]))
    assert heat is not None
    assert heat.limit == 4.0
