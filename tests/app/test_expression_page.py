"""The expression page, run by Streamlit's own test runner: widgets in, picture, table and sentences out."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import gradviz

APP = Path(gradviz.__file__).parent / "app"


def page() -> AppTest:
    def run() -> None:
        from gradviz.app.expression import expression_page

        expression_page()

    return AppTest.from_function(run, default_timeout=60).run()


def written(app: AppTest) -> str:
    return "\n".join(block.value for block in app.code)


def test_page_opens_on_a_worked_example_with_its_check() -> None:
    app = page()
    assert not app.exception and not app.error
    assert [field.value for field in app.text_input] == ["x*y + sin(pi*x)", "2", "3"]
    assert "6 edges: 6 match (symbolic)" in written(app)


def test_changed_value_changes_the_check() -> None:
    app = page()
    app.text_input[1].set_value("0.5").run()
    assert not app.exception and "0.5" in written(app) and "cos(b)" in written(app)


@pytest.mark.parametrize("example", ["tanh(ln(1 + z·2x / sin y))", "(y − tanh(wx + b))²", "‖σ(Ax + b)‖"])
def test_every_example_is_checked_without_mismatch(example: str) -> None:
    app = page()
    app.selectbox[0].select(example).run()
    assert not app.exception and not app.error
    assert "MISMATCH" not in written(app) and "match" in written(app)


def test_unreadable_text_is_a_sentence_with_a_caret() -> None:
    app = page()
    app.text_input[0].set_value("x*y + sinn(pi*x)").run()
    assert not app.exception
    assert "unknown function 'sinn' at column 7" in app.error[0].value
    assert written(app).splitlines()[1].index("^") == written(app).splitlines()[0].index("sinn")


def test_unreadable_value_is_a_sentence_beside_its_field() -> None:
    app = page()
    app.text_input[1].set_value("two").run()
    assert not app.exception and "x: 'two' is neither a number nor a nested list" in app.error[0].value


def test_shape_error_is_a_sentence() -> None:
    app = page()
    app.text_input[0].set_value("A @ x").run()
    app.text_input[1].set_value("[[1, 2]]").run()
    app.text_input[2].set_value("[1, 2, 3]").run()
    assert not app.exception and app.error


def test_no_page_evaluates_text() -> None:
    for path in APP.rglob("*.py"):
        calls = {
            node.func.id
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert calls.isdisjoint({"eval", "exec", "sympify", "compile", "__import__"}), path.name
