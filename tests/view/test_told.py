"""What is not drawn since its users name it: constants of which each step of a loop reads a part."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradviz import GradGraph, trace
from gradviz.diagnose import Finding
from gradviz.view import View


class Cell(nn.Module):
    def __init__(self, steps: int) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.register_buffer("table", torch.arange(3.0 * steps).reshape(steps, 3))

    def forward(self, h: Tensor) -> Tensor:
        assert isinstance(self.table, Tensor)
        for step in range(len(self.table)):
            h = torch.tanh(self.layer(h) + self.table[step])
        return h.square().mean()


def traced(steps: int) -> GradGraph:
    return trace(Cell(steps), torch.ones(2, 3), device="cpu")


def tables(view: View) -> int:
    return sum(node.name == "table" for node in view.nodes)


def parts(view: View) -> list[str]:
    return [node.call for node in view.nodes if node.role == "constant" and node.call]


def test_a_constant_that_a_loop_reads_piece_by_piece_is_drawn_as_its_parts() -> None:
    view = traced(4).view()
    assert tables(view) == 0 and parts(view) == ["table[0]", "table[1]", "table[2]", "table[3]"]
    assert "drawn in parts: table" in view.notes
    ids = {shape.id for shape in (*view.nodes, *view.groups)}
    assert {edge.tail for edge in view.edges} | {edge.head for edge in view.edges} <= ids


@pytest.mark.parametrize("options", [{"unfold": "table"}, {"show": ["value"]}, {"focus": "table", "radius": 2}], ids=str)
def test_it_is_drawn_itself_where_it_is_asked_for_or_its_parts_do_not_name_it(options: dict[str, Any]) -> None:
    view = traced(4).view(**options)
    assert tables(view) > 0 and parts(view) == []


def test_it_is_drawn_itself_where_there_is_something_to_tell_of_it_or_two_parts_only() -> None:
    graph = traced(4)
    finding = Finding(kind="k", severity="warning", message="m", hint="h", node=graph.node("table"))
    assert tables(graph.view(findings=[finding])) == 4
    assert tables(traced(2).view()) == 2


def test_a_constant_that_is_used_as_a_whole_too_is_drawn() -> None:
    x = torch.arange(3.0)
    graph = trace(lambda w: (w * x[0] + w * x[1] * x[2]) * x.sum(), torch.tensor(2.0, requires_grad=True))
    assert any(node.name == "x" for node in graph.view().nodes)


def test_the_steps_of_a_long_loop_read_the_whole_table_once() -> None:
    view = traced(60).view()
    assert tables(view) == 1 and [group.count for group in view.groups] == [60, 60, 60, 60]


def test_parts_take_the_place_of_one_node_each() -> None:
    view = traced(9).view()
    assert (len(view.groups), len(parts(view)), tables(view)) == (9, 9, 0)
    assert len(view.nodes) + len(view.groups) == 39 and not any(note.startswith("showing") for note in view.notes)


def test_where_calls_are_not_written_the_picture_keeps_its_budget_too() -> None:
    view = traced(9).view(show=["value"])
    assert len(view.nodes) + len(view.groups) <= 40 and not any(note.startswith("showing") for note in view.notes)


def test_frames_say_of_which_constant_an_input_is_a_part() -> None:
    x = torch.tensor([1.0, 2.0, 3.0])
    frames = trace(lambda w: w * x[0] + w * x[1] * x[2], torch.tensor(2.0, requires_grad=True)).frames()
    assert "The inputs: w = 2, a = x[0] = 1, c = x[1] = 2, e = x[2] = 3" in str(frames)
