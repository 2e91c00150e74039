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


class MakesTensors(nn.Module):
    """Makes tensors without naming a device, as code does that was written on a laptop."""

    def __init__(self, ask: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.ask = ask

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.ask(self.layer(x) * torch.ones(3, 4) + torch.arange(4)).sum()


@pytest.mark.parametrize("home", ["cpu", "meta"])
def test_tensors_that_the_code_makes_are_there_too(home: str) -> None:
    model = MakesTensors(lambda h: h + torch.zeros(4)).to(home)
    graph = gradviz.trace(model, torch.randn(3, 4), device="meta")
    assert {attributes["device"].type for _, attributes in graph.nodes(data=True)} == {"meta"}
    assert torch.ones(1).device.type == "cpu"


ELSEWHERE = torch.ones(3, 4)


@pytest.mark.parametrize(
    "ask", [lambda h: h if h.sum() > 0 else -h, lambda h: h[h > 0], lambda h: h + ELSEWHERE], ids=["if", "mask", "elsewhere"]
)
def test_code_that_asks_for_a_number_is_refused_with_what_to_do(ask: Callable[[torch.Tensor], torch.Tensor]) -> None:
    model = MakesTensors(ask).to("meta")
    with pytest.raises(gradviz.InputError, match=r"on the meta device the code asks for a number, or .* trace with another"):
        gradviz.trace(model, torch.randn(3, 4), device="meta")


def refused(h: torch.Tensor) -> torch.Tensor:
    raise RuntimeError("the metadata of this file is damaged")


def test_other_errors_of_the_code_stay_as_they_are() -> None:
    with pytest.raises(RuntimeError, match=r"^the metadata"):
        gradviz.trace(MakesTensors(refused).to("meta"), torch.randn(3, 4), device="meta")
    with pytest.raises(RuntimeError, match="reduction dim"):
        gradviz.trace(MakesTensors(lambda h: h @ h).to("meta"), torch.randn(3, 4), device="meta")
