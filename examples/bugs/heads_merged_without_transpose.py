"""The heads (B, H, T, D) of an attention are merged by `reshape(B, T, H * D)`: a row holds several positions."""

import torch
from torch import nn

FINDING = "reshaped-heads"


class Attention(nn.Module):
    def __init__(self, *, transpose):
        super().__init__()
        self.qkv, self.out = nn.Linear(24, 72), nn.Linear(24, 24)
        self.transpose = transpose

    def forward(self, x):
        batch, time, width = x.shape
        query, key, value = (part.view(batch, time, 4, 6).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=2))
        heads = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        if self.transpose:
            heads = heads.transpose(1, 2)
        return self.out(heads.reshape(batch, time, width))


def step(*, transpose):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(50, 24), Attention(transpose=transpose), nn.Linear(24, 50))
    tokens = torch.randint(0, 50, (3, 9))
    return nn.functional.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())


def broken():
    return step(transpose=False)


def healthy():
    return step(transpose=True)
