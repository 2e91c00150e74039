"""Distillation with kl_div of two softmaxes: its first argument must be log-probabilities."""

import torch
from torch import nn
from torch.nn.functional import kl_div

FINDING = "not-log-probabilities"


def step(*, logarithms):
    torch.manual_seed(0)
    teacher, student = nn.Linear(6, 4).requires_grad_(False), nn.Linear(6, 4)
    x = torch.randn(16, 6)
    logits = student(x) / 2
    answers = logits.log_softmax(dim=1) if logarithms else logits.softmax(dim=1)
    return 4 * kl_div(answers, (teacher(x) / 2).softmax(dim=1), reduction="batchmean")


def broken():
    return step(logarithms=False)


def healthy():
    return step(logarithms=True)
