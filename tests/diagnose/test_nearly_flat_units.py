"""Hidden layers half of whose units hardly leave the flat ends of tanh or sigmoid are a hint; gates and outputs are not."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gradviz
from gradviz.diagnose import Diagnosis


def diagnosed(scale: float, activation: type[nn.Module] = nn.Tanh, samples: int = 128) -> Diagnosis:
    torch.manual_seed(0)
    hidden = [nn.Linear(16, 64), activation(), nn.Linear(64, 64), activation(), nn.Linear(64, 10)]
    for layer in (hidden[0], hidden[2]):
        nn.init.normal_(layer.weight, 0, scale)
    x, labels = torch.randn(samples, 16), torch.randint(10, (samples,))
    return gradviz.trace(nn.Sequential(*hidden), x, loss=lambda out: F.cross_entropy(out, labels)).diagnose()


def test_a_layer_of_which_half_the_units_are_nearly_flat_is_a_hint() -> None:
    (finding,) = diagnosed(3.0)
    assert (finding.kind, finding.severity) == ("saturated", "hint")
    assert finding.numbers["units nearly flat"] > 32 and finding.numbers["units"] == 64


def test_a_layer_that_is_flat_is_a_warning_alone() -> None:
    assert {(finding.kind, finding.severity) for finding in diagnosed(10.0)} == {("saturated", "warning")}


def test_layers_that_are_nearly_flat_for_few_samples_are_silent() -> None:
    assert diagnosed(1.0) == []
    assert diagnosed(1.0, nn.Sigmoid) == []


def test_few_samples_show_nothing() -> None:
    assert diagnosed(3.0, samples=8) == []


def loss_of_extremes(x: Tensor, layer: nn.Linear, head: nn.Linear) -> Tensor:
    gate = torch.sigmoid(9 * layer(x) + 30 * torch.eye(16)[0] - 7)
    return head(gate * x).square().mean() + (torch.tanh(4 + layer(x)) - x.sign()).square().mean()


def test_gates_and_outputs_may_reach_their_limits() -> None:
    torch.manual_seed(0)
    layer, head, x = nn.Linear(16, 16), nn.Linear(16, 1), torch.randn(64, 16)
    assert gradviz.trace(lambda: loss_of_extremes(x, layer, head)).diagnose() == []
