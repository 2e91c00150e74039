"""The expression page, run by Streamlit's own test runner: widgets in, inspector, tables and sentences out. No browser."""

from __future__ import annotations

import ast
import html
import json
import re
from pathlib import Path

import pytest
from streamlit.proto.SelectWidgetFilterMode_pb2 import SelectWidgetFilterMode
from streamlit.testing.v1 import AppTest

import gradviz
from gradviz.app import inspector, panels
from gradviz.app.examples import EXAMPLES

APP = Path(gradviz.__file__).parent / "app"


def page(**link: str | list[str]) -> AppTest:
    def run() -> None:
        from gradviz.app.expression import expression_page

        expression_page()

    app = AppTest.from_function(run, default_timeout=60)
    for name, value in link.items():
        app.query_params[name] = value
    return app.run()


def text_of(app: AppTest) -> str:
    """Everything that is HTML, Markdown or LaTeX on the page."""
    blocks = [block.proto.body for kind in ("html", "markdown", "caption") for block in app.get(kind)]
    return "\n".join([*blocks, *(block.value for block in app.get("latex"))])


def refusals(app: AppTest) -> list[str]:
    """The sentences that say what is not accepted: below a field, or in a box."""
    below = re.findall(r'role="alert">(.*?)</div>', text_of(app))
    return [*map(html.unescape, below), *(error.value.replace("\\", "") for error in app.error)]


def fields(app: AppTest) -> list[str]:
    """Expression and values, as typed."""
    return [str(field.value) for field in app.text_input]


def select(app: AppTest, view_id: str) -> AppTest:
    """What a click on the canvas does to the session."""
    app.session_state["expression exploring"].happened({"kind": "select", "what": view_id}, None)
    return app.run()


def test_page_opens_on_a_worked_example_with_its_check() -> None:
    app = page()
    assert not app.exception and not app.error
    assert fields(app) == ["x*y + sin(pi*x)", "2", "3"]
    assert "Click a value or an arrow" in text_of(app)


def test_the_script_at_the_top_shows_the_same_page() -> None:
    app = AppTest.from_file(str(APP.parent.parent / "app.py"), default_timeout=60).run()
    assert not app.exception and not app.error
    assert fields(app) == ["x*y + sin(pi*x)", "2", "3"]


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_checked_without_mismatch(example: str) -> None:
    app = page(panel="check")
    assert "6 edges: 6 match (symbolic)" in text_of(app) and "y + π·cos(π·x)" in text_of(app)
    app.selectbox[0].select(example).run()
    assert not app.exception and not app.error
    assert 'class="match"' in text_of(app) and 'class="mismatch"' not in text_of(app)


def test_a_selected_node_is_inspected() -> None:
    app = select(page(), "node_0")
    assert not app.exception
    text = text_of(app)
    assert ">x</div>" in text and "input, requires grad" in text and "gradient ∂d/∂x" in text
    assert '<span class="one">6.141592653589793</span>' in text
    assert r"\frac{\partial d}{\partial x} = 3 + 3.142 = 6.142" in text or r"= 3.142 + 3 = 6.142" in text
    assert "✓ match</b> gradient" in text


def test_in_a_large_graph_a_derivation_is_made_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspector, "QUICK_NODES", 5)
    app = select(page(), "node_0")
    assert "= 6.142" not in text_of(app) and "✓ match</b> gradient" in text_of(app)
    app.toggle[0].set_value(True).run()
    assert "= 6.142" in text_of(app) and not app.exception


def test_a_selected_edge_shows_its_partial_beside_that_of_sympy() -> None:
    graph = gradviz.trace("x*y + sin(pi*x)", x=2, y=3)
    (edge,) = [use.edge for use in graph.uses_of(graph.node("b"))]
    app = select(page(), "edge_{}_{}_{}".format(*edge))
    text = text_of(app)
    assert not app.exception
    assert r"\frac{\partial c}{\partial b} = \cos{\left(b \right)} = 1" in text
    assert "<td>autograd</td><td>1</td>" in text and "<td>sympy</td><td>1</td>" in text and "gain</span> 1 " in text


