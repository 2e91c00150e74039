"""What is offloaded to main memory is what was there, and is used like any other tensor."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from kept_programs import (
    PROGRAMS,
    assert_same,
    complex_numbers,
    custom,
    in_place,
    leaf,
    same,
    stand_ins,
    sums,
    tensors,
)
from torch import Tensor

from gradviz.standin import StandIn
from gradviz.tracing import trace

on_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def test_offloading_on_a_cpu_changes_nothing() -> None:
    assert_same(trace(custom, leaf(), offload=True), trace(custom, leaf()))


@pytest.mark.parametrize("values", ["full", 12_000])
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_what_is_offloaded_is_used_like_any(
    program: Callable[[Tensor], Tensor], values: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("keeping", "backward_log"):  # as if this were an accelerator
        monkeypatch.setattr(f"gradviz.recording.{module}.is_elsewhere", lambda tensor: True)
    graphs = []
    for offload in (False, True):
        torch.manual_seed(0)
        graphs.append(trace(program, leaf(), values="full" if not offload else values, offload=offload))
    full, graph = graphs
    moved = 0
    for (name, tensor), (_, whole) in zip(tensors(graph), tensors(full), strict=True):
        if isinstance(tensor, StandIn) and tensor.elements is not None:
            assert tensor.elements.stride() == tensor.stride() and same(tensor + 0, whole), name
            moved += 1
    assert moved or program is in_place  # copies of what is overwritten stay where they are
    assert values != "full" or not graph.not_kept
    assert graph.check().ok == full.check().ok


def writing(seed: int) -> Callable[[Tensor], Tensor]:
    """Values, views, and writes to both, in a random order; what was written to may be dropped, and its views stay."""

    def program(x: Tensor) -> Tensor:
        drawn = random.Random(seed)
        held = [x + 1.0]
        for _ in range(12):
            one = drawn.choice(held)
            match drawn.randrange(9):
                case 0 | 1:
                    held.append(one + drawn.random())
                case 2:
                    held.append(one.t()[:12])
                case 3:
                    one.add_(drawn.random())
                case 4:
                    one[0].mul_(3.0)
                case 5:
                    one.neg_()
                case 6:
                    held.append(one.tanh() + 0)  # a write to what tanh saved would be an error
                case 7:
                    made = one * 2
                    view = made[1:]
                    del made
                    view += 1
                    held.append(view.exp().sum() * x)
                case 8 if len(held) > 1:
                    del held[-1]
        return torch.stack([one.sum() for one in held]).sum()

    return program


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("values", ["full", 40_000])
def test_what_is_offloaded_is_what_was_there_before_later_writes(
    seed: int, values: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("keeping", "backward_log"):  # as if this were an accelerator
        monkeypatch.setattr(f"gradviz.recording.{module}.is_elsewhere", lambda tensor: True)
    monkeypatch.setattr("gradviz.recording.keeping._STEP_BYTES", 0)  # looked at after each call
    full = trace(writing(seed), leaf(), values="full")
    graph = trace(writing(seed), leaf(), values=values, offload=True)
    assert any(isinstance(tensor, StandIn) and tensor.elements is not None for _, tensor in tensors(graph))
    for (name, tensor), (_, whole) in zip(tensors(graph), tensors(full), strict=True):
        if isinstance(tensor, StandIn) and tensor.elements is None:
            assert values != "full"
        elif tensor is not None:
            assert same(tensor + 0, whole), name
        else:
            assert whole is None or values != "full", name


@on_cuda
@pytest.mark.parametrize("values", ["full", "statistics", 12_000])
@pytest.mark.parametrize("program", [sums, custom, complex_numbers], ids=lambda program: program.__name__)
def test_what_is_offloaded_comes_back_to_its_device(program: Callable[[Tensor], Tensor], values: Any) -> None:
    torch.set_default_device("cuda")
    try:
        given = leaf().detach().cuda().requires_grad_()
        full = trace(program, given)
        graph = trace(program, given, values=values, offload=True)
    finally:
        torch.set_default_device(None)
    for (name, tensor), (_, whole) in zip(tensors(graph), tensors(full), strict=True):
        if isinstance(tensor, StandIn) and tensor.elements is not None:
            assert tensor.elements.device.type == "cpu" and (tensor + 0).device.type == "cuda", name
            assert whole is not None and torch.equal(tensor + 0, whole), name
    assert stand_ins(graph)
