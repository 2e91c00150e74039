"""The model page, run by Streamlit's own test runner: gallery, target, saved traces, findings and modules. No browser."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from streamlit.testing.v1 import AppTest
from test_expression_page import text_of

import gradviz
from gradviz.app import model, work
from gradviz.app.exploring import Exploring
from gradviz.app.shown import RADIUS, Look, Shown
from gradviz.models import MODELS
from gradviz.view import Folding

TARGET = """
import torch

def step():
    x = torch.ones(16, 1, requires_grad=True)
    return (x * 2 - torch.zeros(16)).square().mean()

def broken():
    raise ValueError("no data today")

def endless():
    while True:
        pass
"""


def page(*opened_with: str, patience_s: float = 60, **link: str | list[str]) -> AppTest:
    """The page when all is traced and checked."""

    def run() -> None:
        from gradviz.app.model import model_page

        model_page()

    app = AppTest.from_function(run, default_timeout=60)
    app.session_state["opened with"] = opened_with
    for name, value in link.items():
        app.query_params[name] = value
    return finished(app.run(), patience_s)


def finished(app: AppTest, patience_s: float = 60) -> AppTest:
    """Waits for the background."""
    last = time.monotonic() + patience_s
    while any(not job.ended for job in jobs(app)) and time.monotonic() < last:
        time.sleep(0.02)
    return app.run()


def jobs(app: AppTest) -> list[work.Job]:
    opened = [app.session_state["model opened"][1]] if "model opened" in app.session_state else []
    return [*work._jobs.values(), *opened]


def exploring(app: AppTest) -> Exploring:
    found: Exploring = app.session_state["model exploring"]
    return found


@pytest.fixture
def target(tmp_path: Path) -> str:
    path = tmp_path / "train.py"
    path.write_text(TARGET)
    return str(path)


def test_every_model_of_the_gallery_can_be_chosen_and_the_first_one_is_checked() -> None:
    app = page()
    assert not app.exception and not app.error
    assert app.selectbox[0].options == list(MODELS) and app.selectbox[0].value == "perceptron"
    assert "6 edges: 6 match (symbolic)" in text_of(app)
    assert app.query_params["model"] == "perceptron"


def test_a_link_brings_model_groups_and_selection() -> None:
    app = page(model="LSTM", unfold="cell@2", selected="box_0")
    assert app.selectbox[0].value == "LSTM"
    assert ">cell@2</div>" in text_of(app) and "opened call" in text_of(app)
    assert app.query_params["unfold"] == "cell@2"
    app.button[-1].click().run()  # fold it
    assert "unfold" not in app.query_params and not app.exception
    assert "8 calls that are alike" in text_of(app)


def test_another_model_starts_with_nothing_selected_or_opened() -> None:
    app = page(model="LSTM", unfold="cell@2")
    app.selectbox[0].select("perceptron").run()
    finished(app)
    assert not app.exception and not app.error
    assert (exploring(app).selected, exploring(app).folding) == ("", Folding()) and "unfold" not in app.query_params


def test_what_a_link_opens_and_the_graph_does_not_have_is_a_sentence_once() -> None:
    app = page(model="LSTM", unfold="<script>")
    assert not app.exception
    app = app.run()
    assert not app.error and exploring(app).folding.unfold == ()


def test_a_group_says_what_is_in_it_and_opens() -> None:
    module, inputs, loss = MODELS["LSTM"]()
    group = gradviz.trace(module, *inputs, loss=loss, device="cpu").view().groups[0].id
    app = page(model="LSTM", selected=group)
    found = text_of(app)
    assert "8 calls that are alike" in found and "120 ops" in found and "match</b> inside" in found
    app.selectbox(key=f"call of {group}").select("cell@3").run()
    app.button[-1].click().run()
    assert exploring(app).folding.unfold == ("cell@3",) and exploring(app).selected == "box_0"


def test_the_target_of_the_command_line_comes_first_with_its_findings(target: str) -> None:
    app = page(f"{target}:step", beside="findings")
    assert app.selectbox[0].value == f"{target}:step" and not app.error
    assert "1 error." in text_of(app) and "edges: " in text_of(app)


def test_a_finding_leads_to_its_node() -> None:
    graph = gradviz.trace("log(x - x)", x=2.0, device="cpu")
    shown = Exploring()
    finding = graph.diagnose()[0]
    assert finding.node is not None
    shown.go_to(finding.node, graph.view(), graph)
    assert shown == Exploring(selected=f"node_{finding.node}", given=2)


def test_a_node_inside_a_group_is_unfolded_when_it_is_gone_to() -> None:
    module, inputs, loss = MODELS["LSTM"]()
    graph = gradviz.trace(module, *inputs, loss=loss, device="cpu")
    shown, view = Exploring(), graph.view()
    node = view.groups[0].nodes[40]
    shown.go_to(node, view, graph)
    assert f"node_{node}" in {one.id for one in graph.view(unfold=shown.folding.unfold).nodes}


def test_a_node_in_what_does_not_open_is_drawn_with_its_surroundings() -> None:
    x = torch.tensor(0.5, requires_grad=True)

    def chain() -> torch.Tensor:
        y = x
        for _ in range(60):
            y = torch.sin(y) * 1.01
        return y

    graph = gradviz.trace(chain)
    shown, view = Exploring(), graph.view()
    closed = next(group.nodes for group in view.groups if not group.opens)
    node = closed[len(closed) // 2]
    shown.go_to(node, view, graph)
    drawn = {one.id for one in graph.view(**Look(around=shown.around).options(Shown(key="", graph=graph))).nodes}
    assert shown.selected in drawn and len(drawn) == 2 * RADIUS + 1 and not shown.is_drawn


def test_a_link_brings_the_part_around_a_node_and_a_button_the_whole_graph() -> None:
    app = page(model="LSTM", around="f1", detail="ops")
    assert not app.exception and app.query_params["around"] == "f1"
    (whole,) = [button for button in app.button if button.label == "Whole graph"]
    whole.click().run()
    assert "around" not in app.query_params and not app.exception
    app = page(model="LSTM", around="<script>")
    assert not app.exception and exploring(app).around == "" and "around" not in app.query_params


def test_without_cuda_there_is_no_device_to_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [group.label for group in page().get("button_group")].count("Device") == 0


def test_where_there_is_cuda_it_is_chosen_first_and_traced_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def traced(module: torch.nn.Module, *inputs: torch.Tensor, loss: Any, device: str) -> gradviz.GradGraph:
        asked.append(device)
        return gradviz.trace("x*y", x=2.0, y=3.0, device="cpu")

    work._jobs.clear()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(model, "trace", traced)
    app = page()
    (device,) = [group for group in app.get("button_group") if group.label == "Device"]
    assert device.options == ["CUDA", "CPU"] and device.value == "cuda" and asked == ["cuda"]
    device.select("cpu").run()
    app = finished(app)
    assert asked == ["cuda", "cpu"] and app.query_params["device"] == "cpu" and not app.exception
    assert page(device="cpu").session_state["device"] == "cpu"
    work._jobs.clear()


def test_the_target_is_traced_on_the_device_that_is_chosen(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def traced(name: str, *, device: str) -> gradviz.GradGraph:
        asked.append(device)
        return gradviz.trace("x*y", x=2.0, y=3.0, device="cpu")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(model, "graph_of_target", traced)
    assert not page(f"{target}:step").error and asked == ["cuda"]


def test_a_device_that_fails_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any, **__: Any) -> gradviz.GradGraph:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    work._jobs.clear()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(model, "trace", failing)
    app = page()
    told = app.error[0].value.replace("\\", "")
    assert told == "this cannot be traced here: OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
    assert not app.exception
    work._jobs.clear()


def test_a_target_that_fails_is_a_sentence_and_can_be_traced_again(target: str) -> None:
    app = page(f"{target}:broken")
    assert not app.exception
    assert "broken failed: ValueError: no data today" in app.error[0].value.replace("\\", "")
    Path(target).write_text(TARGET.replace('raise ValueError("no data today")', "return step()"))
    app = finished(app.button[0].click().run())
    assert not app.error and not app.exception


def test_a_target_that_never_ends_can_be_stopped(target: str) -> None:
    app = page(f"{target}:endless", patience_s=0)
    (stop,) = [button for button in app.button if button.label == "Stop"]
    app = finished(stop.click().run())
    assert not app.exception and "stopped as asked; “Trace again” runs the file anew" in app.error[0].value
    assert "Stop" not in {button.label for button in app.button}


def test_what_is_not_of_the_command_line_cannot_be_stopped_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    free = threading.Event()
    monkeypatch.setattr(work.Job, "run", lambda job, make: free.wait(60))
    work._jobs.clear()
    app = page(patience_s=0)
    free.set()
    assert "waiting for its turn" in app.get("progress")[0].proto.text and not app.button
    work._jobs.clear()


def test_the_run_that_draws_the_page_is_never_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it says of widgets would not reach the browser, which would then show, and send, the first choice."""
    module, inputs, loss = MODELS["LSTM"]()
    graph = gradviz.trace(module, *inputs, loss=loss, device="cpu")
    key, reruns = "LSTM on cpu", list[None]()
    checking = work.Job(key=key, shown=Shown(key=key, graph=graph))
    work._jobs[key] = checking
    monkeypatch.setattr(model.st, "rerun", lambda: reruns.append(None))
    app = page(patience_s=0, model="LSTM")
    assert app.selectbox[0].value == "LSTM" and app.get("progress") and reruns == []
    work._jobs.clear()


