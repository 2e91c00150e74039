"""Attention weights that sum to 1 over another dimension than the product with the values sums over; softmaxes that may."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gradviz

LABELS = torch.arange(6)
FUTURE = torch.ones(9, 9).triu(1).bool()


def told_of(attend: Callable[[Tensor, Tensor, Tensor], Tensor]) -> list[tuple[str, str]]:
    """Of an attention: queries, keys and values [6, 9, 16] -> anything with 6 samples and 16 features."""
    torch.manual_seed(0)
    query, key, value, head = (nn.Linear(16, 16) for _ in range(4))
    x = torch.randn(6, 9, 16)

    def loss() -> Tensor:
        return F.cross_entropy(head(attend(query(x), key(x), value(x)).flatten(1, -2).mean(1)), LABELS)

    return [(finding.kind, finding.severity) for finding in gradviz.trace(loss).diagnose()]


def plain(q: Tensor, k: Tensor, v: Tensor, dim: int) -> Tensor:
    return (q @ k.transpose(1, 2) / 4).softmax(dim) @ v


def masked(q: Tensor, k: Tensor, v: Tensor, dim: int) -> Tensor:
    return (q @ k.transpose(1, 2) / 4).masked_fill(FUTURE, -torch.inf).softmax(dim).nan_to_num() @ v


def several_heads(q: Tensor, k: Tensor, v: Tensor, dim: int) -> Tensor:
    q, k, v = (part.view(6, 9, 4, 4).transpose(1, 2) for part in (q, k, v))
    weights = F.dropout((q @ k.transpose(2, 3) / 2 + torch.zeros(9, 9)).softmax(dim), 0.1)
    return (weights @ v).transpose(1, 2).reshape(6, 9, 16)


def in_einsum(q: Tensor, k: Tensor, v: Tensor, dim: int) -> Tensor:
    return torch.einsum("bmn,bmd->bnd", torch.einsum("bnd,bmd->bmn", q, k).softmax(dim), v)


WRONG = [(plain, -2), (plain, 1), (plain, 0), (masked, -2), (masked, 0), (several_heads, -2), (several_heads, 1)]


@pytest.mark.parametrize(("attention", "dim"), [*WRONG, (several_heads, 0), (in_einsum, 2), (in_einsum, 0)])
def test_weights_over_another_dimension_than_the_keys_are_told(attention: Callable[..., Tensor], dim: int) -> None:
    assert told_of(lambda q, k, v: attention(q, k, v, dim)) == [("attention-dim", "warning")]


@pytest.mark.parametrize(("attention", "dim"), [(plain, 2), (masked, 2), (several_heads, 3), (in_einsum, 1)])
def test_weights_over_the_keys_are_fine(attention: Callable[..., Tensor], dim: int) -> None:
    assert told_of(lambda q, k, v: attention(q, k, v, dim)) == []


def test_fewer_queries_than_keys_may_compete_for_these() -> None:
    assert told_of(lambda q, k, v: plain(q[:, :4], k, v, 1)) == [("attention-dim", "hint")]


def slots(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    weights = (q[:, :4] @ k.transpose(1, 2) / 4).softmax(1) + 1e-8
    return weights / weights.sum(2, keepdim=True) @ v


def doubly_stochastic(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    weights = (q @ k.transpose(1, 2) / 4).softmax(1)
    for _ in range(3):
        weights = weights / weights.sum(2, keepdim=True)
        weights = weights / weights.sum(1, keepdim=True)
    return weights @ v


def both_ways(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    alike = q @ k.transpose(1, 2) / 4
    return alike.softmax(2) @ v + alike.softmax(1).transpose(1, 2) @ v


def walk(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    there, back = (q @ k.transpose(1, 2)).softmax(2), (k @ v.transpose(1, 2)).softmax(2)
    return there @ back @ v


def pooled(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return q.mean(2, keepdim=True).softmax(1).transpose(1, 2) @ v


def gated(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.einsum("bne,bned->bnd", q[..., :3].softmax(2), torch.stack([q, k, v], 2))


def clusters(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return q[..., :5].softmax(2).transpose(1, 2) @ v


def pooled_graph(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    adjacency = torch.rand(9, 9).round()
    mixing = adjacency / adjacency.sum(1, keepdim=True).clamp(min=1)
    return (mixing @ q[..., :5]).softmax(2).transpose(1, 2) @ (mixing @ v)


def routed(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    votes = torch.stack([q, k, v], 2)  # of 9 capsules for 3
    agreement = torch.einsum("bijd,bjd->bij", votes, votes.mean(1))
    return torch.einsum("bij,bijd->bjd", agreement.softmax(2), votes)


def over_places(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q.softmax(1) * k).sum(1, keepdim=True) + v


def linear(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return q.softmax(2) @ (k.softmax(1).transpose(1, 2) @ v)


MEANT = [slots, doubly_stochastic, both_ways, walk, pooled, gated, clusters, pooled_graph, routed, over_places, linear]


@pytest.mark.parametrize("attention", MEANT)
def test_softmaxes_that_may_run_over_another_dimension_are_silent(attention: Callable[..., Tensor]) -> None:
    assert [kind for kind, _ in told_of(attention) if kind == "attention-dim"] == []


def test_nan_is_not_given_for_a_number_that_proves_something() -> None:
    torch.manual_seed(0)
    x, query, key, value = torch.randn(6, 9, 16), *(nn.Linear(16, 16) for _ in range(3))

    def loss() -> Tensor:
        scores = query(x) @ key(x).transpose(1, 2) / 4
        weights = scores.masked_fill(~FUTURE, -torch.inf).softmax(1)  # the first column is NaN
        return F.cross_entropy((weights @ value(x)).flatten(1).softmax(-1), LABELS)

    told = {finding.kind: finding.numbers for finding in gradviz.trace(loss).diagnose()}
    assert {"attention-dim", "double-softmax"} <= set(told)
    numbers = [number for kind in ("attention-dim", "double-softmax") for number in told[kind].values()]
    assert not any(isinstance(number, float) and math.isnan(number) for number in numbers)
