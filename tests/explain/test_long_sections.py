"""Sections that list a part: how much is left out, and that nothing is written only to be thrown away."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import gradviz
from gradviz.explain import backward
from gradviz.explain.wanted import MAX_LINES

_ROUNDS = 100


def swung(x: Tensor) -> Tensor:
    for _ in range(_ROUNDS):
        x = torch.sin(x)
    return x.sum()


def test_a_section_counts_the_steps_that_it_leaves_out() -> None:
    graph = gradviz.trace(swung, torch.ones(3, requires_grad=True))
    steps = _ROUNDS + 2 - MAX_LINES  # the sum, where the pass starts, each sine, and the leaf
    assert f"… and {steps} steps more, not shown" in str(graph.explain("x"))


def test_steps_that_are_not_shown_are_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = gradviz.trace(swung, torch.ones(3, requires_grad=True))
    written = []
    contribution = backward.contribution
    monkeypatch.setattr(backward, "contribution", lambda *args: (written.append(args), contribution(*args))[1])
    str(graph.explain("x"))
    assert len(written) == MAX_LINES - 1  # the first step is what the pass starts with
