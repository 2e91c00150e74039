"""Several faults of one language model are told together: none hides another."""

from __future__ import annotations

import itertools
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gradviz

HEADS, WIDTH, WORDS = 4, 48, 50
FINDINGS = {"split": "reshaped-heads", "mask": "inverted-mask", "shift": "unshifted-labels"}


class Block(nn.Module):
    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__()
        self.parts, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.norm, self.inner = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.layers = nn.Sequential(nn.Linear(WIDTH, 96), nn.GELU(), nn.Linear(96, WIDTH))
        self.faults = faults

    def forward(self, x: Tensor) -> Tensor:
        batch, time, _ = x.shape
        parts = self.parts(self.norm(x)).chunk(3, -1)
        if "split" in self.faults:
            q, k, v = (part.reshape(batch, HEADS, time, WIDTH // HEADS) for part in parts)
        else:
            q, k, v = (part.reshape(batch, time, HEADS, WIDTH // HEADS).transpose(1, 2) for part in parts)
        barred = torch.ones(time, time, dtype=torch.bool).triu(1)
        scores = (q @ k.transpose(2, 3)).masked_fill(~barred if "mask" in self.faults else barred, -1e9)
        scores = scores if "scale" in self.faults else scores / (WIDTH // HEADS) ** 0.5
        x = x + self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, time, WIDTH))
        return x + self.layers(self.inner(x))


class Language(nn.Module):
    def __init__(self, time: int, faults: tuple[str, ...]) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(WORDS, WIDTH), nn.Embedding(time, WIDTH)
        self.blocks, self.head = nn.Sequential(Block(faults), Block(faults)), nn.Linear(WIDTH, WORDS)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.blocks(self.words(tokens) + self.places.weight))  # type: ignore[no-any-return]


def loss(tokens: Tensor, faults: tuple[str, ...], scores: Tensor) -> Tensor:
    labels = tokens
    if "shift" not in faults:
        scores, labels = scores[:, :-1], labels[:, 1:]
    return F.cross_entropy(scores.flatten(0, 1), labels.flatten())


@pytest.mark.parametrize("time", [12, HEADS])
@pytest.mark.parametrize("count", range(5))
def test_each_fault_is_told_beside_all_others(time: int, count: int) -> None:
    for faults in itertools.combinations(("split", "mask", "shift", "scale"), count):
        torch.manual_seed(0)
        model, tokens = Language(time, faults), torch.randint(0, WORDS, (4, time))
        told = {finding.kind for finding in gradviz.trace(model, tokens, loss=partial(loss, tokens, faults)).diagnose()}
        assert told == {FINDINGS[fault] for fault in faults if fault in FINDINGS}, faults
