"""`where(x > 0, log(x), 0)` masks the value of log at 0, not its derivative: 0 × ∞ is NaN."""

import torch

FINDING = "not-finite-gradient"


def entropy(weights, *, masked_before):
    if masked_before:
        safe = torch.where(weights > 0, weights, torch.ones_like(weights))
        return -(weights * torch.log(safe)).sum()
    return -torch.where(weights > 0, weights * torch.log(weights), torch.zeros_like(weights)).sum()


def weights():
    return torch.tensor([0.5, 0.25, 0.25, 0.0], requires_grad=True)


def broken():
    return entropy(weights(), masked_before=False)


def healthy():
    return entropy(weights(), masked_before=True)
