"""In which calls of modules and functions each node lies."""

from __future__ import annotations

import sys
from types import CodeType, FrameType

import torch
from torch import Tensor, nn

import gradviz
from gradviz import GradGraph, trace
from gradviz.recording.record import MAX_FRAMES, Recorder
from gradviz.recording.user_code import user_frames


def scopes(graph: GradGraph) -> dict[str, tuple[str, ...]]:
    """Name of each node -> its scope."""
    return {attributes["name"]: attributes["scope"] for _, attributes in graph.nodes(data=True)}


def paths(graph: GradGraph) -> set[str]:
    return {"/".join(attributes["scope"]) for _, attributes in graph.nodes(data=True)}


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.inner(x)
        return x + torch.tanh(hidden)


class Stack(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(), Block()])
        self.last = self.blocks[1]

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        out = self.last(x)
        return out.square().sum()


def test_a_node_lies_in_the_calls_of_its_modules() -> None:
    graph = trace(Stack(), torch.ones(2, 3))
    assert paths(graph) == {
        "",
        *("blocks.0", "blocks.0/blocks.0.inner", "blocks.1", "blocks.1@2"),
        *("blocks.1/blocks.1.inner", "blocks.1@2/blocks.1.inner"),
    }


def test_a_parameter_lies_where_all_its_uses_lie() -> None:
    found = scopes(trace(Stack(), torch.ones(2, 3)))
    assert found["blocks.0.inner.weight"] == ("blocks.0", "blocks.0.inner")
    assert found["blocks.1.inner.weight"] == ()  # used by both calls


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


def test_a_model_that_is_called_twice_has_two_scopes() -> None:
    model = Twice()
    graph = trace(lambda x: (model(x) * model(2 * x)).sum(), torch.ones(2, 3))
    assert {path for path in paths(graph) if path} == {"Twice/inner", "Twice@2/inner"}


def layer(x: Tensor, w: Tensor) -> Tensor:
    return torch.tanh(x @ w)


def network(x: Tensor, w: Tensor) -> Tensor:
    for _ in range(3):
        x = layer(x, w)
    return sum(layer(x, part) for part in (w, 2 * w)).sum()  # type: ignore[union-attr]


def test_without_modules_functions_are_scopes_call_by_call() -> None:
    graph = trace(network, torch.ones(2, 3), torch.eye(3, requires_grad=True))
    assert paths(graph) == {"", "layer", "layer@2", "layer@3", "layer@4", "layer@5"}
    assert [attributes["scope"] for _, attributes in graph.nodes(data=True) if attributes["op"] == "mm"] == [
        *[("layer",), ("layer@2",), ("layer@3",), ("layer@4",), ("layer@5",)]
    ]


def loop_inside(x: Tensor) -> Tensor:
    for _ in range(3):
        x = torch.sin(x)
    return x


def loops(x: Tensor) -> Tensor:
    return loop_inside(loop_inside(x))


def test_a_loop_inside_a_function_is_one_call() -> None:
    graph = trace(loops, torch.tensor(1.0, requires_grad=True))
    found = [attributes["scope"] for _, attributes in graph.nodes(data=True) if attributes["kind"] == "op"]
    assert found == [("loop_inside",)] * 3 + [("loop_inside@2",)] * 3


def train_step(model: nn.Module, x: Tensor) -> Tensor:
    return model(x)


def deep(x: Tensor, depth: int) -> Tensor:
    return deep(torch.sin(x), depth - 1) * x if depth else x


def test_a_function_around_everything_is_no_scope() -> None:
    model, x = Stack(), torch.ones(2, 3)
    with gradviz.record() as tape:
        loss = train_step(model, x)
    assert "blocks.0" in paths(tape.trace(loss))


def test_a_function_around_one_of_two_models_is_a_scope() -> None:
    model, other = Stack(), Stack()
    with gradviz.record() as tape:
        loss = train_step(model, torch.ones(2, 3)) + other(torch.ones(2, 3))
    assert paths(tape.trace(loss)) >= {"train_step/model/model.blocks.0", "other/other.blocks.0"}


def test_recursion_deeper_than_the_frames_that_are_kept_nests_call_by_call() -> None:
    graph = trace(lambda x: deep(x, 30) + deep(x, 1), torch.tensor(1.0, requires_grad=True))
    lengths = [len(attributes["scope"]) for _, attributes in graph.nodes(data=True) if attributes["op"] in ("sin", "mul")]
    assert lengths == [*range(1, 31), *range(30, 0, -1), 1, 1]
    assert {attributes["scope"][0] for _, attributes in graph.nodes(data=True) if attributes["scope"]} == {"deep", "deep@2"}


def test_a_loaded_graph_knows_its_scopes(tmp_path: object) -> None:
    graph = trace(Stack(), torch.ones(2, 3))
    graph.save(f"{tmp_path}/run.gradviz")
    assert scopes(gradviz.load(f"{tmp_path}/run.gradviz")) == scopes(graph)


def test_lines_and_names_are_those_of_the_whole_stack_within_modules_within_functions() -> None:
    """What lies around a module that runs is looked at once; it must be what a walk from each call would find."""

    class Inner(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return helper(x)

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Inner()

        def forward(self, x: Tensor) -> Tensor:
            first = self.inner(x)
            second = self.inner(first)
            return first * second

    def helper(x: Tensor) -> Tensor:
        return torch.tanh(x)

    def whole(frame: FrameType | None) -> list[tuple[CodeType, int]]:
        return [(one.f_code, one.f_lasti) for one in user_frames(frame, MAX_FRAMES)]

    class Witness(Recorder):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            walked.append(whole(sys._getframe(1)))
            return super().__torch_dispatch__(func, types, args, kwargs)

    walked: list[list[tuple[CodeType, int]]] = []
    outer, x = Outer(), torch.ones(2, requires_grad=True)
    with Witness() as recorder:
        outer(outer(x)).sum()
    own = 1  # the witness stands among the user's frames
    assert [list(call.frames[own:]) for call in recorder.calls] == [frames[: MAX_FRAMES - own] for frames in walked]
    assert len({call.frames for call in recorder.calls}) == 7  # as many as the code makes; `tanh` keeps a detached copy