def test_a_link_names_no_file(target: str) -> None:
    app = page(model=f"{target}:step")
    assert app.selectbox[0].value == "perceptron"


def saved(tmp_path: Path) -> bytes:
    gradviz.trace("x*y", x=2.0, y=3.0, device="cpu").save(tmp_path / "run.gradviz")
    return (tmp_path / "run.gradviz").read_bytes()


def test_a_saved_trace_is_opened_and_belongs_to_its_session(tmp_path: Path) -> None:
    app = page()
    app.file_uploader[0].set_value(("run.gradviz", saved(tmp_path), "")).run()
    finished(app)
    assert not app.exception and not app.error
    assert app.selectbox[0].value == model.SAVED and "model" not in app.query_params
    assert "There is no check of this graph" in text_of(app)
    graph = app.session_state["model opened"][1].shown.graph
    assert graph.is_loaded and graph.gradients()["x"] == 3.0
    assert page().selectbox[0].options == list(MODELS)
    app.selectbox[0].select("perceptron").run()
    assert app.selectbox[0].options == ["run.gradviz", *MODELS] and not app.exception


CRAFTED = {
    "empty": b"",
    "pickle": b"\x80\x04cos\nsystem\n(S'touch owned'\ntR.",
    "huge header": b"\xff" * 4_000,
    "no graph": b"\x02\x00\x00\x00\x00\x00\x00\x00{}",
}


