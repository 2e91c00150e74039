"""The expression page, run by Streamlit's own test runner: widgets in, picture, table and sentences out."""

from __future__ import annotations

import ast
import base64
import re
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import gradviz
from gradviz.render import theme_named

APP = Path(gradviz.__file__).parent / "app"


def page() -> AppTest:
    def run() -> None:
        from gradviz.app.expression import expression_page

        expression_page()

    return AppTest.from_function(run, default_timeout=60).run()


def pages(app: AppTest) -> list[str]:
    """The blocks of HTML on the page: the picture, then the tables."""
    return [block.proto.body for block in app.get("html")]


def picture(app: AppTest) -> str:
    encoded = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', pages(app)[0])
    return base64.b64decode(encoded[0]).decode()


def test_page_opens_on_a_worked_example_with_its_check() -> None:
    app = page()
    assert not app.exception and not app.error
    assert [app.text_area[0].value, *(field.value for field in app.text_input)] == ["x*y + sin(pi*x)", "2", "3"]
    assert "6 edges: 6 match (symbolic)" in app.markdown[0].value
    assert picture(app).startswith("<svg ") and "y + π·cos(π·x)" in pages(app)[1]


def test_changed_value_changes_the_check() -> None:
    app = page()
    app.text_input[0].set_value("0.5").run()
    assert not app.exception and '<td class="autograd">0.5</td>' in pages(app)[1] and "cos(b)" in pages(app)[1]
    assert app.selectbox[0].value == "x·y + sin(πx)"


@pytest.mark.parametrize("example", ["tanh(ln(1 + z·2x / sin y))", "(y − tanh(wx + b))²", "‖σ(Ax + b)‖"])
def test_every_example_is_checked_without_mismatch(example: str) -> None:
    app = page()
    app.selectbox[0].select(example).run()
    assert not app.exception and not app.error
    assert 'class="match"' in pages(app)[1] and 'class="mismatch"' not in pages(app)[1]


def test_an_edited_text_is_no_example_any_more_and_keeps_its_values() -> None:
    app = page()
    app.text_area[0].set_value("x*y").run()
    assert app.selectbox[0].value is None
    assert [field.value for field in app.text_input] == ["2", "3"]
    app.selectbox[0].select("(y − tanh(wx + b))²").run()
    assert app.text_area[0].value == "(y - tanh(wx+b))^2"
    assert [field.value for field in app.text_input] == ["1", "0.5", "2", "-0.25"]


def test_a_wide_picture_shrinks_only_as_far_as_it_can_be_read() -> None:
    app = page()
    points = float(re.findall(r'width="(\d+)pt"', picture(app))[0])
    assert f"max-width: 100%; min-width: {0.7 * points:.0f}pt" in pages(app)[0] and "overflow: auto" in pages(app)[0]
    app.toggle[0].set_value(True).run()
    assert "max-width: none" in pages(app)[0] and "min-width" not in pages(app)[0]


@pytest.mark.parametrize("theme", ["light", "dark", "slides"])
def test_the_picture_has_the_theme_that_is_asked_for(theme: str) -> None:
    app = page()
    assert app.selectbox[1].value is None
    app.selectbox[1].select(theme).run()
    drawn = gradviz.trace("x*y + sin(pi*x)", x=2, y=3).view(theme=theme)  # type: ignore[arg-type]
    assert f'fill="{theme_named(drawn.theme).background}"' in picture(app)


def test_the_picture_can_be_downloaded() -> None:
    buttons = page().get("download_button")
    assert [button.proto.label for button in buttons] == ["SVG", "PNG", "PDF"]


def test_a_value_nested_beyond_all_sense_is_a_sentence() -> None:
    app = page()
    app.text_input[0].set_value("[" * 9_000).run()
    assert not app.exception and "is neither a number such as 2" in app.error[0].value


def test_unreadable_text_is_a_sentence_with_a_caret() -> None:
    app = page()
    app.text_area[0].set_value("x*y + sinn(pi*x)").run()
    assert not app.exception
    assert "unknown function 'sinn' at column 7" in app.error[0].value
    line, caret = app.code[0].value.splitlines()
    assert caret.index("^") == line.index("sinn")


def test_unreadable_value_is_a_sentence_beside_its_field() -> None:
    app = page()
    app.text_input[0].set_value("two").run()
    assert not app.exception and "x: 'two' is neither a number such as 2" in app.error[0].value


def test_shape_error_is_a_sentence() -> None:
    app = page()
    app.text_area[0].set_value("A @ x").run()
    app.text_input[0].set_value("[[1, 2]]").run()
    app.text_input[1].set_value("[1, 2, 3]").run()
    assert not app.exception and app.error


def test_no_page_evaluates_text() -> None:
    for path in APP.rglob("*.py"):
        calls = {
            node.func.id
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert calls.isdisjoint({"eval", "exec", "sympify", "compile", "__import__"}), path.name
