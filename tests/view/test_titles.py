"""Modules whose names are only numbers, as in a Sequential, are headed with their class wherever they are drawn as one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import gradviz
from gradviz.app.canvas.items import items_of
from gradviz.graph import GradGraph


def traced(model: nn.Module) -> GradGraph:
    return gradviz.trace(model, torch.ones(2, 4), loss=lambda out: out.square().sum(), device="cpu")


def layers(count: int) -> nn.Sequential:
    blocks = (nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Tanh()) for _ in range(count))
    return nn.Sequential(*blocks, nn.Linear(4, 1))


def test_a_group_and_a_box_are_headed_with_number_and_class() -> None:
    view = traced(layers(3)).view(collapse=1, unfold="1")
    titles = ["0 · Sequential", "1.0 · Linear", "1.1 · LayerNorm", "2 · Sequential", "3 · Linear"]
    assert [group.title for group in view.groups] == titles
    assert [box.title for box in view.boxes] == ["1 · Sequential"]
    assert view.groups[0].opens == ("0",)  # by which it is opened, as ever
    assert view.boxes[0].name == "1"


def test_the_class_is_on_the_picture_in_frames_and_for_screen_readers() -> None:
    graph = traced(layers(3))
    source = graph.to_dot(collapse=1, unfold="1")
    assert "<B>0 · Sequential</B>" in source and "<B>1 · Sequential</B>" in source
    assert "2 · Sequential" in str(graph.frames(collapse=1))
    labels = [item["label"] for item in items_of(graph.view(collapse=1, unfold="1"), graph, None)]
    assert any(label.startswith("group 0 · Sequential") for label in labels)
    assert any(label.startswith("opened call 1 · Sequential") for label in labels)


def test_calls_that_are_alike_have_the_class_that_all_of_them_are_of() -> None:
    (group, *_) = traced(layers(12)).view().groups
    assert (group.count, group.title) == (12, "0 … 11 · Sequential")


def test_modules_with_names_and_functions_have_no_class() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)
            self.out = nn.Linear(4, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(torch.tanh(self.fc(x)))

    assert [group.title for group in traced(Named()).view(collapse=1).groups] == ["fc", "out"]


def test_a_saved_trace_knows_the_classes(tmp_path: Path) -> None:
    traced(layers(2)).save(tmp_path / "run.gradviz")
    titles = [group.title for group in gradviz.load(tmp_path / "run.gradviz").view(collapse=1).groups]
    assert titles == ["0 · Sequential", "1 · Sequential", "2 · Linear"]


def test_a_call_is_opened_and_closed_by_what_it_is_headed_with() -> None:
    graph = traced(layers(3))
    assert graph.to_dot(collapse=1, unfold="1 · Sequential") == graph.to_dot(collapse=1, unfold="1")
    assert graph.to_dot(collapse="none", fold=["1.0 · Linear"]) == graph.to_dot(collapse="none", fold=["1.0"])
    many = traced(layers(12))
    assert many.to_dot(unfold="0 … 11 · Sequential") == many.to_dot(unfold="0 … 11")
    with pytest.raises(gradviz.InputError, match="1 · Nothing"):
        graph.view(collapse=1, unfold="1 · Nothing")
