"""The calls in a graph as a tree, with what is inside and what is wrong there."""

from __future__ import annotations

from dataclasses import replace

import gradviz
from gradviz.models import MODELS
from gradviz.outline import outline
from gradviz.view import view_of


def test_calls_stand_before_those_within_them_in_forward_order() -> None:
    model, inputs, loss = MODELS["transformer block"]()
    graph = gradviz.trace(model, *inputs, loss=loss, device="cpu")
    assert [(call.label, call.depth) for call in outline(graph)] == [
        ("norm_1", 0), ("attention", 0), ("qkv", 1), ("out", 1), ("norm_2", 0),
        ("mlp", 0), ("0 · Linear", 1), ("1 · GELU", 1), ("2 · Linear", 1),
    ]  # fmt: skip
    sizes = {call.name: call.parameters for call in outline(graph)}
    assert (sizes["norm_1"], sizes["attention"], sizes["mlp"]) == (16, 8 * 24 + 24 + 72, 8 * 32 + 32 + 32 * 8 + 8)
    assert (sizes["mlp.0"], sizes["mlp.1"]) == (8 * 32 + 32, 0)


def test_every_call_is_named_so_that_a_view_opens_it_alone() -> None:
    model, inputs, loss = MODELS["LSTM"]()
    graph = gradviz.trace(model, *inputs, loss=loss, device="cpu")
    assert [call.name for call in outline(graph)] == [*(f"cell@{step}" for step in range(1, 9)), "head"]
    for call in outline(graph):
        (box,) = view_of(graph, unfold=call.name).boxes
        assert box.name == call.name


def test_a_call_tells_the_worst_of_what_is_inside() -> None:
    model, inputs, loss = MODELS["transformer block"]()
    graph = gradviz.trace(model, *inputs, loss=loss, device="cpu")
    report = graph.check()
    assert {call.verdict for call in outline(graph, report=report)} == {"match"}
    wrong = next(entry for entry in report.edges if entry.edge[1] == graph.node("scores"))
    edges = [replace(entry, verdict="mismatch") if entry is wrong else entry for entry in report.edges]
    told = {call.name: call.verdict for call in outline(graph, report=replace(report, edges=tuple(edges)))}
    assert (told["attention"], told["attention.qkv"], told["mlp"]) == ("mismatch", "match", "match")


def test_a_call_counts_what_a_diagnosis_found_inside() -> None:
    graph = gradviz.trace(wrapped, 2.0)
    findings = graph.diagnose()
    (call,) = outline(graph, findings=findings)
    assert (call.name, call.findings) == ("difference", len(findings)) and findings


def difference(x: object) -> object:
    return (x - x).log()  # type: ignore[operator]


def wrapped(x: object) -> object:
    return difference(x) * 2.0  # type: ignore[operator]
