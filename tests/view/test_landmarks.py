"""Findings of one graph on the picture of another of the same code: about the same calls, whatever their numbers are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import gradviz
from gradviz import GradGraph, InputError
from gradviz.diagnose import Finding
from gradviz.view.landmarks import placed


class Dead(nn.Module):
    """A ReLU that is dead in its second layer, with or without a dropout and other things before."""

    def __init__(self, *, dropout: float = 0.0, twice: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.last = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 1)
        self.dropout, self.twice = dropout, twice
        nn.init.constant_(self.second.bias, -50)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x).tanh()
        if self.dropout:
            h = nn.functional.dropout(h, self.dropout)
        for _ in range(2 if self.twice else 1):
            h = self.second(h).relu()
        return self.last(h).square().mean()  # type: ignore[no-any-return]

    def trace(self) -> GradGraph:
        return gradviz.trace(self, torch.linspace(-1, 1, 24).reshape(6, 4), device="cpu")


def dead_relu(graph: GradGraph) -> Finding:
    return next(one for one in graph.diagnose() if one.kind == "dead-relu")


def place(finding: Finding) -> int:
    return int(finding.node if finding.edge is None else finding.edge[1])


def test_a_finding_goes_to_the_same_call_of_another_graph() -> None:
    graph, other = Dead().trace(), Dead(dropout=0.5).trace()
    finding, own = dead_relu(graph), dead_relu(other)
    assert place(finding) != place(own)
    (moved,) = placed(other, [finding])
    assert (moved.node, moved.edge) == (own.node, own.edge)
    assert other.nodes[place(moved)]["op"] == "relu"
    for view in (other.view(findings=[finding]), other.view(focus=finding)):
        told = [node.node for node in view.nodes if any("dead-relu" in line for line in node.trouble)]
        assert told == [place(own)]


def test_a_finding_of_the_graph_itself_stays_as_it_is() -> None:
    graph = Dead().trace()
    found = graph.diagnose()
    assert all(one is other for one, other in zip(placed(graph, found), found, strict=True))


def test_a_finding_about_a_leaf_goes_to_the_leaf_of_that_name() -> None:
    def loss(w: Tensor, b: Tensor) -> Tensor:
        return (w * 2).sum() + (b * 0).sum()

    w, b = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    b.grad = torch.ones(2)
    graph = gradviz.trace(loss, w, b)
    other = gradviz.trace(lambda z, w, b: loss(w, b) + z, torch.ones(1, requires_grad=True), w, b)
    finding = next(one for one in graph.diagnose() if one.kind == "earlier-gradient")
    (moved,) = placed(other, [finding])
    assert moved.node == other.leaves["b"] != finding.node


def test_where_there_are_more_such_calls_nobody_can_say_which_it_is() -> None:
    finding, other = dead_relu(Dead().trace()), Dead(dropout=0.5, twice=True).trace()
    assert placed(other, [finding])[0].edge is placed(other, [finding])[0].node is None
    assert not any(node.trouble for node in other.view(findings=[finding]).nodes)
    with pytest.raises(InputError, match="the finding 'dead-relu' is about something that is not in the graph"):
        other.view(focus=finding)


def test_findings_of_a_traced_graph_are_drawn_on_a_saved_one(tmp_path: Path) -> None:
    Dead(dropout=0.5).trace().save(tmp_path / "other.gradviz")
    loaded = gradviz.load(tmp_path / "other.gradviz")
    view = loaded.view(findings=[dead_relu(Dead().trace())])
    assert [loaded.nodes[node.node]["op"] for node in view.nodes if node.trouble] == ["relu"]