def test_the_jacobian_of_a_matrix_product_is_shown_as_a_matrix() -> None:
    app = page()
    app.selectbox[0].select("‖σ(Ax + b)‖").run()
    app = select(app, "edge_0_3_0")
    assert "Jacobian, [2] by [2, 2]" in text_of(app)
    rows = [[0.5, -1, 0, 0], [0, 0, 0.5, -1]]
    table = text_of(app).partition("Jacobian")[2].partition("</table>")[0]
    assert table.count("<tr>") == len(rows) and table.count(">0.5</td>") == 2 and table.count(">−1</td>") == 2


def test_an_unknown_selection_is_none() -> None:
    app = select(page(), "node_99")
    assert not app.exception and "Click a value or an arrow" in text_of(app)


def test_a_link_brings_expression_values_selection_and_direction() -> None:
    app = page(expression="u*v", at=["u=4", "v=[1, 2]", "x"], selected="node_0", direction="BT", other="1")
    assert not app.exception and fields(app) == ["u*v", "4", "[1, 2]"]
    assert refusals(app)[0].startswith("the output") and not app.error
    app.text_input[2].set_value("5").run()
    assert not refusals(app) and ">u</div>" in text_of(app)
    assert dict(app.query_params) == {
        "expression": "u*v", "at": ["u=4", "v=5"], "selected": "node_0", "direction": "BT", "other": "1"
    }  # fmt: skip


@pytest.mark.parametrize("link", [{"around": "nobody"}, {"unfold": ["nobody"]}, {"fold": ["nobody"]}])
def test_a_link_that_names_what_is_not_there_shows_the_whole_graph_and_says_so(link: dict[str, str | list[str]]) -> None:
    app = page(**link)
    assert not app.exception and "nobody" in app.error[0].value
    assert app.get("download_button") and not set(link) & set(app.query_params)


def test_the_address_follows_what_is_typed_and_selected() -> None:
    app = page()
    app.text_input[1].set_value("pi/2").run()
    app = select(app, "node_1")
    assert app.query_params["at"] == ["x=pi/2", "y=3"] and app.query_params["selected"] == "node_1"


def test_a_slider_writes_into_its_field() -> None:
    app = page()
    app.slider[0].set_value(-1.5).run()
    assert fields(app) == ["x*y + sin(pi*x)", "-1.5", "3"] and not app.exception
    app.text_input[1].set_value("30").run()
    assert (app.slider[0].value, app.slider[0].max) == (30, 100)
    app.text_input[1].set_value("1e300").run()
    assert len(app.slider) == 1


def test_an_edited_text_is_no_example_any_more_and_keeps_its_values() -> None:
    app = page()
    app.text_input[0].set_value("x*y").run()
    assert app.selectbox[0].value is None and fields(app) == ["x*y", "2", "3"]
    app.selectbox[0].select("(y − tanh(wx + b))²").run()
    assert fields(app) == ["(y - tanh(wx+b))^2", "1", "0.5", "2", "-0.25"]


def test_the_picture_can_be_downloaded_in_every_format() -> None:
    assert [button.proto.label for button in page().get("download_button")] == [
        "SVG", "PNG", "PDF", "DOT", "Slides, PPTX", "Slides, PDF", "Slides, LaTeX", "Player, HTML", "Player, GIF"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("panel", "told"),
    [
        ("derivation", r"\frac{\partial d}{\partial x} = 3 + 3.142 = 6.142"),
        ("differences", "autograd: <b>6.141592653589793</b>"),
        ("curve", "The tangent at x = 2 has the slope 6.142"),
        ("contour", "The gradient (6.142, 2) at the dot"),
        ("nonsense", ""),
    ],
)
def test_each_panel_says_what_the_gradient_is(panel: str, told: str) -> None:
    app = page(panel=panel)
    assert not app.exception and not app.error
    assert told in text_of(app).replace("3.142 + 3 ", "3 + 3.142 ")


