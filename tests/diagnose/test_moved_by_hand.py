"""Parameters that the traced code moves itself, as a moving average does: that no gradient reaches them is meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gradviz

Move = Callable[["Codes", Tensor, Tensor], None]


class Codes(nn.Module):
    """An autoencoder by codes that `move` moves, with its moving averages of them."""

    def __init__(self, move: Move) -> None:
        super().__init__()
        self.encoder, self.decoder, self.move = nn.Linear(6, 4), nn.Linear(4, 6), move
        self.book, self.average = nn.Parameter(torch.randn(8, 4)), nn.Parameter(torch.randn(8, 4))

    def forward(self, x: Tensor) -> Tensor:
        z = self.encoder(x)
        ones = F.one_hot(torch.cdist(z, self.book).argmin(1), 8).float()
        codes = ones @ self.book
        self.move(self, ones, z)
        return F.mse_loss(self.decoder(z + (codes - z).detach()), x) + 0.25 * F.mse_loss(z, codes.detach())


def centres(ones: Tensor, z: Tensor) -> Tensor:
    return ones.t() @ z / (ones.sum(0)[:, None] + 1e-5)


def in_place(model: Codes, ones: Tensor, z: Tensor) -> None:
    with torch.no_grad():
        model.average.mul_(0.9).add_(0.1 * centres(ones, z))
        model.book.copy_(model.average)


def by_data(model: Codes, ones: Tensor, z: Tensor) -> None:
    model.average.data.lerp_(centres(ones, z).detach(), 0.1)
    model.book.data = 0.9 * model.book.data + 0.1 * centres(ones, z).detach()


def as_new_parameters(model: Codes, ones: Tensor, z: Tensor) -> None:
    model.average = nn.Parameter(0.9 * model.average + 0.1 * centres(ones, z))
    model.book = nn.Parameter(model.average * 1.0)


def kinds(model: Codes, path: Path) -> list[str]:
    graph = gradviz.trace(model, torch.randn(16, 6))
    graph.save(path)
    loaded = [finding.kind for finding in gradviz.load(path).diagnose()]
    found = [finding.kind for finding in graph.diagnose()]
    assert found == loaded
    return found


@pytest.mark.parametrize("move", [in_place, by_data, as_new_parameters])
def test_codes_that_a_moving_average_moves_are_fine(move: Move, tmp_path: Path) -> None:
    torch.manual_seed(0)
    assert kinds(Codes(move), tmp_path / "run.gradviz") == []


def clamped(model: Codes, ones: Tensor, z: Tensor) -> None:
    model.book.data.clamp_(-3, 3)


def decayed(model: Codes, ones: Tensor, z: Tensor) -> None:
    with torch.no_grad():
        model.book.mul_(0.99)


@pytest.mark.parametrize("move", [clamped, decayed, lambda model, ones, z: None])
def test_codes_that_are_only_clamped_or_decayed_are_told(move: Move, tmp_path: Path) -> None:
    torch.manual_seed(0)
    assert kinds(Codes(move), tmp_path / "run.gradviz") == ["detached", "unused-parameter"]


def test_a_parameter_that_has_a_gradient_of_an_earlier_step_may_have_been_moved_by_an_optimizer(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Codes(in_place)
    model.book.grad = torch.zeros_like(model.book)
    assert "detached" in kinds(model, tmp_path / "run.gradviz")
