"""What `--json` prints: every value of the graph, as any JSON reader takes it."""

from __future__ import annotations

import json
import math
import re
from typing import get_args

import pytest
import torch

import gradviz
from gradviz import schema
from gradviz.check.report import Verdict
from gradviz.schema import graph_document


def document(output: torch.Tensor, **options: object) -> dict:
    text = json.dumps(graph_document(gradviz.trace(output, **options), "target"), allow_nan=False)
    return json.loads(text)


def test_every_node_and_edge_of_the_graph_is_there() -> None:
    graph = gradviz.trace("x*x + y", x=2.0, y=3.0, device="cpu")
    found = graph_document(graph, "x*x + y")
    assert [node["id"] for node in found["nodes"]] == list(graph)
    assert {(edge["tail"], edge["head"], edge["key"]) for edge in found["edges"]} == set(graph.edges(keys=True))
    assert found["outputs"] == graph.outputs


def test_partials_and_contributions_are_numbers() -> None:
    found = graph_document(gradviz.trace("sin(x)", x=1.0, device="cpu"), "sin(x)")
    (edge,) = found["edges"]
    assert edge["partial"]["formula"] == "cos(x)"
    assert edge["partial"]["jacobian"]["values"] == pytest.approx(math.cos(1.0))
    assert edge["contribution"]["values"] == pytest.approx(math.cos(1.0))


def test_a_large_tensor_is_summarized() -> None:
    x = torch.arange(2000.0, requires_grad=True)
    found = document((x * 2).sum(), names={"x": x})
    value = next(node["value"] for node in found["nodes"] if node["name"] == "x")
    assert value == {"shape": [2000], "dtype": "float32", "values": None, "mean": 999.5, "min": 0.0, "max": 1999.0}
    assert all(edge["partial"]["jacobian"] is None for edge in found["edges"] if edge["partial"])


def test_numbers_that_are_not_finite_become_text() -> None:
    x = torch.tensor([-1.0, 0.0, 1.0], requires_grad=True)
    values = [node["value"]["values"] for node in document(torch.log(x).sum())["nodes"]]
    assert ["nan", "-inf", 0.0] in values


def test_complex_numbers_become_pairs() -> None:
    x = torch.tensor(1 + 2j, requires_grad=True)
    values = [node["value"]["values"] for node in document((x * x.conj()).real)["nodes"]]
    assert [1.0, 2.0] in values


def test_a_call_with_several_outputs_lists_them() -> None:
    x = torch.arange(4.0, requires_grad=True)
    with gradviz.record() as tape:
        first, second = x.split(2)
        loss = (first * second).sum()
    found = graph_document(tape.trace(loss), "")
    split = next(node for node in found["nodes"] if node["op"] == "split")
    assert [output["values"] for output in split["value"]] == [[0.0, 1.0], [2.0, 3.0]]
    json.dumps(found, allow_nan=False)


def test_a_cut_has_no_partial() -> None:
    x = torch.tensor(2.0, requires_grad=True)
    with gradviz.record() as tape:
        loss = x * x.detach()
    found = graph_document(tape.trace(loss), "")
    cuts = [edge for edge in found["edges"] if edge["cut"]]
    assert cuts
    assert all(edge["partial"] is None and edge["contribution"] is None for edge in cuts)


def test_every_key_and_verdict_of_a_check_is_described() -> None:
    report = gradviz.trace("x*x + y", x=2.0, y=3.0, device="cpu").check().to_dict()
    keys = {key for one in ("edges", "nodes", "leaves", "sums") for entry in report[one] for key in entry}
    described = set(re.findall(r"\w+", (schema.__doc__ or "").partition("gradviz check --json")[2]))
    assert keys and not {*report, *keys, *get_args(Verdict)} - described
