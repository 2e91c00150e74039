"""What can be traced, and what tracing leaves untouched. Truth: `.backward()` on the same code."""

from __future__ import annotations

import copy
import dataclasses
import gc
import math
from collections.abc import Callable

import networkx as nx
import pytest
import sympy
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import gradviz
from gradviz import InputError, TraceError, record, trace


def assert_same_gradients(graph: gradviz.GradGraph, expected: dict[str, Tensor | None]) -> None:
    found = graph.gradients()
    assert set(found) == set(expected)
    for name, gradient in expected.items():
        assert (gradient is None) == (found[name] is None), name
        assert gradient is None or torch.equal(found[name], gradient), name


def stored_gradients(output: Tensor, **leaves: Tensor) -> dict[str, Tensor | None]:
    """What `.backward()` stores, as truth."""
    for leaf in leaves.values():
        leaf.grad = None
    output.backward(retain_graph=True)
    found = {name: leaf.grad for name, leaf in leaves.items()}
    for leaf in leaves.values():
        leaf.grad = None
    return found


def assert_contributions_add_up(graph: gradviz.GradGraph) -> None:
    """Contributions into a node sum to its cotangent; at an output its own starting cotangent comes on top."""
    for node, attributes in graph.nodes(data=True):
        for output in attributes["outputs"]:
            cotangent = graph.cotangent(node, output)
            parts = [
                use.contribution for use in graph.uses_of(node) if use.output == output and use.contribution is not None
            ]
            if cotangent is not None and parts and not attributes["is_output"]:
                torch.testing.assert_close(sum(parts), cotangent)


# Targets


@pytest.mark.parametrize(
    "text, values, gradient",
    [
        ("x*y + sin(pi*x)", {"x": 2.0, "y": 3.0}, {"x": 3 + math.pi * math.cos(2 * math.pi), "y": 2.0}),
        ("log(z) + exp(z)", {"z": 15.0}, {"z": 1 / 15 + math.exp(15)}),
        (
            "z = x*y; log(z) + exp(z)",
            {"x": 5.0, "y": 3.0},
            {"x": 3 * (1 / 15 + math.exp(15)), "y": 5 * (1 / 15 + math.exp(15))},
        ),
    ],
)
def test_text_gives_the_gradient_of_the_lecture(text: str, values: dict[str, float], gradient: dict[str, float]) -> None:
    graph = trace(text, **values, device="cpu")
    for name, expected in gradient.items():
        assert float(graph.gradients()[name]) == pytest.approx(expected, rel=1e-14)


def test_text_names_definitions_and_letters_the_rest() -> None:
    graph = trace("z = x*y; log(z) + exp(z)", x=5.0, y=3.0, device="cpu")
    assert set(graph.graph["names"]) == {"x", "y", "z", "a", "b", "c"}
    assert graph.nodes[graph.node("a")]["expression"] == "log(z)"


def test_sympy_expression_agrees_with_its_own_derivative() -> None:
    x, y = sympy.symbols("x y")
    expression = sympy.sin(x * y) / (1 + x**2)
    graph = trace(expression, x=0.7, y=-1.3, device="cpu")
    for symbol in (x, y):
        expected = float(expression.diff(symbol).subs({x: 0.7, y: -1.3}))
        assert float(graph.gradients()[symbol.name]) == pytest.approx(expected, rel=1e-13)


def test_callable_with_floats_makes_float64_leaves() -> None:
    graph = trace(lambda x, y: x * y + torch.sin(math.pi * x), 2.0, 2.0)
    assert graph.nodes[graph.leaves["x"]]["dtype"] == torch.float64
    assert float(graph.gradients()["y"]) == 2.0


def test_callable_with_nested_inputs_names_their_paths() -> None:
    inputs = {"w": [torch.ones(2, requires_grad=True), 1], "pair": (torch.full((2,), 3.0, requires_grad=True),)}

    def loss(data: dict, *, scale: Tensor) -> Tensor:
        return (data["w"][0] * data["pair"][0] * scale).sum()

    graph = trace(loss, inputs, scale=torch.tensor(2.0))
    assert set(graph.leaves) == {"data.w[0]", "data.pair[0]"}
    assert graph.nodes[graph.node("scale")]["kind"] == "constant"


def test_callable_without_inputs_names_parameters_of_the_modules_it_closes_over() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    criterion, inputs, targets = nn.BCEWithLogitsLoss(), torch.randn(4, 2), torch.ones(4, 1)
    graph = trace(lambda: criterion(model(inputs), targets))
    assert set(graph.leaves) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    assert_same_gradients(graph, stored_gradients(criterion(model(inputs), targets), **dict(model.named_parameters())))
    assert graph.nodes[graph.output]["name"] not in graph.leaves
    assert {"inputs", "targets"} <= set(graph.graph["names"])


