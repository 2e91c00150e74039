"""A gradient step against torch's own optimizer and against the code itself, run again with the moved parameters."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from random_expressions import expressions, points, traced
from torch import Tensor, nn

import gradviz
from gradviz.view.notation import number_text

Golden = Callable[[str, str], None]


class Net(nn.Module):
    """Dropout, batch norm and a custom function on the way, so that randomness, buffers and inner calls are met."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 8)
        self.norm = nn.BatchNorm1d(8)
        self.last = nn.Linear(8, 1)

    def forward(self, rows: Tensor) -> Tensor:
        hidden = Doubled.apply(nn.functional.dropout(torch.relu(self.norm(self.first(rows))), 0.5))
        loss: Tensor = self.last(hidden).square().mean()
        return loss


class Doubled(torch.autograd.Function):
    """2x"""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        return x + x

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *cotangents: Tensor) -> Tensor:
        return 2 * cotangents[0]


def test_parameters_and_loss_after_the_step_are_those_of_torchs_optimizer() -> None:
    torch.manual_seed(0)
    net, rows = Net(), torch.randn(16, 3)
    torch.manual_seed(1)
    graph = gradviz.trace(net, rows, device="cpu")
    step = graph.step(0.1)
    twin = copy.deepcopy(net)
    twin.norm.reset_running_stats()
    optimizer = torch.optim.SGD(twin.parameters(), lr=0.1)
    torch.manual_seed(1)
    loss = twin(rows)
    loss.backward()
    optimizer.step()
    torch.manual_seed(1)
    after = twin(rows)
    assert step.before == loss.item()
    torch.testing.assert_close(step.after, after.item())
    moved = {parameter.name: parameter.after for parameter in step.parameters}
    for name, parameter in twin.named_parameters():
        torch.testing.assert_close(moved[name], parameter.detach())


def test_a_step_leaves_the_graph_and_the_model_as_they_were() -> None:
    torch.manual_seed(0)
    net = Net().double()
    graph = gradviz.trace(net, torch.randn(16, 3, dtype=torch.float64), device="cpu")
    values = [None if value is None else value.clone() for value in map(graph.value, graph)]
    state = copy.deepcopy(net.state_dict())
    graph.step(0.1)
    for node, before in zip(graph, values, strict=True):
        torch.testing.assert_close(graph.value(node), before, rtol=0, atol=0, equal_nan=True)
    assert all(torch.equal(state[name], tensor) for name, tensor in net.state_dict().items())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(text=expressions(), point=st.tuples(points(), points(), points()), lr=st.floats(1e-4, 0.3))
def test_the_loss_after_the_step_is_the_expression_at_the_moved_point(
    text: str, point: tuple[float, ...], lr: float
) -> None:
    graph = traced(text, point)
    step = graph.step(lr)
    gradients = {name: float(gradient) for name, gradient in graph.gradients().items() if gradient is not None}
    moved = {name: float(graph.value(node)) - lr * gradients.get(name, 0.0) for name, node in graph.leaves.items()}
    assume(all(map(math.isfinite, moved.values())))
    there = gradviz.trace(text, at=moved, device="cpu")
    torch.testing.assert_close(step.after, float(there.value(there.output)), equal_nan=True)
    torch.testing.assert_close(step.predicted, -lr * sum(gradient**2 for gradient in gradients.values()))


def test_a_small_step_changes_the_loss_as_the_slope_predicts() -> None:
    graph = gradviz.trace("tanh(x*y) + exp(x)", x=0.3, y=0.7, device="cpu")
    errors = [abs(step.change - step.predicted) for step in (graph.step(lr) for lr in (1e-2, 1e-3))]
    assert errors[1] < errors[0] / 90  # the error of a first-order prediction falls with the square of the step


def test_only_the_leaves_that_are_named_move() -> None:
    graph = gradviz.trace("(w*x - 1)^2", w=2.0, x=1.0, device="cpu")
    step = graph.step(0.1, only=["w"])
    assert [parameter.name for parameter in step.parameters] == ["w"]
    assert step.after == pytest.approx((2.0 - 0.1 * 2 - 1) ** 2)


def test_the_step_is_written_as_it_was_looked_at(golden: Golden) -> None:
    step = gradviz.trace("(y - tanh(w*x + b))^2", w=0.5, x=1.0, b=0.2, y=1.0, device="cpu").step(0.5, only=["w", "b"])
    golden("step.txt", f"{step}\n")
    assert step.latex.startswith(r"\documentclass")
    assert "<math" in step.html


def test_a_step_that_is_too_long_is_said_to_raise_the_loss() -> None:
    text = str(gradviz.trace("x^4", x=2.0, device="cpu").step(0.5))
    assert "a rises instead by " in text
    assert "the step is too long and goes past the minimum along it" in text


@pytest.mark.parametrize(("lr", "shorter"), [(1.0, 0.5), (1.5, 0.75), (40.0, 0.625)])
def test_a_step_past_the_minimum_names_a_rate_with_which_the_loss_falls(lr: float, shorter: float) -> None:
    graph = gradviz.trace("x^2", x=2.0, device="cpu")
    change = graph.step(shorter).change
    assert change < 0 <= graph.step(lr).change
    assert f"with learning rate {shorter:g} it changes by {number_text(change)}" in str(graph.step(lr))