@pytest.mark.parametrize(
    ("panel", "text", "at", "told"),
    [
        ("curve", "1/x + y", ["x=0", "y=2"], "There is no tangent at x = 0: b is ∞, and the gradient is −∞."),
        ("curve", "1e308*x", ["x=-1"], "has the slope 1e+308"),
        ("curve", "log(-x^2)", ["x=0"], "There is no graph: c is not finite around x = 0."),
        ("contour", "1/x + y", ["x=0", "y=2"], "The gradient (−∞, 1) at the dot has no direction."),
        ("contour", "log(-x^2)*y", ["x=0", "y=2"], "There is no graph: d is not finite around this point."),
        ("contour", "sqrt(x)*y", ["x=-1", "y=0"], "The gradient (NaN, NaN) at the dot has no direction."),
        ("differences", "log(x)", ["x=-1"], "Nothing can be compared: on one side the number is not finite."),
    ],
)
def test_what_is_not_finite_is_told_and_no_chart_is_broken_by_it(panel: str, text: str, at: list[str], told: str) -> None:
    app = page(expression=text, at=at, panel=panel)
    assert not app.exception and told in "\n".join([text_of(app), *refusals(app)])
    for chart in app.get("vega_lite_chart"):
        json.loads(chart.proto.spec, parse_constant=pytest.fail)


def test_the_surface_stands_beside_the_contour() -> None:
    assert '<img src="data:image/svg+xml;base64,' in text_of(page(panel="contour"))
    assert 'alt="the surface over x and y, with the gradient"' in text_of(page(panel="contour"))


def test_what_the_function_is_called_on_the_canvas_it_is_called_everywhere() -> None:
    app = page(panel="differences")
    app.selectbox[1].select(app.selectbox[1].options[1]).run()
    assert "(d(y + h) − d(y − h)) / 2h" in text_of(app) and "because d bends" in text_of(app)
    assert "to where d grows fastest" in text_of(page(panel="contour"))


def test_shapes_that_do_not_fit_are_told_below_the_text_and_the_last_picture_stays() -> None:
    app = page(expression="A @ x", at=["A=[[1, 2], [3, 4]]", "x=[1, 2, 3]"])
    assert not app.exception and not app.error
    (sentence,) = refusals(app)
    assert sentence == (
        "cannot compute A @ x at column 1 from shape (2, 2) and shape (3,); "
        "accepted are shapes where the left operand has as many columns as the right one has rows"
    )
    app = select(page(expression="sum(v)", at=["v=[1, 2]"]), "node_0")
    app.text_input[0].set_value("v").run()
    assert refusals(app) and ">v</div>" in text_of(app)


def test_panels_that_cannot_be_shown_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panels, "MOST_NODES", 20)
    assert "The expression has one variable only." in text_of(page(expression="x^2", at="x=1", panel="contour"))
    long = page(expression="+".join(["sin(x)"] * 40), at="x=1", panel="steps")
    assert not long.exception and not long.error
    assert "Steps are shown for up to 20 values; this graph has 80." in text_of(long)
    same = page(panel="contour")
    same.selectbox[2].select(same.selectbox[1].value).run()
    assert not same.exception and "Choose two different variables." in text_of(same)


def test_unreadable_text_is_a_sentence_with_a_caret() -> None:
    app = page()
    app.text_input[0].set_value("x*y + sinn(pi*x)").run()
    assert not app.exception and "unknown function 'sinn' at column 7" in refusals(app)[0]
    whole = html.unescape(text_of(app).partition('title="')[2].partition('"')[0])
    assert len(refusals(app)[0]) < 170 < len(whole) and "known functions: abs, acos, " in whole
    line, caret = text_of(app).partition("<pre>")[2].partition("</pre>")[0].splitlines()
    assert caret.index("^") == line.index("sinn")


def test_while_a_text_cannot_be_read_the_last_picture_and_its_fields_stay() -> None:
    app = select(page(expression="u*v", at=["u=4", "v=5"]), "node_0")
    app.text_input[0].set_value("u*v*").run()
    assert refusals(app) and not app.exception
    assert fields(app) == ["u*v*", "4", "5"] and ">u</div>" in text_of(app)
    assert app.query_params["expression"] == "u*v"
    app.text_input[0].set_value("u*v*w").run()
    assert not refusals(app) and fields(app) == ["u*v*w", "4", "5", "1"]


