"""What a graph can and cannot do without elements: what statistics tell is exact, everything else is refused by name."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from test_testing import Square
from torch import Tensor, nn

import gradviz
from gradviz.cli.command import main
from gradviz.cli.listing import listing
from gradviz.details import edge_details
from gradviz.errors import InputError, NotKeptError
from gradviz.graph import GradGraph
from gradviz.schema import graph_document
from gradviz.standin import StandIn, is_kept, statistics_kept
from gradviz.statistics import statistics_of
from gradviz.target import graph_of_target
from gradviz.tracing import trace
from gradviz.view.histogram import histogram
from gradviz.view.summary import cotangent_text, norm, value_lines

REASON = 'only statistics of the elements were kept, as values="statistics" says; values="full" keeps all'
BUGS = Path(__file__).parent.parent / "examples" / "bugs"
POLICIES: tuple[Literal["full"], Literal["statistics"]] = ("full", "statistics")
LIKE = torch.tensor([[3.0, 0.0], [-4.0, 0.0]]).expand(100, 2, 2)


def step() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(40, 30, generator=generator)
    hidden = torch.relu(rows @ weight + 1) * 2
    return (hidden + torch.randn(40, 30, generator=generator)).square().mean()


weight = torch.randn(30, 30, generator=torch.Generator().manual_seed(1)).requires_grad_()


@pytest.fixture(scope="module")
def full() -> GradGraph:
    return trace(step, values="full")


@pytest.fixture(scope="module")
def bare() -> GradGraph:
    """The same graph, of whose values and cotangents several are statistics."""
    return trace(step, values="statistics")


def standin(tensor: Tensor) -> StandIn:
    return StandIn(tensor, reason=REASON, statistics=statistics_of(tensor, bins=24))


def test_a_stand_in_has_shape_strides_and_dtype_and_refuses_everything_else() -> None:
    found = standin(LIKE)
    assert (found.shape, found.stride(), found.dtype, found.device) == (LIKE.shape, LIKE.stride(), LIKE.dtype, LIKE.device)
    assert not is_kept(found) and not is_kept(found.detach()) and copy.deepcopy(found) is found
    asked: list[Any] = [
        lambda: found + 1,
        lambda: found[0],
        lambda: found.tolist(),
        lambda: np.asarray(found),
        lambda: found.data_ptr(),
        lambda: torch.equal(found, LIKE),
        lambda: LIKE.clone().add_(found),
        lambda: found.cpu(),
        lambda: list(found),
        lambda: torch.cat([LIKE, found]),
        lambda: bool((found == 0).all()),
    ]
    for ask in asked[:7] + asked[8:]:
        with pytest.raises(NotKeptError, match="only statistics"):
            ask()
    assert not is_kept(asked[7]())


def test_how_elements_lie_in_memory_is_told_without_them() -> None:
    channels_last = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    for like in (LIKE, torch.randn(20, 30).t(), channels_last, torch.ones(9)):
        empty, expected = torch.empty_like(standin(like), device="meta"), torch.empty_like(like, device="meta")
        assert (empty.shape, empty.stride(), empty.dtype) == (expected.shape, expected.stride(), expected.dtype)
        made = torch.empty_like(standin(like), dtype=torch.float64)
        assert type(made) is Tensor and made.device == like.device and made.dtype is torch.float64


@pytest.mark.parametrize("made_within", [False, True])
@pytest.mark.parametrize("detached_within", [False, True])
def test_a_stand_in_is_detached_inside_of_inference_mode_and_outside(made_within: bool, detached_within: bool) -> None:
    with torch.inference_mode(made_within):
        found = StandIn(torch.zeros(3), held=torch.arange(3.0))
    with torch.inference_mode(detached_within):
        detached = found.detach()
        assert torch.equal(detached * 2, torch.tensor([0.0, 2.0, 4.0])) and is_kept(detached)
    assert detached.is_inference() == made_within and isinstance(detached, StandIn)


def test_elements_in_main_memory_are_used_like_any() -> None:
    found = StandIn(LIKE, held=LIKE.clone())
    assert torch.equal(found * 2, LIKE * 2) and found.tolist() == LIKE.tolist() and is_kept(found)
    assert statistics_kept(found) == statistics_of(LIKE, bins=24)


@pytest.mark.parametrize("marked", [torch.conj, lambda one: one.conj().imag], ids=["conjugated", "negated"])
def test_elements_that_are_only_marked_as_conjugated_are_used_as_such(marked: Callable[[Tensor], Tensor]) -> None:
    tensor = marked(torch.complex(torch.randn(3, 4), torch.randn(3, 4)))
    standin = StandIn(tensor, held=tensor)
    assert tensor.is_conj() or tensor.is_neg()
    assert torch.equal(standin + 0, tensor + 0) and torch.equal(standin.clone(), tensor.clone())


def test_pictures_and_tables_show_statistics_and_say_so(bare: GradGraph, full: GradGraph) -> None:
    for (node, attributes), (_, whole) in zip(bare.nodes(data=True), full.nodes(data=True), strict=True):
        if isinstance(attributes["value"], StandIn):
            assert value_lines(attributes["value"]) == (*value_lines(whole["value"]), "elements not kept")
            assert attributes["value_missing"] == REASON
            assert bare.statistics(node) == full.statistics(node)
    assert "elements not kept" in listing(bare)
    note = f"5 of 10 values, 6 of 10 cotangents, 6 of 9 contributions: {REASON}"
    assert bare.not_kept == note and full.not_kept == ""
    assert listing(bare).endswith(f"Kept as statistics: {note}") and "Kept as" not in listing(full)
    assert f"kept as statistics: {note}" in bare.view().notes
    assert not any("kept as" in text for text in full.view().notes)
    bare.render(format="svg")


def test_norms_gains_and_shares_of_zeros_are_those_of_the_full_graph(bare: GradGraph, full: GradGraph) -> None:
    labels, expected = ([edge.flow for edge in graph.view().edges] for graph in (bare, full))
    assert labels == expected and any("zeros" in label for label in labels)
    for edge in bare.edges(keys=True):
        gain, truth = edge_details(bare, edge).gain, edge_details(full, edge).gain
        assert gain == truth or gain == pytest.approx(truth, rel=1e-6)
    for tensor in (LIKE, torch.full((400,), math.nan), torch.full((400,), math.inf), torch.ones(400, dtype=torch.complex64)):
        assert norm(standin(tensor)) == pytest.approx(norm(tensor), nan_ok=True)
        assert cotangent_text(standin(tensor), "c") == cotangent_text(tensor, "c")


def test_histograms_are_kept() -> None:
    rows = torch.randn(1000)
    assert histogram(standin(rows)) == histogram(rows) and histogram(standin(torch.ones(1000))) is None


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor([1.0, math.nan, -math.inf] * 200),
        torch.full((300,), math.nan),
        torch.tensor([True, False, True] * 100),
        torch.arange(300),
        torch.tensor([1 + 1j, 3 - 4j] * 100),
        torch.randn(300).bfloat16(),
    ],
    ids=["not finite", "nan", "bool", "int", "complex", "bfloat16"],
)
def test_lines_of_statistics_are_those_of_the_elements(tensor: Tensor) -> None:
    lines = value_lines(standin(tensor))
    assert lines == (*value_lines(tensor), "elements not kept")


def test_the_check_verifies_what_it_can_and_says_of_the_rest_why_not(bare: GradGraph, full: GradGraph) -> None:
    report, truth = bare.check(), full.check()
    assert truth.verified and report.ok and not report.verified
    for kept in (report.unverified, report.edges):
        assert kept
    for entry, expected in zip(report.entries, truth.entries, strict=True):
        assert entry.verdict == expected.verdict or REASON in entry.reason
    assert {entry.verdict for entry in report.edges} == {"match", "unverified"}
    assert f"Kept as statistics are {bare.not_kept}." in report.summary


def test_a_wrong_backward_is_still_found() -> None:
    rows = torch.randn(20, 20, requires_grad=True)
    graph = trace(lambda x: (Square.apply(x).sin() + 1).sum(), rows, values="statistics")
    assert graph.not_kept and not graph.check().ok
    assert [finding.kind for finding in graph.diagnose()] == ["wrong-backward"]
    graph = trace(lambda x: (Square.apply(x) + 1).sum(), rows, values="statistics")  # its rounding takes its value
    assert [entry.verdict for entry in graph.check().edges] == ["unverified"] * 3
    assert graph.diagnose().unread == ("cancellation", "wrong backward")


def test_a_diagnosis_finds_where_nan_was_made_and_says_what_it_could_not_look_for(bare: GradGraph) -> None:
    rows = torch.linspace(-1, 1, 400).requires_grad_()
    full, graph = (trace(lambda x: ((x + 1) / 0).sub(math.inf).add(1).sum(), rows, values=v) for v in ("full", "statistics"))
    found, truth = graph.diagnose(), full.diagnose()
    assert [(one.kind, one.severity, one.node) for one in found] == [(one.kind, one.severity, one.node) for one in truth]
    assert any(finding.numbers.get("NaN") for finding in found)
    assert not bare.diagnose() and trace(step).diagnose().unread == ()
    shifted = trace(lambda x: torch.sigmoid(x * 50 + 100).add(1).add(1).sum(), rows, values="statistics").diagnose()
    assert shifted.unread == () or "Not looked for in all of the graph" in shifted.summary


@pytest.mark.parametrize(
    "script",
    [
        *("attention_without_scale", "dead_relu", "float16_overflow", "float16_underflow", "distance_to_itself"),
        "nan_in_the_data",
    ],
)
def test_of_a_broken_script_nothing_is_lost_unsaid(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradviz.recording.keeping.SMALL_BYTES", 16)
    for function in ("broken", "healthy"):
        full, bare = (graph_of_target(f"{BUGS / script}.py:{function}", device="cpu", values=v).diagnose() for v in POLICIES)
        kinds, found = ({(finding.kind, finding.node) for finding in diagnosis} for diagnosis in (full, bare))
        assert found <= kinds and (found == kinds or bare.unread)


@pytest.mark.parametrize("script", ["dead_relu", "huge_logits", "pixels_not_scaled", "temperature_too_small"])
def test_what_autograd_holds_anyway_is_judged_although_what_led_there_was_not_kept(
    script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gradviz.recording.keeping.SMALL_BYTES", 16)
    full, bare = (graph_of_target(f"{BUGS / script}.py:broken", device="cpu", values=v).diagnose() for v in POLICIES)
    assert full and [(finding.kind, finding.node, finding.edge) for finding in bare] == [
        (finding.kind, finding.node, finding.edge) for finding in full
    ]


@pytest.mark.parametrize(
    ("script", "told", "coarse"),
    [
        ("log_behind_where", "not-finite-gradient", ("not finite gradient",)),
        ("standard_deviation_of_a_constant", "not-finite-value", ("not finite",)),
        ("dead_relu", "dead-relu", ()),
    ],
)
def test_what_is_told_from_statistics_alone_is_said_to_be(
    script: str, told: str, coarse: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gradviz.recording.keeping.SMALL_BYTES", 0)
    full, bare = (graph_of_target(f"{BUGS / script}.py:broken", device="cpu", values=v).diagnose() for v in POLICIES)
    assert told in [finding.kind for finding in bare]
    assert full.coarse == () and bare.coarse == coarse and bare.to_dict()["coarse"] == list(coarse)
    assert (f"Told from statistics alone: {', '.join(coarse)}" in bare.summary) == bool(coarse)


def test_what_no_analysis_could_read_is_listed() -> None:
    def loss(x: Tensor) -> Tensor:
        return nn.functional.softmax((x + 1) * 2, -1).log().neg().mean() + (x - x.flip(0)).add(1).square().sum()

    graph = trace(loss, torch.randn(20, 20, dtype=torch.float64, requires_grad=True), values="statistics")
    diagnosis = graph.diagnose()
    assert diagnosis.unread and diagnosis.to_dict()["unread"] == list(diagnosis.unread)
    limits = f"Not looked for in all of the graph: {', '.join(diagnosis.unread)} ({graph.not_kept})"
    assert limits in " ".join(str(diagnosis).split())


def test_an_explanation_is_that_of_the_full_graph_or_is_refused(bare: GradGraph, full: GradGraph) -> None:
    assert str(bare.explain("weight")).replace(", elements not kept", "") == str(full.explain("weight"))
    hidden = bare.nodes[next(node for node, kept in bare.nodes(data="cotangent") if isinstance(kept, StandIn))]["name"]
    with pytest.raises(NotKeptError, match="only statistics"):
        bare.explain(hidden)


def test_a_gradient_step_runs_the_same_calls_or_is_refused(bare: GradGraph) -> None:
    rows = torch.randn(40, 30)
    full, graph = (trace(lambda: ((rows @ weight + 1) * 2).square().mean(), values=v) for v in ("full", "statistics"))
    assert graph.not_kept and str(graph.step(0.01)) == str(full.step(0.01))
    with pytest.raises(NotKeptError, match="only statistics"):  # of numbers that were drawn on the way
        bare.step(0.01)


def test_a_comparison_uses_statistics_and_counts_them(bare: GradGraph, full: GradGraph) -> None:
    alike = bare.compare(full)
    assert not alike.differences and alike.summed == 11 and "11 of them by their statistics only" in str(alike)
    with torch.no_grad():
        weight.mul_(1.5)
    try:
        moved = trace(step, values="statistics")
    finally:
        with torch.no_grad():
            weight.div_(1.5)
    first = moved.compare(full).differences[0]
    assert first.name == full.compare(moved).differences[0].name == "weight"
    assert any(isinstance(bare.nodes[one.node]["value"], StandIn) for one in moved.compare(full).differences if one.node)


def test_a_saved_graph_keeps_the_statistics(bare: GradGraph, tmp_path: Path) -> None:
    bare.save(tmp_path / "g.gradviz")
    again = gradviz.load(tmp_path / "g.gradviz")
    assert again.not_kept == bare.not_kept
    assert [again.statistics(node) for node in again] == [bare.statistics(node) for node in bare]
    assert not bare.compare(again).differences
    for node, attributes in again.nodes(data=True):
        if attributes["call"] is not None and isinstance(attributes["value"], StandIn):
            assert attributes["call"].outputs[0] is attributes["value"], node
    again.save(tmp_path / "again.gradviz")
    assert gradviz.load(tmp_path / "again.gradviz").not_kept == bare.not_kept
    with pytest.raises(NotKeptError):
        _ = next(kept for _, kept in again.nodes(data="value") if isinstance(kept, StandIn)) + 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('\\"zeros\\", 0', '\\"zeros\\", 5000'),
        ('\\"nans\\", 0', '\\"nans\\", \\"none\\"'),
        ('\\"count\\", 1200', '\\"count\\", 1201'),
        ('\\"number\\": 0', '\\"number\\": -1'),
    ],
)
def test_statistics_of_a_damaged_file_are_refused(bare: GradGraph, tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "g.gradviz"
    bare.save(path)
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + size].replace(old.encode(), new.encode())
    assert header != content[8 : 8 + size]
    path.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + size :])
    with pytest.raises(InputError, match="a statistics in the file cannot be read"):
        gradviz.load(path)


def test_json_says_what_was_not_kept(bare: GradGraph, full: GradGraph) -> None:
    nodes = [graph_document(graph, "step")["nodes"] for graph in (bare, full)]
    pairs = [(one["value"], other["value"]) for one, other in zip(*nodes, strict=True)]
    missing = [(one, other) for one, other in pairs if one and "not_kept" in one]
    assert len(missing) == 5
    for one, other in missing:
        assert one["values"] is None and one["not_kept"] == REASON
        assert [one[key] for key in ("mean", "min", "max")] == pytest.approx([other[key] for key in ("mean", "min", "max")])


def test_the_command_line_has_the_option(tmp_path: Path) -> None:
    code = "import torch\nw = torch.ones(40, 40, requires_grad=True)\ndef step():\n    return ((w + 1) * 2).add(1).sum()\n"
    (tmp_path / "train.py").write_text(code)
    target = f"{tmp_path / 'train.py'}:step"
    for given, said in (("statistics", 'values="statistics"'), ("2KB", "the budget of 1.953 KiB"), ("1GiB", "")):
        result = CliRunner().invoke(main, ["trace", target, "--values", given])
        assert result.exit_code == 0 and ("Kept as statistics" in result.output) == bool(said) and said in result.output
    result = CliRunner().invoke(main, ["check", target, "--values", "much"])
    assert result.exit_code == 2 and "such as \"500MB\", \"512MiB\"" in result.output
