"""Two views of each sample, and a softmax over all pairs: each is compared with itself too, and is most like itself."""

import torch
from torch import nn

FINDING = "self-similarity"


def step(*, mask_itself):
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 16))
    x = torch.randn(16, 20)
    views = torch.cat([x + 0.1 * torch.randn_like(x), x + 0.1 * torch.randn_like(x)])
    z = nn.functional.normalize(encoder(views), dim=1)
    similarity = z @ z.T / 0.5
    if mask_itself:
        similarity = similarity.masked_fill(torch.eye(32, dtype=torch.bool), -torch.inf)
    partners = torch.arange(32).roll(16)
    return nn.functional.cross_entropy(similarity, partners)


def broken():
    return step(mask_itself=False)


def healthy():
    return step(mask_itself=True)
