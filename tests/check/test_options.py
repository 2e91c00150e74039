"""Options of the check: what is not accepted is refused with a sentence, and a backward may be meant to differ."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import gradviz
from gradviz.check import CheckReport
from gradviz.errors import CheckError
from gradviz.render.dot import dot_source
from gradviz.testing import assert_gradients


class RoundSTE(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.round(x)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:  # type: ignore[override]
        return cotangent


class Off(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:  # type: ignore[override]
        return 3 * cotangent


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"samples": 0}, "samples=0"),
    ({"samples": 2.5}, "samples=2.5"),
    ({"samples": True}, "samples=True"),
    ({"seed": "a"}, "seed='a'"),
    ({"seed": -1}, "seed=-1"),
    ({"time_limit_s": "3"}, "time_limit_s='3'"),
    ({"time_limit_s": -1}, "time_limit_s=-1"),
    ({"time_limit_s": float("nan")}, "time_limit_s=nan"),
    ({"progress": 3}, "progress=3"),
    ({"edges": []}, "edges is empty"),
    ({"edges": "x"}, "edges='x'"),
    ({"edges": 3}, "edges=3"),
    ({"edges": [("x", "a")]}, "is no edge; accepted: "),
    ({"edges": [(7, 8, 0)]}, "the graph has no edge"),
    ({"intended": "RoundSTE"}, "intended='RoundSTE'"),
    ({"intended": ["Round"]}, "no custom Function 'Round'; its custom Functions: RoundSTE"),
    ({"intended": [Off]}, "no custom Function Off; its custom Functions: RoundSTE"),
]


@pytest.mark.parametrize(("options", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_what_is_not_accepted_is_refused_with_a_sentence(options: dict[str, Any], said: str) -> None:
    x = torch.tensor([0.3, 1.7], requires_grad=True)
    graph = gradviz.trace(lambda x: RoundSTE.apply(x).sum(), x)
    with pytest.raises(CheckError) as refusal:
        graph.check(**options)
    assert said in str(refusal.value)


@pytest.mark.parametrize("named", [RoundSTE, "RoundSTE"])
def test_an_edge_that_is_meant_to_differ_is_neither_right_nor_wrong(named: Any) -> None:
    x = torch.tensor([0.3, 1.7], requires_grad=True)
    graph = gradviz.trace(lambda x: RoundSTE.apply(x).square().sum(), x)
    assert not graph.check().ok
    report = graph.check(intended=[named])
    assert [edge.verdict for edge in report.edges] == ["intended", "match", "match"]
    assert report.ok and report.verified and report.leaves == ()
    assert "2 match (symbolic), 1 intended" in report.summary and "RoundSTE is meant to differ" in report.summary
    assert "≠ intended" in str(report)
    assert "≠" in dot_source(graph.view(report=report))
    assert not [finding for finding in graph.diagnose(report=report) if finding.kind == "wrong-backward"]


class Stop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> None:  # type: ignore[override]
        return None


def test_a_gradient_that_is_meant_to_end_is_not_missed() -> None:
    x, y = (torch.tensor([0.3, 1.7], requires_grad=True) for _ in range(2))
    assert assert_gradients(lambda x, y: Stop.apply(x) * y, x, y, intended=[Stop]).ok
    with pytest.raises(AssertionError, match=r"Stop.backward\(\)"):
        assert_gradients(lambda x, y: Stop.apply(x) * y, x, y)


def test_all_else_is_judged() -> None:
    x = torch.tensor([0.3, 1.7], requires_grad=True)
    assert assert_gradients(lambda x: RoundSTE.apply(x).square(), x, intended=[RoundSTE]).ok
    with pytest.raises(AssertionError, match="is wrong on 1 of 3 edges"):
        assert_gradients(lambda x: Off.apply(RoundSTE.apply(x)).square(), x, intended=[RoundSTE])


def test_nothing_that_was_compared_is_not_verified() -> None:
    assert CheckReport(edges=()).verified is False
