"""What is told of hooks that change gradients: that they do, by name and line, and never that a backward is wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import gradviz
from gradviz import GradGraph

Given = tuple[Tensor, ...]


def zeroed(gradient: Tensor) -> Tensor:
    return gradient * 0


def of_nothing(module: nn.Module, made: Given, handed: Given) -> Given:
    return (made[0] * 0,)


def halved(made: Given, handed: Given) -> Given:
    return (made[0] * 0.5,)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1))


def traced(model: nn.Module) -> GradGraph:
    return gradviz.trace(lambda x: model(x).square().mean(), torch.ones(8, 4))


def test_a_hook_of_a_module_that_makes_zeros_is_told_by_name_and_is_no_wrong_backward() -> None:
    model = network()
    model[1].register_full_backward_hook(of_nothing)
    graph = traced(model)
    (finding,) = graph.diagnose()
    assert finding.kind == "zero-gradient" and "the hook of_nothing at test_hooks_told.py:" in finding.message
    assert "0.weight, 0.bias" in finding.message
    kinds = {finding.kind: finding for finding in graph.diagnose(report=graph.check())}
    assert set(kinds) == {"zero-gradient", "hooked-gradient"}
    assert "of_nothing at test_hooks_told.py:" in kinds["hooked-gradient"].message


def hooked_node() -> GradGraph:
    layer = nn.Linear(4, 4)

    def loss() -> Tensor:
        h = layer(torch.ones(8, 4)).tanh()
        h.grad_fn.register_hook(halved)  # type: ignore[union-attr, arg-type]
        return h.square().mean()

    return gradviz.trace(loss)


def test_a_hook_of_an_autograd_node_is_a_hint_of_its_own_unless_it_is_meant() -> None:
    graph = hooked_node()
    (finding,) = graph.diagnose(report=graph.check())
    assert (finding.kind, finding.severity) == ("hooked-gradient", "hint")
    assert "the hook halved at test_hooks_told.py:" in finding.message
    assert graph.diagnose(report=graph.check(intended=["halved"])) == []


@pytest.mark.parametrize("checked", [False, True])
def test_of_several_hooks_in_one_place_all_are_to_be_named(checked: bool) -> None:
    def loss(x: Tensor) -> Tensor:
        y = x.sin()
        y.grad_fn.register_hook(halved)  # type: ignore[union-attr, arg-type]
        y.grad_fn.register_hook(lambda made, handed: (made[0] * 0.9,))  # type: ignore[union-attr]
        return (y * y).sum()

    graph = gradviz.trace(loss, torch.tensor([0.3, 1.7], requires_grad=True))
    (finding,) = graph.diagnose(report=graph.check() if checked else None)
    assert "intended=['halved', '<lambda>']" in finding.hint
    assert graph.diagnose(report=graph.check(intended=["halved", "<lambda>"])) == []


def on_parameters(model: nn.Sequential) -> GradGraph:
    for parameter in model.parameters():
        parameter.register_hook(zeroed)
    return traced(model)


def on_a_value(model: nn.Sequential) -> GradGraph:
    def loss(x: Tensor) -> Tensor:
        h = model(x)
        h.register_hook(zeroed)
        return h.square().mean()  # type: ignore[no-any-return]

    return gradviz.trace(loss, torch.ones(8, 4))


@pytest.mark.parametrize("make", [on_parameters, on_a_value])
def test_hooks_that_leave_no_gradient_at_all_are_told(make: Callable[[nn.Sequential], GradGraph]) -> None:
    (finding,) = make(network()).diagnose()
    assert finding.kind == "zero-gradient" and "no leaf gets any gradient" in finding.message
    assert "zero by hooks: zeroed at test_hooks_told.py:" in finding.message


def test_hooks_that_hold_some_leaves_or_only_clip_are_meant() -> None:
    model = network()
    model[0].weight.register_hook(zeroed)  # type: ignore[union-attr, operator]
    model[2].weight.register_hook(lambda gradient: gradient.clamp(-0.01, 0.01))  # type: ignore[union-attr, operator]
    assert traced(model).diagnose() == []


@pytest.mark.parametrize(
    ("limits", "is_clip"), [((-0.1, 0.1), True), ((-0.1, 1.0), True), ((-0.001, 0.02), False)]
)
def test_of_two_numbers_that_became_smaller_nobody_can_tell_a_clip(limits: tuple[float, float], is_clip: bool) -> None:
    def loss(x: Tensor) -> Tensor:
        y = x.sin()
        y.register_hook(lambda gradient: gradient.clamp(*limits))
        return (y * y).sum()  # its gradient at y is 0.59 and −1.49

    assert (gradviz.trace(loss, torch.tensor([0.3, -0.84], requires_grad=True)).diagnose() == []) == is_clip


def equilibrium(change: Callable[[Tensor], Tensor] | None = None, *, steps: int = 40, of_a_leaf: bool = False) -> GradGraph:
    """A deep equilibrium layer: a solver under no_grad, one more step, and a hook that solves for the gradient."""
    torch.manual_seed(0)
    inner, outer, head, x = nn.Linear(6, 6), nn.Linear(4, 6), nn.Linear(6, 2), torch.randn(8, 4)

    def loss() -> Tensor:
        with torch.no_grad():
            solved = torch.zeros(8, 6)
            for _ in range(steps):
                solved = torch.tanh(0.4 * inner(solved) + outer(x))
        found = torch.tanh(0.4 * inner(solved.requires_grad_() if of_a_leaf else solved) + outer(x))
        once = found.detach().requires_grad_()
        again = torch.tanh(0.4 * inner(once) + outer(x))

        def solve(cotangent: Tensor) -> Tensor:
            solution = cotangent
            for _ in range(steps):
                solution = torch.autograd.grad(again, once, solution, retain_graph=True)[0] + cotangent
            return solution

        found.register_hook(change or solve)
        return head(found).square().mean()  # type: ignore[no-any-return]

    return gradviz.trace(loss)


@pytest.mark.parametrize("of_a_leaf", [False, True])
def test_the_hook_of_a_deep_equilibrium_model_is_meant(of_a_leaf: bool) -> None:
    assert equilibrium(of_a_leaf=of_a_leaf).diagnose() == []
    assert equilibrium(of_a_leaf=of_a_leaf, steps=6).diagnose() == []  # about solved


def test_a_hook_on_what_is_no_fixed_point_yet_is_told() -> None:
    assert [finding.kind for finding in equilibrium(steps=1).diagnose()] == ["hooked-gradient"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_hooks_that_only_look_or_round_are_not_told(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(16, 16).to(dtype)

    def loss(hook: Callable[[Tensor], Tensor | None]) -> Tensor:
        h = layer(torch.ones(8, 16, dtype=dtype))
        h.register_hook(hook)
        return sum(((h * factor).sin().mean() for factor in (1.0, -0.9, 0.7, -1.1, 0.3)), start=torch.zeros((), dtype=dtype))

    assert gradviz.trace(lambda: loss(lambda gradient: None)).diagnose() == []
    assert gradviz.trace(lambda: loss(lambda gradient: gradient.bfloat16().to(dtype))).diagnose() == []
    (finding,) = gradviz.trace(lambda: loss(lambda gradient: gradient * 0.9)).diagnose()
    assert finding.kind == "hooked-gradient"
