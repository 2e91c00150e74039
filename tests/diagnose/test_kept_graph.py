"""Buffers that reach back into earlier steps are told; what is detached, made in the step, or set on purpose is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import gradviz
from gradviz import GradGraph
from gradviz.diagnose import Finding

Ends = Callable[["Memory"], None]


class Memory(nn.Module):
    """A state [4, 8] that each call moves on."""

    def __init__(self, reads: Callable[[Tensor], Tensor] = lambda state: state) -> None:
        super().__init__()
        self.layer, self.reads = nn.Linear(8, 8), reads
        self.register_buffer("state", torch.zeros(4, 8))

    def forward(self, x: Tensor) -> Tensor:
        self.state = torch.tanh(self.layer(self.reads(self.state)) + x)
        return self.state


def nothing(model: Memory) -> None:
    pass


def detached(model: Memory) -> None:
    model.state = model.state.detach()


def detached_in_place(model: Memory) -> None:
    model.state.detach_()


def copied(model: Memory) -> None:
    model.load_state_dict({name: value.clone() for name, value in model.state_dict().items()})
    model.state = model.state.detach().clone()


def after(model: Memory, ends: Ends, *, steps: int = 2) -> GradGraph:
    """The graph of one step behind others."""
    torch.manual_seed(0)
    for _ in range(steps):
        model(torch.randn(4, 8))
        ends(model)
    return gradviz.trace(model, torch.randn(4, 8), loss=lambda out: out.square().mean(), device="cpu")


def told(graph: GradGraph) -> list[Finding]:
    return [one for one in graph.diagnose() if one.kind == "earlier-graph"]


def test_a_state_that_nobody_detaches_is_told_with_the_calls_behind_it() -> None:
    (one,), (two,) = (told(after(Memory(), nothing, steps=steps)) for steps in (2, 4))
    assert one.message.startswith("the buffer state of Memory holds a graph from before this step")
    assert one.source.startswith("test_kept_graph.py:") and "self.state.detach()" in one.hint
    assert two.numbers["calls of earlier steps"] == 2 * one.numbers["calls of earlier steps"]


@pytest.mark.parametrize("ends", [detached, detached_in_place, copied])
def test_a_state_that_is_detached_where_a_step_ends_is_not(ends: Ends) -> None:
    assert after(Memory(), ends).diagnose() == []


@pytest.mark.parametrize("reads", [Tensor.detach, lambda state: state.data, lambda state: state.detach().clone()])
def test_a_state_that_is_detached_where_it_is_read_is_not(reads: Callable[[Tensor], Tensor]) -> None:
    assert after(Memory(reads), nothing).diagnose() == []


def test_the_first_step_has_no_earlier_one() -> None:
    assert after(Memory(), nothing, steps=0).diagnose() == []


def test_a_sequence_within_the_step_is_one_step() -> None:
    torch.manual_seed(0)
    model, inputs = Memory(), torch.randn(5, 4, 8)
    graph = gradviz.trace(lambda: sum(model(x).square().mean() for x in inputs))
    assert told(graph) == [] and graph.kept_graphs() == {}
    with gradviz.record() as tape:
        model.state = torch.zeros(4, 8)
        loss = torch.stack([model(x).square().mean() for x in inputs]).sum()
    assert told(tape.trace(loss)) == []


def test_a_loss_of_what_was_computed_before_is_not() -> None:
    torch.manual_seed(0)
    model, head = Memory(), nn.Linear(8, 1)
    features = model(torch.randn(4, 8))
    assert told(gradviz.trace(lambda: head(features).square().mean())) == []


def test_weights_that_another_network_made_are_not() -> None:
    torch.manual_seed(0)
    maker, x = nn.Linear(3, 16), torch.randn(8, 4)
    layer = nn.Linear(4, 4, bias=False)
    del layer.weight
    layer.weight = maker(torch.ones(3)).view(4, 4)  # type: ignore[assignment]
    assert told(gradviz.trace(lambda: layer(x).square().mean())) == []


class Moved(nn.Module):
    """A weight [8, 8] that is a buffer, so that steps of descent can be put in its place."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.randn(8, 8, requires_grad=True))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight.T


def test_weights_that_steps_of_descent_moved_within_the_outer_step_are_not() -> None:
    torch.manual_seed(0)
    model, rates = Moved(), torch.ones(4, requires_grad=True)
    for _ in range(2):
        inner = (model(torch.randn(4, 8)).square().mean(1) * rates).sum()
        (slope,) = torch.autograd.grad(inner, model.weight, create_graph=True)
        model.weight = model.weight - 0.1 * slope
    graph = gradviz.trace(model, torch.randn(4, 8), loss=lambda out: out.square().mean(), device="cpu")
    assert graph.kept_graphs()
    assert told(graph) == []


class Learned(nn.Module):
    """A state [8] that begins at a parameter, or a factor that was computed of one too early."""

    def __init__(self) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.ones(8))
        self.register_buffer("state", self.start + 0)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.state


def test_what_was_computed_of_a_parameter_too_early_is_to_be_computed_in_forward() -> None:
    model, x = Learned(), torch.randn(4, 8)
    (finding,) = told(gradviz.trace(model, x, loss=lambda out: out.square().mean(), device="cpu"))
    assert finding.numbers["calls of earlier steps"] == 1
    assert "1 call that ran earlier" in finding.message
    assert "where what it is made of is to learn, compute it in forward()" in finding.hint


def test_a_loaded_graph_tells_the_same(tmp_path: Path) -> None:
    graph = after(Memory(), nothing)
    graph.save(tmp_path / "graph.gradviz")
    (one,) = told(gradviz.load(tmp_path / "graph.gradviz"))
    assert one.to_dict() == told(graph)[0].to_dict()


def test_where_the_earlier_graph_was_freed_the_refusal_names_the_buffer() -> None:
    model = Memory()
    model(torch.randn(4, 8)).sum().backward()
    with pytest.raises(gradviz.TraceError, match=r"^the buffer state of Memory holds a graph .* self\.state\.detach\(\)"):
        after(model, nothing, steps=0)
