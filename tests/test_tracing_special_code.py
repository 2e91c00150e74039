"""Code that writes in place, custom Functions, checkpoints, autocast, hooks: traced as they ran."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from tracing_truth import assert_contributions_add_up, assert_same_gradients, stored_gradients

import gradviz
from gradviz import record, trace

# In-place


def test_in_place_ops_keep_the_value_that_each_node_had() -> None:
    def in_place(x: Tensor) -> Tensor:
        y = x * 2
        z = y + 1
        y.add_(10)
        return (y + z).sum()

    graph = trace(in_place, torch.tensor([1.0, 2.0], requires_grad=True))
    values = {attributes["name"]: attributes["value"].tolist() for _, attributes in graph.nodes(data=True)}
    assert values["y"] == [2.0, 4.0] and values["y_2"] == [12.0, 14.0] and values["z"] == [3.0, 5.0]


def test_slice_assignment_is_a_node_with_its_value() -> None:
    def assign(x: Tensor) -> Tensor:
        buffer = torch.zeros(3, 2)
        buffer[:, 0] = x
        doubled = buffer * 1
        buffer[1:].mul_(x[0])
        return (buffer * doubled.detach() + doubled).sum()

    x = torch.tensor([2.0, 3.0, 4.0], requires_grad=True)
    graph = trace(assign, x)
    assert_same_gradients(graph, stored_gradients(assign(x), x=x))
    writes = [attributes for _, attributes in graph.nodes(data=True) if attributes["op"] == "copy_slices"]
    assert [write["value"][:, 0].tolist() for write in writes] == [[2.0, 3.0, 4.0], [2.0, 6.0, 8.0]]
    assert_contributions_add_up(graph)


@pytest.mark.parametrize(
    "write",
    [
        lambda view, part, mask, rows: view.__setitem__(mask, part),
        lambda view, part, mask, rows: view.masked_fill_(mask[:, None], part[0]),
        lambda view, part, mask, rows: view.index_add_(0, rows, part.expand(2, 2)),
        lambda view, part, mask, rows: view.index_copy_(0, rows, part.expand(2, 2)),
    ],
)
def test_what_is_written_to_a_view_by_index_is_an_argument_of_its_own(write: Callable[..., object]) -> None:
    def loss(x: Tensor, part: Tensor) -> Tensor:
        buffer = x * 1
        write(buffer[1:], part, torch.tensor([True, False, True]), torch.tensor([0, 2]))
        return buffer.square().sum()

    graph = trace(loss, torch.randn(4, 2, requires_grad=True), torch.randn(2, requires_grad=True))
    report = graph.check()
    assert report.ok and report.verified, report


def test_a_view_that_is_written_to_later_stays_the_argument_that_it_was() -> None:
    def loss(x: Tensor) -> Tensor:
        buffer = x * 1
        view = buffer[1:]
        buffer[1:] = torch.zeros_like(view).where(torch.tensor([True, False]), view)
        return buffer.square().sum()

    graph = trace(loss, torch.randn(4, 2, requires_grad=True))
    (use,) = [use for node, op in graph.nodes(data="op") if op == "where" for use in graph.arguments_of(node) if use.partial]
    assert use.argument == "other" and graph.check().ok


def test_in_place_op_that_saves_its_input_is_joined_to_its_own_call() -> None:
    def in_place(x: Tensor) -> Tensor:
        y = x * 1
        y.sin_()
        return y.sum()

    graph = trace(in_place, torch.tensor([1.0, 2.0], requires_grad=True))
    (node,) = [attributes for _, attributes in graph.nodes(data=True) if attributes["op"] == "sin"]
    assert str(node["call"].overload) == "aten.sin_.default"
    assert torch.equal(next(node["call"].tensor_arguments()).tensor, torch.tensor([1.0, 2.0]))


def test_batch_norm_shows_the_statistics_that_it_read() -> None:
    model = nn.BatchNorm1d(2)
    graph = trace(model, torch.randn(4, 2), loss=lambda out: out.square().sum(), device="cpu")
    assert graph.value(graph.node("running_mean")).tolist() == [0.0, 0.0]
    assert model.running_mean.tolist() != [0.0, 0.0]


def test_leaf_filled_while_recording_shows_what_was_used() -> None:
    with record() as tape:
        weight = torch.zeros(3, requires_grad=True)
        with torch.no_grad():
            weight.fill_(2.0)
        loss = (weight * weight).sum()
    graph = tape.trace(loss)
    assert graph.value(graph.leaves["weight"]).tolist() == [2.0, 2.0, 2.0]


# Special code


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, scale, weight):
        ctx.save_for_backward(x, weight)
        ctx.scale = scale
        return x**3 * scale * weight

    @staticmethod
    def backward(ctx, cotangent):
        x, weight = ctx.saved_tensors
        return cotangent * 3 * x**2 * ctx.scale * weight, None, None


def test_custom_function_is_one_node_named_after_its_class() -> None:
    def apply(x: Tensor) -> Tensor:
        weight = torch.tensor(2.0)
        y = Cube.apply(x, 3.0, weight)
        return y + 1

    graph = trace(apply, torch.tensor(1.5, requires_grad=True))
    node = graph.nodes[graph.node("y")]
    assert node["op"] == "Cube" and [str(call.overload) for call in node["inner_calls"]] == [
        "aten.pow.Tensor_Scalar",
        "aten.mul.Tensor",
        "aten.mul.Tensor",
    ]
    arguments = graph.arguments_of(graph.node("y"))
    assert [use.argument for use in arguments] == ["x", ""] and arguments[1].cut == "constant"
    assert float(arguments[0].partial) == pytest.approx(3 * 1.5**2 * 6)
    assert node["inner_inputs"][0] is not None and float(node["inner_inputs"][1]) == 2.0


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        x.mul_(2)
        ctx.mark_dirty(x)
        return x

    @staticmethod
    def backward(ctx, cotangent):
        return cotangent * 2


class Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x

    @staticmethod
    def backward(ctx, cotangent):
        return -cotangent


def test_custom_function_that_writes_to_its_argument_keeps_what_it_read() -> None:
    graph = trace(lambda x: Doubled.apply(x * 3) * 5, torch.tensor(2.0, requires_grad=True))
    (head,) = [node for node, attributes in graph.nodes(data=True) if attributes["op"] == "Doubled"]
    (use,) = graph.arguments_of(head)
    assert float(graph.value(use.edge[0])) == 6.0 and float(graph.value(head)) == 12.0
    assert float(graph.nodes[head]["inner_inputs"][0]) == 6.0


def test_custom_function_that_returns_its_argument_is_an_identity_with_its_own_backward() -> None:
    graph = trace(lambda x: Reversed.apply(x * 2) * 3, torch.tensor(2.0, requires_grad=True))
    (head,) = [node for node, attributes in graph.nodes(data=True) if attributes["op"] == "Reversed"]
    assert float(graph.value(head)) == 4.0 and float(graph.arguments_of(head)[0].partial) == -1.0
    assert len(graph.nodes[head]["inner_calls"]) == 1


def test_recurrent_cell_that_works_in_place_joins_each_call_with_its_node() -> None:
    graph = trace(nn.GRU(3, 2), torch.randn(2, 1, 3), loss=lambda out: out[0].sum(), device="cpu")
    for tail, head, position, edge in graph.edges(keys=True, data=True):
        held = {argument.position: argument.tensor for argument in graph.nodes[head]["call"].tensor_arguments()}
        assert torch.equal(held[position], graph.value(tail, edge["output"]))
    assert_contributions_add_up(graph)


def test_checkpoint_runs_as_plain_ops() -> None:
    def block(x: Tensor) -> Tensor:
        return torch.tanh(x * 2).sin()

    x = torch.tensor([1.0, 2.0], requires_grad=True)
    graph = trace(lambda v: checkpoint(block, v, use_reentrant=False).sum(), x)
    assert [attributes["op"] for _, attributes in graph.nodes(data=True)] == ["", "mul", "tanh", "sin", "sum"]
    assert_same_gradients(graph, {"v": stored_gradients(block(x).sum(), x=x)["x"]})


def test_autocast_shows_its_casts() -> None:
    def loss(x: Tensor, weight: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return (weight @ x).float().sum()

    graph = trace(loss, torch.randn(2, requires_grad=True), torch.randn(2, 2, requires_grad=True))
    assert [attributes["op"] for _, attributes in graph.nodes(data=True)].count("_to_copy") == 3


class Cast(torch.autograd.Function):
    """A Function that asks for autocast in its backward as it was in its forward."""

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu")
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x @ x.mT

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(ctx: Any, cotangent: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        return (cotangent + cotangent.mT) @ x


@pytest.mark.parametrize("function", [lambda x: x @ x.mT, Cast.apply], ids=["plain", "custom"])
def test_around_a_trace_and_its_check_autocast_changes_no_derivative(function: Callable[[Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 4, requires_grad=True)

    def loss(x: Tensor) -> Tensor:
        return (torch.tanh(function(x)) @ torch.ones(3, 2)).float().square().sum()

    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = loss(x)
        graph = trace(loss, x)
        inside = graph.check()
        step = graph.gradients()["x"]
    (expected,) = torch.autograd.grad(out, x)
    assert step is not None and torch.equal(step, expected)
    assert inside.ok and graph.check().ok and not [edge for edge in inside.edges if edge.verdict == "unverified"], inside
    plain = trace(lambda x: torch.tanh(x @ x.mT).sum(), x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert plain.check().verified


def test_hook_on_a_tensor_is_seen_in_the_cotangent() -> None:
    def hooked(x: Tensor) -> Tensor:
        h = x * 3
        h.register_hook(lambda cotangent: cotangent * 10)
        return (h * h).sum()

    graph = trace(hooked, torch.tensor([1.0], requires_grad=True))
    assert graph.cotangent(graph.node("h")).tolist() == [60.0]


def test_a_traced_op_that_makes_conjugates_for_itself_gives_the_same_numbers() -> None:
    """Within a dispatch mode torch 2.13 does not look at conjugate views; `linalg_pinv` makes some."""
    matrix = torch.randn(3, 3, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    expected = torch.linalg.pinv(matrix)
    graph = gradviz.trace(lambda m: torch.view_as_real(torch.linalg.pinv(m)).sum(), matrix.clone().requires_grad_())
    pinv = next(node for node, attributes in graph.nodes(data=True) if attributes["op"] == "linalg_pinv")
    assert torch.equal(graph.value(pinv, 0), expected)


def test_complex_values_are_traced() -> None:
    z = torch.tensor([1 + 2j], requires_grad=True)
    graph = trace(lambda v: (v * v.conj()).real.sum(), z)
    assert torch.equal(graph.gradients()["v"], stored_gradients((z * z.conj()).real.sum(), z=z)["z"])


def test_double_backward_is_traced() -> None:
    def squared_gradient(x: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad((x**3).sum(), x, create_graph=True)
        return (gradient * gradient).sum()

    graph = trace(squared_gradient, torch.tensor([1.0, 2.0], requires_grad=True))
    assert graph.gradients()["x"].tolist() == [36.0, 288.0]


def test_chain_of_100000_ops_traces_without_recursion() -> None:
    def chain(x: Tensor) -> Tensor:
        for _ in range(100_000):
            x = torch.sin(x)
        return x

    graph = trace(chain, 1.0)
    assert len(graph) == 100_001
    del graph


class TwoWays(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return x.sin(), y.exp() * x


@pytest.mark.parametrize("needs_gradient", [True, False])
def test_a_module_with_a_backward_hook_may_take_and_return_several_tensors(needs_gradient: bool) -> None:
    module, seen = TwoWays(), []
    module.register_full_backward_hook(lambda _, made, handed: seen.append((len(made), len(handed))))
    y = torch.tensor([0.5, -0.5], requires_grad=needs_gradient)

    def loss(x: Tensor) -> Tensor:
        first, second = module(x * 2, y)
        return (first * second).sum()  # type: ignore[no-any-return]

    x = torch.tensor([2.0, 3.0], requires_grad=True)
    graph = trace(loss, x)
    assert seen == [(2, 2)]
    leaves = {"x": x, "y": y} if needs_gradient else {"x": x}
    assert_same_gradients(graph, stored_gradients(loss(x), **leaves))
    assert_contributions_add_up(graph)
    assert graph.check().verified
    (product,) = (use.edge[0] for use in graph.arguments_of(graph.output))
    assert {use.edge[0] for use in graph.arguments_of(product)} == {graph.node("first, second")}


def test_the_inputs_of_a_module_with_a_backward_hook_are_not_named_as_its_result() -> None:
    module = nn.Linear(2, 2)
    module.register_full_backward_hook(lambda *_: None)

    def loss(x: Tensor) -> Tensor:
        made = module(x)
        return made.sum()  # type: ignore[no-any-return]

    graph = trace(loss, torch.ones(3, 2, requires_grad=True))
    named = [data for _, data in graph.nodes(data=True) if data["name"].startswith("made")]
    assert [data["name"] for data in named] == ["made"]
    assert [use.edge[1] for use in graph.uses_of(graph.node("made"))] == [graph.output]


def test_a_function_may_hand_several_arguments_on() -> None:
    class Both(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
            return x, y

        @staticmethod
        def backward(ctx: Any, of_x: Tensor, of_y: Tensor) -> tuple[Tensor, Tensor]:
            return of_x, of_y

    def loss(x: Tensor) -> Tensor:
        first, second = Both.apply(x * 2, x.cos())
        return (first * second).sum() + (second.detach() * first).sum()

    x = torch.tensor([2.0, 3.0], requires_grad=True)
    graph = trace(loss, x)
    assert [data["op"] for _, data in graph.nodes(data=True) if data["name"] == "first, second"] == ["Both"]
    assert "view" not in {data["op"] for _, data in graph.nodes(data=True)}
    assert_same_gradients(graph, stored_gradients(loss(x), x=x))
    assert graph.check().verified
