"""Partials inside of non-reentrant checkpoints: right, and without running the block again for each question."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from weakref import ref

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import GraphExecGroup, checkpoint

from gradviz import GradGraph, PartialError, load, trace
from gradviz.partials import LocalPartial
from gradviz.recording.checkpoints import packed_by_checkpoint


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.norm = nn.Linear(4, 4), nn.Linear(4, 4), nn.LayerNorm(4)
        self.dropout = nn.Dropout(0.3)
        self.runs = 0

    def forward(self, x: Tensor) -> Tensor:
        self.runs += 1
        return self.norm(x + self.second(self.dropout(torch.tanh(self.first(x)))))  # type: ignore[no-any-return]


class Blocks(nn.Module):
    def __init__(self, count: int, *, checkpointed: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(count))
        self.checkpointed = checkpointed

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False) if self.checkpointed else block(x)
        return x.square().mean()

    def runs(self) -> int:
        return sum(block.runs for block in self.blocks)


def traced(*, checkpointed: bool) -> tuple[GradGraph, Blocks]:
    torch.manual_seed(0)
    model = Blocks(3, checkpointed=checkpointed)
    return trace(model, torch.randn(2, 4)), model


def partials(graph: GradGraph) -> Iterator[LocalPartial]:
    for _, _, partial in graph.edges(data="partial"):
        if partial is not None:
            yield partial


def test_they_are_those_without_a_checkpoint() -> None:
    checkpointed, _ = traced(checkpointed=True)
    plain, _ = traced(checkpointed=False)
    assert list(checkpointed.edges(keys=True)) == list(plain.edges(keys=True))
    for one, other in zip(partials(checkpointed), partials(plain), strict=True):
        assert torch.equal(one.jacobian(), other.jacobian())
        assert torch.equal(one.vjp(torch.ones(one.out_shape)), other.vjp(torch.ones(other.out_shape)))


def test_a_check_and_a_file_run_each_block_a_few_times_only(tmp_path: Path) -> None:
    graph, model = traced(checkpointed=True)
    before = model.runs()
    assert graph.check().verified
    assert model.runs() - before <= 6
    graph.save(tmp_path / "graph.gradviz")
    assert model.runs() - before <= 15
    assert load(tmp_path / "graph.gradviz").gradients().keys() == graph.gradients().keys()


def test_what_is_recomputed_is_kept_of_the_block_that_was_asked_last_alone() -> None:
    graph, _ = traced(checkpointed=True)
    known = {id(one.block): one.block for partial in partials(graph) for one in packed_by_checkpoint(partial._node)}
    for partial in partials(graph):
        for _ in range(3):
            partial.jacobian()
    held = [sum(map(len, block.recomputed.values())) for block in known.values()]
    assert len(held) == 3 and sum(count > 0 for count in held) <= 1


def test_nothing_is_kept_of_a_trace_that_is_gone() -> None:
    graph, model = traced(checkpointed=True)
    for partial in partials(graph):
        partial.jacobian()
    gone = ref(model)
    del graph, model, partial
    gc.collect()
    assert gone() is None


def test_checkpoints_within_checkpoints_are_asked_too() -> None:
    first, second = Block(), Block()

    def inner(x: Tensor) -> Tensor:
        return checkpoint(second, first(x), use_reentrant=False).sin()  # type: ignore[no-any-return]

    x = torch.randn(2, 4)
    graph = trace(lambda: checkpoint(inner, x, use_reentrant=False).sum())
    assert graph.check().verified
    assert graph.check().verified


def test_a_graph_that_was_freed_is_refused_as_one_without_checkpoints() -> None:
    model = Blocks(1, checkpointed=True)
    x = torch.randn(2, 4)
    out = model(x)
    graph = trace(out)
    out.backward()
    partial = next(one for one in partials(graph) if one.autograd_op == "tanh")
    with pytest.raises(PartialError, match="freed"):
        partial.jacobian()


def test_a_question_within_a_group_of_the_users_own_is_answered() -> None:
    graph, _ = traced(checkpointed=True)
    partial = next(one for one in partials(graph) if one.autograd_op == "tanh")
    alone = partial.vjp(torch.ones(partial.out_shape))
    with GraphExecGroup():
        assert torch.equal(partial.vjp(torch.ones(partial.out_shape)), alone)


def test_a_block_is_not_run_again_with_leaves_that_were_written_to_since() -> None:
    graph, model = traced(checkpointed=True)
    with torch.no_grad():
        model.blocks[0].first.weight += 1
    before, report = model.runs(), graph.check()
    assert model.runs() == before
    assert not report.mismatches and report.unverified
    with pytest.raises(PartialError, match="was changed in place after the trace; trace again"):
        next(one for one in partials(graph) if packed_by_checkpoint(one._node)).jacobian()


WRITES: dict[str, Callable[[Tensor], Any]] = {
    "counted": lambda tensor: tensor.detach().add_(1),
    "through data": lambda tensor: tensor.data.add_(1),
    "to other memory": lambda tensor: setattr(tensor, "data", tensor.data + 1),
}


@pytest.mark.parametrize("width", [4, 600])
@pytest.mark.parametrize("what", ["a leaf", "a constant"])
@pytest.mark.parametrize("write", WRITES)
def test_a_block_that_would_read_something_else_is_not_asked(write: str, what: str, width: int) -> None:
    torch.manual_seed(0)
    first, second, scale = nn.Linear(width, width), nn.Linear(width, 2), torch.rand(width)

    def loss(rows: Tensor) -> Tensor:
        made: Tensor = checkpoint(lambda rows: second(torch.tanh(first(rows * scale))), rows, use_reentrant=False)
        return made.square().mean()

    rows = torch.randn(3, width)
    assert trace(loss, rows).check().verified
    graph = trace(loss, rows)
    WRITES[write](first.weight if what == "a leaf" else scale)
    report = graph.check()
    assert not report.mismatches, report
    assert "was changed in place after the trace; trace again" in report.summary


def test_what_the_block_itself_writes_to_is_no_reason_to_refuse() -> None:
    torch.manual_seed(0)
    block, rows = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Tanh()), torch.randn(5, 4)

    def loss(rows: Tensor) -> Tensor:
        made: Tensor = checkpoint(block, rows, use_reentrant=False)
        return made.square().sum()

    assert trace(loss, rows).check().verified
    report = trace(loss(rows)).check()
    assert not report.mismatches and "trace again" not in report.summary, report
