"""Options of the check: what is not accepted is refused with a sentence, and a backward may be meant to differ."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._library.custom_ops import CustomOpDef

import gradviz
from gradviz.check import CheckReport, SumCheck
from gradviz.errors import CheckError
from gradviz.render.dot import dot_source
from gradviz.testing import assert_gradients


class RoundSTE(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.round(x)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:  # type: ignore[override]
        return cotangent


class Off(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:  # type: ignore[override]
        return 3 * cotangent


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"samples": 0}, "samples=0"),
    ({"samples": 2.5}, "samples=2.5"),
    ({"samples": True}, "samples=True"),
    ({"seed": "a"}, "seed='a'"),
    ({"seed": -1}, "seed=-1"),
    ({"time_limit_s": "3"}, "time_limit_s='3'"),
    ({"time_limit_s": -1}, "time_limit_s=-1"),
    ({"time_limit_s": float("nan")}, "time_limit_s=nan"),
    ({"progress": 3}, "progress=3"),
    ({"edges": []}, "edges is empty"),
    ({"edges": "x"}, "edges='x'"),
    ({"edges": 3}, "edges=3"),
    ({"edges": [("x", "a")]}, "is no edge; accepted: "),
    ({"edges": [(7, 8, 0)]}, "the graph has no edge"),
    ({"intended": "RoundSTE"}, "intended='RoundSTE'"),
    ({"intended": ["Round"]}, "nor a hook 'Round'; its custom Functions: RoundSTE; its custom ops: none; its hooks: none"),
    ({"intended": [Off]}, "nor a hook Off; its custom Functions: RoundSTE"),
    ({"intended": [[3]]}, "neither a custom Function nor a custom op nor a hook [3]"),
]


@pytest.mark.parametrize(("options", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_what_is_not_accepted_is_refused_with_a_sentence(options: dict[str, Any], said: str) -> None:
    x = torch.tensor([0.3, 1.7], requires_grad=True)
    graph = gradviz.trace(lambda x: RoundSTE.apply(x).sum(), x)
    with pytest.raises(CheckError) as refusal:
        graph.check(**options)
    assert said in str(refusal.value)


@pytest.mark.parametrize("named", [RoundSTE, "RoundSTE"])
def test_an_edge_that_is_meant_to_differ_is_neither_right_nor_wrong(named: Any) -> None:
    x = torch.tensor([0.3, 1.7], requires_grad=True)
    graph = gradviz.trace(lambda x: RoundSTE.apply(x).square().sum(), x)
    assert not graph.check().ok
    report = graph.check(intended=[named])
    assert [edge.verdict for edge in report.edges] == ["intended", "match", "match"]
    assert report.ok and report.verified and report.leaves == ()
    assert "2 match (symbolic), 1 intended" in report.summary and "RoundSTE is meant to differ" in report.summary
    assert "≠ intended" in str(report)
    assert "≠" in dot_source(graph.view(report=report))
    assert not [finding for finding in graph.diagnose(report=report) if finding.kind == "wrong-backward"]


@pytest.fixture
def rounding() -> CustomOpDef:
    """A straight-through estimator, written as a custom op."""

    @torch.library.custom_op("gradviz_meant::rounding", mutates_args=())
    def rounding(x: Tensor) -> Tensor:
        return torch.round(x)

    rounding.register_autograd(lambda ctx, cotangent: cotangent)
    return rounding


@pytest.mark.parametrize("is_recorded", [True, False])
@pytest.mark.parametrize(
    "named",
    [
        lambda op: op,
        lambda op: torch.ops.gradviz_meant.rounding,
        lambda op: torch.ops.gradviz_meant.rounding.default,
        lambda op: "gradviz_meant::rounding",
    ],
    ids=["definition", "packet", "overload", "name"],
)
def test_edges_into_a_custom_op_that_is_meant_to_differ_are_not_judged(
    rounding: CustomOpDef, named: Callable[[CustomOpDef], Any], is_recorded: bool
) -> None:
    def loss(x: Tensor) -> Tensor:
        return rounding(x).square().sum()

    x = torch.tensor([0.3, 1.7], requires_grad=True)
    graph = gradviz.trace(loss, x) if is_recorded else gradviz.trace(loss(x))
    assert [edge.verdict for edge in graph.check().edges][1:] == ["match", "match"]
    report = graph.check(intended=[named(rounding)])
    assert [edge.verdict for edge in report.edges] == ["intended", "match", "match"] and report.ok
    assert "is meant to differ" in report.summary


def test_beside_a_custom_op_that_is_meant_all_else_is_judged(rounding: CustomOpDef) -> None:
    x = torch.tensor([0.3, 1.7], requires_grad=True)
    assert assert_gradients(lambda x: rounding(x).square(), x, intended=["rounding"]).ok
    with pytest.raises(AssertionError, match="is wrong on 1 of 3 edges"):
        assert_gradients(lambda x: Off.apply(rounding(x)).square(), x, intended=[rounding])
    graph = gradviz.trace(lambda x: rounding(x).sum(), x)
    for other in ("gradviz_meant::rounded", torch.ops.aten.sum, torch.ops.aten.sum.default):
        with pytest.raises(CheckError, match="its custom ops: gradviz_meant::rounding; its hooks: none"):
            graph.check(intended=[other])


class Stop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> None:  # type: ignore[override]
        return None


def test_a_gradient_that_is_meant_to_end_is_not_missed() -> None:
    x, y = (torch.tensor([0.3, 1.7], requires_grad=True) for _ in range(2))
    assert assert_gradients(lambda x, y: Stop.apply(x) * y, x, y, intended=[Stop]).ok
    with pytest.raises(AssertionError, match=r"Stop.backward\(\)"):
        assert_gradients(lambda x, y: Stop.apply(x) * y, x, y)


def test_all_else_is_judged() -> None:
    x = torch.tensor([0.3, 1.7], requires_grad=True)
    assert assert_gradients(lambda x: RoundSTE.apply(x).square(), x, intended=[RoundSTE]).ok
    with pytest.raises(AssertionError, match="is wrong on 1 of 3 edges"):
        assert_gradients(lambda x: Off.apply(RoundSTE.apply(x)).square(), x, intended=[RoundSTE])


def clip(cotangent: Tensor) -> Tensor:
    return cotangent.clamp(-0.1, 0.1)


def watch(cotangent: Tensor) -> None:
    assert cotangent.isfinite().all()


def clipped(x: Tensor) -> Tensor:
    y = x.sin()
    y.register_hook(clip)
    return (y * y).sum()


@pytest.mark.parametrize("named", ["clip", f"clip at test_options.py:{clip.__code__.co_firstlineno}"])
def test_a_sum_that_a_hook_is_meant_to_change_is_neither_right_nor_wrong(named: str) -> None:
    graph = gradviz.trace(clipped, torch.tensor([0.3, 1.7], requires_grad=True))
    assert [entry.name for entry in graph.check().mismatches] == ["x", "y"]  # its whole gradient, and the sum into y
    report = graph.check(intended=[named])
    assert [entry.verdict for entry in report.sums] == ["match", "intended", "match"] and report.ok and report.verified
    assert {edge.verdict for edge in report.edges} == {"match"} and report.leaves == ()
    assert "3 sums: 2 match, 1 intended" in report.summary and "is meant to change the cotangent of y" in report.summary
    assert "≠" in dot_source(graph.view(report=report))


def test_a_hook_of_a_parameter_that_is_meant_to_clip_passes_a_test_suite() -> None:
    layer = torch.nn.Linear(2, 1)
    layer.weight.register_hook(clip)
    assert assert_gradients(layer, torch.ones(3, 2), intended=["clip"]).ok
    with pytest.raises(AssertionError, match=r"hook clip at .* where it is meant, name it in intended="):
        assert_gradients(layer, torch.ones(3, 2))


def test_of_several_hooks_on_a_value_each_is_named() -> None:
    def loss(x: Tensor) -> Tensor:
        x.register_hook(watch)
        return clipped(x) + clipped(x * 1)

    graph = gradviz.trace(loss, torch.tensor([0.3, 1.7], requires_grad=True))
    assert graph.check(intended=["clip"]).ok  # what the other hook leaves as it is needs no name

    def watched(x: Tensor) -> Tensor:
        y = x.sin()
        y.register_hook(watch)
        y.register_hook(clip)
        return (y * y).sum()

    graph = gradviz.trace(watched, torch.tensor([0.3, 1.7], requires_grad=True))
    assert not graph.check(intended=["clip"]).ok  # either may have changed it
    assert graph.check(intended=["clip", "watch"]).ok


def test_a_hook_that_is_meant_on_one_output_excuses_no_other_output() -> None:
    def halves(x: Tensor) -> Tensor:
        first, second = x.sin().chunk(2)
        first.register_hook(clip)
        second.register_hook(double)
        return (first * first * second * second).sum()

    def double(cotangent: Tensor) -> Tensor:
        return 2 * cotangent

    graph = gradviz.trace(halves, torch.tensor([0.3, 1.7, 0.9, 0.4], requires_grad=True))
    for named, other in (("clip", "double"), ("double", "clip")):
        (found,) = [entry for entry in graph.check(intended=[named]).mismatches if isinstance(entry, SumCheck)]
        assert f"the hook {other} at" in found.reason and named not in found.reason
    report = graph.check(intended=["clip", "double"])
    assert report.ok and "1 intended" in report.summary


def test_a_sum_that_is_wrong_at_an_output_without_a_hook_is_told() -> None:
    def halves(x: Tensor) -> Tensor:
        first, second = x.sin().chunk(2)
        first.register_hook(clip)
        return (first * first * second * second).sum()

    graph = gradviz.trace(halves, torch.tensor([0.3, 1.7, 0.9, 0.4], requires_grad=True))
    assert graph.check(intended=["clip"]).ok
    (node,) = (node for node, _ in graph.hooks())
    cotangent = graph.cotangent(node, 1)
    assert cotangent is not None
    cotangent[0] *= 2
    (found,) = [entry for entry in graph.check(intended=["clip"]).mismatches if isinstance(entry, SumCheck)]
    assert found.node == node and "ratio 2" in found.reason and "clip" not in found.reason


def test_beside_a_hook_that_is_meant_a_wrong_backward_is_told() -> None:
    graph = gradviz.trace(lambda x: clipped(Off.apply(x)), torch.tensor([0.3, 1.7], requires_grad=True))
    assert [type(entry).__name__ for entry in graph.check(intended=["clip"]).mismatches] == ["EdgeCheck"]


def test_the_hook_of_a_deep_equilibrium_model_may_be_meant() -> None:
    def loss(w: Tensor, x: Tensor) -> Tensor:
        with torch.no_grad():
            found = torch.zeros_like(x)
            for _ in range(40):
                found = torch.tanh(w @ found + x)
        found = torch.tanh(w @ found + x)
        once = found.clone().detach().requires_grad_()
        again = torch.tanh(w @ once + x)

        def solve(cotangent: Tensor) -> Tensor:
            solution = cotangent
            for _ in range(40):
                (moved,) = torch.autograd.grad(again, once, solution, retain_graph=True)
                solution = moved + cotangent
            return solution

        found.register_hook(solve)
        return found.square().sum()

    w, x = 0.1 * torch.ones(3, 3, dtype=torch.float64), torch.arange(3, dtype=torch.float64)
    graph = gradviz.trace(loss, w.requires_grad_(), x.requires_grad_())
    assert not graph.check().ok
    report = graph.check(intended=["solve"])
    assert report.ok and report.verified and "1 intended" in report.summary


def test_nothing_that_was_compared_is_not_verified() -> None:
    assert CheckReport(edges=()).verified is False


def test_leaves_of_eight_bits_are_refused_in_words() -> None:
    x = torch.ones(2).to(torch.float8_e4m3fn).requires_grad_()
    with pytest.raises(CheckError, match=r"x is torch\.float8_e4m3fn, .*accepted: 16 bits or more"):
        gradviz.trace((x.float() * 2).sum(), names={"x": x}).check()
