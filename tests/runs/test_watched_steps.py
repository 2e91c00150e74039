"""What is written of a recorded step: gains of modules, gradients of parameters, dead units."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from runs.loops import batch, loss_of, small_model, steps, watched
from torch import Tensor, nn


class Branches(nn.Module):
    """A module whose input is used three times by inner modules."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.block = nn.Linear(3, 4), nn.ModuleList([nn.Linear(4, 4) for _ in range(2)])
        self.mixing = Mixing(self.block)

    def forward(self, x: Tensor) -> Tensor:
        return self.mixing(torch.tanh(self.before(x)))


class Mixing(nn.Module):
    def __init__(self, parts: nn.ModuleList) -> None:
        super().__init__()
        self.parts = parts

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(self.parts[0](x)) * self.parts[1](x) + x


def test_gains_are_those_of_autograd(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = Branches().double()
    x = torch.randn(6, 3, dtype=torch.float64)
    run = watched(lambda model, _: model(x).square().sum().backward(), tmp_path, model=model)
    note = next(note for note in run.steps[0].modules if note.path == "mixing")

    inside = torch.tanh(model.before(x)).detach().requires_grad_()
    out = model.mixing(inside)
    arriving, leaving = torch.autograd.grad(out.square().sum(), [out, inside])
    assert note.arriving == pytest.approx(float(arriving.norm()), rel=1e-12)
    assert note.leaving == pytest.approx(float(leaving.norm()), rel=1e-12)
    assert note.gain == pytest.approx(float(leaving.norm() / arriving.norm()), rel=1e-12)
    assert note.value is not None and note.value.mean == pytest.approx(out.mean().item(), rel=1e-9)
    assert next(note for note in run.steps[0].modules if note.path == "before").leaving is None


def test_parameters_are_noted_as_the_optimizer_gets_them(tmp_path: Path) -> None:
    norms: dict[str, tuple[float, float]] = {}

    def loop(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        loss_of(model(batch())).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.01)
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None
            norms[name] = parameter.norm().item(), parameter.grad.norm().item()
        optimizer.step()

    (step,) = watched(loop, tmp_path).steps
    assert [note.name for note in step.parameters] == list(norms)
    for note in step.parameters:
        assert (note.weight, note.gradient) == pytest.approx(norms[note.name], rel=1e-5)


def test_sparse_gradient_of_an_embedding_is_noted(tmp_path: Path) -> None:
    norms: list[float] = []

    def loop(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        model(torch.tensor([1, 1, 3])).square().sum().backward()
        norms.append(model.weight.grad.to_dense().norm().item())  # type: ignore[union-attr,operator]
        optimizer.step()

    run = watched(loop, tmp_path, model=nn.Embedding(5, 3, sparse=True))
    assert [note.gradient for note in run.steps[0].parameters] == pytest.approx(norms, rel=1e-6)
    assert run.diagnose() == []


def test_dead_units_are_channels_behind_a_convolution_and_those_of_the_last_dimension_else(tmp_path: Path) -> None:
    model = small_model()
    with torch.no_grad():
        model[1].bias[:3] = -100  # type: ignore[index]
        model[5].hidden.bias[:7] = -1000  # type: ignore[index]
    (step,) = watched(steps(1), tmp_path, model=model).steps
    assert [(note.module, note.dead, note.units) for note in step.units] == [("2", 3, 4), ("5", 7, 12)]
    assert step.units[1].source.startswith("loops.py:")


def test_channels_are_known_behind_what_keeps_them(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.MaxPool2d(2), nn.Dropout(0.5), nn.ReLU(), nn.Flatten(), nn.Linear(36, 1))
    (step,) = watched(steps(1), tmp_path, model=model).steps
    assert [note.units for note in step.units] == [4]


def test_unit_is_dead_where_it_is_zero_in_all_passes_of_a_step(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(2))
        model[0].bias.zero_()

    def loop(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        for sample in ([[1.0, -1.0]], [[-1.0, -1.0]]):
            model(torch.tensor(sample)).sum().backward()
        optimizer.step()

    (step,) = watched(loop, tmp_path, model=model).steps
    assert [(note.dead, note.units) for note in step.units] == [(1, 2)]
