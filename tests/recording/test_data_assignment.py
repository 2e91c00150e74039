"""`h.data = other` gives a tensor other numbers where no dispatch mode looks: values are still those of their time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gradviz
from gradviz.recording.data_assignment import listen, stop_listening

NEW = [5.0, 6.0]


def parameter() -> Tensor:
    return torch.tensor([1.0, 2.0], requires_grad=True)


def leaf_between_uses(w: Tensor) -> Tensor:
    y = w * 3
    w.data = torch.tensor(NEW)
    z = w * w
    return (y + z).sum()


def result_between_uses(w: Tensor) -> Tensor:
    h = w * 3
    y = h.exp()
    h.data = torch.tensor(NEW)
    z = h.sin()
    return (y + z).sum()


def result_clamped(w: Tensor) -> Tensor:
    h = w * 3
    h.data = h.data.clamp(max=4.0)
    return h.square().sum()


def result_set(w: Tensor) -> Tensor:
    h = w * 3
    with torch.no_grad():
        h.set_(torch.tensor(NEW))
    return h.square().sum()


def result_exchanged(w: Tensor) -> Tensor:
    h = w * 3
    y = h.exp()
    other = torch.tensor(NEW)
    h.data, other.data = other.data, h.data
    return (h * y + other).sum()


def assigned_after_the_use(w: Tensor) -> Tensor:
    h = w * 3
    y = h.sin()
    h.data = torch.tensor(NEW)
    return y.sum()


def written_in_place_and_assigned(w: Tensor) -> Tensor:
    h = w * 3
    h.data.mul_(2.0)
    y = h.exp()
    h.data = torch.tensor(NEW)
    h.data.add_(1.0)
    return (y + h).sum()


def value(graph: gradviz.GradGraph, name: str) -> list[float]:
    found: list[float] = graph.nodes[graph.node(name)]["value"].tolist()
    return found


def told(graph: gradviz.GradGraph) -> dict[str, list[str]]:
    return {graph.nodes[node]["name"]: [op for op, _ in writes] for node, writes in graph.unseen_writes().items()}


@pytest.mark.parametrize(
    ("function", "name", "before", "ops"),
    [
        (leaf_between_uses, "w", [1.0, 2.0], [".data"]),
        (result_between_uses, "h", [3.0, 6.0], [".data"]),
        (result_clamped, "h", [3.0, 6.0], [".data"]),
        (result_set, "h", [3.0, 6.0], ["set"]),
        (result_exchanged, "h", [3.0, 6.0], [".data"]),
        (assigned_after_the_use, "h", [3.0, 6.0], [".data"]),
        (written_in_place_and_assigned, "h", [3.0, 6.0], ["mul", ".data", "add"]),
    ],
)
def test_values_are_those_of_their_time_and_the_write_is_told(
    function: Callable[[Tensor], Tensor], name: str, before: list[float], ops: list[str]
) -> None:
    graph = gradviz.trace(function, parameter())
    assert value(graph, name) == before
    assert told(graph) == {name: ops}
    (finding,) = (one for one in graph.diagnose() if one.kind == "unseen-write")
    assert finding.node == graph.node(name) and finding.source.startswith("test_data_assignment.py:")
    assert all(entry.verdict == "match" for entry in graph.check().nodes)


@pytest.mark.parametrize("function", [leaf_between_uses, result_between_uses, result_clamped, result_exchanged])
def test_gradients_and_what_is_left_behind_are_those_of_plain_torch(function: Callable[[Tensor], Tensor]) -> None:
    plain, traced = parameter(), parameter()
    function(plain).backward()
    graph = gradviz.trace(function, traced)
    assert plain.grad is not None and torch.equal(graph.gradients()["w"], plain.grad)
    assert torch.equal(plain, traced) and traced.grad is None


def test_the_check_says_why_the_whole_does_not_compose() -> None:
    (leaf,) = gradviz.trace(result_clamped, parameter()).check().leaves
    assert "h is changed by .data = ..., unseen by autograd at test_data_assignment.py:" in leaf.reason


def test_a_constant_that_is_assigned_to_comes_from_what_was_assigned() -> None:
    x = torch.tensor([1.0, 2.0])

    def moved(w: Tensor) -> Tensor:
        y = w * x
        x.data = (w * 2).detach()
        return (y + w * x).sum()

    graph = gradviz.trace(moved, parameter())
    assert told(graph) == {"x": [".data"]}  # the first product has saved x itself: its gradient is that of the new one
    products = [node for node in graph if graph.nodes[node]["op"] == "mul"]
    factors = {tuple(graph.value(use.edge[0]).tolist()) for node in products for use in graph.arguments_of(node)}
    assert {(1.0, 2.0), (2.0, 4.0)} <= factors


def test_a_parameter_renewed_before_its_use_is_no_finding() -> None:
    layer = nn.Linear(2, 1)

    def normalized() -> Tensor:
        layer.weight.data = layer.weight.data / layer.weight.data.norm()
        layer.bias.data = layer.bias.data
        return layer(torch.ones(3, 2)).square().sum()

    graph = gradviz.trace(normalized)
    assert torch.equal(graph.nodes[graph.node("weight")]["value"], layer.weight)
    assert told(graph) == {} and graph.check().verified


def test_an_activation_that_is_freed_after_its_last_use_is_no_finding() -> None:
    def freed(w: Tensor) -> Tensor:
        h = w * 3
        y = h + 1.0
        h.data = torch.empty(0)
        return y.square().sum()

    graph = gradviz.trace(freed, parameter())
    assert told(graph) == {} and value(graph, "h") == [3.0, 6.0] and graph.check().verified


def test_a_write_to_a_leaf_between_its_uses_is_told() -> None:
    def scaled(w: Tensor) -> Tensor:
        y = w * 3
        with torch.no_grad():
            w.mul_(2.0)
        return (y * w).sum()

    graph = gradviz.trace(scaled, parameter())
    assert told(graph) == {"w": ["mul"]}
    (finding,) = graph.diagnose()
    assert finding.kind == "unseen-write" and "write a parameter only after that" in finding.hint


def test_an_update_through_data_before_the_trace_of_the_loss_is_told() -> None:
    w = parameter()
    with gradviz.record() as tape:
        loss = (w * w).sum()
        w.data -= 0.1
    assert told(tape.trace(loss)) == {"w": ["sub"]}


def test_rows_renewed_by_an_embedding_are_meant() -> None:
    embedding = nn.Embedding(4, 3, max_norm=0.5)

    def looked_up() -> Tensor:
        return (embedding(torch.tensor([0, 1])) * embedding(torch.tensor([2, 3]))).sum()

    assert told(gradviz.trace(looked_up)) == {}


def test_the_attribute_is_torchs_own_again_afterwards() -> None:
    own = torch.Tensor.data
    with gradviz.record():
        assert torch.Tensor.data is not own
        with gradviz.record():
            pass
        assert torch.Tensor.data is not own
    assert torch.Tensor.data is own and "data" not in vars(torch.Tensor)


def test_a_recording_may_end_in_another_thread() -> None:
    def listening() -> Iterator[None]:
        listen(listener := lambda *assigned: None)
        try:
            yield
        finally:
            stop_listening(listener)

    suspended = listening()
    next(suspended)
    assert "data" in vars(torch.Tensor)
    thread = threading.Thread(target=suspended.close)
    thread.start()
    thread.join()
    assert "data" not in vars(torch.Tensor)


def test_deleting_is_refused_as_ever() -> None:
    with gradviz.record(), pytest.raises(RuntimeError, match="Deleting tensor data is not allowed"):
        del parameter().data


def test_other_threads_are_not_listened_to() -> None:
    other = torch.zeros(2)
    with gradviz.record() as tape:
        thread = threading.Thread(target=lambda: setattr(other, "data", torch.ones(2)))
        thread.start()
        thread.join()
        assert len(tape) == 0
    assert other.tolist() == [1.0, 1.0]


def test_what_torch_refuses_to_assign_it_refuses_as_ever() -> None:
    x: Any = torch.zeros(2)
    with gradviz.record() as tape:
        with pytest.raises(TypeError):
            x.data = [1.0, 2.0]
        assert len(tape) == 0


def test_an_attribute_of_tensors_names_nothing() -> None:
    graph = gradviz.trace(result_clamped, parameter())
    assert "data" not in {graph.nodes[node]["name"] for node in graph}


def test_large_activations_that_are_assigned_to_keep_their_statistics() -> None:
    def doubled(w: Tensor) -> Tensor:
        h = (w * 3).relu() + 1.0
        y = h + 1.0
        h.data = h.data * 2
        return (y + h).sum()

    graph = gradviz.trace(doubled, torch.ones(1000, requires_grad=True), values="statistics")
    statistics = graph.statistics(graph.node("h"))
    assert statistics is not None and statistics.mean == 4.0
