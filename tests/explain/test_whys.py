"""Why a gradient is zero, missing or not finite, as an explanation says it."""

from __future__ import annotations

import re

import torch

import gradviz
from gradviz.explain import sentences as say


def test_a_gradient_that_is_nan_is_said_once() -> None:
    explanation = gradviz.trace("sqrt(0*x)", x=1.0, device="cpu").explain("x", level="short")
    assert "= NaN" in str(explanation)
    assert "NaN = NaN" not in str(explanation)


def test_a_gradient_that_is_cut_names_the_cut() -> None:
    x, w = torch.tensor(2.0, requires_grad=True), torch.tensor(3.0, requires_grad=True)
    graph = gradviz.trace(lambda x, w: x * w.detach(), x, w)
    text = str(graph.explain("w"))
    assert "No gradient reaches w" in text
    assert "is cut: detach" in text


def test_a_way_that_is_cut_beside_others_is_named_with_the_values_on_it() -> None:
    def product(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return (x * y).detach() * x + torch.sin(y)

    text = str(gradviz.trace(product, 2.0, 3.0).explain("x"))
    name = re.search(r"the way from (\w) to (\w) is cut: detach", text)
    assert name and f"  {name[1]} = x·y = 6\n  {name[2]} = detach({name[1]}) = 6\n" in text
    compared = gradviz.trace(lambda x: torch.where(x > 0, x, 2 * x), -1.0).explain("x")
    assert say.CUT not in str(compared)


def test_an_unused_parameter_is_said_to_be_unused() -> None:
    x, w = torch.tensor(2.0, requires_grad=True), torch.tensor(3.0, requires_grad=True)
    assert "does not use it" in str(gradviz.trace(lambda x, w: x * 2, x, w).explain("w"))


def test_a_constant_is_said_to_need_no_gradient() -> None:
    x = torch.tensor(2.0, requires_grad=True)
    graph = gradviz.trace(lambda x, c: x * c, x, torch.tensor(5.0))
    assert "does not require grad" in str(graph.explain("c"))


def test_a_zero_gradient_names_the_edge_that_made_it_zero() -> None:
    x = torch.tensor([-1.0, -2.0], requires_grad=True)
    text = str(gradviz.trace(lambda x: (3 * x).relu().sum(), x).explain("x"))
    assert "∂b/∂a passes on nothing but zeros, and no path avoids it" in text


def test_a_zero_gradient_by_cancelling_paths_is_said_to_be_that() -> None:
    x = torch.tensor(2.0, requires_grad=True)
    assert "cancel" in str(gradviz.trace(lambda x: 3 * x - 3 * x, x).explain("x"))


def test_a_gradient_of_nan_names_the_first_edge_that_made_it() -> None:
    x = torch.tensor([0.0, 4.0], requires_grad=True)
    text = str(gradviz.trace(lambda x: torch.where(x > 0, x.sqrt(), 0 * x).sum(), x).explain("x"))
    assert "turns finite numbers into NaN or infinity" in text


def test_nan_of_a_branch_not_taken_is_no_contradiction() -> None:
    graph = gradviz.trace(lambda x: torch.where(x > 0, torch.sqrt(x), torch.zeros_like(x)), -1.0)
    text = str(graph.explain("x"))
    assert "  ∂e/∂x = 0\n  autograd found no number where sympy's closed form is ∂e/∂x = 0\n" in text
    assert "contradicts" not in text
    assert "∂b/∂x turns finite numbers into NaN or infinity: a zero arrives where it is not finite" in text


def test_nan_is_explained_of_values_that_were_not_kept_too() -> None:
    x = -torch.rand(40, 40, generator=torch.Generator().manual_seed(0))
    graph = gradviz.trace(lambda x: torch.where(x > 0, x.sqrt(), x).sum(), x.requires_grad_(), values="statistics")
    assert "∂b/∂x turns finite numbers into NaN or infinity" in str(graph.explain("x"))


def test_zeros_on_several_paths_are_one_sentence() -> None:
    text = str(gradviz.trace("abs(x) + relu(x)", x=0.0, device="cpu").explain("x"))
    assert "is zero: every path meets a zero: ∂a/∂x, ∂b/∂x (the ReLU is off: x ≤ 0)" in text
    assert text.count("is zero") == 1


def test_a_dead_relu_is_named_where_another_zero_lies_behind_it() -> None:
    values = {"w": 1.0, "x": -3.0, "b": 1.0}
    text = str(gradviz.trace("relu(w*x + b)^2", at=values, device="cpu").explain("w"))
    assert "every path meets a zero: ∂d/∂c (the ReLU is off: c ≤ 0), ∂e/∂d" in text


def test_a_hook_that_changes_the_gradient_is_noticed() -> None:
    x = torch.tensor(2.0, requires_grad=True)
    y = x * 3
    y.register_hook(lambda cotangent: 2 * cotangent)
    text = str(gradviz.trace(y * y).explain("x"))
    assert "differs by up to" in text
    assert "hook" in text