def test_module_with_loss_equals_backward_and_knows_module_paths() -> None:
    model = nn.Sequential(nn.Linear(2, 50), nn.ReLU(), nn.Linear(50, 1), nn.Sigmoid())
    inputs, targets = torch.randn(8, 2), torch.ones(8, 1)

    def loss(out: Tensor) -> Tensor:
        return nn.functional.binary_cross_entropy(out, targets)

    graph = trace(model, inputs, loss=loss, device="cpu")
    assert_same_gradients(graph, stored_gradients(loss(model(inputs)), **dict(model.named_parameters())))
    modules = {attributes["op"]: attributes["module"] for _, attributes in graph.nodes(data=True)}
    assert modules["relu"] == "1" and modules["sigmoid"] == "3" and modules["binary_cross_entropy"] == ""


def test_computed_tensor_is_traced_from_what_autograd_kept() -> None:
    weight, vector = torch.randn(3, 2, requires_grad=True), torch.randn(2)
    hidden = torch.tanh(weight @ vector)
    loss = (hidden * hidden).sum()
    graph = trace(loss)
    assert_same_gradients(graph, stored_gradients(loss, weight=weight))
    assert torch.equal(graph.value(graph.node("hidden")), hidden)
    assert graph.nodes[graph.node("loss")]["is_output"]


def test_value_that_cannot_be_known_says_why() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    graph = trace((x + torch.tensor([0.1, 0.2])).sum())
    (missing,) = [attributes for _, attributes in graph.nodes(data=True) if attributes["value"] is None]
    assert missing["op"] == "add" and "nothing kept the result" in missing["value_missing"]


def test_tape_records_any_code() -> None:
    x = torch.tensor(3.0, requires_grad=True)
    with record() as tape:
        for _ in range(3):
            y = x * x
        z = torch.sin(y)
    graph = tape.trace(z)
    assert graph.graph["names"].keys() == {"x", "y", "z"}
    assert_same_gradients(graph, stored_gradients(z, x=x))


def test_output_with_a_loss_entry_is_its_loss() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    graph = trace(lambda v: {"logits": v * 2, "loss": (v * v).sum()}, x)
    assert graph.gradients()["v"].tolist() == [2.0, 4.0]


def test_tensors_in_a_dataclass_are_outputs() -> None:
    @dataclasses.dataclass
    class Result:
        loss: Tensor
        extra: int = 0

    assert float(trace(lambda x: Result(loss=x * x), 3.0).gradients()["x"]) == 6.0


def test_a_function_of_lists_of_tensors_has_an_edge_from_each() -> None:
    x, y = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([3.0], requires_grad=True)
    graph = trace(lambda x, y: [one * one for one in torch._foreach_exp([x, y])], x, y, grad_output=torch.ones_like)
    edges = [use for node in graph.leaves.values() for use in graph.uses_of(node)]
    assert torch.equal(edges[0].partial.jacobian(), torch.diag(x.detach().exp()))
    assert torch.equal(edges[1].contribution, 2 * (2 * y.detach()).exp())


def test_several_outputs_start_one_backward_pass_together() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    graph = trace(lambda v: (v.sum(), {"product": v.prod()}), x)
    assert len(graph.outputs) == 2
    assert graph.gradients()["v"].tolist() == [3.0, 2.0]


def test_grad_output_can_be_a_function_of_each_output() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    graph = trace(lambda v: (v.exp(), 3 * v), x, grad_output=torch.ones_like)
    assert torch.equal(graph.gradients()["v"], torch.exp(x.detach()) + 3)


def test_grad_output_starts_from_a_tensor() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    graph = trace(lambda v: torch.exp(v), x, grad_output=torch.tensor([1.0, 10.0]))
    assert torch.equal(graph.gradients()["v"], torch.exp(x.detach()) * torch.tensor([1.0, 10.0]))


# Graphs


def test_reused_tensor_makes_two_edges() -> None:
    graph = trace(lambda x: x * x, 3.0)
    assert sorted(graph.edges(keys=True)) == [(0, 1, 0), (0, 1, 1)]
    assert [float(use.contribution) for use in graph.arguments_of(1)] == [3.0, 3.0]


def test_every_networkx_algorithm_runs_on_it() -> None:
    graph = trace("tanh(ln(1 + z*2x/sin y))", x=1.0, y=2.0, z=3.0, device="cpu")
    assert nx.is_directed_acyclic_graph(graph)
    assert list(graph) == sorted(graph), "nodes are numbered in forward order"
    assert nx.descendants(graph, graph.leaves["y"]) < set(graph)
    assert graph.subgraph([0, 1]).leaves.keys() <= graph.leaves.keys()