@pytest.mark.parametrize("content", CRAFTED.values(), ids=CRAFTED)
def test_a_crafted_file_is_a_sentence_that_names_it_and_no_path_of_ours(content: bytes) -> None:
    app = page()
    app.file_uploader[0].set_value(("../../<b>.gradviz", content, "")).run()
    assert not app.exception and app.selectbox[0].value == "perceptron"
    told = app.error[0].value.replace("\\", "")
    assert told.startswith("'../../<b>.gradviz' is ") and "uploaded.gradviz" not in told
    app.selectbox[0].select("LSTM").run()
    assert not app.exception


def test_a_file_whose_names_are_markup_is_shown_with_them_as_text(tmp_path: Path) -> None:
    nasty = "</script><img src=x onerror=alert(1)>`$\\input{secret}$`"
    saved_graph = tmp_path / "named.gradviz"
    gradviz.trace("zzzzz*y", zzzzz=2.0, y=3.0, device="cpu").save(saved_graph)
    content = saved_graph.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = renamed(json.loads(content[8 : 8 + length]), nasty)
    written = json.dumps(header).encode()
    written += b" " * (-len(written) % 8)
    app = page(selected="node_0", panel="derivation")
    content = len(written).to_bytes(8, "little") + written + content[8 + length :]
    app.file_uploader[0].set_value(("named.gradviz", content, ""))
    app = finished(app.run())
    exploring(app).select("node_0")
    app.run()
    assert not app.exception and not app.error and "&lt;/script&gt;&lt;img" in text_of(app)
    assert "<img src=x" not in "".join(block.proto.body for block in app.get("html"))
    graph = app.session_state["model opened"][1].shown.graph
    assert r"\input" not in graph.explain(next(iter(graph.leaves))).latex


def renamed(header: Any, name: str) -> Any:
    """The header of a file, in which the leaf zzzzz has another name; the graph is JSON within JSON."""
    if isinstance(header, str):
        return header.replace("zzzzz", json.dumps(name)[1:-1] if header.startswith("{") else name)
    if isinstance(header, dict):
        return {key: renamed(value, name) for key, value in header.items()}
    return [renamed(value, name) for value in header] if isinstance(header, list) else header


def test_a_file_with_a_changed_graph_is_a_sentence(tmp_path: Path) -> None:
    content = saved(tmp_path).replace(b"x\\u00b7y", b"x" * 6).replace(b"leaf", b"LEAF")
    app = page()
    app.file_uploader[0].set_value(("run.gradviz", content, "")).run()
    assert not app.exception and "is damaged or was not made by gradviz" in app.error[0].value


def test_a_file_over_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = page()
    monkeypatch.setattr(model, "MAX_FILE_BYTES", 1_000)
    app.file_uploader[0].set_value(("run.gradviz", saved(tmp_path), "")).run()
    assert not app.exception
    assert "accepted: up to 1000" in app.error[0].value.replace("\\", "")


def test_a_node_that_the_picture_leaves_out_is_inspected_all_the_same() -> None:
    def run(graph: object, view: object, exploring: object) -> None:
        from gradviz.app.inspector import inspector
        from gradviz.app.lists import findings_list
        from gradviz.app.shown import Shown

        shown = Shown(key="part", graph=graph, findings=tuple(graph.diagnose()))
        inspector(shown, view, exploring)
        findings_list(shown, view, exploring)

    graph = gradviz.trace("log(x - x) * sin(y) * cos(y) * tanh(y)", x=2.0, y=3.0, device="cpu")
    whole = graph.view()
    node = graph.diagnose()[0].node
    assert node is not None
    part = dataclasses.replace(whole, nodes=tuple(one for one in whole.nodes if one.node != node))
    for view, is_told in ((part, True), (whole, False)):
        given = (graph, view, Exploring(selected=f"node_{node}"))
        app = AppTest.from_function(run, default_timeout=60, args=given).run()
        assert not app.exception and f">{graph.nodes[node]['name']}</div>" in text_of(app)
        assert ("This node is not on the picture" in text_of(app)) == is_told
        assert ("“Selected” tells what is known of it" in text_of(app)) == is_told
