"""Models that do not fit are traced on the meta device: every shape, no number, and nothing that would need one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import gradviz
from gradviz import GradGraph


@pytest.fixture(scope="module")
def graph() -> GradGraph:
    """A layer of 1.2 billion parameters, which this machine never holds."""
    with torch.device("meta"):
        layer = nn.TransformerEncoderLayer(8192, nhead=64, dim_feedforward=60_000, batch_first=True)
        rows = torch.zeros(1, 128, 8192)
    return gradviz.trace(layer, rows, loss=torch.sum, device="meta")


def test_values_and_gradients_have_their_shapes(graph: GradGraph) -> None:
    gradient = graph.gradients()["linear1.weight"]
    assert gradient is not None
    assert gradient.shape == (60_000, 8192)
    assert gradient.device.type == "meta"
    assert all(graph.nodes[node]["device"].type == "meta" for node in graph.leaves.values())


def test_the_picture_shows_shapes(graph: GradGraph) -> None:
    text = graph.to_dot()
    assert "[1, 128, 60000]" in text
    assert "meta" in text
    assert "no gradient" not in text


@pytest.mark.parametrize(
    ("ask", "purpose"),
    [
        (lambda graph: graph.check(), "a check"),
        (lambda graph: graph.diagnose(), "a diagnosis"),
        (lambda graph: graph.explain("linear1.bias"), "an explanation"),
        (lambda graph: graph.paths("linear1.bias"), "what the paths contribute"),
        (lambda graph: graph.step(0.1), "a gradient step"),
        (lambda graph: graph.frames(), "a frame"),
        (lambda graph: graph.compare(graph), "a comparison"),
    ],
)
def test_what_needs_numbers_is_refused(graph: GradGraph, ask: Callable[[GradGraph], object], purpose: str) -> None:
    with pytest.raises(gradviz.InputError, match=rf"{purpose} needs numbers, and .* is on the meta device"):
        ask(graph)


def test_its_structure_can_be_saved(graph: GradGraph, tmp_path: Path) -> None:
    graph.save(tmp_path / "layer.gradviz")
    loaded = gradviz.load(tmp_path / "layer.gradviz")
    assert list(loaded.edges(keys=True)) == list(graph.edges(keys=True))
    assert loaded.nodes[loaded.node("linear1.weight")]["shape"] == (60_000, 8192)
