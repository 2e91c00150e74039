"""What can be traced, and the graph that it gives. Truth: `.backward()` on the same code."""

from __future__ import annotations

import copy
import dataclasses
import math

import networkx as nx
import pytest
import sympy
import torch
from torch import Tensor, nn
from tracing_truth import assert_contributions_add_up, assert_same_gradients, stored_gradients

from gradviz import InputError, record, trace

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
        index = x.argmax().view(1) * (x > 0).sum().clamp(max=0)
        return (x * detached * frozen).sum() + x.gather(0, index).sum()

    graph = trace(cut, torch.tensor([1.0, 2.0], requires_grad=True))
    cuts = {(graph.nodes[head]["op"], data["cut"]) for _, head, data in graph.edges(data=True) if data["cut"]}
    assert {("detach", "detach"), ("mul", "no_grad"), ("argmax", "integer"), ("gt", "boolean")} <= cuts


def test_leaf_that_only_a_cut_path_uses_has_no_gradient() -> None:
    x, y = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    graph = trace(lambda x, y: (x.detach() * y).sum(), x, y)
    assert graph.gradients()["x"] is None and graph.gradients()["y"] is not None


def test_unused_input_is_a_leaf_without_gradient() -> None:
    graph = trace(lambda x, y: x * 2, 1.0, 2.0)
    assert graph.gradients()["y"] is None and graph.degree(graph.leaves["y"]) == 0
