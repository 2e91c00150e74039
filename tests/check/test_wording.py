"""What a report says of kinks, ties, cancellation and what it did not look at."""

from __future__ import annotations

import pytest
import torch

import gradviz
from gradviz.check import CheckReport, LeafCheck


def checked(text: str, **at: object) -> CheckReport:
    return gradviz.trace(text, at=at, device="cpu").check()


def leaf(report: CheckReport, name: str) -> LeafCheck:
    return next(entry for entry in report.leaves if entry.name == name)


def test_the_formula_of_a_maximum_gives_torchs_number_at_a_tie() -> None:
    report = checked("max(x, y)", x=2.0, y=2.0)
    assert [edge.formula for edge in report.edges] == ["[x = y]/2 + [x > y]", "[x = y]/2 + [x < y]"]
    assert [edge.autograd for edge in report.edges] == [0.5, 0.5]
    assert all("between the one-sided derivatives 0 and 1" in edge.reason for edge in report.edges)
    assert leaf(report, "x").autograd == 0.5
    assert leaf(report, "x").reference is None


@pytest.mark.parametrize(
    ("text", "formula"),
    [
        ("min(x, y, z)", "[x = min(y, z)]/2 + [x < min(y, z)]"),
        ("2max(x, y, z)", "[x = max(y, z)] + 2·[x > max(y, z)]"),
        ("min(x, max(y, z))", ""),
    ],
)
def test_extremes_of_three_have_a_formula_without_nested_conditions_or_none(text: str, formula: str) -> None:
    report = checked(text, x=1.0, y=2.0, z=3.0)
    assert leaf(report, "x").formula == formula
    assert "ITE" not in str(report)


def test_an_infinite_derivative_is_the_same_on_both_sides() -> None:
    report = checked("sqrt(x)", x=0.0)
    assert report.verified
    assert "infinite on both sides" in leaf(report, "x").reason


def test_a_kink_where_sympy_agrees_says_what_torch_takes() -> None:
    report = checked("relu(x)", x=0.0)
    assert "on a kink (relu at 0)" in report.edges[0].reason
    assert (leaf(report, "x").autograd, leaf(report, "x").reference) == (0.0, 0.0)


def test_digits_lost_by_cancellation_are_counted() -> None:
    report = checked("tanh(x)", x=20.0)
    assert report.verified
    told = " ".join(str(report).split())
    assert "cancellation in float64: 0 of 16 digits are left; torch gives 0, the true value is 1.699e−17" in told


def test_a_rounded_number_says_nothing_of_cancellation() -> None:
    assert "cancellation" not in str(checked("tanh(x)", x=1.0))


def test_a_leaf_without_elements_is_nothing_to_worry_about() -> None:
    report = gradviz.trace(torch.zeros(0, 3, requires_grad=True).sum()).check()
    assert report.verified
    assert report.leaves[0].reason == "nothing to check: it has no elements"


def test_the_summary_says_that_gradients_of_many_elements_are_not_composed() -> None:
    weight = torch.ones(5, 3, requires_grad=True)
    report = gradviz.trace((weight * 2).sum()).check()
    assert report.leaves == ()
    assert "not composed as a whole: the leaves have 15 elements, more than 12" in report.summary
    assert "not composed" not in checked("2x", x=1.0).summary


def test_a_number_of_a_vector_jacobian_product_says_that_it_is_one() -> None:
    x = torch.randn(30, 40, generator=torch.Generator().manual_seed(0), requires_grad=True)
    report = gradviz.trace(lambda x: x.T.exp().sum(), x).check()
    assert report.edges[0].quantity == "VJP"
    assert "of a VJP" in str(report)
    assert report.edges[1].quantity == ""


def test_of_numbers_that_are_all_exact_one_that_is_not_zero_is_shown() -> None:
    x = torch.tensor([[0.0, 2.0], [3.0, 0.0]])
    weight = torch.ones(2, requires_grad=True)
    edge = gradviz.trace(lambda weight: (x @ weight).sum(), weight).check().edges[0]
    assert (edge.autograd, edge.index) == (3.0, (1, 0))


def test_a_cell_without_a_number_says_why() -> None:
    at_a_tie = str(checked("max(x, y)", x=2.0, y=2.0)).splitlines()
    assert "on a kink  –" in at_a_tie[2]
    empty = str(gradviz.trace(torch.zeros(0, 3, requires_grad=True).sum()).check())
    assert empty.splitlines()[2].count("–") == 4


def test_an_undefined_derivative_says_what_torch_gives_and_what_is_true() -> None:
    report = checked("x * sqrt(x)", x=0.0)
    assert (report.edges[0].finding, report.edges[0].verdict) == ("undefined", "unverified")
    assert report.edges[0].reason == "undefined: the derivative is infinite, and 0 × ∞ makes NaN of the contribution"
    assert (leaf(report, "x").finding, leaf(report, "x").verdict) == ("undefined", "unverified")
    assert "torch gives nan; the true derivative is nan to the left" in leaf(report, "x").reason
    nan = checked("log(x)", x=-1.0).nodes[0]
    assert (nan.verdict, nan.reason) == ("unverified", "undefined: torch gives nan, and there is no true value")


@pytest.mark.parametrize(
    ("text", "x", "finding"),
    [("relu(x)", 0.0, "kink"), ("tanh(x)", 20.0, "cancellation"), ("sqrt(x)", 0.0, "undefined"), ("2x", 1.0, "")],
)
def test_findings_are_told_apart(text: str, x: float, finding: str) -> None:
    assert checked(text, x=x).edges[0].finding == finding


def test_moved_elements_are_called_by_what_moved_them() -> None:
    report = checked("sum(transpose(A) @ x)", A=[[1.0, 2.0], [3.0, 4.0]], x=[1.0, 2.0])
    assert report.edges[0].formula == "transpose"


def test_a_power_is_differentiated_as_people_write_it() -> None:
    report = checked("x^y", x=2.0, y=3.0)
    assert [edge.formula for edge in report.edges] == ["y·x^(y - 1)", "a·log(x)"]


def test_the_largest_number_of_float32_is_written_in_four_digits() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    report = gradviz.trace(lambda: x.clamp(min=torch.finfo(torch.float32).min).sum()).check()
    assert report.edges[0].formula == "[x ≥ -3.403e+38]" and "[x ≥ −3.403e+38]" in str(report)


def test_what_ran_before_the_trace_is_said_once_for_all_that_it_leaves_open() -> None:
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    masked = (2 * x).masked_fill(torch.tensor([False, True, False]), 0.0)
    said = " ".join(str(gradviz.trace(masked.exp().sum()).check()).split())
    assert ", x: unverified: how masked_fill was called is not known, since it ran before gradviz recorded" in said
    filled = gradviz.trace((x * 2).clone().fill_(2.0) + x, grad_output=torch.ones_like).check()
    missing = {entry.reason for entry in filled.edges if entry.verdict == "unverified"}
    assert "nothing kept the result of FillBackward2, and it cannot be computed again from what autograd keeps" in missing


def test_several_results_stand_in_parentheses_in_the_sign_of_a_derivative() -> None:
    def loss(x: torch.Tensor) -> torch.Tensor:
        low, high = torch.aminmax(x)
        return low * high

    report = gradviz.trace(loss, torch.tensor([1.0, 2.0, 3.0], requires_grad=True)).check()
    assert [edge.name for edge in report.edges] == ["∂(low, high)/∂x", "∂a/∂low", "∂a/∂high"]
