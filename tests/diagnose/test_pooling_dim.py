"""Pooling whose weights are normalised over the samples or nodes, as people write it, and what may run over them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gradviz
from gradviz.diagnose import Finding

SAMPLES, PARTS, FEATURES = 12, 7, 8
X = torch.randn(SAMPLES, PARTS, FEATURES, generator=torch.Generator().manual_seed(1))
ROWS = X[:, 0]
EDGES = (torch.rand(SAMPLES, SAMPLES, generator=torch.Generator().manual_seed(2)) < 0.5) | torch.eye(SAMPLES).bool()
LABELS = torch.arange(SAMPLES) % 3
Pool = Callable[[int], Tensor]


def linear(features: int = 1) -> nn.Linear:
    return nn.Linear(FEATURES, features)


def squeezed(dim: int) -> Tensor:
    return (linear()(X).squeeze(-1).softmax(dim).unsqueeze(-1) * X).sum(1)


def with_a_last_dimension(dim: int) -> Tensor:
    return (F.softmax(linear()(X).tanh(), dim=dim) * linear(5)(X)).sum(1)


def expanded(dim: int) -> Tensor:
    return torch.mul(F.softmax(linear()(X), dim=dim).expand_as(X), X).sum(dim=1)


def dropped_out(dim: int) -> Tensor:
    return (F.dropout(F.softmax(linear()(X), dim=dim), 0.2) * linear(5)(X)).sum(1)


def by_bmm(dim: int) -> Tensor:
    return torch.bmm(F.softmax(linear()(X).squeeze(-1), dim=dim).unsqueeze(1), linear(5)(X)).squeeze(1)


def by_transposed_values(dim: int) -> Tensor:
    values = linear(5)(X)
    return (values.transpose(1, 2) @ F.softmax(linear()(X), dim=dim)).squeeze(-1)


def by_einsum(dim: int) -> Tensor:
    return torch.einsum("bn,bnd->bd", F.softmax(linear()(X).squeeze(-1), dim=dim), X)


def of_a_recurrence(dim: int) -> Tensor:
    states = nn.GRU(FEATURES, 16, batch_first=True)(X)[0]
    return (F.softmax(nn.Linear(16, 1)(states), dim=dim) * states).sum(1)


def masked(dim: int) -> Tensor:
    lengths = torch.arange(SAMPLES)[:, None] % 5 + 2
    scores = linear()(X).squeeze(-1).masked_fill(torch.arange(PARTS) >= lengths, -1e9)
    return (scores.softmax(dim).unsqueeze(-1) * X).sum(1)


def of_experts(dim: int) -> Tensor:
    experts = torch.stack([linear(5)(ROWS) for _ in range(4)], 1)
    return (F.softmax(linear(4)(ROWS), dim=dim).unsqueeze(-1) * experts).sum(1)


POOLS = [
    *(squeezed, with_a_last_dimension, expanded, dropped_out, by_bmm, by_transposed_values, by_einsum, of_a_recurrence),
    *(masked, of_experts),
]


def by_class(pooled: Tensor) -> Tensor:
    return F.cross_entropy(nn.Linear(pooled.shape[-1], 3)(pooled), LABELS)


def by_number(pooled: Tensor) -> Tensor:
    return F.mse_loss(nn.Linear(pooled.shape[-1], 1)(pooled).squeeze(-1), LABELS.float())


def by_square(pooled: Tensor) -> Tensor:
    return (nn.Linear(pooled.shape[-1], 1)(pooled).squeeze(-1) - LABELS.float()).pow(2).mean()


def by_magnitude(pooled: Tensor) -> Tensor:
    return torch.abs(LABELS.float().unsqueeze(1) - nn.Linear(pooled.shape[-1], 1)(pooled)).mean()


def by_product(pooled: Tensor) -> Tensor:
    error = nn.Linear(pooled.shape[-1], 1)(pooled)[:, 0] - LABELS
    return (error * error).mean()


def told(loss: Callable[[], Tensor]) -> list[Finding]:
    torch.manual_seed(0)
    return gradviz.trace(loss).diagnose()


@pytest.mark.parametrize("loss", [by_class, by_number, by_square, by_magnitude, by_product])
@pytest.mark.parametrize("pool", POOLS)
def test_weights_over_the_samples_are_told_and_weights_over_the_parts_are_fine(
    pool: Pool, loss: Callable[[Tensor], Tensor]
) -> None:
    assert told(lambda: loss(pool(1))) == []
    (finding,) = told(lambda: loss(pool(0)))
    assert (finding.kind, finding.severity) == ("attention-dim", "warning")
    assert "12 rows of the loss, which compete with each other" in finding.message
    assert finding.hint == "pass dim=1 to the softmax"


def of_neighbours(dim: int) -> Tensor:
    hidden = linear(5)(ROWS)
    scores = F.leaky_relu(nn.Linear(5, 1)(hidden) + nn.Linear(5, 1)(hidden).T, 0.2)
    return F.elu(F.softmax(scores.masked_fill(~EDGES, -9e15), dim=dim) @ hidden)


def test_attention_over_the_nodes_that_receive_is_a_hint() -> None:
    assert told(lambda: by_class(of_neighbours(1))) == []
    assert [(one.kind, one.severity) for one in told(lambda: by_class(of_neighbours(0)))] == [("attention-dim", "hint")]


def contrast() -> Tensor:
    one, other = F.normalize(linear(5)(ROWS)), F.normalize(linear(5)(X[:, 1]))
    alike = one @ other.T / 0.1
    return -(alike.softmax(0).diagonal().log().mean() + alike.softmax(1).diagonal().log().mean()) / 2


def weighted_samples() -> Tensor:
    weights = F.softmax(linear()(ROWS)[:, 0], 0)
    return (weights * F.cross_entropy(linear(3)(ROWS), LABELS, reduction="none")).sum()


def soft_experts() -> Tensor:
    scores = linear(4)(ROWS)
    slots = scores.softmax(0).T @ ROWS
    return by_class(scores.softmax(1) @ torch.stack([linear(5)(slot) for slot in slots]))


def clusters_of_parts() -> Tensor:
    return by_class((F.softmax(linear(3)(X), -1).transpose(1, 2) @ X).flatten(1))


def sequence_first() -> Tensor:
    turned = X.transpose(0, 1)
    return by_class((F.softmax(linear()(turned), dim=0) * turned).sum(0))


def edge_by_edge() -> Tensor:
    hidden = linear(5)(ROWS)
    sources, targets = EDGES.nonzero().T
    scores = F.leaky_relu(nn.Linear(10, 1)(torch.cat([hidden[sources], hidden[targets]], 1)))[:, 0]
    weights = (scores - scores.max().detach()).exp()
    weights = weights / torch.zeros(SAMPLES).index_add(0, targets, weights)[targets]
    return by_class(torch.zeros(SAMPLES, 5).index_add(0, targets, weights[:, None] * hidden[sources]))


def one_graph() -> Tensor:
    pooled = (F.softmax(linear()(ROWS), 0) * linear(5)(ROWS)).sum(0, keepdim=True)
    return F.cross_entropy(nn.Linear(5, 3)(pooled), LABELS[:1])


def maps_over_places() -> Tensor:
    maps = nn.Conv2d(4, 6, 3, padding=1)(torch.randn(SAMPLES, 4, 5, 5))
    return by_class((maps.flatten(2).softmax(-1).view_as(maps) * maps).sum(1).flatten(1))


def channels() -> Tensor:
    maps = nn.Conv2d(4, 6, 3, padding=1)(torch.randn(SAMPLES, 4, 5, 5))
    return by_class((maps.mean((2, 3)).softmax(1)[..., None, None] * maps).sum((2, 3)))


def samples_that_look_at_each_other() -> Tensor:
    queries = linear(5)(ROWS)
    return by_class((queries @ queries.T / 3).softmax(1) @ queries)


def detection() -> Tensor:
    """Proposals (rows) compete for each class, and classes for each proposal; summed over the proposals."""
    proposals = X.flatten(0, 1)
    scores = linear(3)(proposals).softmax(0) * linear(3)(proposals).softmax(1)
    return F.binary_cross_entropy(scores.sum(0), torch.tensor([1.0, 0.0, 0.0]))


def parts_less_their_centre() -> Tensor:
    """A difference from constants with a row each that is no loss: what follows has one row."""
    centre = (F.softmax(linear()(ROWS), 0) * linear(FEATURES)(ROWS)).sum(0, keepdim=True)
    return (ROWS - centre).pow(2).mean()


def clusters_of_rows() -> Tensor:
    scores = linear(3)(ROWS)
    centres = scores.softmax(0).T @ ROWS
    return (scores.softmax(1) @ centres - ROWS).abs().mean()


MEANT = [
    *(parts_less_their_centre, clusters_of_rows),
    *(contrast, weighted_samples, soft_experts, clusters_of_parts, sequence_first, edge_by_edge, one_graph),
    *(maps_over_places, channels, samples_that_look_at_each_other, detection),
]


@pytest.mark.parametrize("loss", MEANT)
def test_other_softmaxes_over_rows_and_sums_are_fine(loss: Callable[[], Tensor]) -> None:
    assert told(loss) == []


def test_weights_that_a_mask_spreads_before_they_are_reshaped_are_left_alone() -> None:
    def loss() -> Tensor:
        weights = linear()(X).softmax(0) * torch.ones(SAMPLES, PARTS, FEATURES)
        return by_class((weights.flatten(1).view(X.shape) * X).sum(1))

    assert told(loss) == []
