"""NaN verifies nothing: what is NaN on both sides is unverified, the row shows it, and a NaN gradient is never fine."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

import gradviz
from gradviz.check import Checked, CheckReport
from gradviz.check.judge import Comparison
from gradviz.cli.command import main
from gradviz.testing import assert_gradients


def checked(function: Callable[[Tensor], Tensor], *at: float) -> CheckReport:
    return gradviz.trace(function, torch.tensor(at, requires_grad=True)).check()


def masked_root(z: Tensor) -> Tensor:
    return torch.where(z > 0, torch.sqrt(z), torch.zeros_like(z)).sum()


def named(entries: tuple[Checked, ...], name: str) -> Checked:
    return next(entry for entry in entries if entry.name == name)


@pytest.mark.parametrize("more", [0, 5], ids=["rows", "arrays"])
def test_a_gradient_that_is_nan_behind_a_mask_is_a_mismatch_and_each_row_shows_its_element(more: int) -> None:
    report = checked(masked_root, 4.0, 0.0, *[1.0] * more)
    (leaf,) = report.leaves
    assert (leaf.verdict, leaf.index, leaf.reference) == ("mismatch", (1,), 0.0)
    assert leaf.autograd is not None and math.isnan(leaf.autograd)
    edge = named(report.edges, "∂b/∂z")
    assert (edge.verdict, edge.finding, edge.autograd, edge.index) == ("unverified", "undefined", math.inf, (1,))
    assert edge.reason == "undefined: the derivative is infinite at [1], and 0 × ∞ makes NaN of the contribution"
    total = named(report.sums, "z")
    assert (total.verdict, total.index) == ("unverified", (1,))
    assert not report.ok and not report.verified and report.nan_gradients == ("z",)
    assert f"The gradient of z (1 of {2 + more} elements) is NaN" in report.summary


@pytest.mark.parametrize("mask", [lambda z: z * torch.tensor([1.0, 0.0]), lambda z: z.masked_fill(z == 0, 0.0)])
def test_what_a_mask_takes_away_has_the_derivative_0_however_steep_it_is(mask: Callable[[Tensor], Tensor]) -> None:
    (leaf,) = checked(lambda z: mask(torch.sqrt(z)).sum(), 4.0, 0.0).leaves
    assert (leaf.verdict, leaf.index, leaf.reference) == ("mismatch", (1,), 0.0)


def test_a_mask_within_the_argument_is_right() -> None:
    report = checked(lambda z: torch.where(z > 0, torch.sqrt(torch.where(z > 0, z, 1.0)), 0.0).sum(), 4.0, 0.0)
    assert report.verified, report


def test_a_constant_0_beside_what_is_infinite_has_no_true_derivative() -> None:
    report = checked(lambda x: (torch.log(x) * 0).sum(), 0.0, 2.0)
    assert (report.leaves[0].verdict, report.leaves[0].reference) == ("unverified", pytest.approx(math.nan, nan_ok=True))
    assert not report.ok


@pytest.mark.parametrize(
    ("function", "at"),
    [
        (lambda x: torch.sin(x).sum(), (4.0, math.nan, 1.0)),
        (lambda x: torch.softmax(x, 0).sum(), (-math.inf, -math.inf)),
        (lambda x: (torch.exp(x) - torch.exp(x)).sum(), (1000.0, 1.0)),
        (lambda x: torch.log(torch.sigmoid(x)).sum(), (-200.0, 1.0)),
        (lambda x: (torch.log(x) * x).sum(), (0.0, 2.0)),
        (lambda x: torch.where(x != 0, torch.sin(x) / x, torch.ones_like(x)).sum(), (0.0, 2.0)),
        (lambda x: (x * torch.sqrt(x)).sum(), (0.0, 2.0)),
        (lambda x: (x / x.abs().sum()).sum(), (0.0, 0.0)),
    ],
)
def test_nan_is_never_a_match(function: Callable[[Tensor], Tensor], at: tuple[float, ...]) -> None:
    report = checked(function, *at)
    for entry in report.entries:
        assert entry.verdict != "match" or not math.isnan(entry.autograd or 0.0), entry
    assert not report.ok and report.nan_gradients == ("x",)
    row = next(line for line in str(report).splitlines() if line.startswith("x "))
    assert " NaN " in row


def test_nan_between_finite_one_sided_derivatives_is_a_mismatch() -> None:
    (leaf,) = checked(lambda x: (x * x).sum().sqrt(), 0.0, 0.0).leaves
    assert leaf.verdict == "mismatch"
    told, _, begins = leaf.reason.partition("; ")
    assert told == "torch gives nan on a kink (square root at 0), where the one-sided derivatives are -1 and 1"
    assert re.fullmatch(r"NaN begins, going back, in ∂a/∂x \(self\) \(test_not_finite.py:\d+\)", begins)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.abs().log().sum(),
        lambda x: (1 / x.abs()).sum(),
        lambda x: torch.xlogy(x.abs(), x.abs()).sum(),
        lambda x: torch.xlogy(x, x).sum(),
        lambda x: torch.xlogy(0 * x.detach(), x).sum(),
        lambda x: torch.special.xlog1py(x, x - 1).sum(),
    ],
)
@pytest.mark.parametrize("at", [(0.0,), (0.0, 2.0, 1.0, 3.0, 4.0)])
def test_nan_where_the_true_derivative_is_undefined_is_no_mismatch(
    function: Callable[[Tensor], Tensor], at: tuple[float, ...]
) -> None:
    report = checked(function, *at)
    (leaf,) = report.leaves
    assert (leaf.verdict, leaf.finding) == ("unverified", "undefined"), report
    assert not report.mismatches and not report.ok and report.nan_gradients == ("x",)


def test_x_log_y_is_right_beside_where_both_are_zero() -> None:
    x, y = torch.tensor([0.0, 0.0, 2.0], requires_grad=True), torch.tensor([3.0, -1.0, 2.0], requires_grad=True)
    assert gradviz.trace(lambda x, y: torch.xlogy(x, y).sum(), x, y).check().verified


@pytest.mark.parametrize("function", [torch.logaddexp, torch.logaddexp2])
def test_a_slope_that_underflows_beside_the_larger_exponent_is_no_mismatch(function: Callable[..., Tensor]) -> None:
    x, y = torch.tensor([-140.0, 1.0], requires_grad=True), torch.tensor([0.0, 101.0], requires_grad=True)
    assert not gradviz.trace(lambda x, y: function(x, y).sum(), x, y).check().mismatches


@pytest.mark.parametrize("norm", [torch.norm, torch.linalg.norm, torch.std, lambda x: torch.linalg.vector_norm(x, 3)])
def test_the_number_that_torch_takes_at_the_tip_of_a_norm_is_a_match_on_its_kink(norm: Callable[[Tensor], Tensor]) -> None:
    report = checked(norm, 0.0, 0.0)
    assert report.verified and report.edges[0].finding == "kink", report


def test_points_that_coincide_are_a_kink_of_their_distance() -> None:
    points = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    report = gradviz.trace(lambda x: torch.cdist(x, x).sum(), points).check()
    assert all(edge.verdict == "match" for edge in report.edges), report


def test_an_infinite_derivative_matches_and_is_told() -> None:
    report = checked(lambda z: torch.sqrt(z).sum(), 4.0, 0.0, 1.0)
    edge = report.edges[0]
    assert (edge.verdict, edge.autograd, edge.reference, edge.index) == ("match", math.inf, math.inf, (1,))
    assert report.ok and "The gradient of z (1 of 3 elements) is infinite" in report.summary


def test_a_mask_of_minus_infinity_is_nothing_to_worry_about() -> None:
    hidden = torch.tensor([[False, True], [False, False]])
    x = torch.randn(2, 2, generator=torch.Generator().manual_seed(0), requires_grad=True)
    report = gradviz.trace(lambda x: x.masked_fill(hidden, -math.inf).softmax(1).square().sum(), x).check()
    assert report.verified and not report.not_finite, report


def test_nan_that_reaches_no_gradient_is_unverified_but_nothing_wrong() -> None:
    y = torch.tensor([0.0, 1.0])
    report = checked(lambda x: torch.where(y > 0, x, y / y).nansum(), 1.0, 2.0)
    assert report.ok and not report.nan_gradients, report


def test_a_number_is_infinitely_far_from_infinity_however_wide_the_bound() -> None:
    comparison = Comparison(torch.float64)
    comparison.method = "symbolic"
    comparison.elements(np.array([0.5, 1.0]), np.array([np.inf, 1.0], dtype=np.longdouble), np.array([np.inf, 1e-9]))
    assert (comparison.verdict, comparison.index) == ("mismatch", (0,))


@pytest.mark.parametrize("count", [2, 9])
@pytest.mark.parametrize("options", [{}, {"nan": 0.5}, {"nan": 0.5, "posinf": 2.0, "neginf": -2.0}], ids=str)
def test_what_replaces_nan_is_a_constant(options: dict[str, float], count: int) -> None:
    x = torch.tensor(([math.nan, 2.0] * count)[:count], dtype=torch.float64, requires_grad=True)
    report = gradviz.trace(lambda x: torch.nan_to_num(x, **options).square().sum(), x).check()
    assert report.ok and report.edges[0].verdict == "match" and report.nodes[0].verdict == "match", report


def test_what_replaces_infinity_is_a_constant() -> None:
    x = torch.tensor([math.inf, -math.inf, 2.0], dtype=torch.float64, requires_grad=True)
    report = gradviz.trace(lambda x: torch.nan_to_num(x, posinf=3.0, neginf=-4.0).sum(), x).check()
    assert report.ok and report.edges[0].verdict == report.nodes[0].verdict == "match", report
    assert not gradviz.trace(lambda x: torch.nan_to_num(x).sum(), x).check().mismatches


def test_the_command_line_ends_with_1_where_a_gradient_is_nan(tmp_path: Path) -> None:
    file = tmp_path / "roots.py"
    file.write_text(
        "import torch\nz = torch.arange(20.0).requires_grad_()\n"
        "def step():\n    return torch.where(z > 0, torch.sqrt(z), torch.zeros_like(z)).sum()\n",
        encoding="utf-8",
    )
    result = CliRunner().invoke(main, ["check", f"{file}:step"])
    assert result.exit_code == 1 and "The gradient of z (1 of 20 elements) is NaN" in result.output


def test_a_gradient_that_is_nan_fails_in_a_test_suite_whatever_is_allowed() -> None:
    z = torch.arange(20.0, requires_grad=True)
    with pytest.raises(AssertionError, match=r"the gradient that masked_root gives z is not a number \(NaN\)"):
        assert_gradients(masked_root, z, allow_unverified=True)


def linear_with_nan(features: int = 4) -> tuple[torch.nn.Linear, Tensor]:
    torch.manual_seed(0)
    layer, x = torch.nn.Linear(4, features), torch.randn(8, 4)
    x[2, 1] = math.nan
    return layer, x


def test_nan_in_the_input_makes_no_backward_wrong() -> None:
    layer, x = linear_with_nan()
    graph = gradviz.trace(lambda: layer(x).square().mean())
    report = graph.check()
    edge = named(report.edges, "∂b/∂a")
    assert edge.verdict == "unverified" and edge.reason == "undefined: torch gives nan, and an argument holds NaN at [2, 1]"
    assert not report.mismatches and not report.ok and report.nan_gradients == ("weight", "bias")
    assert [finding.kind for finding in graph.diagnose(report=report)] == ["not-finite-value"]


@pytest.mark.parametrize("kink", [torch.relu, lambda x: torch.maximum(x, torch.zeros_like(x))], ids=["relu", "maximum"])
@pytest.mark.parametrize("features", [1, 4])
def test_a_kink_has_no_true_value_and_no_derivative_at_nan(kink: Callable[[Tensor], Tensor], features: int) -> None:
    layer, x = linear_with_nan(features)
    report = gradviz.trace(lambda: kink(layer(x[:4])).mean()).check()
    assert not report.mismatches and not report.ok, report
    assert "torch gives 1 where there is no true value" in str(report)


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(context: object, x: Tensor) -> Tensor:
        return x * 2


def test_beside_nan_in_the_input_a_wrong_backward_is_still_one() -> None:
    class Trebles(Doubled):
        @staticmethod
        def backward(context: object, cotangent: Tensor) -> Tensor:  # type: ignore[override]
            return cotangent * 3

    (edge, _) = checked(lambda x: Trebles.apply(x).sum(), 1.0, math.nan, 2.0).edges
    assert edge.verdict == "mismatch", edge


def test_a_tensor_that_a_write_changed_in_one_place_is_read_as_a_whole() -> None:
    def step(value: float) -> Tensor:
        layer, x = torch.nn.Linear(4, 1), torch.randn(8, 4)
        x[2, 1] = value
        return layer(x).square().mean()

    report = gradviz.trace(lambda: step(5.0)).check()
    assert report.verified and len(report.leaves) == 2, report
    assert "the check itself failed" not in str(gradviz.trace(lambda: step(math.nan)).check())


def test_a_true_value_beyond_the_range_of_float32_is_told_in_few_digits() -> None:
    report = checked(lambda x: (x - 100).exp().log().sum(), 1.0, 2.0, 3.0)
    assert named(report.edges, "∂c/∂b").verdict == "match" and "9.911e+42" in str(report)


def test_a_backward_that_divides_by_0_has_no_ratio() -> None:
    class Divides(Doubled):
        @staticmethod
        def backward(context: object, cotangent: Tensor) -> Tensor:  # type: ignore[override]
            return cotangent / (cotangent - cotangent)

    report = checked(lambda x: Divides.apply(x).sum(), 1.0, 2.0, 3.0)
    assert report.edges[0].reason == "torch gives inf at [0, 0], the true value is 2"


@pytest.mark.parametrize("numbers", [[0.0], [1.0, 0.0, -2.0]])
def test_a_whole_gradient_that_is_nan_behind_a_mask_names_the_edge_that_makes_it(numbers: list[float]) -> None:
    x = torch.tensor(numbers, requires_grad=True)
    (leaf,) = gradviz.trace(lambda x: 3 * torch.where(x > 0, x.sqrt() * 2, x).exp().sum(), x).check().leaves
    assert leaf.verdict == "mismatch"
    begins = r"NaN begins, going back, in ∂b/∂x \(test_not_finite.py:\d+\), of a cotangent of 0: 0 × ∞ is NaN"
    assert re.search(begins, leaf.reason), leaf.reason


def test_nan_that_a_backward_makes_of_other_cotangents_is_not_put_down_to_zeros() -> None:
    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x * 2

        @staticmethod
        def backward(ctx: Any, cotangent: Tensor) -> Tensor:
            return cotangent * math.nan

    x = torch.tensor([1.0, 2.0], requires_grad=True)
    (leaf,) = gradviz.trace(lambda x: Broken.apply(x.sin()).square().sum(), x).check().leaves
    assert "NaN begins, going back, in ∂b/∂a (test_not_finite.py:" in leaf.reason and "cotangent of 0" not in leaf.reason


def test_a_gradient_that_is_wrong_but_finite_names_no_nan() -> None:
    class Doubled(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x * 2

        @staticmethod
        def backward(ctx: Any, cotangent: Tensor) -> Tensor:
            return cotangent * 4

    (leaf,) = gradviz.trace(lambda x: Doubled.apply(x).sum(), torch.ones(2, requires_grad=True)).check().leaves
    assert leaf.verdict == "mismatch" and "NaN" not in leaf.reason
