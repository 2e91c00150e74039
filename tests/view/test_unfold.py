"""What `unfold` names is opened, or told to be open already."""

from __future__ import annotations

import pytest
import torch
from test_groups import names
from torch import Tensor, nn
from torch.nn import functional

import gradviz
from gradviz.errors import InputError
from gradviz.view import OPEN_ALREADY


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
