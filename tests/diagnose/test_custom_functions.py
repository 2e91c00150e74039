"""What is told of custom Functions: wrong backwards, and what is meant by one that only passes gradients on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import gradviz
from gradviz.diagnose import Finding


def kinds(diagnosis: list[Finding]) -> list[str]:
    return [finding.kind for finding in diagnosis]


def test_functions_that_are_written_for_their_backward_are_not_asked() -> None:
    asked = []

    class Rounded(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.round()

        @staticmethod
        def backward(ctx: Any, cotangent: Tensor) -> Tensor:
            asked.append(cotangent)
            return cotangent

    graph = gradviz.trace(lambda x: Rounded.apply(x).square().sum(), torch.randn(4, requires_grad=True))
    assert graph.diagnose() == [] and len(asked) == 1


def test_wrong_edge_of_a_report_is_told_for_any_op() -> None:
    graph = gradviz.trace("sin(x)", x=0.5, device="cpu")
    report = graph.check()
    assert graph.diagnose(report=report) == []
    wrong = replace(report, edges=tuple(replace(entry, verdict="mismatch") for entry in report.edges))
    (finding,) = graph.diagnose(report=wrong)
    assert (finding.kind, finding.edge) == ("wrong-backward", report.edges[0].edge)


def test_wrong_backward_of_a_custom_op_is_told() -> None:
    @torch.library.custom_op("gradviz_told::cube", mutates_args=())
    def cube(x: Tensor) -> Tensor:
        return x**3

    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        return cotangent * ctx.saved_tensors[0] ** 2 * 2.5  # type: ignore[no-any-return]

    cube.register_autograd(backward, setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs))
    graph = gradviz.trace(lambda x: cube(x).sum(), torch.tensor([0.3, 0.7], requires_grad=True))
    for report in (None, graph.check()):
        (finding,) = graph.diagnose(report=report)
        assert finding.kind == "wrong-backward" and "backward gives" in finding.numbers_text
        assert finding.hint.startswith("correct the backward of cube; gradviz.testing.assert_gradients keeps it right; ")
        assert finding.hint.endswith("graph.diagnose(report=graph.check(intended=['gradviz_told::cube']))")
    assert graph.diagnose(report=graph.check(intended=["gradviz_told::cube"])) == []


class StraightThrough(torch.autograd.Function):
    """Hands on the cotangent of its first result, whatever its forward is."""

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor, *others: Tensor) -> Tensor:
        return cotangent


class Gated(StraightThrough):
    """x × (x > 0), whose backward forgets the mask."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * (x > 0)


def test_wrong_backward_of_a_function_that_multiplies_by_a_step_is_told() -> None:
    x = torch.tensor([1.0, -2.0, 3.0], requires_grad=True)
    (finding,) = gradviz.trace(lambda: Gated.apply(x * 2).square().sum()).diagnose()
    assert finding.kind == "wrong-backward" and "Gated" in finding.message
    assert "graph.diagnose(report=graph.check(intended=['Gated']))" in finding.hint


class Quantized(StraightThrough):
    """Rounds to steps that it measures off its argument; straight through going back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        scale = x.abs().max() / 7
        return torch.round(x / scale) * scale


class Largest(StraightThrough):
    """1 at the largest elements, which it finds by their places."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.zeros_like(x).scatter_(0, x.topk(2).indices, 1.0)


class Coin(StraightThrough):
    """A random bit, straight through."""

    @staticmethod
    def forward(ctx: Any, p: Tensor) -> Tensor:
        return torch.bernoulli(p)


class TimesRounded(StraightThrough):
    """x × round(2x), whose backward forgets the factor."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * torch.round(2 * x)


@pytest.mark.parametrize(
    ("function", "told"), [(Quantized, []), (Largest, []), (Coin, []), (TimesRounded, ["wrong-backward"])]
)
def test_a_backward_that_goes_straight_through_what_only_jumps_is_meant(function: Any, told: list[str]) -> None:
    torch.manual_seed(0)
    x = torch.rand(6, requires_grad=True)
    assert kinds(gradviz.trace(lambda x: (function.apply(x.sin()) * x).sum(), x).diagnose()) == told


class Squared(torch.autograd.Function):
    """x², wrong by a factor of 2.5; the last call of its forward makes something that backward reads."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        result = x * x
        ctx.save_for_backward(x, torch.zeros_like(x))
        return result

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        return cotangent * ctx.saved_tensors[0] * 5


