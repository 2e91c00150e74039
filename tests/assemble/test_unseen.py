"""A value written to under `no_grad` keeps its node, and the graph, the picture and the findings tell of the write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gradviz
from gradviz.render.dot import dot_source


def clamped(w: Tensor, x: Tensor) -> Tensor:
    h = w * x
    with torch.no_grad():
        h.clamp_(max=1.0)
    return torch.sin(h).sum()


def written_through_a_view(w: Tensor, x: Tensor) -> Tensor:
    h = w * x
    with torch.no_grad():
        h[0] = x[0]
        h[1:] *= 2.0
    return torch.sin(h).sum()


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor) -> Tensor:
        ctx.mark_dirty(h)
        return h.mul_(2.0)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        return cotangent * 2.0


def doubled_by_a_function(w: Tensor, x: Tensor) -> Tensor:
    h = w * x
    return torch.sin(Doubled.apply(h)).sum()


def seen_by_autograd(w: Tensor, x: Tensor) -> Tensor:
    h = w * x
    h.clamp_(max=1.0)
    return torch.sin(h).sum()


def traced(function: Any) -> gradviz.GradGraph:
    return gradviz.trace(function, torch.tensor([2.0, 0.3, -1.0], requires_grad=True), torch.tensor([1.0, 2.0, 0.5]))


def told(graph: gradviz.GradGraph) -> dict[str, list[str]]:
    return {graph.nodes[node]["name"]: [op for op, _ in writes] for node, writes in graph.unseen_writes().items()}


def test_the_write_is_told_of_the_value_that_it_changes() -> None:
    graph = traced(clamped)
    assert told(graph) == {"h": ["clamp"]}
    ((_, source),) = graph.unseen_writes()[graph.node("h")]
    assert source.startswith("test_unseen.py:")
    assert graph.nodes[graph.node("h")]["value"].tolist() == pytest.approx([2.0, 0.6, -0.5])


def test_writes_through_views_are_told_of_the_whole() -> None:
    assert set(told(traced(written_through_a_view))["h"]) == {"copy", "mul"}


def written_by_torch_itself(w: Tensor, x: Tensor) -> Tensor:
    return torch.cosine_similarity(w * x, x, dim=0)


def averaged_to_be_logged(w: Tensor, x: Tensor) -> Tensor:
    loss = torch.sin(w * x).sum()
    logged = loss.detach()
    logged /= 2
    return loss


def detached_after_a_write(w: Tensor, x: Tensor) -> Tensor:
    h = w * x
    h.mul_(2.0)
    y = (h + x).sum()
    h.detach_()
    return y + h.sum()


@pytest.mark.parametrize(
    "function", [doubled_by_a_function, seen_by_autograd, written_by_torch_itself, averaged_to_be_logged]
)
def test_what_autograd_knows_is_no_unseen_write(function: Any) -> None:
    graph = traced(function)
    assert told(graph) == {}
    assert graph.check().ok


def test_a_write_before_the_value_is_detached_in_place_is_seen() -> None:
    assert told(traced(detached_after_a_write)) == {}


@pytest.mark.parametrize("way", [lambda h: h.data, lambda h: h.detach(), lambda h: h.data[:2]])
def test_writes_through_data_are_told_with_gradients_enabled_too(way: Any) -> None:
    def scaled(w: Tensor, x: Tensor) -> Tensor:
        h = w * x
        way(h).mul_(2.0)
        return torch.cos(h).sum()

    graph = traced(scaled)
    assert told(graph) == {"h": ["mul"]}
    (finding,) = graph.diagnose()
    assert finding.kind == "unseen-write" and "by mul_ under no_grad or through .data or .detach()" in finding.message


def test_a_training_step_with_batch_norm_and_optimizer_has_none() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(inplace=True), nn.Linear(4, 1))
    optimizer = torch.optim.Adam(model.parameters())
    with gradviz.record() as tape:
        for _ in range(2):
            optimizer.zero_grad()
            loss = model(torch.ones(5, 3)).square().mean()
            loss.backward(retain_graph=True)
            optimizer.step()
        last = model(torch.ones(5, 3)).square().mean()
    assert told(tape.trace(last)) == {}


def test_it_is_a_finding_with_the_line_of_the_write() -> None:
    graph = traced(clamped)
    (finding,) = graph.diagnose()
    assert (finding.kind, finding.severity, finding.node) == ("unseen-write", "warning", graph.node("h"))
    assert finding.source == graph.unseen_writes()[graph.node("h")][0][1]


def test_the_check_says_why_the_whole_does_not_compose() -> None:
    (leaf,) = traced(clamped).check().leaves
    assert leaf.verdict == "unverified"
    assert "h is changed by clamp_, unseen by autograd at test_unseen.py:" in leaf.reason


def test_it_stands_on_the_picture_and_in_the_file(tmp_path: Path) -> None:
    graph = traced(clamped)
    graph.save(tmp_path / "step.gradviz")
    loaded = gradviz.load(tmp_path / "step.gradviz")
    assert loaded.unseen_writes() == graph.unseen_writes()
    for one in (graph, loaded):
        assert "then clamp_ unseen by autograd" in dot_source(one.view())


def scaled_by_a_number(w: Tensor, x: Tensor) -> Tensor:
    h = w * x
    return (h / h.abs().max().item()).square().sum()


class ScaledByItsLargest(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor) -> Tensor:
        ctx.largest = h.abs().max().item()
        return h / ctx.largest

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        return cotangent / ctx.largest


def scaled_by_a_function(w: Tensor, x: Tensor) -> Tensor:
    return ScaledByItsLargest.apply(w * x).square().sum()


def read_but_only_printed(w: Tensor, x: Tensor) -> Tensor:
    h = w * x
    f"{h.max().item():.3g}"
    return h.square().sum()


def scaled_by_a_detached_number(w: Tensor, x: Tensor) -> Tensor:
    h = w * x
    return (h / h.detach().abs().max().item()).square().sum()


def test_a_number_read_of_a_value_and_computed_with_is_a_hint(tmp_path: Path) -> None:
    graph = gradviz.trace(scaled_by_a_number, torch.tensor([2.1234567, 0.3], requires_grad=True), torch.ones(2))
    (finding,) = graph.diagnose()
    assert (finding.kind, finding.severity) == ("number-read", "hint")
    assert graph.nodes[finding.node]["op"] == "div"
    ((number, source),) = graph.numbers_read().items()
    assert number == pytest.approx(2.1234567)
    assert source in finding.message
    graph.save(tmp_path / "step.gradviz")
    assert gradviz.load(tmp_path / "step.gradviz").numbers_read() == graph.numbers_read()


@pytest.mark.parametrize("function", [read_but_only_printed, scaled_by_a_detached_number])
def test_a_number_that_is_only_shown_or_detached_is_no_finding(function: Any) -> None:
    graph = gradviz.trace(function, torch.tensor([2.1234567, 0.3], requires_grad=True), torch.ones(2))
    assert graph.diagnose() == []


def test_what_a_custom_forward_reads_is_left_to_the_check() -> None:
    graph = gradviz.trace(scaled_by_a_function, torch.tensor([2.1234567, 0.3], requires_grad=True), torch.ones(2))
    assert graph.numbers_read() == {}
