"""Custom Functions that no gradient comes back to: one node each, cut where the code cuts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from swish import Swish
from torch import Tensor, nn

import gradviz
from gradviz import GradGraph


class SetUpApart(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return torch.exp(x) * 2

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        return cotangent * ctx.saved_tensors[0]


class Pair(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        power = torch.exp(x)
        ctx.save_for_backward(x, power)
        return x * x, power

    @staticmethod
    def backward(ctx: Any, of_square: Tensor, of_power: Tensor) -> Tensor:
        x, power = ctx.saved_tensors
        return of_square * 2 * x + of_power * power


class HandedOn(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        return cotangent


class MeasuredAndHandedOn(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.norm = x.norm()
        return x

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        return cotangent


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.mark_dirty(x)
        return x.mul_(2)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        return 2 * cotangent


class Nested(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        with torch.enable_grad():
            inner = Swish.apply(x) * 2
        ctx.save_for_backward(x)
        return inner.detach() + 1

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        s = torch.sigmoid(ctx.saved_tensors[0])
        return 2 * cotangent * (s + ctx.saved_tensors[0] * s * (1 - s))


class Forgetful(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *given: Tensor) -> Tensor:
        x, y = given
        del given
        return x * y

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, Tensor]:
        return cotangent, cotangent


class Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return (x > 0).long()

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> None:
        return None


def inputs() -> tuple[Tensor, Tensor]:
    x = torch.tensor([0.3, -0.7], dtype=torch.float64, requires_grad=True)
    return x, torch.tensor([1.3, 0.4], dtype=torch.float64, requires_grad=True)


def functions(graph: GradGraph) -> list[str]:
    """The ops in forward order; every value of a custom Function known."""
    found = [(data["op"], data["value"]) for _, data in graph.nodes(data=True) if data["kind"] == "op"]
    assert all(value is not None for _, value in found)
    return [op for op, _ in found]


def told(graph: GradGraph) -> list[tuple[str, str, str]]:
    """(kind, op that cuts, function that it lies in) of each finding."""
    return [(one.kind, graph.nodes[one.edge[1]]["op"], one.source.partition(":")[0]) for one in graph.diagnose() if one.edge]


def used_without_gradient(x: Tensor, w: Tensor) -> Tensor:
    y = Swish.apply(x)
    with torch.no_grad():
        z = y * 3
    return (z * w).sum()


def applied_without_gradient(function: type[torch.autograd.Function]) -> Callable[[Tensor, Tensor], Tensor]:
    def traced(x: Tensor, w: Tensor) -> Tensor:
        with torch.no_grad():
            y = function.apply(x)  # type: ignore[no-untyped-call]
        return (y * w).sum()

    return traced


def written_to_in_place(x: Tensor, w: Tensor) -> Tensor:
    y = Swish.apply(x)
    y.mul_(3)
    return (y.detach() * w).sum()


DETACHED = [
    (lambda x, w: (Swish.apply(x).detach() * w).sum(), ["Swish", "detach", "mul", "sum"], "detach"),
    (lambda x, w: (Swish.apply(x).data * w).sum(), ["Swish", "detach", "mul", "sum"], "detach"),
    (lambda x, w: (Swish.apply(x).sin().detach() * w).sum(), ["Swish", "sin", "detach", "mul", "sum"], "detach"),
    (lambda x, w: (Swish.apply(Swish.apply(x)).detach() * w).sum(), ["Swish", "Swish", "detach", "mul", "sum"], "detach"),
    (lambda x, w: (Swish.apply(x).detach() * Swish.apply(w)).sum(), ["Swish", "detach", "Swish", "mul", "sum"], "detach"),
    (lambda x, w: (SetUpApart.apply(x).detach() * w).sum(), ["SetUpApart", "detach", "mul", "sum"], "detach"),
    (lambda x, w: (HandedOn.apply(x * 2).detach() * w).sum(), ["mul", "HandedOn", "detach", "mul", "sum"], "detach"),
    (
        lambda x, w: (MeasuredAndHandedOn.apply(x * 2).detach() * w).sum(),
        ["mul", "MeasuredAndHandedOn", "detach", "mul", "sum"],
        "detach",
    ),
    (lambda x, w: (Doubled.apply(x * 1).detach() * w).sum(), ["mul", "Doubled", "detach", "mul", "sum"], "detach"),
    (lambda x, w: (Nested.apply(x).detach() * w).sum(), ["Nested", "detach", "mul", "sum"], "detach"),
    (lambda x, w: (Forgetful.apply(x, x * 2).detach() * w).sum(), ["mul", "Forgetful", "detach", "mul", "sum"], "detach"),
    (written_to_in_place, ["Swish", "mul", "detach", "mul", "sum"], "detach"),
    (used_without_gradient, ["Swish", "mul", "mul", "sum"], "mul"),
    (applied_without_gradient(Swish), ["Swish", "mul", "sum"], "Swish"),
    (applied_without_gradient(SetUpApart), ["SetUpApart", "mul", "sum"], "SetUpApart"),
    (applied_without_gradient(Nested), ["Nested", "mul", "sum"], "Nested"),
    (lambda x, w: (Swish.apply(x.detach()) * w).sum(), ["detach", "Swish", "mul", "sum"], "detach"),
    (lambda x, w: w[Gate.apply(x)].sum(), ["Gate", "index", "sum"], "Gate"),
]


@pytest.mark.parametrize(("function", "ops", "cutting"), DETACHED)
def test_a_function_without_gradient_is_one_node_and_the_finding_names_what_cuts(
    function: Callable[[Tensor, Tensor], Tensor], ops: list[str], cutting: str
) -> None:
    graph = gradviz.trace(function, *inputs())
    assert functions(graph) == ops
    ((_, op, _),) = told(graph)
    assert op == cutting
    assert graph.check().verified


def test_the_finding_names_the_line_that_cuts_and_not_one_of_forward() -> None:
    (finding,) = gradviz.trace(lambda x, w: (Swish.apply(x).detach() * w).sum(), *inputs()).diagnose()
    (under,) = gradviz.trace(applied_without_gradient(Swish), *inputs()).diagnose()
    assert (finding.kind, under.kind) == ("detached", "no-grad")
    line = applied_without_gradient.__code__.co_firstlineno + 3
    assert under.source == f"test_unreached_functions.py:{line}"


def test_value_and_arguments_of_a_function_without_gradient() -> None:
    x, w = inputs()
    graph = gradviz.trace(lambda x, w: (Swish.apply(x).detach() * w).sum(), x, w)
    node = next(node for node, data in graph.nodes(data=True) if data["op"] == "Swish")
    assert torch.equal(graph.nodes[node]["value"], (x * torch.sigmoid(x)).detach())
    ((use),) = graph.arguments_of(node)
    assert (use.edge[0], use.argument, use.cut, use.partial) == (
        graph.leaves["x"],
        "x",
        "no gradient path to the output",
        None,
    )


def test_of_several_outputs_each_is_detached_by_itself() -> None:
    def one(x: Tensor, w: Tensor) -> Tensor:
        square, power = Pair.apply(x)
        return (square * power.detach() * w).sum()

    def both(x: Tensor, w: Tensor) -> Tensor:
        square, power = Pair.apply(x)
        return (square.detach() * power.detach() * w).sum()

    graph = gradviz.trace(one, *inputs())
    assert functions(graph) == ["Pair", "detach", "mul", "mul", "sum"] and not graph.diagnose()
    graph = gradviz.trace(both, *inputs())
    (node,) = (node for node, data in graph.nodes(data=True) if data["op"] == "Pair")
    assert graph.nodes[node]["output_names"] == ("square", "power")
    assert [use.cut for use in graph.uses_of(node)] == ["detach", "detach"]
    assert [one.kind for one in graph.diagnose()] == ["detached"]


def test_outputs_of_which_the_order_is_not_known_get_no_names_of_the_code() -> None:
    def swapped(x: Tensor, w: Tensor) -> Tensor:
        with torch.no_grad():
            square, power = Pair.apply(x)
        return (power * w * square).sum()

    x, w = inputs()
    graph = gradviz.trace(swapped, x, w)
    (node,) = (node for node, data in graph.nodes(data=True) if data["op"] == "Pair")
    values = graph.nodes[node]["value"]
    assert {tuple(value.tolist()) for value in values} == {tuple((x * x).tolist()), tuple(torch.exp(x).tolist())}
    assert not {"square", "power"} & set(graph.nodes[node]["output_names"])


def test_a_function_in_a_module_stands_in_its_scope() -> None:
    class Activated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return Swish.apply(self.linear(x))

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = Activated()
            self.head = nn.Linear(3, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.body(x).detach())

    graph = gradviz.trace(Whole(), torch.randn(4, 3), loss=lambda out: out.sum())
    (scope,) = (data["scope"] for _, data in graph.nodes(data=True) if data["op"] == "Swish")
    assert scope[-1] == "body"
    (finding,) = graph.diagnose()
    assert finding.kind == "detached" and "body.linear.weight, body.linear.bias" in finding.message


class Side(nn.Module):
    """Two layers, of which the first goes a way of its own."""

    def __init__(self, way: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.side = nn.Linear(3, 3)
        self.head = nn.Linear(3, 1)
        self.way = way

    def forward(self, x: Tensor) -> Tensor:
        used = self.way(self.side(x))
        return self.head(x) + (used if isinstance(used, float) else 0.0)


@pytest.mark.parametrize(
    ("way", "kind"),
    [
        (Swish.apply, "unused-parameter"),
        (Nested.apply, "unused-parameter"),
        (lambda h: Swish.apply(h).sum().item(), "left-torch"),
        (lambda h: float(Swish.apply(h).detach().numpy().sum()), "left-torch"),
        (torch.no_grad()(Swish.apply), "no-grad"),
    ],
)
def test_what_a_function_made_and_nobody_used_is_not_lost_in_its_forward(way: Callable[[Tensor], Any], kind: str) -> None:
    findings = gradviz.trace(Side(way), torch.randn(4, 3), loss=lambda out: out.sum()).diagnose()
    finding = next(one for one in findings if "side.weight" in one.message)
    assert finding.kind == kind
    for function in (Swish, Nested):
        first = function.forward.__code__.co_firstlineno
        assert not first <= int(finding.source.rpartition(":")[2]) < first + 8


def test_a_step_computes_a_function_without_gradient_again() -> None:
    def loss(x: Tensor, w: Tensor) -> Tensor:
        return (Swish.apply(x * w).detach() * w).sum()

    x, w = inputs()
    graph = gradviz.trace(loss, x, w)
    after = loss(x, w - 0.1 * graph.gradients()["w"])
    assert graph.step(lr=0.1).after == pytest.approx(after.item())
