"""`assert_gradients`: passes what is right, and says of what is not which edge, which line, how wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradviz import GradGraph
from gradviz.check import CheckReport
from gradviz.errors import CheckError, GradvizError, InputError, TraceError
from gradviz.symbolic import RULES
from gradviz.testing import assert_gradients

float32_too = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)


class Square(torch.autograd.Function):
    """Its backward is wrong by 0.1 %."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return cotangent * 2.002 * x


def leaf(*numbers: float, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.tensor(numbers, dtype=dtype, requires_grad=True)


def wrong_loss(x: Tensor, w: Tensor) -> Tensor:
    h = Square.apply(x)
    return torch.tanh(h * w)


def line_of(text: str) -> int:
    """The number of the only line of this file that is `text`."""
    with open(__file__, encoding="utf-8") as file:
        (number,) = (number for number, line in enumerate(file, start=1) if line.strip() == text)
    return number


@float32_too
def test_right_gradients_pass_and_the_report_says_by_which_method(dtype: torch.dtype) -> None:
    x, w = leaf(0.5, -1.0, dtype=dtype), leaf(2.0, 3.0, dtype=dtype)
    report = assert_gradients(lambda x, w: torch.tanh(w * x).sum(), x, w)
    assert report.verified
    assert report.summary.startswith("4 edges: 4 match (symbolic).")


def test_what_has_no_rule_passes_by_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(RULES, torch.ops.aten.tanh.default)
    assert "1 match (numeric)" in assert_gradients(lambda x: torch.tanh(x).square().sum(), leaf(0.5, -1.0)).summary


@float32_too
def test_the_message_names_edge_line_numbers_and_ratio(dtype: torch.dtype) -> None:
    with pytest.raises(AssertionError) as caught:
        assert_gradients(wrong_loss, leaf(1.0, 2.0, dtype=dtype), leaf(0.5, 0.25, dtype=dtype))
    first, edge, *fields = str(caught.value).splitlines()
    assert first == "the backward pass of wrong_loss is wrong on 1 of 4 edges"
    backward = f"Square.backward at test_testing.py:{line_of('def backward(ctx: Any, cotangent: Tensor) -> Tensor:')}"
    assert edge == f"✗ ∂h/∂x at test_testing.py:{line_of('h = Square.apply(x)')}, through x of Square; {backward}"
    told = dict(re.split(r"\s{2,}", field.strip(), maxsplit=1) for field in fields[:4])
    assert float(told["autograd"].partition(" at ")[0]) == pytest.approx(1.001 * float(told["true value"]))
    assert float(told["ratio"]) == pytest.approx(1.001, rel=1e-6)
    assert "wrong because of it: the gradient of x" in fields
    assert fields[-1].startswith("4 edges: 3 match (symbolic), 1 MISMATCH.")


def test_the_message_holds_the_formula_of_an_op_whose_derivative_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    from gradviz.partials import LocalPartial

    right = LocalPartial._taken
    monkeypatch.setattr(LocalPartial, "_taken", lambda self, answer: right(self, answer) * 1.001)
    with pytest.raises(AssertionError, match=r"through self of sin\n    formula     cos\(x\)"):
        assert_gradients("sin(x)", x=0.5)


def test_of_many_wrong_edges_ten_are_listed() -> None:
    def chain(x: Tensor) -> Tensor:
        for _ in range(12):
            x = Square.apply(x)
        return x

    with pytest.raises(AssertionError, match=r"wrong on 12 of 12 edges(?s:.*)\.\.\. and 2 more") as caught:
        assert_gradients(chain, leaf(1.0))
    assert str(caught.value).count("✗ ∂") == 10


def lost_gradient(x: Tensor) -> Tensor:
    """A hook changes a cotangent: no edge is wrong, but the contributions do not arrive."""
    y = x.exp()
    y.register_hook(lambda cotangent: 2 * cotangent)
    return y * y


def test_a_gradient_changed_between_the_edges_is_told() -> None:
    message = (
        r"lost_gradient is wrong beside its edges, which match\n✗ the sum of contributions into y\n(?s:.*) ratio       2\n"
    )
    with pytest.raises(AssertionError, match=message):
        assert_gradients(lost_gradient, leaf(0.5))


def test_a_whole_gradient_that_alone_is_wrong_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    right = GradGraph.check

    def with_a_wrong_gradient(graph: GradGraph, **options: Any) -> CheckReport:
        report = right(graph, **options)
        return replace(report, leaves=(replace(report.leaves[0], verdict="mismatch", reason="half of it is lost"),))

    monkeypatch.setattr(GradGraph, "check", with_a_wrong_gradient)
    message = r"edge of tanh is wrong, but a whole gradient is\n✗ the gradient of input\w*\n(?s:.*)half of it is lost"
    with pytest.raises(AssertionError, match=message):
        assert_gradients(torch.tanh, leaf(0.5))


def gamma(x: Tensor) -> Tensor:
    return torch._standard_gamma(x)


def test_an_unverified_edge_fails_unless_that_is_allowed() -> None:
    x = leaf(1.0, 2.0)
    where = rf"\? ∂\w+/∂x at test_testing\.py:{line_of('return torch._standard_gamma(x)')}, through self of"
    message = rf"the gradients of gamma are not all verified; allow_unverified=True(?s:.*){where}(?s:.*)draws random numbers"
    with pytest.raises(AssertionError, match=message):
        assert_gradients(gamma, x)
    report = assert_gradients(gamma, x, allow_unverified=True)
    assert not report.verified
    assert "unverified" in report.summary


def test_a_mismatch_fails_even_where_the_unverified_is_allowed() -> None:
    with pytest.raises(AssertionError, match=r"wrong on 1 of 2 edges(?s:.*)✗ ∂\w+/∂\w+ (?s:.*)\? ∂"):
        assert_gradients(lambda x: Square.apply(gamma(x)), leaf(1.0), allow_unverified=True)


def test_out_of_time_is_unverified() -> None:
    with pytest.raises(AssertionError, match=r"not all verified(?s:.*)out of time"):
        assert_gradients(torch.tanh, leaf(1.0), time_limit_s=0.0)


def cut(x: Tensor, w: Tensor) -> Tensor:
    return x * w.detach()


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (cut, rf"cut by detach at test_testing\.py:{line_of('return x * w.detach()')}"),
        (lambda x, w: 2 * x, "the output does not depend on it"),
    ],
    ids=["cut", "unused"],
)
def test_an_input_that_no_gradient_reaches_does_not_pass(function: Callable[..., Tensor], why: str) -> None:
    x, w = leaf(1.0), leaf(2.0)
    with pytest.raises(AssertionError, match=rf"\? w requires grad, but no gradient reaches it: {why}"):
        assert_gradients(function, x, w)
    assert_gradients(function, x, w, allow_unverified=True)
    assert_gradients(function, x, w.detach())


