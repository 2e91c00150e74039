"""kl_div is given log-probabilities as its target too, without log_target=True: xlogy of a negative number is NaN."""

import torch
from torch import nn
from torch.nn.functional import kl_div

FINDING = "not-finite-value"


def step(*, log_target):
    torch.manual_seed(0)
    student = nn.Linear(6, 4)
    teacher = torch.randn(16, 4).log_softmax(dim=1)
    answers = student(torch.randn(16, 6)).log_softmax(dim=1)
    return kl_div(answers, teacher, reduction="batchmean", log_target=log_target)


def broken():
    return step(log_target=False)


def healthy():
    return step(log_target=True)
