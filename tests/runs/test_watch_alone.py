"""What a watcher alone tells of layers in a plain list, of a softmax over the batch and of a slowly falling negated loss."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gradviz
from gradviz.diagnose import Finding


class Stack(nn.Module):
    """Its hidden layers in a list of some kind."""

    def __init__(self, hold: Callable[[list[nn.Module]], object] = list) -> None:
        super().__init__()
        self.layers = hold([nn.Linear(6, 6) for _ in range(2)])
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:  # type: ignore[attr-defined]
            x = torch.tanh(layer(x))
        return self.head(x)  # type: ignore[no-any-return]


Loss = Callable[[Tensor, Tensor], Tensor]


def told(
    directory: Path,
    model: nn.Module,
    loss_of: Loss = F.cross_entropy,
    *,
    steps: int = 3,
    others: list[torch.optim.Optimizer] | None = None,
    lr: float = 0.01,
    maximize: bool = False,
    know: bool = False,
) -> list[Finding]:
    """Of a loop with SGD over the model's own parameters."""
    torch.manual_seed(0)
    x, y = torch.randn(16, 6), torch.randint(0, 3, (16,))
    optimizers = [torch.optim.SGD(model.parameters(), lr=lr, maximize=maximize), *(others or [])]
    with gradviz.watch(model, directory, every=2, optimizer=optimizers if know else None) as watcher:
        for _ in range(steps):
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss_of(model(x), y).backward()
            for optimizer in optimizers:
                optimizer.step()
    return list(watcher.run.diagnose())


@pytest.mark.parametrize(("steps", "know"), [(3, False), (1, True)])
def test_layers_in_a_plain_list_are_told(tmp_path: Path, steps: int, know: bool) -> None:
    torch.manual_seed(0)
    (finding,) = told(tmp_path, Stack(), steps=steps, know=know)
    assert (finding.kind, finding.severity) == ("unregistered-parameter", "warning")
    assert finding.message.startswith("4 tensors get a gradient inside of Stack, but are none of its parameters")
    assert finding.source.startswith("test_watch_alone.py:") and finding.numbers["shapes"] == "(6,), (6, 6)"


def test_layers_in_a_module_list_and_a_single_step_that_knows_no_optimizer_are_not_told(tmp_path: Path) -> None:
    assert told(tmp_path / "list", Stack(nn.ModuleList)) == []
    assert told(tmp_path / "once", Stack(), steps=1) == []


def test_layers_that_another_optimizer_holds_are_not_told(tmp_path: Path) -> None:
    model = Stack()
    listed = [parameter for layer in model.layers for parameter in layer.parameters()]  # type: ignore[attr-defined]
    assert told(tmp_path, model, others=[torch.optim.SGD(listed, lr=0.01)]) == []


def test_frozen_layers_in_a_list_inputs_that_learn_and_losses_with_weights_are_not_told(tmp_path: Path) -> None:
    model = Stack()
    for layer in model.layers:  # type: ignore[attr-defined]
        layer.requires_grad_(False)
    centres = nn.Linear(3, 3)
    assert told(tmp_path / "frozen", model) == []
    assert told(tmp_path / "loss", Stack(nn.ModuleList), lambda out, y: F.cross_entropy(centres(out), y)) == []


@pytest.mark.parametrize("by_name", [False, True])
def test_a_parameter_that_the_model_is_called_with_is_an_input_and_moved_by_hand(tmp_path: Path, by_name: bool) -> None:
    """As in adversarial training: Shafahi et al. 2019."""
    model = Stack(nn.ModuleList)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with gradviz.watch(model, tmp_path, every=1) as watcher:
        for _ in range(4):
            moved = nn.Parameter(torch.randn(16, 6))
            optimizer.zero_grad()
            (model(x=moved) if by_name else model(moved)).square().mean().backward()
            optimizer.step()
            moved.data += 0.1 * moved.grad.sign()
    assert watcher.run.diagnose() == []


def test_layers_that_join_the_model_later_are_its_own(tmp_path: Path) -> None:
    model = Stack(nn.ModuleList)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with gradviz.watch(model, tmp_path, every=1) as watcher:
        for step in range(4):
            if step == 2:
                model.layers.append(nn.Linear(6, 6))  # type: ignore[union-attr, operator]
                optimizer.add_param_group({"params": list(model.layers[-1].parameters())})  # type: ignore[index]
            optimizer.zero_grad()
            model(torch.randn(16, 6)).square().mean().backward()
            optimizer.step()
    assert watcher.run.diagnose() == []


@pytest.mark.parametrize(
    "loss_of",
    [
        lambda out, y: F.nll_loss(out.log_softmax(0), y),
        lambda out, y: F.nll_loss(out.softmax(0).log(), y),
        lambda out, y: F.nll_loss(out.log_softmax(-2), y),
    ],
)
def test_a_softmax_over_the_batch_is_told(tmp_path: Path, loss_of: Loss) -> None:
    (finding,) = [one for one in told(tmp_path, Stack(nn.ModuleList), loss_of) if one.kind != "log-of-softmax"]
    assert (finding.kind, finding.severity) == ("softmax-over-batch", "error")
    assert "along dimension 0 sum to 1, while the classes of nll_loss are along dimension 1" in finding.message
    assert finding.source.startswith("test_watch_alone.py:")


