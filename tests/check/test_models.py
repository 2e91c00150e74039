"""Whole models with random weights, and layers that large ones are made of: every edge verified, symbolically."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import gradviz
from benchmarks.coverage import kind_of
from benchmarks.models import SMALL
from gradviz.graph import GradGraph


def _kinds(graph: GradGraph) -> set[str]:
    report = graph.check()
    assert report.ok
    return {kind_of(edge) for edge in report.edges}


@pytest.mark.parametrize("name", ["unet", "lstm"])
def test_every_edge_of_a_model_is_verified_symbolically(name: str) -> None:
    torch.manual_seed(0)
    job = SMALL[name]()
    assert _kinds(gradviz.trace(job.module, *job.inputs)) == {"symbolic"}


def _shared_heads(is_causal: bool) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda query, key: (
        nn.functional.scaled_dot_product_attention(query, key, key.sin(), is_causal=is_causal, enable_gqa=True)
    )


@pytest.mark.parametrize("is_causal", [False, True])
def test_attention_with_fewer_heads_of_keys_is_verified_symbolically(is_causal: bool) -> None:
    torch.manual_seed(0)
    query, key = torch.randn(1, 4, 3, 4, requires_grad=True), torch.randn(1, 2, 3, 4, requires_grad=True)
    graph = gradviz.trace(_shared_heads(is_causal), query, key, grad_output=torch.ones_like)
    assert any("flash" in str(attributes["op"]) for _, attributes in graph.nodes(data=True))
    assert _kinds(graph) == {"symbolic"}


GROUPED = {
    "rows": ((6, 4), (2, 4, 4), [2, 6]),
    "columns": ((2, 4, 4), (4, 8), [4, 8]),
    "inner": ((4, 8), (8, 4), [4, 8]),
    "none": ((2, 4, 4), (2, 4, 4), None),
}


@pytest.mark.parametrize("name", GROUPED)
def test_matrix_products_of_groups_are_verified_symbolically(name: str) -> None:
    first, second, ends = GROUPED[name]
    torch.manual_seed(0)
    offsets = None if ends is None else torch.tensor(ends, dtype=torch.int32)
    left, right = torch.randn(first, requires_grad=True), torch.randn(second, requires_grad=True)
    graph = gradviz.trace(
        lambda left, right: torch._grouped_mm(left, right, offs=offsets), left, right, grad_output=torch.ones_like
    )
    assert _kinds(graph) == {"symbolic"}


def _lstm(steps: int, hidden: int) -> GradGraph:
    torch.manual_seed(0)
    lstm = nn.LSTM(3, hidden)
    return gradviz.trace(lambda x: lstm(x)[0].square().mean(), torch.randn(steps, 2, 3))


def test_an_lstm_layer_that_torch_runs_as_one_call_is_verified_symbolically() -> None:
    graph = _lstm(3, 4)
    assert "mkldnn_rnn_layer" in {attributes["op"] for _, attributes in graph.nodes(data=True)}
    assert _kinds(graph) == {"symbolic"}


def test_a_long_lstm_layer_is_verified_by_differences_of_its_equations() -> None:
    assert _kinds(_lstm(6, 64)) == {"symbolic", "numeric"}
