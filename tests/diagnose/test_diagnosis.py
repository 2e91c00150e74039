"""A diagnosis as a whole: its order, its JSON, its command, and what is left of it in a graph that was saved."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn
from torch.nn import functional as F

import gradviz
from gradviz.cli.command import main
from gradviz.diagnose import Diagnosis, Finding
from gradviz.diagnose.finding import found
from gradviz.target import graph_of_target

BUGS = Path(__file__).parent.parent.parent / "examples" / "bugs"


def kinds(diagnosis: list[Finding]) -> list[str]:
    return [finding.kind for finding in diagnosis]


def a_finding(**fields: object) -> Finding:
    return Finding(**({"kind": "kind", "severity": "hint", "message": "what", "hint": "how"} | fields))  # type: ignore[arg-type]


def test_what_is_no_report_of_a_check_is_refused() -> None:
    graph = gradviz.trace("x*y", x=1.0, y=2.0, device="cpu")
    with pytest.raises(gradviz.InputError, match=r"report is a GradGraph; accepted: what check\(\) returns"):
        graph.diagnose(report=graph)  # type: ignore[arg-type]


def test_loaded_graph_says_that_nobody_asked_its_custom_functions(tmp_path: Path) -> None:
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx: Any, cotangent: Tensor) -> Tensor:
            return 3 * cotangent * ctx.saved_tensors[0]

    graph = gradviz.trace(lambda x: Square.apply(x).sum(), torch.ones(3, requires_grad=True))
    graph.save(tmp_path / "square.gradviz")
    loaded = gradviz.load(tmp_path / "square.gradviz").diagnose()
    assert kinds(graph.diagnose()) == ["wrong-backward"] and graph.diagnose().unchecked == ""
    (told,) = loaded
    assert (told.kind, told.severity, told.source) == ("not-checked", "hint", graph.nodes[graph.node("a")]["source"])
    assert "the backward of Square was not checked: a loaded graph has no autograd nodes" in told.message
    assert loaded.summary == "1 hint." and str(loaded).count("not checked") == 1
    assert loaded.to_dict()["unchecked"] == loaded.unchecked and "loaded" in loaded.unchecked


def test_loaded_graph_says_in_its_findings_what_its_elements_would_tell(tmp_path: Path) -> None:
    torch.manual_seed(0)
    x = torch.randn(20, 20, dtype=torch.float64, requires_grad=True)
    graph = gradviz.trace(lambda x: (torch.log(torch.softmax(x @ x.T, -1)) * x).mean(), x, values="statistics")
    graph.save(tmp_path / "kept.gradviz")
    traced, loaded = graph.diagnose(), gradviz.load(tmp_path / "kept.gradviz").diagnose()
    assert traced.unread and "Not looked for in all of the graph" in traced.summary
    told = [one for one in loaded if one.kind == "not-checked"]
    assert len(told) == 1 and ", ".join(loaded.unread) in told[0].message
    assert str(loaded).lower().count("not looked for") == 1


def test_a_loaded_graph_says_nothing_of_functions_that_are_there_for_their_backward(tmp_path: Path) -> None:
    class Straight(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.round()

        @staticmethod
        def backward(ctx: Any, cotangent: Tensor) -> Tensor:
            return cotangent

    graph = gradviz.trace(lambda x: Straight.apply(x * 2).square().sum(), torch.randn(3, requires_grad=True))
    graph.save(tmp_path / "straight.gradviz")
    assert graph.diagnose() == gradviz.load(tmp_path / "straight.gradviz").diagnose() == []


def test_writes_to_views_are_torchs_own_and_nobody_is_to_check_them(tmp_path: Path) -> None:
    def loss(x: Tensor) -> Tensor:
        y = x * 2
        y[0] = x[1]
        return y.square().sum()

    graph = gradviz.trace(loss, torch.ones(3, requires_grad=True))
    assert "copy_slices" in {op for _, op in graph.nodes(data="op")}
    graph.save(tmp_path / "written.gradviz")
    assert gradviz.load(tmp_path / "written.gradviz").diagnose().unchecked == ""


def test_report_is_worst_first_and_ends_with_a_count() -> None:
    hint, error = a_finding(), a_finding(severity="error", kind="bad", source="train.py:3", numbers={"share": 0.25})
    diagnosis = Diagnosis([hint, error, hint])
    assert [finding.severity for finding in diagnosis] == ["error", "hint", "hint"]
    assert str(diagnosis).startswith("error bad at train.py:3: what\n  numbers: share 0.25\n  do: how")
    assert diagnosis.summary == "1 error, 2 hints." and not diagnosis.ok and Diagnosis([hint]).ok
    assert str(Diagnosis([])) == "Nothing found."


def test_a_leaf_without_a_line_takes_that_of_its_first_use() -> None:
    graph = gradviz.trace(lambda x: x * 2.0, 3.0)
    line = graph.nodes[graph.output]["source"]
    assert line and found(graph, "kind", "hint", "what", "how", node=graph.node("x")).source == line


def test_numbers_that_are_not_finite_are_texts_in_json() -> None:
    assert a_finding(numbers={"a": math.inf, "b": 2}).to_dict()["numbers"] == {"a": "inf", "b": 2}


def test_saved_graph_is_diagnosed_too(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 4), nn.Softmax(1))
    graph = gradviz.trace(model, torch.randn(8, 2), loss=lambda out: F.cross_entropy(out, torch.zeros(8, dtype=torch.long)))
    graph.save(tmp_path / "run.gradviz")
    again = gradviz.load(tmp_path / "run.gradviz").diagnose()
    assert again == graph.diagnose() and kinds(again) == ["double-softmax"]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exploding_rnn", r"grows \d.* × per step over the 40 uses of .*weight_hh by the calls of"),
        ("forgetting_rnn", r"shrinks to 0\.\d+ × per step over the 60 uses .* add less than the rounding"),
        ("only_the_regulariser", r"only through a cut: detach from .*regulariser"),
        ("masked_row", r"row \(2, 0\) of its argument is −∞ everywhere"),
        ("all_labels_ignored", "all 22 targets are ignore_index"),
        ("angle_of_parallel_vectors", "acos is defined from −1 to 1"),
        ("spread_of_one_row", "each std is of 1 element"),
        ("overflowing_rnn", r"grown \d.* × at each of \d\d matrix products"),
        ("kl_of_a_logarithm", "pass log_target=True"),
        ("kl_of_probabilities", "kl_div takes log-probabilities.* they are probabilities already"),
        ("nll_of_logits", "nll_loss takes log-probabilities.* no logarithms of probabilities.* use cross_entropy"),
        ("softmax_over_the_batch", r"log_softmax\(..., dim=0\) .* the 3 classes of nll_loss are along dimension 1"),
        ("zero_initialisation", "3 weights are zero, and feed one another"),
        ("constant_initialisation", "the 16 units of 0.weight start alike"),
        ("huge_logits", r"nll_loss: \d+% of the answers are sure .* where guessing has 1.61"),
        ("sampled_latent", r"z is drawn from .* under no_grad.*\.rsample\(\)"),
        ("old_policy_not_detached", "the contributions of the 2 uses of .* add up to 0"),
        ("dead_gelu", "64 of 64 units .* gelu is flat"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*degrees of freedom is <= 0")
def test_first_finding_names_the_cause(script: str, said: str) -> None:
    finding = graph_of_target(f"{BUGS / script}.py:broken", at=[], device="cpu").diagnose()[0]
    assert re.search(said, f"{finding.message} {finding.hint}")


@pytest.mark.parametrize(("function", "code"), [("broken", 1), ("healthy", 0)])
def test_command_ends_with_1_after_an_error(function: str, code: int) -> None:
    result = CliRunner().invoke(main, ["diagnose", f"{BUGS / 'integer_cast.py'}:{function}", "--json"])
    document = json.loads(result.stdout)
    assert result.exit_code == code and document["schema"] == 1 and document["ok"] == (code == 0)
    assert [finding["kind"] for finding in document["findings"]] == ["integer-cast"] * code


def test_command_prints_the_report_and_a_warning_ends_it_with_0() -> None:
    result = CliRunner().invoke(main, ["diagnose", f"{BUGS / 'dead_relu.py'}:broken"])
    assert result.exit_code == 0 and "warning dead-relu in 1: 64 of 64 units" in result.stdout
    assert CliRunner().invoke(main, ["diagnose", "nowhere.py:step"]).exit_code == 2