def test_a_softmax_over_the_batch_inside_of_the_model_is_told_at_its_line(tmp_path: Path) -> None:
    model = nn.Sequential(Stack(nn.ModuleList), nn.LogSoftmax(0))
    (finding,) = told(tmp_path, model, F.nll_loss)
    assert finding.kind == "softmax-over-batch" and finding.module == "1"


@pytest.mark.parametrize(
    "loss_of",
    [
        lambda out, y: F.nll_loss(out.log_softmax(1), y),
        lambda out, y: F.nll_loss(out.log_softmax(-1), y),
        lambda out, y: F.nll_loss(out.T.log_softmax(0).T, y),
        lambda out, y: F.nll_loss(out[0].log_softmax(0), y[0]),
        lambda out, y: F.nll_loss(out.view(2, 8, 3).permute(0, 2, 1).log_softmax(1), y.view(2, 8)),
    ],
)
def test_a_softmax_over_the_classes_is_not_told(tmp_path: Path, loss_of: Loss) -> None:
    assert told(tmp_path, Stack(nn.ModuleList), loss_of) == []


CLASSES = torch.arange(4 * 5 * 5).view(4, 5, 5) % 3


@pytest.mark.parametrize(
    ("loss_of", "kinds"),
    [
        (lambda maps: F.nll_loss(maps.log_softmax(0), CLASSES), ["softmax-over-batch"]),
        (lambda maps: F.nll_loss(maps.log_softmax(-1), CLASSES), ["softmax-over-batch"]),
        (lambda maps: F.nll_loss(maps.log_softmax(1), CLASSES), []),
        (lambda maps: -F.cross_entropy(maps, CLASSES), ["negated-loss"]),
        (lambda maps: F.cross_entropy(maps, CLASSES), []),
    ],
)
def test_classes_of_pixels_are_told_alike(tmp_path: Path, loss_of: Callable[[Tensor], Tensor], kinds: list[str]) -> None:
    model, images = nn.Sequential(nn.Conv2d(1, 4, 1), nn.Tanh(), nn.Conv2d(4, 3, 3, padding=1)), torch.randn(4, 1, 5, 5)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    with gradviz.watch(model, tmp_path, every=1) as watcher:
        for _ in range(3):
            optimizer.zero_grad()
            loss_of(model(images)).backward()
            optimizer.step()
    assert [one.kind for one in watcher.run.diagnose()] == kinds


def squares(out: Tensor, y: Tensor) -> Tensor:
    return F.mse_loss(out, F.one_hot(y, 3).float())


@pytest.mark.parametrize(
    ("loss_of", "name"),
    [
        (lambda out, y: -F.cross_entropy(out, y), "nll_loss"),
        (lambda out, y: -squares(out, y) * 2, "mse_loss"),
        (lambda out, y: -(F.smooth_l1_loss(out, F.one_hot(y, 3).float()) / 4), "smooth_l1_loss"),
    ],
)
def test_a_negated_loss_that_falls_slowly_is_a_hint(tmp_path: Path, loss_of: Loss, name: str) -> None:
    (finding,) = told(tmp_path, Stack(nn.ModuleList), loss_of, lr=1e-3)
    assert (finding.kind, finding.severity) == ("negated-loss", "hint")
    assert finding.message.startswith(f"the loss is minus {name}:") and "take the minus away" in finding.hint
    assert float(finding.numbers["last"]) < float(finding.numbers["first"]) < 0


@pytest.mark.parametrize(
    "loss_of",
    [
        lambda out, y: -out.softmax(1).gather(1, y[:, None]).mean(),
        lambda out, y: -F.cosine_similarity(out, F.one_hot(y, 3).float()).mean(),
        lambda out, y: squares(out, y) - 2 * F.cross_entropy(out, y),
        lambda out, y: -(F.cross_entropy(out, y, reduction="none") * torch.linspace(-1, 2, 16)).mean(),
        lambda out, y: F.cross_entropy(out, y) * -3.0,  # as times a reward that is below zero
        lambda out, y: -F.nll_loss(-out.exp(), y),
        lambda out, y: -F.binary_cross_entropy_with_logits(out, torch.zeros_like(out)),
        lambda out, y: F.cross_entropy(out, y).neg().neg(),
    ],
)
def test_what_is_to_be_large_is_no_negated_loss(tmp_path: Path, loss_of: Loss) -> None:
    assert "negated-loss" not in [one.kind for one in told(tmp_path, Stack(nn.ModuleList), loss_of, lr=1e-3)]


def test_a_score_that_the_optimizer_makes_large_is_no_negated_loss(tmp_path: Path) -> None:
    found = told(tmp_path, Stack(nn.ModuleList), lambda out, y: -squares(out, y), lr=1e-3, maximize=True)
    assert "negated-loss" not in [one.kind for one in found]


def test_an_adversary_of_another_model_or_a_frozen_part_is_not_told(tmp_path: Path) -> None:
    judge = nn.Linear(3, 3)
    found = told(tmp_path / "judge", Stack(nn.ModuleList), lambda out, y: -F.cross_entropy(judge(out), y), lr=1e-3)
    frozen = Stack(nn.ModuleList)
    frozen.head.requires_grad_(False)
    found += told(tmp_path / "frozen", frozen, lambda out, y: -F.cross_entropy(out, y), lr=1e-3)
    assert "negated-loss" not in [one.kind for one in found]
