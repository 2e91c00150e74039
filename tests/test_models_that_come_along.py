"""The models that come along: each is traced, and checks without a mismatch; none depends on what ran before."""

from __future__ import annotations

import pytest
import torch

import gradviz
from gradviz.models import MODELS

FAST = [title for title in MODELS if title not in ("small CNN", "GPT-2, narrow")]  # their checks take seconds


@pytest.mark.parametrize("title", FAST)
def test_every_edge_of_a_model_matches_and_nothing_is_found(title: str) -> None:
    model, inputs, loss = MODELS[title]()
    graph = gradviz.trace(model, *inputs, loss=loss, device="cpu")
    report = graph.check()
    assert report.verified and report.edges
    assert graph.diagnose(report=report) == []


@pytest.mark.parametrize("title", MODELS)
def test_a_model_is_the_same_every_time_whatever_the_generator_of_torch_did(title: str) -> None:
    losses = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        model, inputs, loss = MODELS[title]()
        losses.append(loss(model(*inputs)).item())
    assert losses[0] == losses[1] and 0 < losses[0] < 10


def test_lines_and_names_are_those_of_the_models() -> None:
    model, inputs, loss = MODELS["transformer block"]()
    graph = gradviz.trace(model, *inputs, loss=loss, device="cpu")
    assert graph.nodes[graph.node("scores")]["source"].startswith("models.py:")
    assert {scope[0] for _, scope in graph.nodes(data="scope") if scope} == {"norm_1", "attention", "norm_2", "mlp"}


def test_gpt2_has_the_shape_of_gpt2() -> None:
    model, _, _ = MODELS["GPT-2, narrow"]()
    assert len(model.blocks) == 12 and {block.attention.heads for block in model.blocks} == {12}
