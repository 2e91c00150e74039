"""All that is known of one node or edge: the numbers are those of the graph, and what is not known says so."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import gradviz
from gradviz.details import edge_details, node_details


def matrix_graph() -> gradviz.GradGraph:
    a = torch.tensor([[1.0, -2.0], [0.5, 0.25]], requires_grad=True)
    x = torch.tensor([0.5, -1.0], requires_grad=True)
    return gradviz.trace(lambda a, x: torch.tanh(a @ x).sum(), a, x)


def test_a_node_has_its_value_its_cotangent_and_what_the_check_found() -> None:
    graph = gradviz.trace("x*y + sin(pi*x)", x=2.0, y=3.0)
    details = node_details(graph, graph.node("x"), graph.check())
    assert (details.value, details.cotangent) == (graph.value(graph.node("x")), graph.gradients()["x"])
    assert (details.sign, details.op, details.kind) == ("∂d/∂x", "", "leaf")
    assert [(what, entry.verdict) for what, entry in details.checks] == [
        ("gradient", "match"), ("sum of contributions", "match")
    ]  # fmt: skip


def test_the_gain_of_an_edge_is_what_its_partial_does_to_the_norm() -> None:
    graph = matrix_graph()
    (use,) = graph.uses_of(graph.leaves["x"])
    details = edge_details(graph, use.edge)
    arrived, contribution = graph.cotangent(use.edge[1]), use.contribution
    assert isinstance(arrived, Tensor) and isinstance(contribution, Tensor)
    assert details.gain == pytest.approx(float(contribution.norm() / arrived.norm()))
    assert details.jacobian is not None and torch.equal(details.jacobian, graph.nodes[graph.leaves["a"]]["value"])


def test_what_only_moves_elements_is_named_and_not_called_1() -> None:
    table, ids = torch.ones(5, 3, requires_grad=True), torch.tensor([0, 2])
    graph = gradviz.trace(lambda: (torch.nn.functional.embedding(ids, table).T * 2).sum(), names={"table": table})
    edges = [edge_details(graph, edge).latex.partition(" = ")[2] for edge in graph.edges(keys=True)]
    assert r"\text{selection}" in edges and r"\text{transpose}" in edges


def test_a_jacobian_that_nobody_could_read_is_not_made() -> None:
    w = torch.ones(40, 40, requires_grad=True)
    graph = gradviz.trace(lambda w: torch.tanh(w).sum(), w)
    details = edge_details(graph, graph.uses_of(graph.leaves["w"])[0].edge)
    assert details.jacobian is None and details.refusal == "" and details.out_shape == (40, 40)
    assert details.latex.startswith(r"\frac{\partial")


def test_a_cut_edge_says_why_and_has_no_gain() -> None:
    graph = gradviz.trace(lambda x: x * x.detach(), torch.tensor(2.0, requires_grad=True))
    (cut,) = [edge for edge in graph.edges(keys=True) if graph.edges[edge]["cut"] not in ("", "constant")]
    details = edge_details(graph, cut)
    assert details.cut and details.gain is None and details.jacobian is None


def test_without_a_single_start_from_one_the_cotangents_have_no_sign() -> None:
    graph = gradviz.trace(torch.sin, torch.tensor([0.3, 0.5], requires_grad=True), grad_output=torch.ones_like)
    assert node_details(graph, graph.output).sign == ""
