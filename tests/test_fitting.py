"""Cells that are cut: names stay distinct, numbers are there as a whole or not at all."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradviz.fitting import cut_end, cut_middle, cut_numbers, distinct, folded
from gradviz.view.notation import shorten

NUMBERS = ["0.125", "8.123e−07", "1e-08", "12", "1.235"]


@given(st.lists(st.text("ab_", min_size=1, max_size=40), unique=True, max_size=12), st.integers(8, 30))
def test_names_that_differ_never_look_alike_and_fit(names: list[str], length: int) -> None:
    shorts = distinct(names, length, shorten)
    assert len({*shorts}) == len(names)
    assert all(len(short) <= length for short in shorts)


def test_of_derivatives_it_can_be_told_which_leaf_is_which() -> None:
    leaves = [f"encoder_{what}_weight_first_layer" for what in ("attention", "projection")]
    names = [f"∂{head}/∂{leaf}" for head, leaf in zip("ab", leaves, strict=True)]
    one, other = (short.partition("/∂")[2] for short in distinct(names, 18, shorten))
    assert one != other


@pytest.mark.parametrize("length", range(1, 40))
@pytest.mark.parametrize("cut", [cut_end, cut_middle, cut_numbers])
def test_no_number_is_cut(cut, length: int) -> None:
    texts = ["exp(x)·0.125 + 8.123e−07·y/1e-08 − 12", "[0.125, 8.123e−07, 12, 1e-08, 1.235]", "norm 8.123e−07"]
    for text in texts:
        short = cut(text, length)
        assert len(short) <= length
        assert all(found in NUMBERS for found in re.findall(r"\d[\d.]*(?:e[−-]?\d+)?", short)), short


def test_a_shape_is_not_cut_to_what_looks_like_elements() -> None:
    for cell in ("[48, 16]  −0.306 to 0.41", "[48, 16] x [2, 3]"):
        assert all("[48, …" not in cut_numbers(cell, length) for length in range(1, 30))


@pytest.mark.parametrize("width", range(16, 40))
def test_a_long_formula_is_folded_beside_its_numbers(width: int) -> None:
    line = "  name: 0.125·exp(x)·(8.123e−07·tanh(y)+1.235)/(12·sin(x·y))"
    parts = folded(line, width, "    ")
    assert max(map(len, parts)) <= width
    assert "".join(part.strip() for part in parts).replace(" ", "") == line.replace(" ", "")
    assert all(found in NUMBERS for part in parts for found in re.findall(r"\d[\d.]*(?:e[−-]?\d+)?", part))
