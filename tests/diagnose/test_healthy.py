"""Healthy models give no finding, as do steps that keep gradients away on purpose.

`python -m benchmarks.findings` asks the same of GPT-2, BERT, ViT and ResNet-50 in full.
"""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gradviz
from gradviz import GradGraph

ROOT = Path(__file__).parent.parent.parent
IDS = torch.arange(32).reshape(2, 16) * 7 % 200
LABELS = torch.tensor([0, 1])


class Attention(nn.Module):
    """Causal self-attention between two layer norms, as in GPT-2, with the output tied to the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(200, 64), nn.Embedding(16, 64)
        layer = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True, norm_first=True, activation="gelu")
        self.blocks = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(64)
        for embedding in (self.tokens, self.positions):
            nn.init.normal_(embedding.weight, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(ids.shape[1])
        hidden = self.tokens(ids) + self.positions(torch.arange(ids.shape[1]))
        return self.norm(self.blocks(hidden, mask=mask, is_causal=True)) @ self.tokens.weight.T  # type: ignore[no-any-return]


def language_model() -> GradGraph:
    return gradviz.trace(Attention(), IDS, loss=lambda out: F.cross_entropy(out[:, :-1].flatten(0, 1), IDS[:, 1:].flatten()))


class Block(nn.Module):
    """The block of a ResNet."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
        self.norm, self.last_norm = nn.BatchNorm2d(width), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.last_norm(self.second(F.relu(self.norm(self.first(x))))))


def residual_network() -> GradGraph:
    body = [layer for _ in range(4) for layer in (Block(16), Block(16), nn.AvgPool2d(2))]
    model = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), *body, nn.Flatten(), nn.Linear(64, 2))
    return gradviz.trace(model, torch.randn(2, 3, 32, 32), loss=lambda out: F.cross_entropy(out, LABELS))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(200, 16)
        self.cell = nn.LSTMCell(16, 24)
        self.head = nn.Linear(24, 2)

    def forward(self, ids: Tensor) -> Tensor:
        state = None
        for step in self.embedding(ids).unbind(1):
            state = self.cell(step, state)
        assert state is not None
        return self.head(state[0])  # type: ignore[no-any-return]


def lstm() -> GradGraph:
    return gradviz.trace(Recurrent(), IDS, loss=lambda out: F.cross_entropy(out, LABELS))


def cnn() -> GradGraph:
    model = nn.Sequential(
        *(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 16, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(), nn.Linear(256, 10)),
    )
    labels = torch.randint(0, 10, (8,))
    return gradviz.trace(model, torch.randn(8, 1, 14, 14), loss=lambda out: F.cross_entropy(out, labels))


def deep_tanh() -> GradGraph:
    layers = [layer for _ in range(10) for layer in (nn.Linear(16, 16), nn.Tanh())]
    return gradviz.trace(nn.Sequential(*layers), torch.randn(32, 16), loss=lambda out: out.square().mean())


def trained_classifier() -> GradGraph:
    x = torch.randn(64, 2)
    labels = (x.prod(1, keepdim=True) > 0).float()
    model = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(300):
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(model(x), labels).backward()
        optimizer.step()
    optimizer.zero_grad()
    return gradviz.trace(model, x, loss=lambda out: F.binary_cross_entropy_with_logits(out, labels))


def step_of_a_discriminator() -> GradGraph:
    generator = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
    discriminator = nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(), nn.Linear(16, 1))

    def loss() -> Tensor:
        fake = generator(torch.randn(16, 4)).detach()
        real = F.binary_cross_entropy_with_logits(discriminator(torch.randn(16, 2)), torch.ones(16, 1))
        return real + F.binary_cross_entropy_with_logits(discriminator(fake), torch.zeros(16, 1))

    return gradviz.trace(loss)


def deep_q_learning() -> GradGraph:
    online, target = nn.Linear(4, 2), nn.Linear(4, 2)

    def loss() -> Tensor:
        chosen = online(torch.randn(32, 4)).gather(1, torch.randint(0, 2, (32, 1))).squeeze(1)
        with torch.no_grad():
            best = torch.randn(32) + 0.9 * target(torch.randn(32, 4)).max(1).values
        return F.smooth_l1_loss(chosen, best)

    return gradviz.trace(loss)


def vector_quantisation() -> GradGraph:
    encoder, book, decoder = nn.Linear(10, 4), nn.Embedding(32, 4), nn.Linear(4, 10)

    def loss() -> Tensor:
        x = torch.randn(16, 10)
        z = encoder(x)
        nearest = book(torch.cdist(z, book.weight).argmin(1))
        commitment = F.mse_loss(nearest, z.detach()) + 0.25 * F.mse_loss(z, nearest.detach())
        return F.mse_loss(decoder(z + (nearest - z).detach()), x) + commitment

    return gradviz.trace(loss)


class Adapted(nn.Module):
    """A frozen layer with a low-rank adapter, one factor of which starts at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Linear(8, 8).requires_grad_(False)
        self.down, self.up = nn.Linear(8, 2, bias=False), nn.Linear(2, 8, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.frozen(x) + self.up(self.down(x))  # type: ignore[no-any-return]


def adapter() -> GradGraph:
    return gradviz.trace(Adapted(), torch.randn(8, 8), loss=lambda out: out.square().mean())


HEALTHY: list[Callable[[], GradGraph]] = [
    *(language_model, residual_network, lstm, cnn, deep_tanh, trained_classifier),
    *(step_of_a_discriminator, deep_q_learning, vector_quantisation, adapter),
]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("make", HEALTHY, ids=lambda make: make.__name__)
def test_healthy_step_gives_no_finding(make: Callable[[], GradGraph], seed: int) -> None:
    torch.manual_seed(seed)
    assert make().diagnose() == []


LECTURES = sorted(path for path in (ROOT / "examples").glob("*.py") if not path.name.startswith("__"))


@pytest.mark.parametrize("script", LECTURES, ids=lambda path: path.stem)
def test_lecture_example_gives_no_finding_but_the_wrong_backward(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADVIZ_OUT", str(tmp_path))
    graphs = [value for value in runpy.run_path(str(script)).values() if isinstance(value, GradGraph)]
    assert graphs
    kinds = [finding.kind for graph in graphs for finding in graph.diagnose()]
    assert kinds == (["wrong-backward"] if script.stem == "wrong_backward" else [])
