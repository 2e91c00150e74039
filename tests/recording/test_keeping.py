"""What is kept in full: nothing of the user's is touched, what is kept is bit for bit what it was, the rest is summed up."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from kept_programs import (
    PROGRAMS,
    assert_same,
    custom,
    leaf,
    same,
    stand_ins,
    sums,
    tensors,
)
from torch import Tensor, nn

import gradviz
from gradviz.errors import InputError, NotKeptError
from gradviz.graph import GradGraph
from gradviz.recording.keeping import BUDGET_BYTES, elements_of
from gradviz.standin import StandIn
from gradviz.tracing import record, trace

BUDGETS = ["statistics", 5_000, 20_000, 60_000]
EACH = 3200  # bytes of one value of these programs


@pytest.mark.parametrize("values", BUDGETS)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_what_is_kept_is_the_same_and_statistics_are_those_of_the_rest(
    program: Callable[[Tensor], Tensor], values: Any
) -> None:
    graphs = []
    for kept in ("full", values):
        torch.manual_seed(0)
        graphs.append(trace(program, leaf(), values=kept))
    full, graph = graphs
    assert not stand_ins(full)
    assert_same(graph, full)
    assert same(graph.gradients()["x"], full.gradients()["x"])
    assert stand_ins(graph) or values in (20_000, 60_000)


def test_views_of_the_same_elements_in_another_order_are_known_to_be() -> None:
    whole = torch.randn(4, 6, 10)
    same_elements = [whole, whole.transpose(0, 2), whole.view(24, 10).t(), whole.flatten(), whole.permute(1, 2, 0)[None]]
    assert len({elements_of(view) for view in same_elements}) == 1
    others = [whole[1:], whole[:, 1:], whole[:, :5], whole[:, ::2].transpose(0, 1), whole.view(torch.int32)]
    assert len({elements_of(view) for view in [whole, *others]}) == 6


def test_the_default_keeps_small_graphs_in_full() -> None:
    assert not any(stand_ins(trace(program, leaf())) for program in PROGRAMS)
    assert BUDGET_BYTES == 4 * 2**30


def test_the_same_code_keeps_the_same_tensors() -> None:
    graphs = [trace(custom, leaf(), values=12_000) for _ in range(3)]
    assert stand_ins(graphs[0]) == stand_ins(graphs[1]) == stand_ins(graphs[2])


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_what_is_kept_beyond_what_is_there_anyway_fits_the_budget(program: Callable[[Tensor], Tensor]) -> None:
    def held(graph: GradGraph) -> int:
        found = {
            tensor.untyped_storage()._cdata: tensor.untyped_storage().nbytes()
            for name, tensor in tensors(graph)
            if tensor is not None and not isinstance(tensor, StandIn) and tensor.untyped_storage().nbytes() > 1024
            if "call" not in name
        }
        return sum(found.values())

    anyway = held(trace(program, leaf(), values="statistics"))
    for budget in (4_000, 10_000, 20_000):
        assert held(trace(program, leaf(), values=budget)) <= anyway + budget


def test_what_the_user_holds_is_never_touched() -> None:
    held: list[Tensor] = []
    copies: list[Tensor] = []
    arrays: list[Any] = []

    def program(x: Tensor) -> Tensor:
        h = x + 1
        held.append(h + 1)
        held.append((h + 2).view(400)[3:])
        held.append((h + 3).detach())
        arrays.append((h + 4).detach().numpy())
        copies.extend(one.detach().clone() for one in held)
        return (held[0] + h + 5).sum()

    graph = trace(program, leaf(), values="statistics")
    assert all(torch.equal(one, copy) for one, copy in zip(held, copies, strict=True))
    assert torch.equal(torch.from_numpy(arrays[0]), leaf().detach() + 1 + 4)
    assert any(name.startswith("value") for name in stand_ins(graph))
    assert held[0].grad_fn is not None and held[0].shape == (20, 20)


def test_a_backward_pass_after_the_trace_gives_the_same_gradient() -> None:
    model = nn.Sequential(nn.Linear(40, 60), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(60, 40), nn.Softmax(-1))
    rows, truth = torch.randn(30, 40), {}
    for values in ("full", "statistics"):
        torch.manual_seed(0)
        with record(values=values) as tape:
            loss = model(rows).square().sum()
        graph = tape.trace(loss)
        loss.backward(retain_graph=True)
        gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
        model.zero_grad()
        truth = truth or gradients
        for name, gradient in graph.gradients().items():
            assert torch.equal(gradient, truth[name]) and torch.equal(gradient, gradients[name])
    assert stand_ins(graph)


def test_memory_is_given_back_while_the_code_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradviz.recording.keeping._STEP_BYTES", 10 * EACH)

    def program(x: Tensor) -> Tensor:
        storages = []
        for _ in range(100):
            x = x + 1
            storages.append(x.untyped_storage()._weak_ref())
        expired = sum(map(torch.UntypedStorage._expired, storages))
        for storage in storages:
            torch.UntypedStorage._free_weak_ref(storage)
        alive.append(100 - expired)
        return x.sum()

    alive: list[int] = []
    for values in ("full", "statistics", 50 * EACH):
        trace(program, leaf(), values=values)
    assert alive[0] == 100 and alive[1] < 30 and 50 <= alive[2] < 80


def test_a_graph_is_freed_without_the_garbage_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        for values in ("statistics", "full"):
            graph = trace(sums, leaf(), values=values)
            gone = weakref.ref(graph.nodes[graph.node("c")]["value"])
            del graph
            assert gone() is None
    finally:
        gc.enable()


def test_results_that_are_not_differentiated_are_not_held() -> None:
    class Model(nn.Module):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            h = x + 1
            return {"loss": (h + 1).sum(), "hidden": h}

    graph = trace(Model(), leaf(), values="statistics")
    assert isinstance(graph.nodes[1]["value"], StandIn)


def test_what_autograd_saved_is_kept_and_not_counted() -> None:
    graph = trace(lambda x: (x.exp() + 1).sin().sum(), leaf(), values="statistics")
    kinds = {attributes["op"]: type(attributes["value"]) for _, attributes in graph.nodes(data=True)}
    assert kinds["exp"] is Tensor and kinds["add"] is Tensor and kinds["sin"] is StandIn


def test_gradients_are_kept() -> None:
    graph = trace(lambda x: (x.t() + 1).sum(), leaf(), values="statistics")
    assert type(graph.gradients()["x"]) is Tensor
    assert [type(use.contribution) for use in graph.uses_of(0)] == [Tensor]


def test_a_hook_that_changes_a_cotangent_is_seen_in_the_statistics() -> None:
    def program(x: Tensor) -> Tensor:
        h = x * 2
        h.register_hook(lambda cotangent: cotangent * 100)
        k = h + torch.ones(20, 20, dtype=torch.float64)
        return (k * torch.ones(20, 20, dtype=torch.float64)).sum()

    full, graph = (trace(program, leaf(), values=values) for values in ("full", "statistics"))
    assert_same(graph, full)
    assert {tensor.statistics.mean for _, tensor in tensors(graph) if isinstance(tensor, StandIn) and tensor.statistics} >= {
        1.0,
        100.0,
    }


def test_asking_for_elements_that_were_not_kept_says_so() -> None:
    for values, reason in (("statistics", r"values=.statistics."), (3 * 2**10, "over the budget of 3 KiB")):
        graph = trace(sums, leaf(), values=values)
        found = next(tensor for _, tensor in tensors(graph) if isinstance(tensor, StandIn))
        for ask in (lambda one: one + 1, lambda one: one.tolist(), lambda one: one.numpy(), lambda one: one.sum().item()):
            with pytest.raises(NotKeptError, match=reason):
                ask(found)


@pytest.mark.parametrize("values", ["some", -1, 2.5, True, torch.ones(2), None])
def test_other_policies_are_refused(values: Any) -> None:
    with pytest.raises(InputError, match='accepted: "full", "statistics", or a size up to'):
        trace(sums, leaf(), values=values)
    with pytest.raises(InputError, match="values="):
        record(values=values)


def test_size_may_be_written_with_its_unit() -> None:
    written, counted = (trace(sums, leaf(), values=values).not_kept for values in ("3KiB", 3 * 2**10))
    assert written == counted and "over the budget of 3 KiB" in written


def test_an_input_called_values_goes_in_at() -> None:
    graph = trace(lambda values: values.sum(), at={"values": leaf()})
    assert list(graph.leaves) == ["values"]


def test_a_graph_of_stand_ins_is_a_graph_for_networkx() -> None:
    graph = trace(sums, leaf(), values="statistics")
    assert stand_ins(graph.copy()) == stand_ins(graph)
    assert isinstance(gradviz.trace(sums, leaf(), values="statistics"), GradGraph)
