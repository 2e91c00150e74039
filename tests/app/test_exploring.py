"""What a visitor selects and the picture does not show: opened, drawn with its surroundings, or inspected all the same."""

from __future__ import annotations

import dataclasses

import torch
from streamlit.testing.v1 import AppTest
from test_expression_page import text_of

import gradviz
from gradviz.app.exploring import Exploring
from gradviz.app.shown import RADIUS, Look, Shown
from gradviz.models import MODELS


def test_a_finding_leads_to_its_node() -> None:
    graph = gradviz.trace("log(x - x)", x=2.0, device="cpu")
    shown = Exploring()
    finding = graph.diagnose()[0]
    assert finding.node is not None
    before = shown.given
    shown.go_to(finding.node, graph.view(), graph)
    assert shown == Exploring(selected=f"node_{finding.node}", given=shown.given) and shown.given > before


def test_a_node_inside_a_group_is_unfolded_when_it_is_gone_to() -> None:
    module, inputs, loss = MODELS["LSTM"]()
    graph = gradviz.trace(module, *inputs, loss=loss, device="cpu")
    shown, view = Exploring(), graph.view()
    node = view.groups[0].nodes[40]
    shown.go_to(node, view, graph)
    assert f"node_{node}" in {one.id for one in graph.view(unfold=shown.folding.unfold).nodes}


def chain(steps: int) -> gradviz.GradGraph:
    x = torch.tensor(0.5, requires_grad=True)

    def chained() -> torch.Tensor:
        y = x
        for _ in range(steps):
            y = torch.sin(y) * 1.01
        return y

    return gradviz.trace(chained)


def test_a_step_of_a_loop_is_unfolded() -> None:
    graph = chain(60)
    shown, view = Exploring(), graph.view()
    node = view.groups[0].nodes[30]
    shown.go_to(node, view, graph)
    drawn = {one.id for one in graph.view(**Look(folding=shown.folding).options(Shown(key="", graph=graph))).nodes}
    assert shown.selected in drawn and shown.folding.unfold == (graph.nodes[node]["name"],)


def test_a_node_in_a_gap_is_drawn_with_its_surroundings() -> None:
    graph = chain(60)
    shown, view = Exploring(), graph.view(collapse="none", max_nodes=20)
    node = len(graph) // 2
    assert view.gaps and all(one.node != node for one in view.nodes)
    shown.go_to(node, view, graph)
    drawn = {one.id for one in graph.view(**Look(around=shown.around).options(Shown(key="", graph=graph))).nodes}
    assert shown.selected in drawn and len(drawn) == 2 * RADIUS + 1 and not shown.is_drawn


def test_a_node_that_the_picture_leaves_out_is_inspected_all_the_same() -> None:
    def run(graph: object, view: object, exploring: object) -> None:
        from gradviz.app.inspector import inspector
        from gradviz.app.lists import findings_list
        from gradviz.app.shown import Shown

        shown = Shown(key="part", graph=graph, findings=tuple(graph.diagnose()))
        inspector(shown, view, exploring)
        findings_list(shown, view, exploring)

    graph = gradviz.trace("log(x - x) * sin(y) * cos(y) * tanh(y)", x=2.0, y=3.0, device="cpu")
    whole = graph.view()
    node = graph.diagnose()[0].node
    assert node is not None
    part = dataclasses.replace(whole, nodes=tuple(one for one in whole.nodes if one.node != node))
    for view, is_told in ((part, True), (whole, False)):
        given = (graph, view, Exploring(selected=f"node_{node}"))
        app = AppTest.from_function(run, default_timeout=60, args=given).run()
        assert not app.exception and f">{graph.nodes[node]['name']}</div>" in text_of(app)
        assert ("This node is not on the picture" in text_of(app)) == is_told
        assert ("“Selected” tells what is known of it" in text_of(app)) == is_told