@pytest.mark.parametrize(
    ("text", "value", "sentence"),
    [
        ("x", "two", "'two' is neither a number such as 2"),
        ("x", "[" * 2_000, "is neither a number such as 2"),
        ("x", "1," * 1_001, "the value has 2,002 characters; accepted: up to 2,000"),
        ("x" * 10_000, "1", "the text has 10,000 characters; accepted: up to 1,000"),
        ("x", "[[[1]]]", "accepted here: a number, a list of numbers or a list of rows"),
        ("sum(x)", f"[{','.join('1' * 401)}]", "the variables have 401 numbers together"),
        ("+".join("x" * 301), "1", "has 601 parts; accepted here: up to 300"),
        ("(" * 400 + "x" + ")" * 400, "1", "levels of nesting"),
        ("A @ x", "[[1, 2]]", "shape"),
        ("<script>alert(1)</script>", "1", "at column 9"),
    ],
)
def test_what_is_refused_is_a_sentence(text: str, value: str, sentence: str) -> None:
    names = {"x": value, "A": "[[1, 2, 3]]"}
    app = page(expression=text, at=[f"{name}={written}" for name, written in names.items()])
    assert not app.exception
    assert sentence in refusals(app)[0]


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("", "there is no value; write a number"),
        ("1e400", "the value of u is inf"),
        ("[]", "the value of u is an empty list"),
        ("[[1], [2, 3]]", "the list u is ragged"),
    ],
)
def test_what_is_wrong_with_a_value_is_told_below_its_field(typed: str, sentence: str) -> None:
    app = page(expression="u*v", at=["u=4", "v=5"])
    app.text_input[1].set_value(typed).run()
    said = text_of(app)
    assert not app.exception and refusals(app)[0].startswith(sentence) and len(refusals(app)) == 1
    assert said.index("names an intermediate") < said.index(sentence.split(";")[0])  # below the text the hint still stands


@pytest.mark.parametrize("text", ["x*y*", "sinn(x)", "x > y", "leaky_relu(x, y)", "A @ x + 10^400", "A + A @ v"])
def test_only_a_number_where_a_matrix_is_needed_is_told_how_a_matrix_is_typed(text: str) -> None:
    app = page(expression="A @ v", at=["A=[[1, 2]]", "v=[1, 2]", "x=1", "y=1"])
    app.text_input[0].set_value(text).run()
    assert not app.exception and refusals(app) and "nested lists" not in text_of(app)


def test_how_a_vector_is_typed_names_the_field_that_needs_one() -> None:
    app = page(expression="c*(u @ v)", at=["c=2", "u=3", "v=[1, 2]"])
    assert "Into “u =” a matrix is typed as nested lists" in text_of(app)


def test_an_example_is_chosen_and_not_typed() -> None:
    (example,) = page().selectbox
    assert example.proto.filter_mode == SelectWidgetFilterMode.FILTER_MODE_NONE


def test_no_page_evaluates_text() -> None:
    for path in APP.rglob("*.py"):
        calls = {
            node.func.id
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert calls.isdisjoint({"eval", "exec", "sympify", "compile", "__import__"}), path.name


def test_what_is_not_of_the_text_says_so_and_all_that_was_typed_stays() -> None:
    app = page(panel="check")
    assert "Still of" not in text_of(app)
    app.text_input[0].set_value("A @ x").run()
    assert "Still of x*y + sin(pi*x) at x = 2, y = 3" in text_of(app)
    assert "Into “A =” a matrix is typed as nested lists, [[1, 2], [3, 4]]" in text_of(app)
    app.text_input[0].set_value("x*y").run()
    assert fields(app) == ["x*y", "2", "3"] and "Still of" not in text_of(app) and "nested lists" not in text_of(app)
    app.text_input[1].set_value("two").run()
    assert "Still of x*y at x = 2, y = 3" in text_of(app) and "nested lists" not in text_of(app)
