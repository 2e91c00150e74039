"""Models to look at: each function of `MODELS` makes one, with inputs and a loss, as `gradviz.trace` takes them.

They are small, so that a picture and a check are there at once, and always the same: weights and inputs are drawn from a
generator of their own. To the recorder this file is a user's: its lines and names are those that a picture shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

Inputs = tuple[Tensor, ...]
Loss = Callable[[Tensor], Tensor]
Example = tuple[nn.Module, Inputs, Loss]
"""A model, what it is called with, and what makes its output a loss."""


class Perceptron(nn.Module):
    """One neuron: the sigmoid of a weighted sum."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(2))
        self.bias = nn.Parameter(torch.empty(()))

    def forward(self, x: Tensor) -> Tensor:
        score = self.weight @ x + self.bias
        return torch.sigmoid(score)


class SmallCNN(nn.Module):
    """Two convolutions, each with a ReLU and a pooling, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 8, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Linear(8 * 2 * 2, 3)

    def forward(self, images: Tensor) -> Tensor:
        features = self.features(images)
        logits: Tensor = self.classifier(features.flatten(1))
        return logits


class LSTM(nn.Module):
    """An LSTM cell that reads a sequence step by step, and a linear layer on its last state."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(3, 6)
        self.head = nn.Linear(6, 1)

    def forward(self, sequence: Tensor) -> Tensor:
        h, c = torch.zeros(2, sequence.shape[1], 6, device=sequence.device)
        for x in sequence:
            h, c = self.cell(x, (h, c))
        prediction: Tensor = self.head(h)
        return prediction


class Attention(nn.Module):
    """Causal self-attention with several heads, written out."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        split = self.qkv(x).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        scores = query @ key.transpose(-2, -1) / math.sqrt(width // self.heads)
        future = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
        weights = scores.masked_fill(future, -math.inf).softmax(-1)
        mixed = (weights @ value).transpose(1, 2).reshape(batch, length, width)
        attended: Tensor = self.out(mixed)
        return attended


class Block(nn.Module):
    """A transformer block as in GPT-2: the norm comes before attention and before the two linear layers."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm_1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm_1(x))
        x = x + self.mlp(self.norm_2(x))
        return x


class GPT2(nn.Module):
    """The shape of GPT-2 small, 12 blocks of 12 heads, at a width of 48 instead of 768."""

    def __init__(
        self, *, vocabulary: int = 64, length: int = 16, width: int = 48, heads: int = 12, blocks: int = 12
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(length, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(blocks)))
        self.norm = nn.LayerNorm(width)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1], device=ids.device))
        x = self.norm(self.blocks(x))
        logits: Tensor = x @ self.tokens.weight.T
        return logits


def perceptron() -> Example:
    """A perceptron with two inputs and its squared error."""
    model = _drawn(Perceptron())
    return model, (torch.tensor([0.6, -0.4]),), lambda prediction: (prediction - 1) ** 2


def relu_net() -> Example:
    """A net of two layers with a ReLU between them, and its mean squared error."""
    model = _drawn(nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1)))
    labels = _normal(5, 1)
    return model, (_normal(5, 2),), lambda prediction: (prediction - labels).square().mean()


def mlp() -> Example:
    """A classifier of points with the binary cross-entropy of its sigmoid."""
    model = _drawn(nn.Sequential(nn.Linear(2, 50), nn.ReLU(), nn.Linear(50, 1), nn.Sigmoid()))
    labels = (_normal(8, 1) > 0).float()
    return model, (_normal(8, 2),), lambda probability: functional.binary_cross_entropy(probability, labels)


def cnn() -> Example:
    """A small convolutional classifier of 8 x 8 images."""
    labels = torch.tensor([0, 2])
    return _drawn(SmallCNN()), (_normal(2, 1, 8, 8),), lambda logits: functional.cross_entropy(logits, labels)


def lstm() -> Example:
    """An LSTM over eight steps."""
    target = _normal(2, 1)
    return _drawn(LSTM()), (_normal(8, 2, 3),), lambda prediction: (prediction - target).square().mean()


def transformer_block() -> Example:
    """One transformer block."""
    return _drawn(Block(8, 2)), (_normal(1, 4, 8),), lambda x: x.square().mean()


def gpt2() -> Example:
    """The shape of GPT-2 small, narrow, with the loss of the next token."""
    ids = torch.randint(64, (1, 9), generator=torch.Generator().manual_seed(0))
    following = ids[0, 1:]
    return _drawn(GPT2()), (ids[:, :-1],), lambda logits: functional.cross_entropy(logits[0], following)


MODELS: Final[dict[str, Callable[[], Example]]] = {
    "perceptron": perceptron,
    "two-layer ReLU net": relu_net,
    "MLP with binary cross-entropy": mlp,
    "small CNN": cnn,
    "LSTM": lstm,
    "transformer block": transformer_block,
    "GPT-2, narrow": gpt2,
}
"""Title -> a function without arguments, as a target of the command line is: `(model, inputs, loss)`."""


def _drawn(model: nn.Module) -> nn.Module:
    """The model with weights drawn from ± 1 / sqrt(fan in); those of norms stay 1 and 0."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.LayerNorm):
                continue
            for weight in module.parameters(recurse=False):
                bound = 1 / math.sqrt(weight[0].numel() if weight.ndim > 1 else max(weight.numel(), 1))
                weight.uniform_(-bound, bound, generator=generator)
    return model


def _normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))
