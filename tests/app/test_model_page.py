"""The model page, run by Streamlit's own test runner: gallery, links, groups and devices. No browser."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from model_pages import exploring, finished, page
from streamlit.testing.v1 import AppTest
from test_expression_page import text_of
from test_saved_traces import saved

import gradviz
from gradviz.app import model, panels, work
from gradviz.app.exploring import Exploring
from gradviz.app.shown import Look, Shown, picture
from gradviz.models import MODELS
from gradviz.player import Player
from gradviz.view import Folding


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


def test_a_link_to_a_model_that_is_not_there_is_said_until_another_one_is_chosen() -> None:
    app = page(model="ResNet <b>")
    assert [warning.value for warning in app.warning] == [
        "There is no model “ResNet \\<b\\>”, which the address asks for; this is “perceptron” instead."
    ]
    app = app.run()
    assert app.warning and app.selectbox[0].value == "perceptron"
    app.selectbox[0].select("LSTM").run()
    assert not app.warning
    assert not page(model="LSTM").warning and not page().warning


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
    (device,) = [group for group in page(device="cpu").get("button_group") if group.label == "Device"]
    assert device.value == "cpu"
    work._jobs.clear()


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


def test_a_check_that_is_stopped_leaves_the_graph_and_can_be_begun_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(*_: Any, progress: Any, **__: Any) -> None:
        while True:
            progress(1, 2, "a node")
            time.sleep(0.001)

    work._jobs.clear()
    with monkeypatch.context() as slow:
        slow.setattr(gradviz.GradGraph, "check", endless)
        app = page(patience_s=0)
        while work._jobs["perceptron on cpu"].shown is None:
            time.sleep(0.001)
        (stop,) = [button for button in app.run().button if button.label == "Stop"]
        app = stop.click().run()
    assert not app.exception and app.error[0].value.startswith("stopped as asked")
    assert "Diagnosis" not in text_of(app)
    assert exploring(app).is_drawn and "Stop" not in {button.label for button in app.button}
    (again,) = [button for button in app.button if button.label == "Trace again"]
    app = finished(again.click().run())
    assert not app.error and "6 edges: 6 match (symbolic)" in text_of(app)
    assert "Trace again" not in {button.label for button in app.button}


def test_steps_of_a_large_model_are_those_of_its_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[Player] = []
    monkeypatch.setattr(panels, "stepper", lambda player, key: steps.append(player))
    app = page(model="LSTM", panel="steps")
    assert not app.exception and not app.error
    assert "The graph has 136 nodes: each group, as it is drawn at first, is one step." in text_of(app)
    assert "8 × cell passes on what arrived" in str(steps[-1].data["frames"])


def test_findings_are_not_none_before_there_is_a_diagnosis() -> None:
    def run(shown: object, view: object, exploring: object) -> None:
        from gradviz.app.lists import findings_list

        findings_list(shown, view, exploring)

    graph = gradviz.trace("x*y", x=2.0, y=3.0, device="cpu")
    for findings, told in ((None, "There is no diagnosis of this graph, or not yet."), ((), "Nothing found")):
        given = (Shown(key="", graph=graph, findings=findings), graph.view(), Exploring())
        assert told in text_of(AppTest.from_function(run, default_timeout=60, args=given).run())


def test_a_saved_trace_has_no_check_to_stop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    free = threading.Event()
    monkeypatch.setattr(work.Job, "run", lambda job, make: free.wait(60))
    app = page(patience_s=0)
    app.file_uploader[0].set_value(("run.gradviz", saved(tmp_path), "")).run()
    free.set()
    assert "waiting for its turn" in app.get("progress")[0].proto.text
    assert "Stop" not in {button.label for button in app.button}
    work._jobs.clear()


def test_the_picture_names_the_gestures_of_the_page_and_no_call_in_python() -> None:
    module, inputs, loss = MODELS["LSTM"]()
    graph = gradviz.trace(module, *inputs, loss=loss, device="cpu")
    drawn = picture(Shown(key="words", graph=graph), Look())
    assert "inside groups; a double click or + opens one, “every op” all" in " ".join(drawn.view.notes)
    assert "a double click or + opens one" in drawn.svg and "view(" not in drawn.svg


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
