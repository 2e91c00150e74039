"""What is told of a custom Function: kinks, None in place of a gradient, writes to what it is handed, hooks around it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gradviz
from gradviz.testing import assert_gradients


class Relu(torch.autograd.Function):
    """1 at 0, where torch takes 0."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(min=0).sum()

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:  # type: ignore[override]
        return cotangent * (ctx.saved_tensors[0] >= 0)


class Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        ctx.save_for_backward(x, w)
        return x * w


class Half(Product):
    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Any:  # type: ignore[override]
        return None, cotangent * ctx.saved_tensors[0]


class InPlace(Product):
    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Any:  # type: ignore[override]
        x, w = ctx.saved_tensors
        other = cotangent * x
        return cotangent.mul_(w), other


def test_kinks_of_their_own_are_not_tied() -> None:
    x = torch.zeros(3, requires_grad=True)
    assert gradviz.trace(Relu.apply, x).check().edges[0].verdict == "match"


def test_a_backward_that_returns_none_is_told_once() -> None:
    x, w = (torch.tensor([0.5, -1.5], requires_grad=True) for _ in range(2))
    with pytest.raises(AssertionError) as found:
        assert_gradients(lambda x, w: Half.apply(x, w), x, w)
    assert "Half.backward() gives 0" in str(found.value)
    assert "does not depend on it" not in str(found.value)


def test_a_gradient_that_is_none_and_zero_is_said_to_be_none() -> None:
    x, w = torch.zeros(2, requires_grad=True), torch.zeros(2, requires_grad=True)
    with pytest.raises(AssertionError, match=r"no gradient reaches it: Half.backward\(\) returns None for it"):
        assert_gradients(lambda x, w: Half.apply(x, w), x, w)


def test_who_writes_to_a_cotangent_is_named_where_that_is_seen() -> None:
    x, w = torch.tensor([0.5, -1.5], requires_grad=True), torch.tensor([2.0, 3.0], requires_grad=True)
    report = gradviz.trace(lambda x, w: (InPlace.apply(x, w) * 2).sum(), x, w).check()
    reasons = [edge.reason for edge in report.edges if edge.name.endswith("∂a") and edge.verdict == "mismatch"]
    assert len(reasons) == 1 and "InPlace.backward() at test_custom.py:" in reasons[0]


def test_a_hook_that_is_gone_but_changed_a_contribution_is_named() -> None:
    handles = []

    def loss(x: Tensor) -> Tensor:
        y = x.sin().exp()
        assert y.grad_fn is not None
        handles.append(y.grad_fn.register_hook(lambda made, handed: (made[0] * 2,)))
        return y.sum()

    graph = gradviz.trace(loss, torch.ones(2, 3, requires_grad=True))
    assert "the hook <lambda> at test_custom.py:" in next(edge.reason for edge in graph.check().mismatches)
    handles.pop().remove()
    report = graph.check()
    assert [edge.verdict for edge in report.edges].count("mismatch") == 1
    assert "the hook <lambda> at test_custom.py:" in next(edge.reason for edge in report.mismatches)


def doubled(cotangent: Tensor) -> Tensor:
    return 2 * cotangent


def test_a_hook_that_changes_a_cotangent_is_named_with_its_line() -> None:
    def loss(x: Tensor) -> Tensor:
        y = x.sin()
        y.register_hook(doubled)
        return (y * y).sum()

    report = gradviz.trace(loss, torch.rand(20, requires_grad=True)).check()
    (wrong,) = report.mismatches
    where = f"doubled at test_custom.py:{doubled.__code__.co_firstlineno}"
    assert f"the hook {where} changes it; no derivative is wrong" in wrong.reason


class Straight(torch.autograd.Function):
    asked = 0

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.round(x)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:  # type: ignore[override]
        Straight.asked += 1
        return cotangent


def test_what_sampled_rows_show_to_be_wrong_is_asked_for_one_vjp_more_and_no_row() -> None:
    graph = gradviz.trace(lambda x: Straight.apply(x).square().sum(), 3 * torch.rand(20, requires_grad=True))
    Straight.asked = 0
    report = graph.check(samples=4)
    assert Straight.asked == 1 + 3  # a row, the cotangent that arrived, its contribution, whether it writes to it
    (wrong,) = report.mismatches
    assert wrong.checked == wrong.total and "all elements against torch's own formulas" in wrong.how


class LinearGelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        ctx.save_for_backward(x, w)
        return nn.functional.gelu(x @ w)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Any:  # type: ignore[override]
        x, w = (saved.detach().requires_grad_() for saved in ctx.saved_tensors)
        with torch.enable_grad():
            y = nn.functional.gelu(x @ w)
        return torch.autograd.grad(y, (x, w), cotangent)


def test_what_is_smooth_lies_on_no_kink_in_coarse_dtypes() -> None:
    drawn = torch.Generator().manual_seed(1)
    x = (2 * torch.randn(5, 4, generator=drawn)).to(torch.bfloat16).requires_grad_()
    w = torch.randn(4, 6, generator=drawn).to(torch.bfloat16).requires_grad_()
    report = gradviz.trace(lambda x, w: LinearGelu.apply(x, w).sum(), x, w).check()
    assert report.ok and "not all of them together" not in " ".join(edge.how for edge in report.edges)


@pytest.mark.parametrize("value", [0.0, 1.5])
def test_a_scalar_has_nothing_to_add_up(value: float) -> None:
    x = torch.tensor(value, requires_grad=True)
    assert gradviz.trace(Relu.apply, x).check().edges[0].verdict == "match"


def test_a_write_of_infinities_where_no_gradient_comes_back_is_checked_without_a_warning() -> None:
    def loss(x: Tensor) -> Tensor:
        buffer = x * 1
        buffer[1:] = -torch.inf
        return buffer.clamp_min(-5).square().sum()

    assert gradviz.trace(loss, torch.randn(3, 2, requires_grad=True)).check().ok


class Estimated(torch.autograd.Function):
    """Gives its first argument, which forward() does not read, a gradient, as estimators of a choice do."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, chosen: Tensor) -> Tensor:
        ctx.save_for_backward(scores)
        return chosen * 1

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        return cotangent * ctx.saved_tensors[0].softmax(1), cotangent


def test_a_gradient_of_what_forward_does_not_read_is_called_that_and_no_hook() -> None:
    torch.manual_seed(0)
    scores, chosen = torch.randn(24, 4, requires_grad=True), torch.randn(24, 1, requires_grad=True)
    (entry,) = gradviz.trace(lambda: Estimated.apply(scores, chosen).square().sum()).check().mismatches
    assert entry.reason.endswith("likely slip: a gradient where there is none")


def test_a_float_result_that_is_marked_as_not_differentiable_leaves_the_others_verified() -> None:
    class Sorted(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            values, places = x.sort()
            doubled = values * 2
            ctx.mark_non_differentiable(places, doubled)
            ctx.save_for_backward(places)
            return values, places, doubled

        @staticmethod
        def backward(ctx: Any, of_values: Tensor, *others: Tensor) -> Tensor:
            return torch.zeros_like(of_values).scatter(0, ctx.saved_tensors[0], of_values)

    def loss(x: Tensor) -> Tensor:
        first, second, third = Sorted.apply(x)  # noqa: RUF059
        return (first * third).sum()

    graph = gradviz.trace(loss, torch.tensor([0.3, -0.7, 0.5], dtype=torch.float64, requires_grad=True))
    report = graph.check()
    assert report.verified, report
    (node,) = (node for node, op in graph.nodes(data="op") if op == "Sorted")
    assert "second" not in graph.nodes[node]["output_names"]  # of what nobody read it is not known which result it was


class Stacked(torch.autograd.Function):
    """A result that is marked as not differentiable, first; its backward needs both cotangents of one shape."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        marked, doubled = x * 3, x * 2
        ctx.mark_non_differentiable(marked)
        return marked, doubled

    @staticmethod
    def backward(ctx: Any, of_marked: Tensor, of_doubled: Tensor) -> Tensor:
        return 2 * torch.stack([of_marked, of_doubled]).sum(0)