def test_a_loss_that_falls_with_no_shorter_step_either_is_not_called_an_overshoot() -> None:
    text = str(gradviz.trace("x^2", x=2.0, device="cpu").step(1e-17))
    assert "a stays as it is; nor does it fall with shorter steps: they are too short for this dtype" in text
    assert "minimum" not in text


def test_a_way_that_is_cut_is_named_where_the_loss_moves_along_it() -> None:
    def with_a_cut_way(x: Tensor, y: Tensor) -> Tensor:
        a = (x * y).detach()
        return a * x + torch.sin(y)

    cut = str(gradviz.trace(with_a_cut_way, x=2.0, y=3.0, device="cpu").step(0.05))
    assert cut.endswith("e also moves along the way from b to a, which the slope does not count, since it is cut: detach")
    assert cut.count("also moves") == 1
    unmoved = gradviz.trace(lambda x: x * torch.sign(x), x=2.0, device="cpu").step(0.05)
    assert "the slope does not count" not in str(unmoved)  # the sign stays as it was


def test_a_step_without_any_slope_moves_nothing() -> None:
    step = gradviz.trace("relu(x)", x=-1.0, device="cpu").step(0.5)
    assert step.after == step.before == 0
    assert "every gradient is zero" in str(step)


def test_a_tensor_already_computed_can_be_stepped() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    doubled = -x * 2
    graph = gradviz.trace((doubled**2).sum())
    assert graph.step(0.1).after == pytest.approx(float(((1 - 0.8) * x.detach() * 2).square().sum()))


def test_fused_attention_without_dropout_is_run_again() -> None:
    torch.manual_seed(0)
    query = torch.randn(1, 2, 4, 8, requires_grad=True)

    def attended(query: Tensor) -> Tensor:
        return nn.functional.scaled_dot_product_attention(query, query, query).square().mean()

    step = gradviz.trace(attended, query).step(0.1)
    torch.testing.assert_close(step.after, float(attended(step.parameters[0].after)))
    assert step.after != step.before


def vector() -> Tensor:
    return torch.full((2,), -1.0, requires_grad=True)


def scaled(x: Tensor) -> Tensor:
    return torch.rrelu(x, training=True).sum()


class Permuted(torch.autograd.Function):
    """The elements in another order, and the order that undoes it, which no element of the first argument moves."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
        back = torch.argsort(order)
        ctx.save_for_backward(back)
        ctx.mark_non_differentiable(back)
        return x[order], back

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor, _: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return cotangent[ctx.saved_tensors[0]], None


@pytest.mark.parametrize("kept", [lambda y: y, torch.detach])
def test_a_result_of_a_function_that_no_leaf_moves_stays_as_it_is(kept: Callable[[Tensor], Tensor]) -> None:
    def loss(x: Tensor) -> Tensor:
        moved, back = Permuted.apply(x.sin(), torch.tensor([2, 0, 1]))
        return (kept(moved)[back] * x * torch.tensor([1.0, 2.0, 3.0])).sum()

    x = torch.tensor([0.3, -0.7, 1.1], requires_grad=True)
    graph = gradviz.trace(loss, x)
    gradient = graph.gradients()["x"]
    assert gradient is not None
    assert graph.step(lr=0.1).after == pytest.approx(float(loss(x.detach() - 0.1 * gradient)))


@pytest.mark.parametrize(
    ("make", "lr", "message"),
    [
        (lambda: gradviz.trace("x^2", x=1.0, device="cpu"), -1.0, "lr is -1.0"),
        (lambda: gradviz.trace("x^2", x=1.0, device="cpu"), math.nan, "lr is nan"),
        (lambda: gradviz.trace("x^2", x=1.0, device="cpu"), True, "lr is True"),
        (lambda: gradviz.trace(torch.sin, vector(), grad_output=torch.ones(2)), 1.0, "needs a loss"),
        (lambda: gradviz.trace(scaled, vector()), 1.0, "random numbers"),
        (lambda: gradviz.trace(scaled, -vector()), 1.0, "random numbers"),
    ],
)
def test_what_cannot_be_stepped_is_refused_with_the_reason(
    make: Callable[[], gradviz.GradGraph], lr: float, message: str
) -> None:
    with pytest.raises(gradviz.InputError, match=re.escape(message)):
        make().step(lr)


def test_unknown_leaves_and_loaded_graphs_are_refused(tmp_path: Path) -> None:
    graph = gradviz.trace("x*y", x=1.0, y=2.0, device="cpu")
    with pytest.raises(gradviz.InputError, match="no leaf is called z; the leaves are x, y"):
        graph.step(0.1, only=["z"])
    with pytest.raises(gradviz.InputError, match="no leaf is called 3; the leaves are x, y"):
        graph.step(0.1, only=[3])  # type: ignore[list-item]
    graph.save(tmp_path / "run.gradviz")
    with pytest.raises(gradviz.InputError, match="take the step where it is traced"):
        gradviz.load(tmp_path / "run.gradviz").step(0.1)
