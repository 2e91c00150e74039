"""What has one cause is told once, however many calls show it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gradviz


class Frozen(nn.Module):
    """Each of its layers runs in a line of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.four, self.five, self.six = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(x).relu()
        x = self.two(x).relu()
        x = self.three(x).relu()
        x = self.four(x).relu()
        x = self.five(x).relu()
        return self.six(x)  # type: ignore[no-any-return]


class Headed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.frozen, self.head = Frozen(), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            hidden = self.frozen(x)
        return self.head(hidden)  # type: ignore[no-any-return]


def test_a_part_that_runs_under_no_grad_is_told_once() -> None:
    torch.manual_seed(0)
    model, labels = Headed(), torch.tensor([0, 1])
    graph = gradviz.trace(model, torch.randn(2, 4), loss=lambda out: F.cross_entropy(out, labels))
    (finding,) = graph.diagnose()
    assert finding.kind == "no-grad" and "as 5 other lines do" in finding.message
    assert finding.numbers["leaves without gradient"] == 12


class Slipped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            x = self.first(x)
        return self.last(x)  # type: ignore[no-any-return]


def test_a_slip_beside_a_model_that_runs_under_no_grad_is_told_by_itself() -> None:
    torch.manual_seed(0)
    teacher, student, x = Frozen(), Slipped(), torch.randn(2, 4)
    optimizer = torch.optim.SGD([*teacher.parameters(), *student.parameters()], lr=0.1)

    def loss() -> Tensor:
        with torch.no_grad():
            target = teacher(x)
        return F.mse_loss(student(x), target)

    findings = [finding for finding in gradviz.trace(loss).diagnose() if finding.kind == "no-grad"]
    assert sorted(finding.numbers["leaves without gradient"] for finding in findings) == [2, 12]
    assert ["as 5 other lines do" in finding.message for finding in findings].count(True) == 1
    del optimizer


def test_a_line_that_cancels_again_and_again_is_told_once() -> None:
    torch.manual_seed(0)
    x = torch.rand(8, requires_grad=True)

    def loss() -> Tensor:
        total = torch.zeros(())
        for _ in range(3):
            total = total + ((x * 1e-6).exp() - (x * -1e-6).exp()).square().sum() + x.square().sum()
        return total

    findings = [finding.kind for finding in gradviz.trace(loss).diagnose()]
    assert findings.count("cancellation") == 1
