"""A mask that is True where keys are masked out, as nn.MultiheadAttention takes it, in scaled_dot_product_attention."""

import torch
from torch import nn

FINDING = "inverted-mask"


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv, self.out = nn.Linear(24, 72), nn.Linear(24, 24)

    def forward(self, x, mask):
        batch, time, width = x.shape
        query, key, value = (part.view(batch, time, 4, 6).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=2))
        heads = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.out(heads.transpose(1, 2).reshape(batch, time, width))


def step(*, invert):
    torch.manual_seed(0)
    embedding, attention, head = nn.Embedding(50, 24), Attention(), nn.Linear(24, 50)
    tokens = torch.randint(0, 50, (3, 9))
    future = torch.ones(8, 8, dtype=torch.bool).triu(diagonal=1)
    x = embedding(tokens[:, :-1])
    logits = head(x + attention(x, future if invert else ~future))
    return nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())


def broken():
    return step(invert=True)


def healthy():
    return step(invert=False)
