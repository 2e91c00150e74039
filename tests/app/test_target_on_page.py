"""The function that the app was started with, on the model page: traced, stopped, traced again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from model_pages import finished, page
from test_expression_page import text_of

import gradviz
from gradviz.app import model
from gradviz.target import graph_of_target

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


@pytest.fixture
def target(tmp_path: Path) -> str:
    path = tmp_path / "train.py"
    path.write_text(TARGET)
    return str(path)


def test_the_target_of_the_command_line_comes_first_with_its_findings(target: str) -> None:
    app = page(f"{target}:step", beside="findings")
    assert app.selectbox[0].value == f"{target}:step" and not app.error
    assert "1 error." in text_of(app) and "edges: " in text_of(app)


def test_a_saved_trace_may_be_the_target(target: str, tmp_path: Path) -> None:
    saved = str(tmp_path / "step.gradviz")
    graph_of_target(f"{target}:step").save(saved)
    app = page(saved, beside="findings")
    assert app.selectbox[0].value == saved and not app.error and not app.exception
    assert "1 error" in text_of(app)


def test_the_target_is_traced_on_the_device_that_is_chosen(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def traced(name: str, *, device: str) -> gradviz.GradGraph:
        asked.append(device)
        return gradviz.trace("x*y", x=2.0, y=3.0, device="cpu")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(model, "graph_of_target", traced)
    assert not page(f"{target}:step").error and asked == ["cuda"]


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
    assert not app.exception and "stopped as asked; “Trace again” begins anew" in app.error[0].value
    assert "Stop" not in {button.label for button in app.button}


def test_a_link_names_no_file(target: str) -> None:
    app = page(model=f"{target}:step")
    assert app.selectbox[0].value == "perceptron"
