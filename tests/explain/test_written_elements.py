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
    right = (torch.softmax(x, 1) - torch.tensor([[0, 1, 0], [1, 0, 0]])) / 2
    for index in ((0, 1), (0, -2)):
        closed = str(graph.explain("x", index=index)).splitlines()[-1]
        assert closed == f"  ∂c/∂x[0, 1] = (exp(b[0, 1]) − 1)/2 = −{-right[0, 1].item():.4g}"
    assert f"  ∂c/∂x[0, 0] = exp(b[0, 0])/2 = {right[0, 0].item():.4g}" in str(graph.explain("x"))
    assert "∂c/∂b[0, 1] · (1 − exp(b[0, 1])) + ∂c/∂b[0, 2] · (−exp(b[0, 1]))" in str(graph.explain("x", index=(0, 1)))
    assert " = (exp(b) − [class = a])/2 = [[" in str(graph.explain("x"))


def test_classes_that_a_loss_leaves_out_do_not_count_in_its_mean() -> None:
    scores = torch.tensor([[1.0, 2.0], [0.5, -1.0], [3.0, 0.0]], dtype=torch.float64, requires_grad=True)
    graph = gradviz.trace(lambda scores: torch.nn.functional.cross_entropy(scores, torch.tensor([0, 1, -100])), scores)
    told = str(graph.explain("scores", index=(0, 0)))
    assert "∂c/∂b = ∂c/∂c · (−[class = a]/2) = [[−0.5, 0], [0, −0.5], [0, 0]]" in told
    assert "exp(b) − [class" not in told  # of the row that is left out there is no p either


def test_the_partials_of_softmax_are_written_in_its_results() -> None:
    graph = gradviz.trace("dot(c, softmax(x))", x=[1.0, 2.0, 0.5], c=[1.0, 0.0, 2.0])
    told = str(graph.explain("x", index=0))
    assert "∂b/∂a[0] · a[0]·(1 − a[0]) + ∂b/∂a[1] · (−a[0]·a[1]) + ∂b/∂a[2] · (−a[0]·a[2]) = 1 · 0.1778 + 0 · " in told
    assert "  ∂a[i]/∂x[j] = a[i] · (δ[i, j] − a[j])\n" in told
    assert "  ∂b/∂x[0] = a[0]·(c[0] − c[0]·a[0] − c[1]·a[1] − c[2]·a[2]) = 0.1129" in told
    latex = graph.explain("x").latex
    assert r"&= {a}_{i} \cdot \left({\delta}_{i, j} - {a}_{j}\right)" in latex and latex.isascii()


@pytest.mark.parametrize(("axis", "told"), [(0, "∂a[i, n]/∂x[j, n]"), (1, "∂a[n, i]/∂x[n, j]")])
def test_the_general_partial_of_softmax_runs_along_its_axis(axis: int, told: str) -> None:
    x = torch.tensor([[1.541, -0.2934, -2.179], [0.5684, -1.085, -1.399]], dtype=torch.float64, requires_grad=True)
    text = str(gradviz.trace(lambda x: torch.log_softmax(x, axis).square().sum(), x).explain("x", index=(0, 1)))
    assert f"  {told} = δ[i, j] − exp(" in text
    value = torch.func.grad(lambda x: torch.log_softmax(x, axis).square().sum())(x.detach())[0, 1]
    (written,) = [line for line in text.splitlines() if line.startswith("  ∂c/∂x[0, 1] = ∂c/∂a[")]
    assert written.endswith(f" = {value:.4g}".replace("-", "−"))


def test_a_weighted_loss_of_soft_classes_is_p_minus_y() -> None:
    graph = gradviz.trace("-dot(y, log_softmax(x))", x=[1.0, 2.0, 0.5], y=[1.0, 0.0, 0.0])
    assert "  ∂c/∂x[1] = (y[0] + y[1] + y[2])·exp(a[1]) − y[1] = 0.6285" in str(graph.explain("x", index=1))


def test_a_cross_entropy_that_is_scaled_is_still_one_piece_and_one_that_is_read_twice_is_none() -> None:
    x = torch.tensor([[1.0, 2.0], [0.5, -1.0]], dtype=torch.float64, requires_grad=True)
    classes = torch.tensor([0, 1])
    scaled = gradviz.trace(lambda x: 3 * torch.nn.functional.cross_entropy(x, classes, reduction="sum"), x)
    assert " = ∂c/∂b · (exp(a) − [class = classes]) = [[" in str(scaled.explain("x"))

    def twice(x):
        logarithm = torch.log_softmax(x, 1)
        return torch.nn.functional.nll_loss(logarithm, classes) + logarithm.sum()

    assert "exp(logarithm) − [class" not in str(gradviz.trace(twice, x).explain("x"))
