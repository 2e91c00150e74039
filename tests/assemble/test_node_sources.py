"""Each node of a graph has the user's line that made it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from gradviz import GradGraph, trace


def source_text(graph: GradGraph, name: str) -> str:
    file, _, line = graph.nodes[graph.node(name)]["source"].rpartition(":")
    assert file == Path(__file__).name
    return Path(__file__).read_text().splitlines()[int(line) - 1].strip()


def test_a_view_that_autograd_makes_anew_after_a_write_has_the_line_of_the_write() -> None:
    def loss(x: Tensor) -> Tensor:
        h = x * 2
        part = h[1:]
        part += 1
        h[0] = 0.0
        return (part * part).sum()

    graph = trace(loss, torch.rand(3, requires_grad=True))
    made_anew = [data["name"] for _, data in graph.nodes(data=True) if data["op"] == "as_strided"]
    assert [source_text(graph, name) for name in made_anew] == ["h[0] = 0.0"]
    assert all(data["source"] for _, data in graph.nodes(data=True) if data["kind"] == "op")
