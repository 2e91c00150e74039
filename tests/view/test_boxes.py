"""Boxes around what was in a call before it was opened, and what a reader opens and closes."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
import torch
from test_groups import names

import gradviz
from gradviz.models import MODELS
from gradviz.view import Folding, View, view_of


@pytest.fixture(scope="module")
def gpt2() -> gradviz.GradGraph:
    model, inputs, loss = MODELS["GPT-2, narrow"]()
    return gradviz.trace(model, *inputs, loss=loss, device="cpu")


@pytest.fixture(scope="module")
def lstm() -> gradviz.GradGraph:
    model, inputs, loss = MODELS["LSTM"]()
    return gradviz.trace(model, *inputs, loss=loss, device="cpu")


def boxes(view: View) -> dict[str, tuple[set[str], str]]:
    """Name of each box -> the names of what stands in it, and the name of the box around it."""
    shapes = {shape.id: shape.name for shape in (*view.nodes, *view.groups)}
    called = {box.id: box.name for box in view.boxes} | {"": ""}
    return {box.name: ({shapes[member] for member in box.members}, called[box.parent]) for box in view.boxes}


def test_nothing_opened_has_no_box(gpt2: gradviz.GradGraph) -> None:
    assert view_of(gpt2).boxes == () == view_of(gpt2, collapse="none", max_nodes=800).boxes


def test_an_opened_block_is_a_box_around_what_was_in_it(gpt2: gradviz.GradGraph) -> None:
    inside = {"blocks.3.norm_1", "blocks.3.attention", "x_8", "blocks.3.norm_2", "blocks.3.mlp", "x_9"}
    assert boxes(view_of(gpt2, unfold="blocks.3")) == {"blocks.3": (inside, "")}


def test_a_call_opened_within_an_opened_one_is_a_box_in_its_box(gpt2: gradviz.GradGraph) -> None:
    found = boxes(view_of(gpt2, unfold=["blocks.3", "blocks.3.mlp"]))
    assert list(found) == ["blocks.3", "blocks.3.mlp"]
    assert found["blocks.3.mlp"][1] == "blocks.3"
    assert found["blocks.3.mlp"][0] >= {"blocks.3.mlp.0", "blocks.3.mlp.2"}
    assert "blocks.3.mlp" not in found["blocks.3"][0]
    assert found == boxes(view_of(gpt2, unfold="blocks.3.mlp"))


def test_inputs_that_only_an_opened_call_reads_stand_in_its_box() -> None:
    model, inputs, loss = MODELS["MLP with binary cross-entropy"]()
    graph = gradviz.trace(model, *inputs, loss=loss, device="cpu")
    ((inside, _),) = boxes(graph.view(fold="0", unfold="0")).values()
    assert {"0.weight", "0.bias"} < inside and "2.weight" not in inside


def test_a_folded_call_is_one_shape_and_what_is_unfolded_in_it_opens_it(gpt2: gradviz.GradGraph) -> None:
    assert "blocks" in names(view_of(gpt2, fold="blocks"))
    assert set(boxes(view_of(gpt2, fold="blocks", unfold="blocks.3"))) == {"blocks", "blocks.3"}
    with pytest.raises(gradviz.InputError, match="fold names 'block', which matches no call"):
        view_of(gpt2, fold="block")


def test_the_first_call_of_several_is_opened_alone(lstm: gradviz.GradGraph) -> None:
    (cells, _) = view_of(lstm).groups
    assert cells.opens[:2] == ("cell@1", "cell@2")
    assert list(boxes(view_of(lstm, unfold=cells.opens[0]))) == ["cell@1"]
    assert len(boxes(view_of(lstm, unfold="cell"))) == 8


def test_every_box_is_drawn_with_its_id(gpt2: gradviz.GradGraph) -> None:
    view = view_of(gpt2, unfold=["blocks.3.mlp", "blocks.7"])
    root = ElementTree.fromstring(gpt2.render(format="svg", unfold=["blocks.3.mlp", "blocks.7"]))
    drawn = {group.get("id"): group.get("class") for group in root.findall(".//{*}g")}
    assert {box.id: drawn.get(box.id) for box in view.boxes} == {
        "box_0": "cluster box", "box_1": "cluster box", "box_2": "cluster box"
    }  # fmt: skip
    assert {shape.id for shape in (*view.nodes, *view.groups)} <= set(drawn)


def test_closing_takes_back_what_was_opened(gpt2: gradviz.GradGraph) -> None:
    once = Folding().opened("blocks.3")
    twice = once.opened("blocks.3.mlp")
    assert twice.closed("blocks.3.mlp", gpt2) == once
    assert set(twice.closed("blocks.3", gpt2).unfold) == {"blocks"}
    closed, plain = view_of(gpt2, unfold=twice.closed("blocks.3", gpt2).unfold), view_of(gpt2)
    assert (closed.nodes, closed.groups, closed.boxes) == (plain.nodes, plain.groups, plain.boxes)


def test_closing_the_inner_call_leaves_the_outer_one_open(gpt2: gradviz.GradGraph) -> None:
    jumped = Folding().opened("attended_4")  # a node's name opens all that it is in
    assert list(boxes(view_of(gpt2, unfold=jumped.unfold)))[:2] == ["blocks.3", "blocks.3.attention"]
    closed = jumped.closed("blocks.3.attention", gpt2)
    assert list(boxes(view_of(gpt2, unfold=closed.unfold))) == ["blocks.3"]


def test_a_call_that_was_open_anyway_is_folded_and_opened_again(gpt2: gradviz.GradGraph) -> None:
    closed = Folding().closed("blocks", gpt2)
    assert closed == Folding(fold=("blocks",)) and closed.opened("blocks") == Folding()


def test_structure_is_drawn_for_models_without_numbers_too() -> None:
    with torch.device("meta"):
        layer = torch.nn.TransformerEncoderLayer(64, nhead=4, batch_first=True)
        graph = gradviz.trace(layer, torch.zeros(1, 8, 64), loss=torch.sum, device="meta")
    name = graph.view(collapse=1).groups[0].opens[0]
    assert name in boxes(graph.view(collapse=1, unfold=name))
