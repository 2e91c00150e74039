"""A data term that became a Python number beside a regulariser is an error, told once; one that is only shown is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gradviz

Join = Callable[[Tensor, Tensor], Tensor]


def graph_of(join: Join) -> gradviz.GradGraph:
    torch.manual_seed(0)
    net, head = nn.Linear(6, 3), nn.Linear(3, 3)
    x, labels = torch.randn(32, 6), torch.randint(0, 3, (32,))

    def step() -> Tensor:
        decay = sum((weight.square().sum() for weight in net.parameters()), torch.zeros(()))
        return join(F.cross_entropy(head(net(x)), labels), decay)

    return gradviz.trace(step)


@pytest.mark.parametrize(
    "join",
    [
        lambda fit, decay: fit.item() + decay,
        lambda fit, decay: decay * 1e-3 + fit.item(),
        lambda fit, decay: decay * 1e-3 - -0.5 * fit.item(),
        lambda fit, decay: torch.tensor(fit.item()) + decay,
    ],
)
def test_a_number_beside_a_regulariser_is_one_error_with_the_weights_and_both_numbers(join: Join, tmp_path: Path) -> None:
    graph = graph_of(join)
    (finding,) = (one for one in graph.diagnose() if one.kind != "unused-parameter" and one.kind != "left-torch")
    assert (finding.kind, finding.severity) == ("cut-from-loss", "error")
    assert "net.weight, net.bias make of data is added to the loss as the Python number" in finding.message
    (source,) = graph.numbers_read().values()
    assert source.startswith("test_data_term.py:") and source in finding.message
    assert finding.numbers["weights without a gradient from data"] == 2
    gradient = graph.gradients()["net.weight"]
    assert gradient is not None
    assert finding.numbers["gradient norm of net.weight, from the regulariser"] == pytest.approx(float(gradient.norm()))
    graph.save(tmp_path / "step.gradviz")
    assert finding in gradviz.load(tmp_path / "step.gradviz").diagnose()


@pytest.mark.parametrize(
    "join",
    [
        lambda fit, decay: (f"{fit.item()}", fit + decay)[1],  # printed
        lambda fit, decay: fit + decay + 0 * fit.item(),
        lambda fit, decay: fit + decay / decay.item(),  # made of no data: scaled by a number of its own
    ],
)
def test_a_term_that_also_comes_as_a_tensor_is_not_cut(join: Join) -> None:
    assert all(finding.kind != "cut-from-loss" for finding in graph_of(join).diagnose())


def test_a_printed_number_beside_a_regulariser_that_is_trained_alone_is_no_term_of_the_loss() -> None:
    graph = graph_of(lambda fit, decay: (f"{fit.item()}", (decay + 0.123456).square())[1])
    assert all(finding.kind != "cut-from-loss" for finding in graph.diagnose())
