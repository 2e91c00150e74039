"""What `unfold` names is opened, or told to be open already."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sample_graphs as samples
import torch
from test_groups import names
from torch import Tensor, nn
from torch.nn import functional

import gradviz
from gradviz.errors import InputError
from gradviz.view import NOT_ON_PICTURE, OPEN_ALREADY, view_of


@pytest.fixture(scope="module")
def encoder() -> gradviz.GradGraph:
    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
    layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    model = nn.Sequential(nn.Linear(8, 16), layers, nn.Linear(16, 1))
    return gradviz.trace(model, torch.randn(2, 5, 8), loss=lambda out: out.square().mean(), device="cpu")


@pytest.mark.parametrize("name", ["1.layers.0", "1", "1.layers.?"])
def test_a_call_that_is_open_already_is_told(encoder: gradviz.GradGraph, name: str) -> None:
    plain, opened = encoder.view(), encoder.view(unfold=name)
    assert (opened.nodes, opened.groups) == (plain.nodes, plain.groups)
    assert f"{OPEN_ALREADY}: {name}" in opened.notes
    assert not any(OPEN_ALREADY in note for note in plain.notes)


def test_whatever_is_named_is_opened_or_told_to_be_open(encoder: gradviz.GradGraph) -> None:
    plain = encoder.view()
    drawn = {shape.node for shape in plain.nodes}
    calls = {call for _, scope in encoder.nodes(data="scope") for call in scope}
    for name, node in [*((call, -1) for call in calls), *((str(name), node) for node, name in encoder.nodes(data="name"))]:
        view = encoder.view(unfold=name)
        is_told = any(note.startswith(OPEN_ALREADY) for note in view.notes)
        assert is_told or (view.nodes, view.groups, view.boxes) != (plain.nodes, plain.groups, plain.boxes)
        assert name in calls or node in {shape.node for shape in view.nodes}
        assert not is_told or name in calls or node in drawn


def test_in_a_picture_without_groups_a_call_is_open_already() -> None:
    graph = gradviz.trace(nn.Sequential(nn.Linear(2, 3), nn.Tanh()), torch.ones(1, 2), loss=torch.sum, device="cpu")
    assert f"{OPEN_ALREADY}: 0" in graph.view(unfold="0").notes
    assert f"{OPEN_ALREADY}: 0" in graph.view(unfold="0", collapse="none").notes
    with pytest.raises(InputError, match="unfold names '7', which matches no call"):
        graph.view(unfold="7", collapse="none")


def test_a_step_of_a_loop_without_modules_is_opened_by_its_name() -> None:
    weight = torch.randn(6, 6, requires_grad=True)

    def steps(weight: Tensor) -> Tensor:
        h = torch.ones(6)
        for _ in range(30):
            h = torch.tanh(weight @ h)
        return h.sum()

    graph = gradviz.trace(steps, weight)
    assert not {"h_7", "h_8"}.intersection(names(graph.view()))
    view = graph.view(unfold="h_7")
    assert "h_7" in names(view) and "h_8" not in names(view)
    assert not any(note.startswith(OPEN_ALREADY) for note in view.notes)


def test_a_call_within_a_folded_constant_is_opened_by_its_own_name() -> None:
    graph = gradviz.trace(lambda x: functional.dropout(x, 0.25).sum(), torch.ones(6, requires_grad=True))
    within = next(attributes["name"] for _, attributes in graph.nodes(data=True) if attributes["op"] == "bernoulli")
    assert within not in names(graph.view())
    view = graph.view(unfold=within)
    assert within in names(view) and not any(note.startswith(OPEN_ALREADY) for note in view.notes)


def looped(steps: int) -> gradviz.GradGraph:
    def loop(weight: Tensor) -> Tensor:
        h = torch.ones(6)
        for _ in range(steps):
            h = torch.tanh(weight @ h)
        return h.sum()

    return gradviz.trace(loop, torch.randn(6, 6, requires_grad=True))


def stacked() -> gradviz.GradGraph:
    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
    model = nn.TransformerEncoder(layer, 6, enable_nested_tensor=False)
    return gradviz.trace(model, torch.randn(2, 5, 16), loss=lambda out: out.square().mean(), device="cpu")


@pytest.mark.parametrize("sketch", [lambda: looped(30), stacked], ids=["loop", "layers"])
def test_a_group_is_opened_by_the_name_that_is_drawn(sketch: Callable[[], gradviz.GradGraph]) -> None:
    graph = sketch()
    groups = graph.view().groups
    assert any(group.count > 1 for group in groups)
    for group in groups:
        view = graph.view(unfold=group.name)
        assert group.name not in {other.name for other in view.groups}
        assert view == graph.view(unfold=group.opens)
        assert not any(note.startswith((OPEN_ALREADY, NOT_ON_PICTURE)) for note in view.notes)


def test_a_name_that_is_drawn_only_where_another_is_open_opens_too() -> None:
    graph = stacked()
    first = next(group for group in graph.view(collapse=1).groups if group.count > 1 or len(group.nodes) > 20)
    inner = [group.name for group in graph.view(collapse=1, unfold=first.name).groups]
    view = graph.view(collapse=1, unfold=[first.name, inner[0]])
    assert {first.name, inner[0]}.isdisjoint(group.name for group in view.groups)


def test_each_step_of_a_loop_has_a_name_that_opens_it() -> None:
    graph = looped(30)
    group = next(group for group in graph.view().groups if group.name.startswith("tanh at"))
    view = graph.view(unfold=group.opens[4])
    assert group.opens[4] in names(view) and group.opens[5] not in names(view)


def test_what_is_not_on_the_picture_is_not_told_to_be_open() -> None:
    model = nn.Sequential(*(nn.Linear(3, 3) for _ in range(6)))
    graph = gradviz.trace(model, torch.ones(1, 3), loss=torch.sum, device="cpu")
    far = graph.view(unfold=["5", "0", "0.weight"], focus="5.weight", radius=1)
    assert f"{OPEN_ALREADY}: 5" in far.notes and f"{NOT_ON_PICTURE}: 0, 0.weight" in far.notes
    chain = samples.chain(30)
    name = str(chain.nodes[15]["name"])
    few = view_of(chain, collapse="none", max_nodes=5, unfold=name)
    assert name not in names(few) and f"{NOT_ON_PICTURE}: {name}" in few.notes
    assert f"{OPEN_ALREADY}: {name}" in view_of(chain, collapse="none", unfold=name).notes


class Shifted(nn.Module):
    def __init__(self, shift: nn.Parameter) -> None:
        super().__init__()
        self.inner, self.outer, self.shift = nn.Linear(4, 4), nn.Linear(4, 4), shift

    def forward(self, x: Tensor) -> Tensor:
        moved: Tensor = self.outer(torch.tanh(self.inner(x) + self.shift))
        return torch.tanh(x + moved)


def test_a_leaf_that_is_unfolded_closes_nothing_elsewhere() -> None:
    model = nn.Sequential(*map(Shifted, [nn.Parameter(torch.randn(4))] * 4))
    graph = gradviz.trace(model, torch.ones(2, 4), loss=lambda out: out.square().mean(), device="cpu")
    for most in (12, 29, 40):
        drawn = {node.node for node in graph.view(max_nodes=most).nodes}
        view = graph.view(max_nodes=most, unfold="0.inner.weight")
        assert drawn.isdisjoint(node for group in view.groups for node in group.nodes)
