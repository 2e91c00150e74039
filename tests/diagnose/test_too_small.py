"""Numbers that shrink until they are zero are told once, where that happens, and not as zeros of each layer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import gradviz
from gradviz.diagnose import Diagnosis, Finding


class Deep(nn.Module):
    """Layers that each make their input some 0.01 times as large."""

    def __init__(self, layers: int, *, bias: bool, normed: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(nn.Linear(6, 6, bias=bias) for _ in range(layers))
        self.norms = nn.ModuleList(nn.LayerNorm(6) for _ in range(layers)) if normed else None
        for layer in self.layers:
            nn.init.normal_(layer.weight, std=0.004)
            if bias:
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        for place, layer in enumerate(self.layers):
            x = torch.tanh(layer(x if self.norms is None else self.norms[place](x)))
        return (x - 1).square().mean()


def zero_gradients(diagnosis: Diagnosis) -> list[Finding]:
    return [finding for finding in diagnosis if finding.kind == "zero-gradient"]


def test_values_that_become_too_small_are_told_at_the_first_that_is_zero() -> None:
    graph = gradviz.trace(Deep(30, bias=True), torch.randn(5, 6))
    (finding,) = zero_gradients(graph.diagnose())
    assert finding.node is not None and graph.nodes[finding.node]["op"] == "addmm"
    assert not graph.nodes[finding.node]["value"].any()
    assert all(graph.nodes[use.edge[0]]["value"].any() for use in graph.arguments_of(finding.node) if use.argument != "self")
    without = [name for name, gradient in graph.gradients().items() if gradient is not None and not gradient.any()]
    assert finding.numbers["leaves with a zero gradient"] == len(without) > 30
    assert "too small for float32" in finding.message


def test_a_gradient_that_shrinks_on_its_way_back_is_told_once() -> None:
    graph = gradviz.trace(Deep(23, bias=False), torch.randn(5, 6))
    assert graph.nodes[graph.output]["value"] > 0.9
    (finding,) = zero_gradients(graph.diagnose())
    assert finding.edge is not None and finding.message.count("what goes back through") == 1
    tail, head, key = finding.edge
    assert graph.cotangent(head).any() and not graph.edges[tail, head, key]["contribution"].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_normalised_or_a_wider_net_has_no_such_finding(dtype: torch.dtype) -> None:
    wide = dtype is torch.float64
    model = Deep(30, bias=True, normed=not wide).to(dtype)
    assert not zero_gradients(gradviz.trace(model, torch.randn(5, 6, dtype=dtype)).diagnose())


def test_a_factor_that_is_zero_for_another_reason_is_told_as_before() -> None:
    w, v, x = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3)), torch.tensor([1e-3, 2e-3, 3e-3])

    def loss() -> Tensor:
        h = torch.round(x * 1e-3)
        return (w * h).sum() + v.sum()

    (finding,) = zero_gradients(gradviz.trace(loss).diagnose())
    assert finding.hint == "it is multiplied by h, zero everywhere: see what made that zero"


def test_a_loaded_graph_tells_values_that_are_too_small_too(tmp_path: Path) -> None:
    graph = gradviz.trace(Deep(30, bias=True), torch.randn(5, 6))
    graph.save(tmp_path / "deep.gradviz")
    (finding,) = zero_gradients(gradviz.load(tmp_path / "deep.gradviz").diagnose())
    assert "too small for float32" in finding.message
