"""Frames of a picture with groups, or of a part of a graph: each group is a step, and nothing is left out in silence."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache

import pytest
import torch
from framed_graphs import relu_net

import gradviz
from gradviz import GradGraph, InputError
from gradviz.frames.backward import BackwardPass
from gradviz.models import MODELS
from gradviz.stage import painted, stage_of, stage_theme


@cache
def lstm() -> GradGraph:
    model, inputs, loss = MODELS["LSTM"]()
    return gradviz.trace(model, *inputs, loss=loss, device="cpu")


FOLDED = [
    pytest.param({"collapse": "auto"}, id="auto"),
    pytest.param({"unfold": "cell@2"}, id="one open in the middle"),
    pytest.param({"fold": "head"}, id="closed"),
    pytest.param({"collapse": "auto", "focus": "e1", "radius": 3}, id="part"),
]


@pytest.mark.parametrize("options", FOLDED)
def test_every_shape_of_the_picture_appears_and_every_contribution_in_it_goes_back_once(options: dict[str, str]) -> None:
    graph, frames = lstm(), lstm().frames(max_nodes=200, **options)  # type: ignore[arg-type]
    view = graph.view(**{"collapse": "auto", **options})  # type: ignore[arg-type]
    assert {node.id for node in frames.views[0].nodes} == {one.id for one in (*view.nodes, *view.groups)}
    assert {edge.id for edge in frames.views[0].edges} == {edge.id for edge in view.edges}
    shown = {one.node for one in view.nodes} | {node for group in view.groups for node in group.nodes}
    last = frames[-1]
    assert last.values == shown and not last.pending
    carried = {
        use.edge for head in shown for use in graph.arguments_of(head)
        if use.contribution is not None and use.edge[0] in shown
    }  # fmt: skip
    assert last.passed == carried
    reached = {
        (node, output) for node in shown for output in graph.nodes[node]["outputs"]
        if graph.cotangent(node, output) is not None
    }  # fmt: skip
    assert last.settled == reached


@pytest.mark.parametrize("options", FOLDED)
def test_what_arrives_adds_up_to_torchs_own_cotangents(options: dict[str, str]) -> None:
    """Inside of groups too, and where some of it comes from outside of the picture."""
    graph, frames = lstm(), lstm().frames(max_nodes=200, **options)  # type: ignore[arg-type]
    backward = BackwardPass(graph, frames.scenes[0], 0)
    made = list(backward.frames())
    assert [frame.text for frame in made] == [frame.text for frame in frames if frame.phase == "backward"]
    assert len(backward.arrived) > 5
    for place, parts in backward.arrived.items():
        torch.testing.assert_close(torch.stack(parts).sum(0), graph.cotangent(*place))


def test_a_group_is_one_step_forwards_and_one_backwards_with_its_numbers() -> None:
    frames = lstm().frames(collapse="auto")
    texts = [frame.text for frame in frames]
    assert texts[0].endswith("128 of 136 nodes are inside groups, and each group is one step")
    (forward,) = [text for text in texts if text.startswith("8 × cell:")]
    assert forward == "8 × cell: 120 ops, 264 parameters, from 2 × [2, 6], [2, 3] to [2, 6]"
    head = next(text for text in texts if text.startswith("head passes on"))
    coming, going, gain = (float(found) for found in re.findall(r"[\d.]+", head)[:3])
    graph = lstm()
    named = {str(attributes["name"]): node for node, attributes in graph.nodes(data=True)}
    arrived = graph.cotangent(named["prediction"])
    assert arrived is not None and float(arrived.norm()) == pytest.approx(going, rel=5e-3)
    assert gain == pytest.approx(coming / going, rel=5e-3)
    assert head.endswith("2 gradients inside are complete")
    assert "flows on to prediction, in head: " in " ".join(texts)
    assert Counter("passes on what arrived" in text for text in texts)[True] == 2


def test_a_part_says_what_comes_from_outside_and_that_it_has_no_leaf() -> None:
    graph = lstm()
    texts = [frame.text for frame in graph.frames(focus="e1", radius=1)]
    assert texts[0] == "The forward pass begins. Only e1 and what is around, 1 edge far: 5 of 136 nodes"
    named = {str(attributes["name"]): node for node, attributes in graph.nodes(data=True)}
    (outside,) = [text for text in texts if text.startswith("From outside of the picture: ")]
    for name, written in re.findall(r"‖∂w4/∂(\w+)‖ = ([\d.]+)", outside):
        cotangent = graph.cotangent(named[name])
        assert cotangent is not None and float(cotangent.norm()) == pytest.approx(float(written), rel=5e-4)
    assert {name for name, _ in re.findall(r"∂w4/∂(\w+)‖ = ([\d.]+)", outside)} == {"r1", "f1"}
    assert texts[-1] == "No leaf is in the part that is drawn"


def test_without_groups_nothing_is_folded_and_the_frames_are_as_they_were() -> None:
    graph = relu_net()
    assert str(graph.frames()) == str(graph.frames(collapse="none")) and "passes on" not in str(graph.frames())


def test_a_graph_that_is_too_large_is_shown_in_groups_and_says_so() -> None:
    graph = lstm()
    assert str(graph.frames()) == str(graph.frames(collapse="auto"))
    assert " of 136 nodes are inside groups, and each group is one step" in graph.frames()[0].text
    assert "inside groups" not in str(graph.frames(max_nodes=200))


def test_a_picture_that_is_too_large_is_refused_with_what_can_be_done() -> None:
    with pytest.raises(InputError, match=r"136 nodes, frames are made of at most 60; draw calls as one \(collapse=\)"):
        lstm().frames(collapse="none")
    with pytest.raises(InputError, match="unknown"):
        lstm().frames(side="left", focus="f1")  # type: ignore[arg-type]


def test_a_group_waits_then_is_pending_and_is_settled_when_all_inside_is() -> None:
    frames = lstm().frames(collapse="auto")
    stage = stage_of(frames)
    (group,) = [node.id for node in frames.views[0].nodes if node.name == "8 × cell"]
    colours = stage_theme("dark")
    fills = [next(shape.fill for shape in painted(stage, frame, colours).shapes if shape.id == group) for frame in frames]
    ordered = list(dict.fromkeys(fills))
    assert ordered == [colours.background, colours.known.fill, colours.pending.fill, colours.settled.fill]
    words = [text.text for text in painted(stage, frames[-1], colours).texts if text.owner == group]
    assert "120 ops, 264 parameters" in " ".join(words) and "‖cotangent‖ out 0.534" in " ".join(words)
    last = painted(stage, frames[-1], colours)
    cuts = {edge.id for edge in frames.views[0].edges if edge.cut}
    assert {arrow.id for arrow in last.arrows if not arrow.backward} == cuts


def test_a_group_without_inputs_says_what_it_makes() -> None:
    def mask() -> torch.Tensor:
        return torch.ones(5, 5).tril().mul(2)

    x = torch.randn(5, 5, requires_grad=True)
    frames = gradviz.trace(lambda: (x * mask()).sum(), device="cpu").frames(fold="mask")
    (lines,) = [node.value for node in frames.views[0].nodes if node.name == "mask"]
    assert "makes [5, 5]" in lines and not any("∅" in line for line in lines)