class Leaky(torch.autograd.Function):
    """A leaky ReLU of slope 0.1 whose backward has 0.2."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        result = torch.where(x > 0, x, 0.1 * x)
        ctx.save_for_backward(x > 0)
        return result

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        return torch.where(ctx.saved_tensors[0], cotangent, 0.2 * cotangent)


class WithRounded(StraightThrough):
    """x² and round(x); the backward forgets the factor of the first."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        return x * x, torch.round(x)


class WithPlace(StraightThrough):
    """x² and the place of the largest; the backward forgets the factor."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        squares = x * x
        place = squares.argmax()
        ctx.mark_non_differentiable(place)
        return squares, place


class RoundedWithPlace(StraightThrough):
    """round(x), straight through, and the place of the largest."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        place = x.argmax()
        ctx.mark_non_differentiable(place)
        return torch.round(5 * x), place


@pytest.mark.parametrize(
    ("function", "told"),
    [(Squared, True), (Leaky, True), (WithRounded, True), (WithPlace, True), (RoundedWithPlace, False)],
)
def test_what_a_forward_returns_tells_whether_it_jumps_and_not_its_last_call(function: Any, told: bool) -> None:
    def first_result(x: Tensor) -> Tensor:
        result = function.apply(x.sin())
        return ((result[0] if isinstance(result, tuple) else result) * x).sum()

    graph = gradviz.trace(first_result, torch.tensor([0.3, -1.2, 0.9], requires_grad=True))
    assert kinds(graph.diagnose()) == (["wrong-backward"] if told else [])


class Signs(torch.autograd.Function):
    """Signs times the mean size, straight through where weights are small."""

    @staticmethod
    def forward(ctx: Any, w: Tensor) -> Tensor:
        ctx.save_for_backward(w)
        return w.sign() * w.abs().mean()

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        return cotangent * (ctx.saved_tensors[0].abs() < 0.9)


class CutOff(StraightThrough):
    """A quantizer that rounds by a cast, straight through."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        scale = x.abs().max() / 7
        return (x / scale).to(torch.int8).to(x.dtype) * scale


class Stopped(Signs):
    """The same, with a backward that stops everything."""

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        return cotangent * 0


class MeanTimes(StraightThrough):
    """The mean at every place, times rounded constants that the backward forgets."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.mean(0, keepdim=True).expand_as(x) * torch.round(torch.tensor([1.2, 2.7, 0.6]))


class RoundedAside(StraightThrough):
    """The mean at every place; what it rounds is not on the way to that."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(torch.round(x))
        return x.mean(0, keepdim=True).expand_as(x).mul(2)


@pytest.mark.parametrize(
    ("function", "told"), [(Signs, False), (CutOff, False), (Stopped, True), (MeanTimes, True), (RoundedAside, True)]
)
def test_straight_through_is_what_rounds_its_argument_on_the_way_and_passes_something(function: Any, told: bool) -> None:
    x = torch.tensor([0.3, -1.2, 0.9], requires_grad=True)
    graph = gradviz.trace(lambda x: (function.apply(x.sin()) * x).sum(), x)
    assert kinds(graph.diagnose()) == (["wrong-backward"] if told else [])


class LearnedStep(torch.autograd.Function):
    """Learned step size quantization: the gradient of the step is that of the straight-through rounding, scaled."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor) -> Tensor:
        ctx.save_for_backward(x, step)
        return (x / step).round().clamp(-8, 7) * step

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, Tensor]:
        x, step = ctx.saved_tensors
        low, high = x / step < -8, x / step > 7
        within = ~(low | high)
        of_step = low * -8 + high * 7 + within * ((x / step).round() - x / step)
        return within * cotangent, (of_step * cotangent).sum() / (7 * x.numel()) ** 0.5


class LearnedScale(LearnedStep):
    """The same without the rounding, with the same backward: there it is wrong."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor) -> Tensor:
        ctx.save_for_backward(x, step)
        return (x / step).clamp(-8, 7) * step


class ScaledAfter(torch.autograd.Function):
    """round(x) times a factor that is rounded by nothing, and gets half of its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.round() * factor

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, Tensor]:
        return cotangent, (cotangent * ctx.saved_tensors[0].round()).sum() / 2


@pytest.mark.parametrize(("function", "told"), [(LearnedStep, False), (LearnedScale, True), (ScaledAfter, True)])
def test_the_gradient_of_a_learned_step_size_is_meant(function: Any, told: bool) -> None:
    torch.manual_seed(0)
    weight, step = torch.randn(6, requires_grad=True), torch.tensor(0.05, requires_grad=True)
    graph = gradviz.trace(lambda: function.apply(weight, step).square().sum())
    assert kinds(graph.diagnose()) == (["wrong-backward"] if told else [])


