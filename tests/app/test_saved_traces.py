"""Saved traces on the model page: opened, shown to their session only, refused where they are crafted or too large."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from model_pages import exploring, finished, page
from test_expression_page import text_of
from test_link import sending_all

import gradviz
from gradviz.app import model
from gradviz.models import MODELS


def saved(tmp_path: Path) -> bytes:
    gradviz.trace("x*y", x=2.0, y=3.0, device="cpu").save(tmp_path / "run.gradviz")
    return (tmp_path / "run.gradviz").read_bytes()


def test_a_saved_trace_is_opened_and_belongs_to_its_session(tmp_path: Path) -> None:
    app = page()
    app.file_uploader[0].set_value(("run.gradviz", saved(tmp_path), "")).run()
    finished(app)
    assert not app.exception and not app.error
    assert app.selectbox[0].value == model.SAVED and "model" not in app.query_params
    assert "run `gradviz check` on the code" in text_of(app)
    graph = app.session_state["model opened"][1].shown.graph
    assert graph.is_loaded and graph.gradients()["x"] == 3.0
    assert page().selectbox[0].options == list(MODELS)
    app.selectbox[0].select("perceptron").run()
    assert app.selectbox[0].options == ["run.gradviz", *MODELS] and not app.exception


def test_a_late_word_of_the_model_from_before_takes_no_selection_away(tmp_path: Path) -> None:
    app = page()
    before = app.selectbox[0]
    sending_all(app)
    app.run().file_uploader[0].set_value(("run.gradviz", saved(tmp_path), "")).run()
    exploring(finished(app)).select("node_1")
    before.run()
    assert exploring(app).selected == "node_1" and app.selectbox[0].value == model.SAVED


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
