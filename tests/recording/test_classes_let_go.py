"""Classes that are defined within a function, and what they close over, live no longer than without a trace."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import gradviz
from gradviz.graph import GradGraph
from gradviz.recording.classes import once_per_class


def _closing_over(weight: Tensor) -> tuple[type[Any], type[Any]]:
    """A custom Function and a module that do."""

    class Scaled(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x * weight.detach()

        @staticmethod
        def backward(ctx: Any, cotangent: Tensor) -> Tensor:
            return cotangent * weight.detach()

    class Shifted(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + weight

    return Scaled, Shifted


def _traced(program: Callable[[Tensor], Tensor], x: Tensor) -> GradGraph:
    return gradviz.trace(program, x)


def _traced_without_a_recording(program: Callable[[Tensor], Tensor], x: Tensor) -> GradGraph:
    return gradviz.trace(program(x))


def _traced_where_hooks_pack(program: Callable[[Tensor], Tensor], x: Tensor) -> GradGraph:
    with torch.autograd.graph.saved_tensors_hooks(Tensor.double, Tensor.float):
        graph = gradviz.trace(program, x)
    graph.diagnose()
    return graph


def _traced_and_dropped(trace: Callable[..., GradGraph], weight: Tensor) -> list[weakref.ref[type[Any]]]:
    function, module = _closing_over(weight)
    graph = trace(lambda x: function.apply(module()(x)).sum(), torch.ones(3, requires_grad=True))
    assert graph.gradients()["x"].tolist() == [2.0, 2.0, 2.0]
    return [weakref.ref(function), weakref.ref(module)]


@pytest.mark.parametrize("trace", [_traced, _traced_without_a_recording, _traced_where_hooks_pack])
def test_a_trace_that_is_gone_holds_no_class(trace: Callable[[Callable[[Tensor], Tensor], Tensor], GradGraph]) -> None:
    weight = torch.full((3,), 2.0, requires_grad=True)
    gone = [weakref.ref(weight), *_traced_and_dropped(trace, weight)]
    del weight
    gc.collect()
    gc.collect()  # the first lets go of what holds autograd nodes, the second of what these held
    assert [reference() for reference in gone] == [None, None, None]


def test_what_is_remembered_of_a_class_is_asked_once_and_forgotten_with_it() -> None:
    asked = []

    @once_per_class
    def name(kind: type[Any]) -> str:
        asked.append(kind.__name__)
        return kind.__name__

    def told() -> list[str]:
        kinds = [type(f"Kind{number}", (), {}) for number in range(100)]
        return [name(kind) for kind in kinds for _ in range(2)]

    for _ in range(3):  # the ids of the first are those of others now
        assert told() == [f"Kind{number}" for number in range(100) for _ in range(2)]
        gc.collect()
    assert len(asked) == 300
