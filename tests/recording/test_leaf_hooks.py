"""Hooks act as in one plain `.backward()`, those that only act where `.grad` is filled too, and what they change is told."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge, register_multi_grad_hook

import gradviz

Made = tuple[Callable[[], Tensor], list[Tensor], list[Any]]


def leaf() -> Tensor:
    return torch.tensor([1.0, 2.0], requires_grad=True)


def prehook_on_accumulation() -> Made:
    w, log = leaf(), []
    accumulating = get_gradient_edge(w).node

    def halved(gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        log.append("called")
        return (gradients[0] * 0.5,)

    accumulating.register_prehook(halved)
    return lambda: (w * w).sum() if accumulating else w, [w], log


def prehook_put_within_the_step() -> Made:
    w, log = leaf(), []

    def halved(gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        log.append("called")
        return (gradients[0] * 0.5,)

    def step() -> Tensor:
        h = w * 3
        assert h.grad_fn is not None and h.grad_fn.next_functions[0][0] is not None
        h.grad_fn.next_functions[0][0].register_prehook(halved)
        return (h * h).sum()

    return step, [w], log


def hook_after_accumulation() -> Made:
    w, log = leaf(), []
    accumulating = get_gradient_edge(w).node
    accumulating.register_hook(lambda made, handed: log.append(w.grad is not None))
    return lambda: (w * w).sum() if accumulating else w, [w], log


def gradient_written_after_accumulation() -> Made:
    w, log = leaf(), []

    def tripled(parameter: Tensor) -> None:
        assert parameter.grad is not None
        log.append(parameter.grad.tolist())
        parameter.grad.mul_(3.0)

    w.register_post_accumulate_grad_hook(tripled)
    return lambda: (w * w).sum(), [w], log


def waiting_for_two() -> Made:
    w, v, log = leaf(), leaf(), []
    register_multi_grad_hook([w, v], lambda gradients: log.append([one.tolist() for one in gradients if one is not None]))
    return lambda: (w * v).sum(), [w, v], log


def removed_when_called() -> Made:
    w, log = leaf(), []

    def step() -> Tensor:
        h = w * w

        def tripled(gradient: Tensor) -> Tensor:
            handle.remove()
            log.append("called")
            return gradient * 3

        handle = h.register_hook(tripled)
        return (h * 2).sum()

    return step, [w], log


def node_hook_removed_when_called() -> Made:
    w, log = leaf(), []

    def step() -> Tensor:
        h = w * 3

        def tripled(made: Any, handed: Any) -> Any:
            handle.remove()
            return (made[0] * 3, *made[1:])

        assert h.grad_fn is not None
        handle = h.grad_fn.register_hook(tripled)
        return (h * h).sum()

    return step, [w], log


def on_a_leaf() -> Made:
    w, log = leaf(), []

    def tripled(gradient: Tensor) -> Tensor:
        return gradient * 3

    w.register_hook(tripled)
    return lambda: (w * w).sum(), [w], log


CHANGING = {
    prehook_on_accumulation: "halved",
    prehook_put_within_the_step: "halved",
    gradient_written_after_accumulation: "tripled",
    removed_when_called: "tripled",
    node_hook_removed_when_called: "tripled",
    on_a_leaf: "tripled",
}


@pytest.mark.parametrize("make", [*CHANGING, hook_after_accumulation, waiting_for_two])
def test_hooks_act_as_in_one_plain_backward(make: Callable[[], Made]) -> None:
    step, leaves, log = make()
    step().backward()
    again, traced, traced_log = make()
    for one in traced:
        one.grad = torch.full((2,), 7.0)
    graph = gradviz.trace(again)
    assert [one.tolist() for one in graph.gradients().values() if one is not None] == [one.grad.tolist() for one in leaves]
    assert traced_log == log
    assert all(one.grad is not None and one.grad.tolist() == [7.0, 7.0] for one in traced)


@pytest.mark.parametrize(("make", "name"), CHANGING.items())
def test_what_a_hook_changes_is_told_by_its_name_and_may_be_meant(make: Callable[[], Made], name: str) -> None:
    graph = gradviz.trace(make()[0])
    (finding,) = graph.diagnose()
    assert (finding.kind, finding.severity) == ("hooked-gradient", "hint")
    assert f"the hook {name} at test_leaf_hooks.py:" in finding.message and "no derivative is wrong" in finding.message
    assert not graph.check().ok
    report = graph.check(intended=[name])
    assert report.ok
    assert list(graph.diagnose(report=report)) == []


@pytest.mark.parametrize("make", [hook_after_accumulation, waiting_for_two])
def test_hooks_that_change_nothing_are_no_finding(make: Callable[[], Made]) -> None:
    graph = gradviz.trace(make()[0])
    assert list(graph.diagnose()) == [] and graph.check().verified


def test_a_trace_takes_no_step_of_an_optimizer_that_runs_in_the_backward_pass() -> None:
    w, calls = leaf(), []
    optimizer = torch.optim.SGD([w], lr=0.1)

    def step_at_once(parameter: Tensor) -> None:
        optimizer.step()
        optimizer.zero_grad()

    first = w.register_post_accumulate_grad_hook(lambda parameter: calls.append("first"))
    w.register_post_accumulate_grad_hook(step_at_once)
    w.register_post_accumulate_grad_hook(lambda parameter: calls.append("last"))
    graph = gradviz.trace(lambda: (w * w).sum())
    assert graph.gradients()["w"].tolist() == [2.0, 4.0]  # type: ignore[union-attr]
    assert w.tolist() == [1.0, 2.0] and calls == ["first", "last"]
    first.remove()
    (w * w).sum().backward()
    assert w.tolist() == pytest.approx([0.8, 1.6]) and calls == ["first", "last", "last"] and w.grad is None


def by_hand(w: Tensor) -> Callable[[Tensor], None]:
    def descend(parameter: Tensor) -> None:
        with torch.no_grad():
            parameter -= 0.1 * parameter.grad  # type: ignore[operator]

    return descend


def by_hand_into_other_memory(w: Tensor) -> Callable[[Tensor], None]:
    def descend(parameter: Tensor) -> None:
        parameter.data = parameter.data - 0.1 * parameter.grad  # type: ignore[operator]

    return descend


def by_an_argument(w: Tensor) -> Callable[[Tensor], None]:
    def descend(optimizer: torch.optim.Optimizer, parameter: Tensor) -> None:
        optimizer.step()

    return partial(descend, torch.optim.SGD([w], lr=0.1, momentum=0.9))


def by_an_attribute(w: Tensor) -> Callable[[Tensor], None]:
    class Trainer:
        def __init__(self) -> None:
            self.by_parameter = {w: torch.optim.SGD([w], lr=0.1)}

        def descend(self, parameter: Tensor) -> None:
            self.by_parameter[parameter].step()

    return Trainer().descend


@pytest.mark.parametrize("make", [by_hand, by_hand_into_other_memory, by_an_argument, by_an_attribute])
def test_a_trace_moves_no_parameter_that_hooks_move_in_the_backward_pass(make: Callable[[Tensor], Any]) -> None:
    w = leaf()
    w.register_post_accumulate_grad_hook(make(w))
    memory, before, loss = w.data_ptr(), w._version, (w * w).sum()
    for traced in (loss, lambda: (w * w).sum()):
        assert gradviz.trace(traced).gradients()["w"].tolist() == [2.0, 4.0]  # type: ignore[union-attr]
        assert (w.tolist(), w.data_ptr(), w._version, w.grad) == ([1.0, 2.0], memory, before, None)
    loss.backward()
    assert w.tolist() == pytest.approx([0.8, 1.6])


def test_a_method_that_names_no_optimizer_of_its_object_acts_as_in_a_backward_pass() -> None:
    w = leaf()

    class Trainer:
        def __init__(self) -> None:
            self.optimizer = torch.optim.SGD([w], lr=0.1)

        def clip(self, parameter: Tensor) -> None:
            assert parameter.grad is not None
            parameter.grad.clamp_(max=3.0)

    w.register_post_accumulate_grad_hook(Trainer().clip)
    assert gradviz.trace(lambda: (w * w).sum()).gradients()["w"].tolist() == [2.0, 3.0]  # type: ignore[union-attr]


def test_a_gradient_from_an_inner_backward_is_counted_once_beside_hooks() -> None:
    w = leaf()
    w.register_hook(lambda gradient: gradient * 2)

    class Inner(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x * 2.0

        @staticmethod
        def backward(ctx: Any, cotangent: Tensor) -> Tensor:
            return cotangent * 2.0

    graph = gradviz.trace(lambda: Inner.apply(w).sum())
    assert graph.gradients()["w"].tolist() == [4.0, 4.0]  # type: ignore[union-attr]
    assert not graph.inner_gradients()
