"""The address and the widgets that follow it, run by Streamlit's own test runner. No browser."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import ElementTree
from test_expression_page import fields

from gradviz.app import link


@dataclass
class History:
    """What Streamlit says of a run: whether the visitor went back or forward."""

    is_history_navigation: bool = False


def app_with(monkeypatch: pytest.MonkeyPatch, **address: str | list[str]) -> tuple[AppTest, History]:
    def run() -> None:
        from gradviz.app.router import main

        main()

    history = History()
    monkeypatch.setattr(link, "get_script_run_ctx", lambda: history)
    app = AppTest.from_function(run, default_timeout=60)
    return visited(app, **address), history


def visited(app: AppTest, **address: str | list[str]) -> AppTest:
    app.query_params.clear()
    app.query_params.update(address)
    return app.run()


def sending_all(page: AppTest | ElementTree) -> None:
    """Lets the page send what each widget shows, as a browser does, also when the session no longer knows of it."""
    for kind in ("text_input", "button_group", "selectbox", "slider"):
        for widget in page.get(kind):
            widget.set_value(widget.value)


def address(app: AppTest) -> dict[str, object]:
    return dict(app.query_params)


def test_what_is_sent_by_the_page_that_was_left_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    app, history = app_with(monkeypatch, expression="u*v", at=["u=4", "v=7"], direction="BT")
    app.button_group[1].set_value("LR")
    app.text_input[1].set_value("5").run()
    assert address(app) == {"expression": "u*v", "at": ["u=5", "v=7"], "direction": "LR"}
    left = app.text_input[0]
    sending_all(app)
    history.is_history_navigation = True
    visited(app, expression="u+w", at=["u=1", "w=2"])
    history.is_history_navigation = False
    assert fields(app) == ["u+w", "1", "2"]

    left.run()

    assert fields(app) == ["u+w", "1", "2"]
    assert address(app) == {"expression": "u+w", "at": ["u=1", "w=2"]}


def test_a_slider_that_was_replaced_meanwhile_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    app, _ = app_with(monkeypatch, expression="u^2", at=["u=4"])
    (replaced,) = app.slider
    app.run().text_input[1].set_value("7").run()
    replaced.set_value(4.0)
    sending_all(replaced.root)
    replaced.run()
    assert not app.exception and fields(app) == ["u^2", "7"]


def test_an_expression_that_was_left_for_a_model_by_going_back_is_there_again(monkeypatch: pytest.MonkeyPatch) -> None:
    app, history = app_with(monkeypatch, expression="u*v", at=["u=4", "v=7"])
    history.is_history_navigation = True
    visited(app, page="model", model="perceptron")
    history.is_history_navigation = False
    assert not fields(app)
    app.button_group[0].set_value("expression").run()
    assert fields(app) == ["u*v", "4", "7"]


def test_a_run_that_was_broken_off_no_longer_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [History(), History()]
    running = runs[0]
    state: dict[str, object] = {"link": link._Link(wanted={}, told={})}
    told: dict[str, list[str]] = {}
    monkeypatch.setattr(link, "get_script_run_ctx", lambda: running)
    monkeypatch.setattr(link.st, "session_state", state)
    monkeypatch.setattr(link.st, "query_params", type("Params", (), {"from_dict": staticmethod(told.update)}))
    broken_off, after = link.written_link(), link.written_link()
    broken_off.__enter__()
    running = runs[1]
    after.__enter__()
    link.write_link({"selected": ["node_2"]})
    running = runs[0]
    link.write_link({"selected": ["node_1"]})
    broken_off.__exit__(InterruptedError, InterruptedError(), None)
    running = runs[1]
    assert told == {}
    after.__exit__(None, None, None)
    assert told == {"selected": ["node_2"]}
