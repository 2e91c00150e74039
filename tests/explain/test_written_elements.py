"""One element of a gradient, written out as scalars."""

from __future__ import annotations

import re

import pytest
import torch
from explained_graphs import layer, neuron

import gradviz


def test_an_element_is_written_out_as_scalars() -> None:
    graph = neuron()
    gradient = graph.gradients()["W"]
    assert gradient is not None
    text = str(graph.explain("W", index=(0, 1)))
    assert "∂g/∂W[0, 1] = ∂g/∂a[0] · ∂a[0]/∂W[0, 1] = ∂g/∂a[0] · x[1]" in text
    line = next(line for line in text.splitlines() if line.strip().startswith("∂g/∂W[0, 1]"))
    assert float(line.split("=")[-1].replace("−", "-")) == pytest.approx(float(gradient[0, 1]), rel=1e-3)


def test_an_element_of_a_dead_unit_goes_on_to_the_unit() -> None:
    text = str(layer().explain("W1", index=(1, 0)))
    assert "= ∂f/∂a[1] · x[0] = 0 · 1 = 0\n" in text
    assert "∂f/∂a[1] = ∂f/∂b[1] · ∂b[1]/∂a[1] = ∂f/∂b[1] · [a[1] > 0] = 9 · 0 = 0\n" in text


def test_rows_of_an_element_stand_in_order_and_none_is_left_out() -> None:
    x, w = torch.tensor([[3.0], [-5.0], [1.0]]), torch.tensor([[2.0]], requires_grad=True)
    text = str(gradviz.trace(lambda w: (x @ w).square().sum(), w).explain("w", index=(0, 0)))
    line = next(line for line in text.splitlines() if line.startswith("  ∂c/∂w[0, 0] = "))
    assert (
        "= ∂c/∂a[0, 0] · x[0, 0] + ∂c/∂a[1, 0] · x[1, 0] + ∂c/∂a[2, 0] · x[2, 0] = 12 · 3 + (−20) · (−5) + 4 · 1 = " in line
    )


def test_an_element_is_written_with_the_formulas_of_the_other_sections() -> None:
    x, w = torch.tensor([[3.0, 4.0], [6.0, 8.0]], requires_grad=True), torch.tensor([[0.5], [2.0]])
    rows = str(gradviz.trace(lambda x: torch.linalg.vector_norm(x, dim=1).sum(), x).explain("x", index=(1, 0)))
    assert "= ∂b/∂a[1] · x[1, 0]/a[1] = 1 · 0.6 = 0.6\n" in rows
    columns = str(gradviz.trace(lambda x: (x * w).sigmoid().sum(), x).explain("x", index=(1, 1)))
    assert "= ∂c/∂a[1, 1] · w[1, 0] = " in columns
    assert "= ∂c/∂b[1, 1] · b[1, 1]·(1 − b[1, 1]) = " in columns


def test_an_element_that_nothing_reads_says_so() -> None:
    x = torch.tensor([1.0, 2.0, 0.5], requires_grad=True)
    text = str(gradviz.trace(lambda x: x.exp()[0] * x.sum(), x).explain("x", index=1))
    assert re.search(r"∂\w/∂\w\[1\] = 0 +\(nothing on the way reads it\)", text)


def test_a_negative_index_counts_from_the_end() -> None:
    assert "∂g/∂W[1, 1] =" in str(neuron().explain("W", index=(-1, -1)))


@pytest.mark.parametrize("index", [(0,), (0, 2), (0, 0, 0)])
def test_an_index_that_does_not_fit_is_refused(index: tuple[int, ...]) -> None:
    with pytest.raises(gradviz.InputError, match=r"does not fit 'W', which has shape \(2, 2\)"):
        neuron().explain("W", index=index)


def test_an_int_is_the_index_of_the_only_axis() -> None:
    assert str(neuron().explain("b", index=1)) == str(neuron().explain("b", index=(1,)))


@pytest.mark.parametrize("index", ["0", 1.0, [0], (0, 1.5), True])
def test_an_index_that_is_none_is_refused(index: object) -> None:
    with pytest.raises(gradviz.InputError, match="accepted: an int, or a tuple of them"):
        neuron().explain("b", index=index)  # type: ignore[arg-type]


def test_an_index_has_no_short_form() -> None:
    with pytest.raises(gradviz.InputError, match="not written out on one line"):
        neuron().explain("b", level="short", index=(0,))


def test_an_element_of_complex_numbers_is_refused() -> None:
    graph = gradviz.trace(lambda z: z.abs().sum(), torch.tensor([1 + 2j, 2 - 1j], requires_grad=True))
    with pytest.raises(gradviz.InputError, match="complex numbers lead from 'z' to the output"):
        graph.explain("z", index=(0,))


def test_cross_entropy_has_the_closed_form_of_the_textbooks() -> None:
    x = torch.tensor([[1.541, -0.2934, -2.179], [0.5684, -1.085, -1.399]], dtype=torch.float64, requires_grad=True)
    graph = gradviz.trace(lambda x: torch.nn.functional.cross_entropy(x, torch.tensor([1, 0])), x)
    powers = "(exp(x[0, 0]) + exp(x[0, 1]) + exp(x[0, 2]))"
    right = (torch.softmax(x, 1) - torch.tensor([[0, 1, 0], [1, 0, 0]])) / 2
    for index in ((0, 1), (0, -2)):
        closed = str(graph.explain("x", index=index)).splitlines()[-1]
        assert closed == f"  ∂c/∂x[0, 1] = −1/2 + exp(x[0, 1])/(2·{powers}) = −{-right[0, 1].item():.4g}"
    assert f"  ∂c/∂x[0, 0] = exp(x[0, 0])/(2·{powers}) = {right[0, 0].item():.4g}" in str(graph.explain("x"))
    assert f"∂c/∂b[0, 1] · (1 − exp(x[0, 1])/{powers})" in str(graph.explain("x", index=(0, 1)))
