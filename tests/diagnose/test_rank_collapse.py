"""Attentions in a row without residual connections are told once all positions are alike; what else makes them so is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import gradviz
from gradviz.diagnose import Finding

WIDTH = 32


class Block(nn.Module):
    def __init__(self, residual: str, *, norm: bool = True, causal: bool = False) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, 4, batch_first=True)
        self.before = nn.LayerNorm(WIDTH) if norm else nn.Identity()
        self.layers = nn.Sequential(nn.Linear(WIDTH, 64), nn.GELU(), nn.Linear(64, WIDTH))
        self.residual, self.causal = residual, causal

    def forward(self, x: Tensor) -> Tensor:
        y = self.before(x)
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1]) if self.causal else None
        y = self.attention(y, y, y, attn_mask=mask, need_weights=False)[0]
        y = self.layers(x + y if self.residual == "attention" else y)
        return x + y if self.residual == "all" else y


def told(blocks: list[nn.Module], x: Tensor) -> list[Finding]:
    model = nn.Sequential(*blocks, nn.Linear(WIDTH, 3))
    graph = gradviz.trace(model, x, loss=lambda out: out.square().mean())
    return [one for one in graph.diagnose() if one.kind == "rank-collapse"]


def data(*shape: int) -> Tensor:
    torch.manual_seed(0)
    return torch.randn(*shape, WIDTH)


@pytest.mark.parametrize("norm", [True, False])
def test_blocks_without_residuals_are_told(norm: bool) -> None:
    x = data(4, 10)
    (finding,) = told([Block("", norm=norm) for _ in range(7)], x)
    numbers = list(finding.numbers.values())
    assert finding.severity == "warning" and numbers[0] == 7 and 3 <= int(numbers[1]) <= 6
    assert float(numbers[2]) > 0.5 and float(numbers[3]) < 1e-5


@pytest.mark.parametrize("residual", ["all", "attention"])
@pytest.mark.parametrize("causal", [True, False])
def test_a_residual_keeps_positions_apart(residual: str, causal: bool) -> None:
    x = data(4, 10)
    assert told([Block(residual, causal=causal) for _ in range(10)], x) == []


def test_few_blocks_do_not_collapse() -> None:
    x = data(4, 10)
    assert told([Block("") for _ in range(3)], x) == []


@pytest.mark.parametrize("make", [lambda: data(4, 1).expand(4, 10, WIDTH), lambda: data(4, 1), lambda: data(4, 3)])
def test_positions_that_are_alike_from_the_start_or_are_few_tell_nothing(make: Callable[[], Tensor]) -> None:
    x = make().clone()
    assert told([Block("") for _ in range(7)], x) == []


def test_queries_that_all_start_alike_read_a_memory_that_differs() -> None:
    """As in DETR, whose targets are zero before the first cross-attention."""
    memory = data(2, 12)
    decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(WIDTH, 4, 64, batch_first=True), 4)
    graph = gradviz.trace(decoder, torch.zeros(2, 10, WIDTH), memory, loss=lambda out: out.square().mean())
    assert [one.kind for one in graph.diagnose() if one.kind == "rank-collapse"] == []
