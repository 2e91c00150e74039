"""Which shapes are on a picture, before anything is written on them."""

from __future__ import annotations

import torch

import gradviz
from gradviz.view.drawn import drawn_of
from gradviz.view.shown import Shown, shown_of
from gradviz.view.verdicts import Marks


def shown(graph: gradviz.GradGraph, max_nodes: int = 200, *, collapse: str = "none") -> Shown:
    drawn = drawn_of(graph, None, collapse, (), (), 40, keep=(), with_calls=True)
    return shown_of(drawn, Marks(None, (), with_verdicts=True), max_nodes, with_calls=True)


def test_a_constant_has_a_shape_for_each_use_and_all_else_one() -> None:
    c, x = torch.tensor(2.0), torch.tensor(3.0, requires_grad=True)
    graph = gradviz.trace(lambda x, c: (x * c).sin() + c, x, c)
    found = shown(graph)
    node = {attributes["name"]: number for number, attributes in graph.nodes(data=True)}
    first, last = sorted(graph.successors(node["c"]))
    constant, leaf = f"node_{node['c']}", f"node_{node['x']}"
    assert list(found.shapes_of(node["c"])) == [(constant, node["c"], first), (f"{constant}_use_2", node["c"], last)]
    assert list(found.shapes_of(node["x"])) == [(leaf, node["x"], None)]
    assert found.shape_for(node["c"], last) == f"{constant}_use_2"
    assert (found.order, found.arrows, found.gaps) == (tuple(sorted(graph)), graph.number_of_edges(), [])


def test_over_the_budget_nodes_are_left_out_with_their_edges() -> None:
    graph = gradviz.trace("sin(cos(" * 6 + "x" + "))" * 6, x=0.5, device="cpu")
    found = shown(graph, 8)
    assert (found.order, found.first, found.arrows) == ((0, 1, 7, 8, 9, 10, 11, 12), 2, 6)
    assert found.gaps == [[2, 3, 4, 5, 6]]


def test_a_group_is_one_shape() -> None:
    graph = gradviz.trace(torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Tanh()), torch.ones(1, 2), loss=torch.sum)
    found = shown(graph, collapse="0")
    (group,) = found.nodes & set(found.groups)
    assert found.shape(group) == f"group_{group}" and found.groups[group].name == "0"
