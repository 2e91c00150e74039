"""A step in which no leaf gets any gradient is never passed over; where every sample keeps its margin, it is a hint."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gradviz
from gradviz.diagnose import Diagnosis

Loss = Callable[[nn.Linear, Tensor], Tensor]


def diagnosed(loss: Loss) -> Diagnosis:
    torch.manual_seed(0)
    layer, x = nn.Linear(3, 4), torch.randn(5, 3)
    graph = gradviz.trace(lambda: loss(layer, x))
    assert not any(gradient is not None and gradient.any() for gradient in graph.gradients().values())
    return graph.diagnose()


def wrong_margin(layer: nn.Linear, x: Tensor) -> Tensor:
    anchor, near, far = layer(x), layer(x + 0.01), layer(3 - x)
    return torch.relu((anchor - near).square().sum(1) - (anchor - far).square().sum(1) - 1.0).mean()


KEPT: list[Loss] = [
    lambda layer, x: torch.relu(-1 - layer(x).square().sum(1)).mean(),
    lambda layer, x: (-1 - layer(x).square().sum(1)).clamp(min=0).mean(),
    lambda layer, x: (-1 - layer(x).square().sum(1)).clamp(min=0).square().mean(),
    lambda layer, x: F.relu(layer(x) - 100).mean() + (layer(x) - 100).clamp_min(0).mean(),
    lambda layer, x: torch.maximum(layer(x) - 100, torch.zeros(())).sum(),
    lambda layer, x: F.triplet_margin_loss(layer(x), layer(x + 0.01), layer(x + 9)),
    lambda layer, x: F.multi_margin_loss(layer(x) + 100 * torch.eye(5, 4), torch.tensor([0, 1, 2, 3, 0]), margin=-1e3),
    lambda layer, x: F.hinge_embedding_loss(layer(x).square().sum(1) + 9, -torch.ones(5)),
    wrong_margin,
]


@pytest.mark.parametrize("loss", KEPT)
def test_a_margin_that_every_sample_keeps_is_a_hint(loss: Loss) -> None:
    findings = diagnosed(loss)
    assert [(finding.kind, finding.severity) for finding in findings] == [("zero-gradient", "hint")]
    assert "the loss is 0" in findings[0].message
    assert "margin" in findings[0].hint


TOLD: list[Loss] = [
    lambda layer, x: 0 * layer(x).mean(),
    lambda layer, x: (layer(x) * torch.zeros(5, 4)).sum(),
    lambda layer, x: 1 + torch.relu(layer(x) - 100).mean(),
    lambda layer, x: torch.tanh(1e3 + layer(x)).mean(),  # too few elements for `saturation`
]


@pytest.mark.parametrize("loss", TOLD)
def test_a_step_without_any_gradient_is_a_warning(loss: Loss) -> None:
    assert [finding.severity for finding in diagnosed(loss) if finding.kind == "zero-gradient"] == ["warning"]


def test_a_factor_of_0_is_named() -> None:
    (finding,) = diagnosed(lambda layer, x: 0 * layer(x).mean())
    assert "is multiplied by 0" in finding.hint


def test_dead_units_are_not_told_twice() -> None:
    findings = diagnosed(lambda layer, x: (torch.relu(layer(x.repeat(4, 1)) - 100) @ torch.ones(4, 1) + 1).square().mean())
    assert [finding.kind for finding in findings] == ["dead-relu"]


def test_a_margin_that_one_sample_breaks_is_silent() -> None:
    layer, x = nn.Linear(3, 4), torch.randn(5, 3)
    rows = layer(x).sum(1).detach()
    assert gradviz.trace(lambda: torch.relu(layer(x).sum(1) - rows.max() + 1e-3).mean()).diagnose() == []
