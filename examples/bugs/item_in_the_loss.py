"""A learned temperature is read with `.item()`: the loss gets a Python number, the temperature no gradient."""

import torch
from torch import nn

FINDING = "left-torch"


class Temperature(nn.Module):
    def __init__(self):
        super().__init__()
        self.classifier = nn.Linear(6, 3)
        self.log_temperature = nn.Parameter(torch.tensor(0.3))

    def forward(self, x):
        return self.classifier(x)


def step(*, as_number):
    torch.manual_seed(0)
    model = Temperature()
    x, labels = torch.randn(16, 6), torch.randint(0, 3, (16,))

    def loss(logits):
        temperature = model.log_temperature.exp()
        return nn.functional.cross_entropy(logits / (temperature.item() if as_number else temperature), labels)

    return model, x, loss


def broken():
    return step(as_number=True)


def healthy():
    return step(as_number=False)
