"""`torch.randn(..., requires_grad=True) * 0.1` is no leaf: `weight.grad` stays None, and the optimiser refuses it."""

import torch

FINDING = "leaf-replaced"


def loss_of(weight):
    x, target = torch.randn(16, 3), torch.randn(16, 1)
    prediction = x @ weight
    return torch.nn.functional.mse_loss(prediction, target)


def broken():
    torch.manual_seed(0)
    weight = torch.randn(3, 1, requires_grad=True) * 0.1
    return loss_of(weight)


def healthy():
    torch.manual_seed(0)
    weight = (torch.randn(3, 1) * 0.1).requires_grad_()
    return loss_of(weight)