def test_copies_and_parts_of_a_graph_are_graphs() -> None:
    graph = trace("x*y + sin(x)", x=1.0, y=2.0, device="cpu")
    for copied in (graph.copy(), graph.reverse(), copy.deepcopy(graph)):
        assert len(copied) == len(graph) and copied.leaves == graph.leaves
    part = graph.subgraph([graph.leaves["x"]])
    assert part.outputs == [] and "without outputs" in repr(part)
    with pytest.raises(InputError, match="does not hold an output"):
        _ = part.output


def test_shared_parameter_gets_the_sum_over_its_uses() -> None:
    layer = nn.Linear(2, 2)
    inputs = torch.randn(3, 2)
    graph = trace(lambda: layer(torch.tanh(layer(inputs))).sum())
    weight = graph.leaves["weight"]
    assert graph.out_degree(weight) == 2
    assert_contributions_add_up(graph)
    assert_same_gradients(
        graph, stored_gradients(layer(torch.tanh(layer(inputs))).sum(), weight=layer.weight, bias=layer.bias)
    )


def test_multi_output_call_is_one_node_with_a_value_per_output() -> None:
    def split_product(x: Tensor) -> Tensor:
        first, second = x.split(2)
        return (first * second).sum()

    x = torch.arange(4.0, requires_grad=True)
    graph = trace(split_product, x)
    (node,) = [node for node, attributes in graph.nodes(data=True) if attributes["op"] == "split"]
    assert [part.tolist() for part in graph.nodes[node]["value"]] == [[0.0, 1.0], [2.0, 3.0]]
    assert graph.nodes[node]["output_names"] == ("first", "second")
    assert graph.cotangent(node, 1).tolist() == [0.0, 1.0]
    assert_contributions_add_up(graph)


def test_only_used_output_of_a_call_is_its_value() -> None:
    x = torch.tensor([[1.0, 5.0], [7.0, 3.0]], requires_grad=True)
    graph = trace(lambda v: v.max(1).values.sum(), x)
    (node,) = [node for node, attributes in graph.nodes(data=True) if attributes["op"] == "max"]
    assert graph.nodes[node]["value"].tolist() == [5.0, 7.0]


def test_control_flow_is_the_branch_that_ran() -> None:
    graph = trace(lambda x: torch.sin(x) if x > 0 else torch.cos(x), -1.0)
    assert [attributes["op"] for _, attributes in graph.nodes(data=True) if attributes["kind"] == "op"] == ["cos"]


def test_detach_no_grad_and_integer_cuts_are_in_the_graph() -> None:
    def cut(x: Tensor) -> Tensor:
        detached = x.detach()
        with torch.no_grad():
            frozen = x * 2
        index = x.argmax().view(1)
        return (x * detached * frozen).sum() + x.gather(0, index).sum()

    graph = trace(cut, torch.tensor([1.0, 2.0], requires_grad=True))
    cuts = {(graph.nodes[head]["op"], data["cut"]) for _, head, data in graph.edges(data=True) if data["cut"]}
    assert {("detach", "detach"), ("mul", "no_grad"), ("argmax", "integer")} <= cuts


def test_leaf_that_only_a_cut_path_uses_has_no_gradient() -> None:
    x, y = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    graph = trace(lambda x, y: (x.detach() * y).sum(), x, y)
    assert graph.gradients()["x"] is None and graph.gradients()["y"] is not None


def test_unused_input_is_a_leaf_without_gradient() -> None:
    graph = trace(lambda x, y: x * 2, 1.0, 2.0)
    assert graph.gradients()["y"] is None and graph.degree(graph.leaves["y"]) == 0


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


# What tracing leaves as it was


def test_grad_hooks_and_flags_stay_as_they_were() -> None:
    model = nn.Linear(2, 1).eval()
    calls: list[int] = []
    model.register_forward_hook(lambda *_: calls.append(1))
    model.weight.grad = torch.full_like(model.weight, 7.0)
    before = copy.deepcopy(model.state_dict())
    graph = trace(model, torch.randn(3, 2), loss=lambda out: out.sum(), device="cpu")
    assert calls == [1] and not model.training and model.weight.requires_grad
    assert torch.equal(model.weight.grad, torch.full_like(model.weight, 7.0)) and model.bias.grad is None
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not torch.nn.modules.module._global_forward_hooks and graph.number_of_nodes() > 0