def test_one_tensor_handed_in_twice_is_reached_once_any_of_its_uses_is() -> None:
    x = leaf(1.0, 2.0)
    assert_gradients(lambda one, other: one.exp(), x, x)


def test_a_tensor_that_was_computed_before_can_be_an_input() -> None:
    x = leaf(1.0, 2.0)
    assert assert_gradients(torch.tanh, x * x).verified
    _, second = x.split(1)
    assert assert_gradients(torch.tanh, second).verified


def test_integers_and_constants_are_no_inputs_to_differentiate_by() -> None:
    index, weight = torch.tensor([1, 0, 1]), torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    assert assert_gradients(lambda x, index, weight: x[index] * weight, leaf(3.0, 4.0), index, weight).verified


def test_several_outputs_are_checked_in_one_pass_each_with_its_own_random_cotangent() -> None:
    x = leaf(0.5, 1.5)
    assert assert_gradients(lambda x: (x.exp(), {"sum": x.sum(), "wide": x[:, None] * x}), x).verified
    with pytest.raises(AssertionError, match="on 1 of"):
        assert_gradients(lambda x: (x.exp(), Square.apply(x)), x)


def test_the_same_seed_gives_the_same_report() -> None:
    x = leaf(0.5, 1.5)
    one, same, other = (assert_gradients(torch.sin, x, seed=seed) for seed in (3, 3, 4))
    assert one == same
    assert one.leaves[0].autograd != other.leaves[0].autograd


def test_a_cotangent_that_is_given_is_used() -> None:
    report = assert_gradients(torch.exp, leaf(0.0), grad_output=torch.tensor([7.0]))
    assert report.leaves[0].autograd == 7.0


def test_a_complex_output_gets_a_complex_cotangent() -> None:
    cotangents: list[Tensor] = []

    def squared(x: Tensor) -> Tensor:
        y = x * x
        y.register_hook(cotangents.append)
        return y

    assert_gradients(squared, torch.tensor([1 + 2j], requires_grad=True), allow_unverified=True)
    assert cotangents[0].real != 0
    assert cotangents[0].imag != 0


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.unused = nn.Linear(3, 2)

    def forward(self, x: Tensor, *, scale: float = 1.0) -> dict[str, Tensor]:
        return {"scaled": self.linear(x) * scale}


def test_a_module_is_differentiated_by_its_parameters_and_takes_keywords() -> None:
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    assert assert_gradients(Scaled(), x, scale=2.0, device="cpu").verified
    report = assert_gradients(Scaled(), x, at={"scale": 2.0}, loss=lambda out: out["scaled"].mean(), device="cpu")
    assert report.verified


def test_parameters_of_a_module_that_is_an_argument_need_no_gradient() -> None:
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    assert assert_gradients(lambda model, x: model(x)["scaled"], Scaled(), x).verified


@pytest.mark.parametrize("function", [torch.relu, torch.abs, lambda x: x.clamp(min=0)])
def test_a_kink_passes(function: Callable[[Tensor], Tensor]) -> None:
    assert assert_gradients(function, leaf(0.0, 1.0, -1.0)).verified


@pytest.mark.parametrize(
    ("function", "inputs", "options", "error", "message"),
    [
        (torch.tanh, (torch.ones(2),), {}, TraceError, "no gradient leads to this output"),
        (lambda x: x.detach(), (leaf(1.0),), {}, TraceError, "no gradient leads to this output"),
        (lambda x: x, (leaf(1.0),), {}, CheckError, "there is no gradient to check"),
        (torch.tanh, (leaf(1.0),), {"samples": 0}, CheckError, "samples=0"),
        (lambda x: x.exp(), (leaf(1.0),), {"sampels": 3}, InputError, "sampels"),
    ],
)
def test_what_cannot_be_asserted_is_refused(
    function: Callable[..., Any], inputs: tuple[Tensor, ...], options: dict[str, Any], error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        assert_gradients(function, *inputs, **options)


def test_an_error_of_the_function_itself_is_passed_on() -> None:
    with pytest.raises(ZeroDivisionError):
        assert_gradients(lambda x: x * (1 // 0), leaf(1.0))


@pytest.mark.parametrize("function", [wrong_loss, lambda x, w: x.detach()])
def test_no_frame_of_gradviz_is_shown_by_pytest(function: Callable[..., Tensor]) -> None:
    with pytest.raises((AssertionError, GradvizError)) as caught:
        assert_gradients(function, leaf(1.0), leaf(2.0))
    shown = caught.traceback.filter(caught)
    assert len(caught.traceback) > len(shown)
    assert {str(entry.path) for entry in shown} == {__file__}
