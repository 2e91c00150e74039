"""Why an update moved weights too far: each cause of a loop that really has it, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

import gradviz
from gradviz.diagnose import Finding

Optimizers = Callable[[list[nn.Parameter]], torch.optim.Optimizer]


def told(
    directory: Path,
    optimizer_of: Optimizers,
    *,
    weights: float = 1.0,
    batch: Callable[[int], float] = lambda step: 1.0,
    scale: float = 1.0,
    steps: int = 6,
) -> list[Finding]:
    """What is told of updates, of a regression by three layers whose weights, targets and loss may be scaled."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(weights)
    optimizer = optimizer_of(list(model.parameters()))
    with gradviz.watch(model, directory, every=1) as watcher:
        for step in range(steps):
            x = torch.randn(32, 8)
            optimizer.zero_grad()
            error: Tensor = model(x) - batch(step) * x.sum(1, keepdim=True)
            (scale * error.square().mean()).backward()
            optimizer.step()
    return [one for one in watcher.run.diagnose() if one.kind == "large-update"]


def descent(lr: float) -> Optimizers:
    return lambda parameters: torch.optim.SGD(parameters, lr=lr)


def adam(lr: float) -> Optimizers:
    return lambda parameters: torch.optim.Adam(parameters, lr=lr)


def test_a_rate_that_is_too_large_is_named(tmp_path: Path) -> None:
    for place, optimizer in (("adam", adam(0.3)), ("descent", descent(2.0))):
        (finding,) = told(tmp_path / place, optimizer, steps=1)
        rate = "0.3" if place == "adam" else "2"
        assert finding.hint == f"lower the learning rate (lr is {rate}); normalise inputs and targets"


def test_gradients_that_are_too_large_are_named_where_the_rate_is_usual(tmp_path: Path) -> None:
    (finding,) = told(tmp_path, descent(0.01), scale=300.0, steps=1)
    assert float(finding.numbers["gradient over weights"]) > 10
    assert "; the gradient is " in finding.message and finding.message.endswith(" times as large as the weights")
    assert finding.hint.startswith("normalise inputs and targets, and average the loss over the samples")


def test_one_batch_that_is_unlike_the_others_is_named(tmp_path: Path) -> None:
    (finding,) = told(tmp_path, descent(0.01), batch=lambda step: 3000.0 if step == 4 else 1.0)
    assert finding.step == 4 and "times as large as at the other recorded steps" in finding.message
    assert finding.hint.startswith("look at the batch of this step; clip the gradient norm")
    assert float(finding.numbers["gradient norm"]) > 10 * float(finding.numbers["usual gradient norm"])


def test_weights_that_are_tiny_are_named_where_the_update_is_healthy(tmp_path: Path) -> None:
    (finding,) = told(tmp_path, adam(1e-3), weights=0.01, steps=1)
    assert float(finding.numbers["weights over their usual size"]) < 0.1
    assert "times as large as torch's layers draw them" in finding.message
    assert finding.hint.startswith("draw the weights larger")
    assert told(tmp_path / "usual", adam(1e-3), steps=1) == []