class NoneFilledIn(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        return x * 2, x * 3

    @staticmethod
    def backward(ctx: Any, of_doubled: Tensor | None, of_tripled: Tensor | None) -> Tensor:
        assert of_doubled is None or of_tripled is None, "one at a time"
        return 2 * of_doubled if of_doubled is not None else 3 * of_tripled  # type: ignore[operator]


@pytest.mark.parametrize(
    "loss",
    [
        lambda x: (lambda marked, doubled: (marked * doubled).sum())(*Stacked.apply(x.sin())),
        lambda x: NoneFilledIn.apply(x.sin())[0].sum(),
        lambda x: NoneFilledIn.apply(x.sin())[1].square().sum(),
    ],
)
def test_a_backward_gets_for_missing_cotangents_what_the_engine_hands_it(loss: Callable[[Tensor], Tensor]) -> None:
    x = torch.tensor([0.3, -0.7, 1.1], dtype=torch.float64, requires_grad=True)
    graph = gradviz.trace(loss, x)
    (expected,) = torch.autograd.grad(loss(x), x)
    assert torch.equal(graph.gradients()["x"], expected)  # type: ignore[arg-type]
    report = graph.check()
    assert report.verified, report


def test_a_backward_that_refuses_to_be_asked_leaves_its_edge_unverified() -> None:
    class OnlyOnce(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.left = 1
            return x * 2

        @staticmethod
        def backward(ctx: Any, cotangent: Tensor) -> Tensor:
            ctx.left -= 1
            if ctx.left < 0:
                raise KeyError("asked twice")
            return cotangent * 2

    report = gradviz.trace(lambda x: OnlyOnce.apply(x.sin()).sum(), torch.rand(3, requires_grad=True)).check()
    (entry,) = (entry for entry in report.edges if entry.verdict == "unverified")
    assert "its autograd node refused: 'asked twice'" in entry.reason and report.ok


class Ranked(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        places, above, result = x.argsort(), x > 0.3, x.exp()
        ctx.mark_non_differentiable(places, above)
        ctx.save_for_backward(result)
        return places, above, result

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> Tensor:
        (result,) = ctx.saved_tensors
        return cotangents[2] * result


def ranked(x: Tensor) -> Tensor:
    places, _, result = Ranked.apply(x)
    return (result * places).sum() + (result * result).sum()


def masked(x: Tensor) -> Tensor:
    _, above, result = Ranked.apply(x)
    return (result * above).sum()


def without_gradient(x: Tensor) -> Tensor:
    _, above, result = Ranked.apply(x)
    return (result.detach() * above * x).sum()


@pytest.mark.parametrize("function", [ranked, masked, without_gradient])
def test_results_are_compared_in_the_dtype_of_those_that_are_rounded(function: Callable[[Tensor], Tensor]) -> None:
    report = gradviz.trace(function, torch.tensor([0.5, -0.25, 1.0], requires_grad=True)).check()
    assert report.ok and all(entry.verdict == "match" for entry in (*report.edges, *report.nodes, *report.sums)), report


class Branching(torch.autograd.Function):
    """The branch beyond `delta` is wrong."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, delta: float, masked: bool) -> Tensor:
        ctx.save_for_backward(x)
        ctx.delta = delta
        if masked:
            return (x * x).masked_fill(x.abs() > delta, 0.0)
        return torch.where(x.abs() <= delta, x * x, x)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Any:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        return cotangent * torch.where(x.abs() <= ctx.delta, 2 * x, 3), None, None


@pytest.mark.parametrize(
    ("masked", "told"),
    [(False, r"`where` at test_custom.py:\d+ is true"), (True, r"`masked_fill` at test_custom.py:\d+ is false")],
)
def test_a_branch_that_no_element_enters_is_told(masked: bool, told: str) -> None:
    x = torch.tensor([0.5, -1.5, 0.25], requires_grad=True)
    report = gradviz.trace(lambda x: Branching.apply(x, 2.0, masked).sum(), x).check()
    assert report.verified
    edge = next(edge for edge in report.edges if edge.backward)
    assert re.search(f"the condition of {told} on all elements: the other branch was not checked", edge.reason)


def test_branches_that_are_entered_are_not_told() -> None:
    x = torch.tensor([0.5, -1.5, 0.25], requires_grad=True)
    report = gradviz.trace(lambda x: Branching.apply(x, 1.0, False).sum(), x).check()
    assert not report.ok
    assert "was not checked" not in str(report)


class Whole(Product):
    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Any:  # type: ignore[override]
        x, w = ctx.saved_tensors
        return cotangent * w, cotangent * x


@pytest.mark.parametrize(
    "around", [torch.no_grad, torch.inference_mode, lambda: torch.device("meta")], ids=["no_grad", "inference", "device"]
)
def test_what_stands_around_a_check_changes_nothing(around: Callable[[], Any]) -> None:
    x, w = (torch.linspace(0.3, 0.9, 12).reshape(3, 4).requires_grad_() for _ in range(2))
    graph = gradviz.trace(lambda x, w: (Whole.apply(x, w) @ torch.ones(4, 2)).softmax(-1).log().sum(), x, w, device="cpu")
    with around():
        report = graph.check()
    assert report.verified, report
