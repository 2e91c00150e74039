"""A loaded graph says which questions it cannot answer, where they come up, and makes no alarm of what a file left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn
from torch.nn import functional as F

import gradviz
from gradviz.cli.command import main
from gradviz.diagnose import Diagnosis
from gradviz.graph import GradGraph
from gradviz.target import graph_of_target

BUGS = Path(__file__).parent.parent.parent / "examples" / "bugs"


def loaded(graph: GradGraph, folder: Path, *, max_bytes: int = 2**30) -> Diagnosis:
    graph.save(folder / "graph.gradviz", max_bytes=max_bytes)
    return gradviz.load(folder / "graph.gradviz").diagnose()


@pytest.mark.parametrize(
    ("script", "question"),
    [
        ("labels_not_shifted", "should have been shifted by one"),
        ("transformer_without_batch_first", "whether an attention reads the samples of a batch as one sequence"),
    ],
)
def test_what_a_cotangent_would_have_to_be_followed_for_is_told(script: str, question: str, tmp_path: Path) -> None:
    def graph(function: str) -> GradGraph:
        return graph_of_target(f"{BUGS / script}.py:{function}", at=[], device="cpu")

    (told,) = loaded(graph("broken"), tmp_path)
    assert (told.kind, told.severity) == ("not-checked", "hint") and told.source.startswith(script)
    assert question in told.message and "no autograd nodes to follow a cotangent by" in told.message
    assert loaded(graph("healthy"), tmp_path) == []


def layers() -> GradGraph:
    torch.manual_seed(0)
    model, data = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 4)), torch.randn(16, 3)
    return gradviz.trace(model, data, loss=lambda out: out.square().mean())


def test_values_that_a_file_had_no_room_for_are_counted(tmp_path: Path) -> None:
    (told,) = loaded(layers(), tmp_path, max_bytes=100)
    left, of = told.numbers["values not in the file"], told.numbers["values"]
    assert told.kind == "not-checked" and f"{left} of {of} values" in told.message and "max_bytes" in told.hint
    assert loaded(layers(), tmp_path) == []


@pytest.mark.parametrize("max_bytes", range(200, 4000, 200))
def test_what_a_file_had_no_room_for_is_no_alarm(max_bytes: int, tmp_path: Path) -> None:
    assert {one.kind for one in loaded(layers(), tmp_path, max_bytes=max_bytes)} <= {"not-checked"}


def test_operands_that_are_not_in_a_file_are_not_called_finite(tmp_path: Path) -> None:
    def loss(weight: Tensor, data: Tensor) -> Tensor:
        return F.linear(data, weight).sum()

    data = torch.full((5, 64), torch.nan)
    graph = gradviz.trace(loss, torch.ones(2, 64, requires_grad=True), data)
    told = [one.message for one in loaded(graph, tmp_path, max_bytes=1200) if one.kind == "not-finite-value"]
    assert len(told) == 1 and "the values of" in told[0] and "are not known" in told[0]


def test_a_tensor_already_computed_says_what_is_not_known_of_it() -> None:
    scores, future = torch.randn(2, 5, 5, requires_grad=True), torch.ones(5, 5).triu(1).bool()

    def loss() -> Tensor:
        return ((scores * 2).masked_fill(future, -1e9).softmax(-1) @ scores).square().mean()

    told = gradviz.trace(loss()).diagnose()
    assert re.search("the results? of (a call is|2 calls are) not known", told.unchecked) and "trace the" in str(told)
    assert told.to_dict()["unchecked"] == told.unchecked
    assert gradviz.trace(loss).diagnose().unchecked == ""


@pytest.mark.parametrize("causal", [True, False])
def test_an_attention_that_reads_later_tokens_answers_the_question_of_labels(causal: bool, tmp_path: Path) -> None:
    """An autoencoder reads all of them: its labels are its tokens."""
    torch.manual_seed(0)
    words, layer, head = nn.Embedding(20, 16), nn.Linear(16, 48), nn.Linear(16, 20)
    tokens = torch.randint(0, 20, (3, 8))

    def loss() -> Tensor:
        parts = (part.view(3, 8, 2, 8).transpose(1, 2) for part in layer(words(tokens)).chunk(3, -1))
        mixed = F.scaled_dot_product_attention(*parts, is_causal=causal).transpose(1, 2).reshape(3, 8, 16)
        return F.cross_entropy(head(mixed).flatten(0, 1), tokens.flatten())

    graph = gradviz.trace(loss)
    assert [one.kind for one in graph.diagnose()] == ["unshifted-labels"] * causal
    assert [one.kind for one in loaded(graph, tmp_path)] == ["not-checked"] * causal


def zeroed(gradient: Tensor) -> Tensor:
    return gradient * 0


def halved(*gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (gradients[-2][0] * 0.5,)


def hooked(where: str, width: int = 4) -> GradGraph:
    torch.manual_seed(0)
    model, data = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)), torch.randn(8, width)
    if where == "leaves":
        for parameter in model.parameters():
            parameter.register_hook(zeroed)
    if where == "module":
        model[1].register_full_backward_hook(lambda module, *gradients: (gradients[0][0] * 0.5,))

    def loss() -> Tensor:
        h = model[:2](data)
        if where == "value":
            h.register_hook(lambda gradient: 3 * gradient)
        if where == "node":
            h.grad_fn.register_hook(halved)
        if where == "before node":
            h.grad_fn.register_prehook(lambda gradients: (3 * gradients[0],))
        return model[2](h).square().mean()

    return gradviz.trace(loss)


@pytest.mark.parametrize("where", ["leaves", "module", "value", "node", "before node"])
def test_hooks_are_told_of_a_loaded_graph_as_they_were_of_the_traced_one(where: str, tmp_path: Path) -> None:
    graph = hooked(where)
    (told,) = graph.diagnose()
    assert " at test_told_of_loaded.py:" in told.message and "hook" in told.message
    assert [one.to_dict() for one in loaded(graph, tmp_path)] == [told.to_dict()]
    assert hooked("nowhere").diagnose() == loaded(hooked("nowhere"), tmp_path) == []


def test_a_hook_on_what_is_too_large_for_a_file_is_named_as_not_looked_at(tmp_path: Path) -> None:
    graph = hooked("node", width=100)
    assert [one.kind for one in graph.diagnose()] == ["hooked-gradient"]
    (told,) = loaded(graph, tmp_path)
    assert told.kind == "not-checked" and "whether the hook halved at test_told_of_loaded.py:" in told.message


def test_the_commands_take_a_saved_trace(tmp_path: Path) -> None:
    file = str(tmp_path / "run.gradviz")
    graph_of_target(f"{BUGS / 'labels_not_shifted'}.py:broken", at=[], device="cpu").save(file)
    told = CliRunner().invoke(main, ["diagnose", file])
    assert told.exit_code == 0 and "hint not-checked at labels_not_shifted.py" in told.output
    refused = CliRunner().invoke(main, ["diagnose", file, "--at", "x=2"])
    assert refused.exit_code == 2 and "is a trace that was saved" in refused.output
    assert "cannot read" in CliRunner().invoke(main, ["diagnose", str(tmp_path / "other.gradviz")]).output
    assert "has no autograd nodes to check" in CliRunner().invoke(main, ["check", file]).output
    assert CliRunner().invoke(main, ["trace", file]).exit_code == 0
