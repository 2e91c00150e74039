"""A layer that runs over the samples of a batch is told, by what the loss makes of its output; other layouts are not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gradviz

WIDTH = 8
Model = Callable[[Tensor], Tensor]


class Loop(nn.Module):
    """An RNN written by hand, over dimension 0."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.RNNCell(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        state, states = x.new_zeros(x.shape[1], WIDTH), []
        for entry in x:
            state = self.cell(entry, state)
            states.append(state)
        return torch.stack(states)


class Frames(nn.Module):
    """Attention over the frames of a video, (batch, frames · places, features): which frames may be as many as samples."""

    def __init__(self, frames: int) -> None:
        super().__init__()
        self.frames, self.attention = frames, nn.MultiheadAttention(WIDTH, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        by_place = x.unflatten(1, (self.frames, -1)).transpose(1, 2).flatten(0, 1)
        seen = self.attention(by_place, by_place, by_place, need_weights=False)[0]
        return x + seen.unflatten(0, (x.shape[0], -1)).transpose(1, 2).flatten(1, 2)  # type: ignore[no-any-return]


def recurrent(kind: type[nn.RNNBase], **options: bool) -> Model:
    layer = kind(WIDTH, WIDTH, **options)
    return lambda x: layer(x)[0]  # type: ignore[no-any-return]


def attention(**options: bool) -> Model:
    layer = nn.MultiheadAttention(WIDTH, 2, batch_first=options.get("batch_first", False))
    need_weights = options.get("need_weights", True)
    return lambda x: x + layer(x, x, x, need_weights=need_weights)[0]  # type: ignore[no-any-return]


def transformer(**options: bool) -> Model:
    return nn.TransformerEncoderLayer(WIDTH, 2, 16, dropout=0.0, **options)


def is_told(model: Callable[[], Model], pick: Model, *, samples: int = 6, steps: int = 4, rows: int | None = None) -> bool:
    torch.manual_seed(0)
    layer, project, x = model(), nn.Linear(5, WIDTH), torch.randn(samples, steps, 5)
    targets = torch.randn(samples if rows is None else rows)

    def loss() -> Tensor:
        picked = pick(layer(project(x)))
        return F.mse_loss((picked @ torch.linspace(1, 2, picked.shape[-1])).reshape(-1), targets)

    return "batch-as-sequence" in [finding.kind for finding in gradviz.trace(loss).diagnose()]


LAYERS: list[Callable[[], Model]] = [
    lambda: recurrent(nn.LSTM),
    lambda: recurrent(nn.LSTM, bidirectional=True),
    lambda: recurrent(nn.GRU),
    lambda: recurrent(nn.RNN),
    Loop,
    lambda: attention(),
    lambda: attention(need_weights=False),
    lambda: transformer(),
]
PICKS: list[Model] = [
    lambda out: out[:, -1],
    lambda out: out.mean(dim=1),
    lambda out: out.max(dim=1).values,
    lambda out: out.reshape(len(out), -1),
]


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("steps", [4, 6])
def test_a_layer_that_runs_over_the_rows_of_the_loss_is_told(layer: Callable[[], Model], steps: int) -> None:
    assert is_told(layer, lambda out: out[:, -1], steps=steps)


@pytest.mark.parametrize("pick", PICKS)
@pytest.mark.parametrize("layer", [LAYERS[0], LAYERS[-1]])
def test_whatever_becomes_of_the_other_dimension(layer: Callable[[], Model], pick: Model) -> None:
    assert is_told(layer, pick)


@pytest.mark.parametrize("steps", [4, 6])
@pytest.mark.parametrize(
    "layer",
    [
        lambda: recurrent(nn.LSTM, batch_first=True),
        lambda: recurrent(nn.GRU, batch_first=True),
        lambda: attention(batch_first=True),
        lambda: transformer(batch_first=True),
    ],
)
@pytest.mark.parametrize("pick", PICKS)
def test_batch_first_is_no_finding_however_many_steps_there_are(layer: Callable[[], Model], pick: Model, steps: int) -> None:
    assert not is_told(layer, pick, steps=steps)


@pytest.mark.parametrize("layer", LAYERS)
def test_data_that_lie_as_the_layer_wants_them_are_no_finding(layer: Callable[[], Model]) -> None:
    def turned() -> Model:
        made = layer()
        return lambda x: made(x.transpose(0, 1)).transpose(0, 1)

    assert not is_told(turned, lambda out: out[:, -1])
    assert not is_told(layer, lambda out: out[-1], samples=6, steps=4, rows=4)  # (time, batch, features) throughout
    assert not is_told(layer, lambda out: out.mean(dim=0), samples=6, steps=4, rows=4)
    assert not is_told(layer, lambda out: out, samples=6, steps=4, rows=24)  # a target for each step of each sample


def test_attention_over_as_many_frames_as_there_are_samples_is_no_finding() -> None:
    assert not is_told(lambda: Frames(6), lambda out: out.mean(dim=1), samples=6, steps=18)


def test_the_numbers_tell_how_far_a_row_reads() -> None:
    torch.manual_seed(0)
    layer, project, x = transformer(), nn.Linear(5, WIDTH), torch.randn(6, 4, 5)
    graph = gradviz.trace(lambda: F.mse_loss(layer(project(x))[:, 0], torch.zeros(6, WIDTH)))
    (finding,) = graph.diagnose()
    rows, columns = finding.numbers["rows that the last row reads"], finding.numbers["columns that it reads"]
    inputs = project(x).detach().requires_grad_()
    (reached,) = torch.autograd.grad(layer(inputs)[-1, 0].square().sum(), inputs)
    assert rows == int(reached.abs().sum(2)[:, 0].count_nonzero()) == 6
    assert columns == int(reached.abs().sum((0, 2)).count_nonzero()) == 1


@pytest.mark.parametrize("shape", [(5, WIDTH), (5, 1, WIDTH)])
def test_the_heads_of_one_sequence_are_no_batch(shape: tuple[int, ...]) -> None:
    """A tagger of one sentence: its loss has a row for each step, as it must, and heads lie where a batch would."""
    torch.manual_seed(0)
    layer, head, x = nn.MultiheadAttention(WIDTH, 2), nn.Linear(WIDTH, 3), torch.randn(shape)
    labels = torch.randint(0, 3, (5,))
    assert gradviz.trace(lambda: F.cross_entropy(head(layer(x, x, x)[0]).view(5, 3), labels)).diagnose() == []
