"""The check is no rubber stamp: a symbolic rule that is wrong by 0.1 % makes mismatches, on exactly the edges it is for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

import gradviz
from gradviz.check import EdgeCheck
from gradviz.symbolic import RULES
from gradviz.symbolic.registry import PointwiseRule, TensorRule

aten = torch.ops.aten


def test_a_wrong_elementwise_rule_is_a_mismatch_on_its_edges_only(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = RULES[aten.sin.default]
    assert isinstance(rule, PointwiseRule)

    def wrong_sin(self: Any) -> Any:
        return rule.function(self) * 1001 / 1000

    monkeypatch.setattr("gradviz.symbolic.evaluate._FUNCTIONS", {})
    monkeypatch.setitem(RULES, aten.sin.default, replace(rule, function=wrong_sin))
    graph = gradviz.trace("exp(x) * sin(y)", x=0.5, y=1.5, device="cpu")
    report = graph.check()
    heads = {graph.nodes[entry.edge[1]]["op"] for entry in report.mismatches if isinstance(entry, EdgeCheck)}
    assert heads == {"sin"}


def test_a_wrong_tensor_rule_is_a_mismatch_on_its_edges_only(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = RULES[aten.mm.default]
    assert isinstance(rule, TensorRule)

    def wrong_product(self: Any, mat2: Any) -> Any:
        return rule.function(self, mat2) * 1.001

    monkeypatch.setitem(RULES, aten.mm.default, replace(rule, function=wrong_product))
    a, b = torch.rand(2, 3, requires_grad=True), torch.rand(3, 2, requires_grad=True)
    graph = gradviz.trace(lambda a, b: torch.mm(a.exp(), b).sum(), a, b)
    report = graph.check()
    heads = [graph.nodes[entry.edge[1]]["op"] for entry in report.mismatches if isinstance(entry, EdgeCheck)]
    assert heads == ["mm", "mm"]
