"""Tensors as HTML."""

from __future__ import annotations

import base64

import pytest
import torch

from gradviz.app.numbers import tensor_html


def test_a_single_number_has_all_its_digits() -> None:
    assert '<span class="one">−0.30000000000000004</span>' in tensor_html(torch.tensor(-0.1 - 0.2, dtype=torch.float64), "x")


@pytest.mark.parametrize("value", [torch.tensor([[1.5, -2.0], [float("nan"), 0.0]]), torch.ones(2, 2, dtype=torch.bool)])
def test_a_small_matrix_is_written_out(value: torch.Tensor) -> None:
    written = tensor_html(value, "x")
    assert written.count("<td") == 4 and written.count("<tr>") == 2 and "<img" not in written


def test_a_larger_matrix_is_a_heat_map_and_a_histogram() -> None:
    written = tensor_html(torch.arange(144.0).reshape(12, 12), '<b>"x')
    assert "<td" not in written
    assert 'alt="heat map of &lt;b&gt;&quot;x"' in written
    assert 'alt="histogram of &lt;b&gt;&quot;x: 0 to 143, at most 6 in a bin"' in written
    drawn = base64.b64decode(written.partition("data:image/svg+xml;base64,")[2].partition('"')[0]).decode()
    assert drawn.count("<rect") == 24 and "<svg" not in written  # Streamlit takes an SVG out of HTML
    assert "at most 6 in a bin" in written


def test_what_has_no_readable_elements_says_what_it_is() -> None:
    assert "float32 [3] meta" in tensor_html(torch.ones(3, device="meta"), "x")
    assert "empty" in tensor_html(torch.ones(0), "x")
