"""What is told of optimizers in sight: parameters that none holds, learning rates, and whose gradients nobody clears."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gradviz
from gradviz.target import graph_of_target

FILE = """
import torch
from torch import nn

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
by_layer = [torch.optim.SGD(model[0].parameters(), lr=0.1)]
x = torch.randn(16, 4)

def loss():
    return (model(x) - 1).square().mean()

def triple():
    return model, x, lambda out: (out - 1).square().mean()
"""


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))


def loss_of(model: nn.Module) -> Tensor:
    return (model(torch.ones(16, 4)) - 1).square().mean()  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", ["loss", "triple"])
def test_optimizers_among_the_global_variables_of_a_target_are_seen(name: str, tmp_path: Path) -> None:
    file = tmp_path / "train.py"
    file.write_text(FILE)
    graph = graph_of_target(f"{file}:{name}", device="cpu")
    held = graph.optimized()
    assert {key: entry.optimizer for key, entry in held.items()} == {"0.weight": "by_layer[0]", "0.bias": "by_layer[0]"}
    (finding,) = graph.diagnose()
    assert finding.kind == "not-in-optimizer"
    assert finding.message.startswith("2.weight, 2.bias get a gradient, but by_layer[0]")
    graph.save(tmp_path / "step.gradviz")
    assert gradviz.load(tmp_path / "step.gradviz").diagnose() == [finding]


def test_a_function_that_asks_for_a_trace_sees_the_optimizers_of_its_file() -> None:
    code = FILE + "\nimport gradviz\n\ndef debugged():\n    return gradviz.trace(loss)\n"
    code += "\ndef shadowed():\n    optimizer = None\n    return gradviz.trace(loss), optimizer\n"
    file: dict[str, Any] = {}
    exec(code.replace("by_layer = [", "optimizer = ").replace("lr=0.1)]", "lr=0.1)"), file)
    held = file["debugged"]().optimized()
    assert {key: entry.optimizer for key, entry in held.items()} == {"0.weight": "optimizer", "0.bias": "optimizer"}
    assert not file["shadowed"]()[0].optimized()


def test_a_model_through_which_another_is_trained_need_not_be_held() -> None:
    maker, critic = network(), nn.Linear(1, 1)
    optimizer = torch.optim.SGD(maker.parameters(), lr=0.1)
    graph = gradviz.trace(lambda: critic(maker(torch.ones(16, 4))).mean())
    assert graph.gradients()["critic.weight"] is not None and len(graph.optimized()) == 4
    assert graph.diagnose() == []
    del optimizer


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda weights: torch.optim.Adam(weights, lr=0.2), True),
        (lambda weights: torch.optim.Adam(weights, lr=1e-2), False),
        (lambda weights: torch.optim.SGD(weights, lr=100.0), True),
        (lambda weights: torch.optim.SGD(weights, lr=1.0), False),
        (lambda weights: torch.optim.Rprop(weights, lr=100.0), False),  # not known how far it goes
    ],
)
def test_a_learning_rate_that_leaves_nothing_of_the_weights_is_told(
    make: Callable[[object], torch.optim.Optimizer], told: bool
) -> None:
    model = network()
    optimizer = make(model.parameters())
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    findings = gradviz.trace(lambda: loss_of(model)).diagnose()
    assert [finding.kind for finding in findings] == ["learning-rate"] * told
    loss_of(model).backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    after = dict(model.named_parameters())
    moves = [((after[name] - before[name]).norm() / before[name].norm()).item() for name in ("0.weight", "2.weight")]
    for finding in findings:  # the prediction is what the update does
        assert finding.numbers["median move over norm"] == pytest.approx(sum(moves) / 2, rel=1e-3)


@pytest.mark.parametrize(("times", "told"), [(1.0, False), (1000.0, True)])
def test_a_scaled_loss_has_the_gradients_of_the_loss_itself(times: float, told: bool) -> None:
    model, scaler = network(), torch.amp.GradScaler("cpu")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1 * times)
    found = gradviz.trace(lambda: scaler.scale(loss_of(model))).diagnose()
    assert [finding.kind for finding in found] == ["learning-rate"] * told
    scaler.scale(loss_of(model)).backward()
    scaler.unscale_(optimizer)
    weights = [model[0].weight, model[2].weight]
    moves = [0.1 * times * (weight.grad.norm() / weight.norm()).item() for weight in weights]
    for finding in found:
        assert finding.numbers["median move over norm"] == pytest.approx(sum(moves) / 2, rel=1e-3)


def test_an_optimizer_that_has_begun_is_not_predicted() -> None:
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.2)
    loss_of(model).backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    optimizer.zero_grad()
    assert gradviz.trace(lambda: loss_of(model)).diagnose() == []


def test_a_rate_of_0_is_told_unless_a_schedule_begins_with_it() -> None:
    model = network()
    optimizer = torch.optim.SGD([{"params": model[0].parameters(), "lr": 0.0}, {"params": model[2].parameters()}], lr=0.1)
    (finding,) = gradviz.trace(lambda: loss_of(model)).diagnose()
    assert finding.kind == "learning-rate" and "is 0 for 0.weight, 0.bias" in finding.message
    del optimizer
    warm = torch.optim.SGD(model.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(warm, lambda step: step / 100)
    assert warm.param_groups[0]["lr"] == 0
    assert gradviz.trace(lambda: loss_of(model)).diagnose() == []
    del schedule


def test_gradients_that_zero_grad_passes_by_are_told() -> None:
    model = network()
    head = torch.optim.SGD(model[2].parameters(), lr=0.1)
    loss_of(model).backward()  # type: ignore[no-untyped-call]
    head.zero_grad()
    found = {finding.kind: finding for finding in gradviz.trace(lambda: loss_of(model)).diagnose()}
    assert set(found) == {"earlier-gradient", "not-in-optimizer"}
    assert "0.weight, 0.bias had a gradient before this step" in found["earlier-gradient"].message
    assert found["earlier-gradient"].hint.startswith("call model.zero_grad() before backward()")


def test_rate_and_optimizer_are_those_of_the_group() -> None:
    model = network()
    optimizer = torch.optim.AdamW([{"params": [model[0].weight], "lr": 3e-4}, {"params": [model[2].weight]}], lr=1e-3)
    held = gradviz.trace(lambda: loss_of(model)).optimized()
    assert {name: (entry.rule, entry.rate, entry.is_fresh) for name, entry in held.items()} == {
        "0.weight": ("AdamW", 3e-4, True),
        "2.weight": ("AdamW", 1e-3, True),
    }
    assert math.isclose(optimizer.defaults["lr"], 1e-3)
