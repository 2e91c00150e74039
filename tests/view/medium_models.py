"""Models of 20 to 200 nodes whose pictures, drawn in one row or column, are far too long for a page."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

import gradviz
from gradviz.models import MODELS


def perceptrons(layers: int) -> gradviz.GradGraph:
    inner = [part for _ in range(layers - 2) for part in (nn.Linear(8, 8), nn.Tanh())]
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), *inner, nn.Linear(8, 1))
    target = torch.randn(16, 1)
    return gradviz.trace(model, torch.randn(16, 4), loss=lambda out: (out - target).square().mean(), device="cpu")


def convolutions() -> gradviz.GradGraph:
    def stage(read: int, made: int) -> list[nn.Module]:
        return [nn.Conv2d(read, made, 3, padding=1), nn.BatchNorm2d(made), nn.ReLU()]

    last = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 10)]
    model = nn.Sequential(*stage(3, 8), nn.MaxPool2d(2), *stage(8, 16), nn.MaxPool2d(2), *stage(16, 16), *last)
    labels = torch.tensor([0, 3, 9, 1])
    images = torch.randn(4, 3, 16, 16)
    return gradviz.trace(model, images, loss=lambda out: functional.cross_entropy(out, labels), device="cpu")


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = self.down(functional.gelu(self.up(self.norm(x))))
        return x + added


def residual() -> gradviz.GradGraph:
    model = nn.Sequential(nn.Linear(5, 12), Residual(12), Residual(12), Residual(12), nn.Linear(12, 3))
    labels = torch.tensor([0, 1, 2, 0])
    return gradviz.trace(model, torch.randn(4, 5), loss=lambda out: functional.cross_entropy(out, labels), device="cpu")


def adversarial() -> gradviz.GradGraph:
    maker = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 8), nn.Tanh())
    judge = nn.Sequential(nn.Linear(8, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))
    real = torch.randn(6, 8)
    with gradviz.record() as tape:
        of_real = functional.binary_cross_entropy_with_logits(judge(real), torch.ones(6, 1))
        of_made = functional.binary_cross_entropy_with_logits(judge(maker(torch.randn(6, 4))), torch.zeros(6, 1))
        loss = of_real + of_made
    return tape.trace(loss)


def attention() -> gradviz.GradGraph:
    width, heads, length = 12, 3, 5
    weights = [torch.randn(width, width, requires_grad=True) for _ in range(4)]
    x = torch.randn(2, length, width)

    def attend(w_query: Tensor, w_key: Tensor, w_value: Tensor, w_out: Tensor) -> Tensor:
        def split(of: Tensor) -> Tensor:
            return of.view(2, length, heads, width // heads).transpose(1, 2)

        query, key, value = split(x @ w_query), split(x @ w_key), split(x @ w_value)
        scores = query @ key.transpose(-2, -1) / math.sqrt(width // heads)
        mask = torch.tril(torch.ones(length, length)).bool()
        weights = torch.softmax(scores.masked_fill(~mask, -math.inf), -1)
        out = (weights @ value).transpose(1, 2).reshape(2, length, width) @ w_out
        return (out + x).pow(2).mean()

    return gradviz.trace(attend, *weights)


class Detector(nn.Module):
    """Convolution, transformer with queries of its own, and two heads, as in DETR."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Conv2d(3, 16, 4, stride=4)
        self.places, self.queries = nn.Parameter(torch.randn(16, 16)), nn.Parameter(torch.randn(6, 16))
        self.transformer = nn.Transformer(16, 2, 1, 1, 32, dropout=0.0, batch_first=True)
        self.classes = nn.Linear(16, 4)
        self.boxes = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))

    def forward(self, images: Tensor) -> Tensor:
        features = self.backbone(images).flatten(2).transpose(1, 2)
        found = self.transformer(features + self.places, self.queries.expand(len(images), -1, -1))
        classes = self.classes(found).flatten(0, 1)
        labels = torch.zeros(len(classes), dtype=torch.long)
        return functional.cross_entropy(classes, labels) + (self.boxes(found).sigmoid() - 0.5).abs().mean()


def known(title: str) -> gradviz.GradGraph:
    model, inputs, loss = MODELS[title]()
    return gradviz.trace(model, *inputs, loss=loss, device="cpu")


def encoder() -> gradviz.GradGraph:
    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True)
    model = nn.Sequential(nn.Linear(8, 16), nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(16, 1))
    return gradviz.trace(model, torch.randn(2, 5, 8), loss=lambda out: out.square().mean(), device="cpu")


def seeded(make: Callable[[], gradviz.GradGraph]) -> Callable[[], gradviz.GradGraph]:
    def made() -> gradviz.GradGraph:
        torch.manual_seed(0)
        return make()

    return made


MEDIUM: Final[dict[str, Callable[[], gradviz.GradGraph]]] = {
    "MLP of 5 layers": seeded(lambda: perceptrons(5)),
    "MLP of 8 layers": seeded(lambda: perceptrons(8)),
    "CNN": seeded(convolutions),
    "small CNN": lambda: known("small CNN"),
    "transformer block": lambda: known("transformer block"),
    "encoder of two layers": seeded(encoder),
    "residual net": seeded(residual),
    "GAN step": seeded(adversarial),
    "attention": seeded(attention),
    "detector": seeded(lambda: gradviz.trace(Detector(), torch.randn(2, 3, 16, 16), device="cpu")),
}
"""What it is -> a function that traces it; each is drawn in columns."""


class Experts(nn.Module):
    """A gate and five experts beside each other, whose sum reads all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(6, 5)
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(6, 12), nn.GELU(), nn.Linear(12, 6)) for _ in range(5))

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.softmax(self.gate(x), -1)
        picked = [weights.index_select(1, torch.tensor([place])) for place in range(5)]
        return torch.stack([weight * expert(x) for weight, expert in zip(picked, self.experts, strict=True)]).sum(0)


class Dense(nn.Module):
    """Every layer reads all before it, as in DenseNet."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm2d(4 + 4 * place) for place in range(6))
        self.layers = nn.ModuleList(nn.Conv2d(4 + 4 * place, 4, 3, padding=1) for place in range(6))

    def forward(self, x: Tensor) -> Tensor:
        made = [x]
        for norm, layer in zip(self.norms, self.layers, strict=True):
            made.append(layer(torch.relu(norm(torch.cat(made, 1)))))
        return torch.cat(made, 1)


def heads() -> gradviz.GradGraph:
    """Attention with a module for each of eight heads."""
    layers = nn.ModuleList(nn.ModuleList(nn.Linear(8, 4) for _ in range(3)) for _ in range(8))
    x = torch.randn(2, 5, 8)

    def attend() -> Tensor:
        made = []
        for head in layers:
            query, key, value = (layer(x) for layer in head)
            made.append(torch.softmax(query @ key.transpose(-1, -2) / 2, -1) @ value)
        return torch.cat(made, -1).square().mean()

    return gradviz.trace(attend)


def square_of(model: nn.Module, *shape: int) -> gradviz.GradGraph:
    return gradviz.trace(model, torch.randn(shape), loss=lambda out: out.square().mean(), device="cpu")


WIDE: Final[dict[str, Callable[[], gradviz.GradGraph]]] = {
    "experts": seeded(lambda: square_of(Experts(), 4, 6)),
    "dense block": seeded(lambda: square_of(Dense(), 2, 4, 8, 8)),
    "heads": seeded(heads),
    "two-layer ReLU net": lambda: known("two-layer ReLU net"),
}
"""The same for what has much beside each other, or is so wide in one row that it cannot be read."""
