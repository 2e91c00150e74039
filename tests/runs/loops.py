"""A small training loop, with and without a watcher, for the tests of runs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import gradviz
from gradviz.runs import Run

Loop = Callable[[nn.Module, torch.optim.Optimizer], Any]


def small_model() -> nn.Module:
    """With random numbers, buffers, an in-place op and functions that are no modules."""

    class Head(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = nn.Linear(4 * 36, 12)
            self.last = nn.Linear(12, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(torch.relu(self.hidden(x)) * 2.0)

    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Dropout(0.3), nn.Flatten(), Head()
    )


def batch() -> Tensor:
    return torch.randn(5, 2, 8, 8)


def loss_of(output: Tensor) -> Tensor:
    return (output - 1).square().mean()


def one_step(model: nn.Module, optimizer: torch.optim.Optimizer) -> float:
    optimizer.zero_grad()
    loss = loss_of(model(batch()))
    loss.backward()
    optimizer.step()
    return loss.item()


def steps(count: int) -> Loop:
    """A loop of so many steps."""

    def loop(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        for _ in range(count):
            one_step(model, optimizer)

    return loop


def watched(loop: Loop, directory: Path, *, every: int = 1, model: nn.Module | None = None, **options: Any) -> Run:
    """What a watcher recorded of a loop."""
    torch.manual_seed(0)
    model = small_model() if model is None else model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with gradviz.watch(model, directory, every=every, **options) as watcher:
        loop(model, optimizer)
    return watcher.run


def trained(directory: Path | None, *, accumulate: int = 1) -> tuple[list[float], list[Tensor]]:
    """The losses of six steps, and all tensors that are left; watched where there is a directory."""
    torch.manual_seed(0)
    model = small_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    losses = []
    with contextlib.nullcontext() if directory is None else gradviz.watch(model, directory, every=2):
        for _ in range(6):
            optimizer.zero_grad()
            for _ in range(accumulate):
                loss = loss_of(model(batch()))
                loss.backward()
                losses.append(loss.item())
            optimizer.step()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    return losses, [*model.state_dict().values(), *gradients, torch.get_rng_state()]