def test_random_numbers_and_batch_norm_statistics_are_as_after_one_forward_pass() -> None:
    model = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    twin = copy.deepcopy(model)
    inputs = torch.randn(6, 2)
    torch.manual_seed(0)
    twin(inputs).sum()
    expected = torch.get_rng_state()
    torch.manual_seed(0)
    trace(model, inputs, loss=lambda out: out.sum(), device="cpu")
    assert torch.equal(torch.get_rng_state(), expected)
    assert int(model[1].num_batches_tracked) == 1
    assert torch.equal(model[1].running_mean, twin[1].running_mean)


def test_garbage_collection_goes_on_as_it_was() -> None:
    assert gc.isenabled()
    trace(lambda x: x * 2, 1.0)
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError):
        trace(lambda x: x * (1 // 0), 1.0)
    assert gc.isenabled()


def test_traced_tensor_can_still_be_differentiated() -> None:
    x = torch.tensor(2.0, requires_grad=True)
    y = x**3
    trace(y)
    y.backward()
    assert float(x.grad) == 12.0


def test_leaf_value_survives_an_optimizer_step() -> None:
    weight = torch.tensor([1.0, 2.0], requires_grad=True)
    graph = trace(lambda: (weight * weight).sum())
    with torch.no_grad():
        weight.sub_(1.0)
    assert graph.value(graph.leaves["weight"]).tolist() == [1.0, 2.0]


# Refusals


def test_freed_graph_says_what_to_do() -> None:
    x = torch.tensor(2.0, requires_grad=True)
    y = x**3
    y.backward()
    with pytest.raises(TraceError, match=r"freed by an earlier backward.*retain_graph=True"):
        trace(y)


@pytest.mark.parametrize(
    "target, options, error, message",
    [
        (3, {}, InputError, "cannot trace a int; trace takes a tensor already computed, math text"),
        (torch.ones(2), {}, TraceError, "it has no grad_fn"),
        (torch.tensor([1]), {}, TraceError, "no gradient"),
        (lambda: None, {}, TraceError, "returned None, not a tensor"),
        ("x*y", {"x": 1.0, "z": 2.0}, InputError, "no value for y; the expression has no variable z"),
        ("x", {"x": 1.0, "device": "tpu9"}, InputError, "device 'tpu9' cannot be used here"),
        ("x", {"x": 1.0, "loss": abs}, InputError, "loss= goes with a model or a function"),
        ("x", {"x": 1.0, "at": {"x": 2.0}}, InputError, "x given twice"),
        ("x*x", {"x": [1.0, 2.0]}, InputError, r"shape \(2,\): a gradient needs a single number"),
        ("x*x", {"x": [1.0, 2.0], "grad_output": [1.0]}, InputError, r"grad_output has shape \(1,\)"),
    ],
)
def test_bad_input_gets_a_clear_error(target: object, options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        trace(target, **options)


def test_missing_argument_is_named() -> None:
    with pytest.raises(InputError, match="cannot take the inputs given: missing a required argument: 'y'"):
        trace(lambda x, y: x, 1.0)


def test_reentrant_checkpoint_says_what_to_do() -> None:
    x = torch.ones(2, requires_grad=True)
    with pytest.raises(TraceError, match="use_reentrant=False"):
        trace(lambda v: checkpoint(torch.sin, v, use_reentrant=True).sum(), x)


def test_functorch_transform_is_refused() -> None:
    def inside(x: Tensor) -> Tensor:
        trace(lambda v: v * v, x)
        return x * x

    with pytest.raises(TraceError, match=r"torch.func transform"):
        torch.func.grad(inside)(torch.tensor(1.0))


def test_inference_mode_is_refused() -> None:
    with torch.inference_mode():
        output = torch.ones(2) * 2
    with pytest.raises(TraceError, match="inference_mode"):
        trace(output)


@pytest.mark.filterwarnings("ignore")  # torch.compile warns of what it would do without a dispatch mode
def test_compiled_code_is_traced_op_by_op_and_its_result_alone_is_refused() -> None:
    def function(x: Tensor) -> Tensor:
        return (torch.sin(x) * x).sum()

    x = torch.tensor([1.0, 2.0], requires_grad=True)
    compiled = torch.compile(function, backend="aot_eager")
    with pytest.raises(TraceError, match=r"computed by torch.compile'd code.*trace the function itself"):
        trace(compiled(x))
    graph = trace(compiled, x)
    assert [attributes["op"] for _, attributes in graph.nodes(data=True)] == ["", "sin", "mul", "sum"]
    model = torch.compile(nn.Linear(2, 1), backend="aot_eager")
    assert set(trace(model, torch.randn(3, 2), loss=lambda out: out.sum(), device="cpu").leaves) == {"weight", "bias"}