class Gate(torch.autograd.Function):
    """A gate of a sampled expert, whose gradient goes to the scores that it was sampled by."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, gate: Tensor) -> Tensor:
        return gate * 0.5

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, Tensor]:
        return cotangent * 0.3, torch.zeros_like(cotangent)


class ForgottenShift(torch.autograd.Function):
    """scale × x + shift, whose forward forgot the shift."""

    @staticmethod
    def forward(ctx: Any, shift: Tensor, x: Tensor) -> Tensor:
        return x * 0.5

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, Tensor]:
        return cotangent, cotangent * 0.5


class Nothing(Gate):
    """A gate whose backward gives nothing to anybody."""

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(cotangent), torch.zeros_like(cotangent)


@pytest.mark.parametrize(("function", "told"), [(Gate, []), (ForgottenShift, ["wrong-backward"]), (Nothing, None)])
def test_a_gradient_that_is_sent_to_an_argument_for_the_backward_alone_is_meant(
    function: Any, told: list[str] | None
) -> None:
    scores, gate = torch.randn(4, requires_grad=True), torch.randn(4, requires_grad=True)
    graph = gradviz.trace(lambda: (function.apply(scores.sin(), gate.cos()) + scores + gate).square().sum())
    found = kinds(graph.diagnose())
    assert found == told if told is not None else "wrong-backward" in found


def test_a_backward_that_forgets_a_factor_which_was_rounded_is_told() -> None:
    class Times(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, factor: Tensor) -> Tensor:
            return x.sum() * torch.round(factor)

        @staticmethod
        def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, None]:
            return cotangent, None

    x = torch.tensor(1.7, requires_grad=True)
    assert kinds(gradviz.trace(lambda x: Times.apply(x.sin(), torch.tensor(2.6)) * x, x).diagnose()) == ["wrong-backward"]


class Marked(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        doubled = x * 2
        ctx.mark_non_differentiable(doubled)
        return doubled

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        return cotangent * 2


def test_a_result_that_a_function_marks_as_not_differentiable_is_told_as_that() -> None:
    x, w = (torch.rand(3, requires_grad=True) for _ in range(2))
    (finding,) = gradviz.trace(lambda x, w: (Marked.apply(x.sin()) * w).sum(), x, w).diagnose()
    assert finding.kind == "step-function" and "no gradient reaches x: Marked marks" in finding.message


def test_what_a_forward_reads_by_a_closure_is_told_as_that() -> None:
    w = torch.rand(3, requires_grad=True)

    class Scaled(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x * w

        @staticmethod
        def backward(ctx: Any, cotangent: Tensor) -> Tensor:
            return cotangent * w

    for change in (torch.sin, torch.detach):
        x = torch.rand(3, requires_grad=True)
        findings = gradviz.trace(lambda x: (Scaled.apply(change(x)) + x).sum(), x).diagnose()  # noqa: B023
        assert [one.kind for one in findings] == ["not-an-argument"]
        assert "the forward of Scaled reads a, and is not given a as an argument" in findings[0].message



class Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        ctx.save_for_backward(x, w)
        return x * w

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, Tensor]:
        x, w = ctx.saved_tensors
        return cotangent * w, cotangent * x


def test_a_marked_result_is_told_as_that_where_the_next_function_is_given_it() -> None:
    x, w = (torch.rand(3, requires_grad=True) for _ in range(2))
    graph = gradviz.trace(lambda x, w: Product.apply(Marked.apply(x.sin()), w).sum(), x, w)
    (finding,) = graph.diagnose()
    assert finding.kind == "step-function" and "no gradient reaches x: Marked marks" in finding.message


def scaled_by(read: Callable[[], list[Tensor]]) -> Any:
    """A Function that multiplies by what `read` gives, which autograd does not see."""

    class Scaled(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return math.prod(read(), start=x)

        @staticmethod
        def backward(ctx: Any, cotangent: Tensor) -> Tensor:
            return math.prod(read(), start=cotangent)

    return Scaled


def test_a_value_that_a_forward_reads_by_a_closure_is_named_and_not_the_leaves_behind_it() -> None:
    def by_product(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
        h = a * b
        return scaled_by(lambda: [h]).apply(x).sum()

    def by_leaves(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
        return scaled_by(lambda: [a, b]).apply(x).sum()

    a, b, x = (torch.rand(3, requires_grad=True) for _ in range(3))
    for step, said in (
        (by_product, "reads h, and is not given h as an argument"),
        (by_leaves, "reads a, b, and is not given them as arguments"),
    ):
        (finding,) = gradviz.trace(step, a, b, x).diagnose()
        assert finding.kind == "not-an-argument"
        assert f"no gradient reaches a, b: the forward of Scaled {said}: its backward" in finding.message
