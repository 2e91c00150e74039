"""Layers with their gradients, as people write them by hand."""

from __future__ import annotations

import torch
from torch import Tensor


def layer_norm(x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.pow(2).mean(-1, keepdim=True) + 0.1).sqrt()


def layer_norm_gradient(c: Tensor, x: Tensor, y: Tensor) -> Tensor:
    spread = (x.var(-1, keepdim=True, correction=0) + 0.1).sqrt()
    return (c - c.mean(-1, keepdim=True) - y * (c * y).mean(-1, keepdim=True)) / spread


def softmax_gradient(c: Tensor, y: Tensor) -> Tensor:
    return y * (c - (c * y).sum(-1, keepdim=True))


def rms_gradient(c: Tensor, x: Tensor, *, mean: bool) -> Tensor:
    scale = (x * x).mean(-1, keepdim=True).add(0.1).rsqrt()
    products = c * x
    return scale * c - scale**3 * x * (products.mean(-1, keepdim=True) if mean else products.sum(-1, keepdim=True))


def normed_gradients(c: Tensor, v: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    norm = v.norm(dim=1, keepdim=True)
    along = (c * v / norm).sum(1, keepdim=True)
    return g * (c - along * v / norm) / norm, along


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.softmax(q @ k.T / 2, -1) @ v


def attention_gradients(c: Tensor, q: Tensor, k: Tensor, v: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    p = torch.softmax(q @ k.T / 2, -1)
    scores = softmax_gradient(c @ v.T, p)
    return scores @ k / 2, scores.T @ q / 2, p.T @ c
