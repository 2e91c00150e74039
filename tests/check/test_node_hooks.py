"""Hooks of autograd nodes and of modules that change what flows back: told by name, and not judged where they are meant."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gradviz
from gradviz import GradGraph
from gradviz.check import CheckReport, EdgeCheck, SumCheck
from gradviz.recording.hooks import hooks_of_node
from gradviz.testing import assert_gradients

Given = tuple[Tensor | None, ...]


def halved(gradients: Given) -> Given:
    return tuple(None if one is None else one * 0.5 for one in gradients)


def after_node(made: Given, handed: Given) -> Given:
    return halved(made)


def before_node(handed: Given) -> Given:
    return halved(handed)


def after_module(module: nn.Module, made: Given, handed: Given) -> Given:
    return halved(made)


def before_module(module: nn.Module, handed: Given) -> Given:
    return halved(handed)


def looking(module: nn.Module, made: Given, handed: Given) -> None:
    return None


class Product(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x.sin() * y.exp()


def leaf() -> Tensor:
    return torch.tensor([0.3, 1.7], dtype=torch.float64, requires_grad=True)


def hooked_node(put: Callable[[Any], object]) -> GradGraph:
    def loss(x: Tensor) -> Tensor:
        y = x.sin().exp()
        put(y.grad_fn)
        return (y * y).sum()

    return gradviz.trace(loss, leaf())


def hooked_module(put: Callable[[nn.Module], object]) -> GradGraph:
    module = Product()
    put(module)
    return gradviz.trace(lambda x: module(x * 2, x.cos()).square().sum(), leaf())


GRAPHS: list[tuple[Callable[[], GradGraph], str, type]] = [
    (lambda: hooked_node(lambda node: node.register_hook(after_node)), "after_node", EdgeCheck),
    (lambda: hooked_node(lambda node: node.register_prehook(before_node)), "before_node", SumCheck),
    (lambda: hooked_module(lambda one: one.register_full_backward_hook(after_module)), "after_module", EdgeCheck),
    (lambda: hooked_module(lambda one: one.register_full_backward_pre_hook(before_module)), "before_module", EdgeCheck),
]


def changed(report: CheckReport, verdict: str) -> list[Any]:
    """The edges and sums of this verdict: a whole gradient is wrong with them."""
    return [one for one in (*report.edges, *report.sums) if one.verdict == verdict]


@pytest.mark.parametrize(("traced", "hook", "kind"), GRAPHS)
def test_a_hook_that_is_not_meant_is_a_mismatch_that_names_it(
    traced: Callable[[], GradGraph], hook: str, kind: type
) -> None:
    report = traced().check()
    found = changed(report, "mismatch")
    assert found and {type(one) for one in found} == {kind}
    where = f"test_node_hooks.py:{globals()[hook].__code__.co_firstlineno}"
    told = f"the hook {hook} at {where} changes it; no derivative is wrong"
    assert all(told in one.reason and "likely slip" not in one.reason for one in found)


@pytest.mark.parametrize(("traced", "hook", "kind"), GRAPHS)
@pytest.mark.parametrize("with_line", [False, True])
def test_a_hook_that_is_meant_changes_as_intended(
    traced: Callable[[], GradGraph], hook: str, kind: type, with_line: bool
) -> None:
    named = f"{hook} at test_node_hooks.py:{globals()[hook].__code__.co_firstlineno}" if with_line else hook
    report = traced().check(intended=[named])
    assert report.ok and report.verified
    found = changed(report, "intended")
    assert found and {type(one) for one in found} == {kind}
    assert f"the hook {hook} at" in report.summary and "is meant to change" in report.summary


def test_of_two_hooks_of_a_module_each_is_to_be_named() -> None:
    def put(module: nn.Module) -> None:
        module.register_full_backward_pre_hook(before_module)
        module.register_full_backward_hook(after_module)

    graph = hooked_module(put)
    for named, other in (("before_module", "after_module"), ("after_module", "before_module")):
        report = graph.check(intended=[named])
        wrong = changed(report, "mismatch")
        assert changed(report, "intended") and wrong and all(f"the hook {other} at" in one.reason for one in wrong)
    assert graph.check(intended=["before_module", "after_module"]).verified


def test_a_hook_that_changes_nothing_matches_and_one_that_is_not_there_is_refused() -> None:
    graph = hooked_module(lambda module: module.register_full_backward_hook(looking))
    assert graph.check().verified and not changed(graph.check(intended=["looking"]), "intended")
    line = looking.__code__.co_firstlineno
    with pytest.raises(gradviz.CheckError, match=rf"neither .* nor a hook 'clip'; .* its hooks: looking at .*:{line}$"):
        graph.check(intended=["clip"])


def test_a_wrong_backward_under_a_hook_that_is_meant_stays_wrong() -> None:
    class Off(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx: Any, cotangent: Tensor) -> Tensor:
            return cotangent * ctx.saved_tensors[0] * 2.1

    def loss(x: Tensor) -> Tensor:
        y = Off.apply(x.sin())
        y.grad_fn.register_hook(after_node)
        return y.sum()  # type: ignore[no-any-return]

    graph = gradviz.trace(loss, leaf())
    report = graph.check(intended=["after_node"])
    assert [one.name for one in changed(report, "mismatch")] == ["∂y/∂a"] and "true value" in report.mismatches[0].reason
    assert [one.kind for one in graph.diagnose(report=report)] == ["wrong-backward"]
    assert [one.kind for one in graph.diagnose()] == ["wrong-backward", "hooked-gradient"]


def test_a_hook_is_no_wrong_backward_of_the_function_that_it_lies_on() -> None:
    class Right(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x * 3

        @staticmethod
        def backward(ctx: Any, cotangent: Tensor) -> Tensor:
            return cotangent * 3

    def loss(x: Tensor) -> Tensor:
        y = Right.apply(x.sin())
        y.grad_fn.register_hook(after_node)
        return y.sum()  # type: ignore[no-any-return]

    graph = gradviz.trace(loss, leaf())
    for report in (None, graph.check()):
        (finding,) = graph.diagnose(report=report)
        assert finding.kind == "hooked-gradient" and "the hook after_node at test_node_hooks.py:" in finding.message
    assert graph.diagnose(report=graph.check(intended=["after_node"])) == []


def test_assert_gradients_takes_hooks_of_modules() -> None:
    module = nn.Linear(2, 2).double()
    module.register_full_backward_hook(after_module)
    with pytest.raises(AssertionError, match="the hook after_module at"):
        assert_gradients(lambda x: module(x.sin()).square(), leaf()[None].detach().requires_grad_())
    report = assert_gradients(
        lambda x: module(x.sin()).square(), leaf()[None].detach().requires_grad_(), intended=["after_module"]
    )
    assert changed(report, "intended")


def test_asking_for_hooks_leaves_a_node_as_it_was() -> None:
    x = leaf()
    y = x.sin()
    handle = y.grad_fn.register_hook(functools.partial(lambda scale, made, handed: (made[0] * scale,), 3.0))  # type: ignore[union-attr]
    assert y.grad_fn is not None
    asked = [hooks_of_node(y.grad_fn) for _ in range(2)]
    assert asked[0] == asked[1] and not asked[0].before and asked[0].after[0].startswith("<lambda> at test_node_hooks.py:")
    y.sum().backward(retain_graph=True)
    handle.remove()
    assert x.grad is not None and torch.equal(x.grad, 3 * x.detach().cos())
    assert hooks_of_node(y.grad_fn).after == ()


def test_a_hook_may_name_a_self_that_was_never_assigned() -> None:
    def loss(x: Tensor) -> Tensor:
        def halving(made: Given, handed: Given) -> Given:
            return halved(made) if made else (self,)

        y = x.sin()
        y.grad_fn.register_hook(halving)  # type: ignore[union-attr]
        return y.sum()
        self = y  # type: ignore[unreachable]

    report = gradviz.trace(loss, leaf()).check()
    assert any("the hook halving at test_node_hooks.py:" in entry.reason for entry in (*report.edges, *report.sums)), report


def test_a_backward_that_gives_other_numbers_each_time_is_told_as_that() -> None:
    class Counting(torch.autograd.Function):
        calls = 0

        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return x.sin()

        @staticmethod
        def backward(ctx: Any, cotangent: Tensor) -> Tensor:
            Counting.calls += 1
            return cotangent * ctx.saved_tensors[0].cos() * (3 if Counting.calls == 1 else 1)

    (wrong,) = changed(gradviz.trace(lambda x: Counting.apply(x).sum(), leaf()).check(), "mismatch")
    assert "likely slip: Counting.backward() gives other numbers where it runs again" in wrong.reason
