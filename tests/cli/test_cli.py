"""The command line: what it prints, what it writes, how it exits."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gradviz.cli.command import main
from gradviz.cli.reports import columns, rows
from gradviz.expression.functions import SPELLINGS
from gradviz.render import FORMATS, THEMES, OutOfTimeError

TEXT = ["x*y + sin(pi*x)", "--at", "x=2", "--at", "y=3", "--device", "cpu"]

WRONG = '''
import torch

class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, cotangent):
        (x,) = ctx.saved_tensors
        return cotangent * 2.002 * x

def loss():
    x = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    return torch.tanh(Square.apply(x) / 10)
'''


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments), catch_exceptions=False)


def test_trace_prints_values_partials_and_gradients() -> None:
    result = run("trace", *TEXT)
    assert result.exit_code == 0
    assert "x·y" in result.stdout
    assert "∂c/∂b" in result.stdout
    assert "6.142" in result.stdout.partition("gradient")[2]


def test_trace_writes_every_picture_that_is_asked_for(tmp_path: Path) -> None:
    svg, dot = tmp_path / "graph.svg", tmp_path / "graph.dot"
    result = run("trace", *TEXT, "-o", str(svg), "-o", str(dot), "--theme", "slides", "--direction", "BT")
    assert result.exit_code == 0
    assert svg.read_text().startswith(("<svg", "<?xml"))
    assert "digraph" in dot.read_text()
    assert result.stderr == f"wrote {svg}\nwrote {dot}\n"


def test_what_a_check_and_a_diagnosis_find_goes_onto_pictures_beside_a_page(tmp_path: Path) -> None:
    page, dot = tmp_path / "steps.html", tmp_path / "graph.dot"
    result = run("trace", *TEXT, "-o", str(page), "-o", str(dot), "--check", "--diagnose")
    assert result.exit_code == 0, result.output
    assert "✓" in dot.read_text(encoding="utf-8") and page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_json_of_trace_is_one_object_of_schema_1() -> None:
    document = json.loads(run("trace", *TEXT, "--json").stdout)
    assert document["schema"] == 1
    assert document["target"] == TEXT[0]
    assert document["gradients"]["y"] == {"shape": [], "dtype": "float64", "values": 2.0}
    assert {edge["partial"]["formula"] for edge in document["edges"]} == {"y", "x", "π", "cos(b)", "1"}


def test_check_of_a_right_expression_exits_with_0() -> None:
    result = run("check", *TEXT)
    assert result.exit_code == 0
    assert "6 edges: 6 match (symbolic)." in result.stdout


def test_check_of_a_wrong_backward_exits_with_1(tmp_path: Path) -> None:
    path = tmp_path / "wrong.py"
    path.write_text(WRONG)
    result = run("check", f"{path}:loss")
    assert result.exit_code == 1
    assert "MISMATCH" in result.stdout
    assert run("trace", f"{path}:loss", "--check").exit_code == 1


def test_strict_exits_with_1_where_something_is_unverified_and_intended_names_what_may_differ(tmp_path: Path) -> None:
    path = tmp_path / "wrong.py"
    path.write_text(WRONG)
    assert run("check", *TEXT, "--strict").exit_code == 0
    assert run("check", *TEXT, "--time-limit", "0").exit_code == 0
    assert run("check", *TEXT, "--time-limit", "0", "--strict").exit_code == 1
    assert run("check", *TEXT, "--time-limit", "-1").exit_code == 2
    name = re.findall(r"class (\w+)\(", WRONG)[0]
    result = run("check", f"{path}:loss", "--intended", name, "--strict")
    assert result.exit_code == 0 and "1 intended" in result.stdout


def test_intended_names_a_hook(tmp_path: Path) -> None:
    path = tmp_path / "clips.py"
    path.write_text(
        "import torch\ndef clip(c):\n    return c / 2\n"
        "def loss():\n    x = torch.ones(2, requires_grad=True).sin()\n    x.register_hook(clip)\n    return x.sum()\n"
    )
    assert run("check", f"{path}:loss").exit_code == 1
    assert run("check", f"{path}:loss", "--intended", "clip", "--strict").exit_code == 0
    refused = run("check", f"{path}:loss", "--intended", "clap")
    assert refused.exit_code == 2 and "its hooks: clip at clips.py:2" in refused.stderr


def test_json_of_a_wrong_backward_names_the_edge(tmp_path: Path) -> None:
    path = tmp_path / "wrong.py"
    path.write_text(WRONG)
    result = run("check", f"{path}:loss", "--json")
    assert result.exit_code == 1
    check = json.loads(result.stdout)["check"]
    assert check["ok"] is False
    assert [edge["verdict"] for edge in check["edges"]].count("mismatch") == 1


def test_what_the_file_prints_stays_out_of_the_json(tmp_path: Path) -> None:
    path = tmp_path / "talks.py"
    path.write_text(f"{WRONG}\nprint('loading')\nquiet = loss\ndef loss():\n    print('running')\n    return quiet()\n")
    for command in ("trace", "check", "diagnose"):
        result = run(command, f"{path}:loss", "--json")
        assert json.loads(result.stdout)["target"] == f"{path}:loss"
        assert "loading\nrunning\n" in result.stderr


MODEL = """
import torch

def step():
    torch.manual_seed(0)
    model = torch.nn.Sequential(*[torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Tanh()) for _ in range(20)])
    return model, torch.ones(2, 3), loss

def loss(out):
    error = out.square().mean()
    return error
"""


@pytest.mark.parametrize(
    ("options", "shown", "hidden"),
    [
        ((), "20 × <B>0 … 19 · Sequential</B>", "0.0.weight"),
        (("--unfold", "3"), "16 × <B>4 … 19 · Sequential</B>", "20 ×"),
        (("--collapse", "1", "--max-nodes", "30"), "<B>7 · Sequential</B>", "20 ×"),
        (("--collapse", "none", "--max-nodes", "300"), "<B>7.0.weight</B>", "20 ×"),
        (("--collapse", "1?", "--collapse", "2", "--focus", "5.0.weight"), "<B>5.0.weight</B>", "4.0.weight"),
        (("--between", "5.0.weight", "error", "--collapse", "2"), "<B>5.0.weight</B>", "4.0.weight"),
        (("--focus", "0.0.weight", "--side", "before"), "1 of ", "0.0.bias"),
        (("--diagnose",), "20 × <B>0 … 19 · Sequential</B>", ">error: "),
    ],
)
def test_trace_draws_groups_and_parts_as_it_is_told(
    tmp_path: Path, options: tuple[str, ...], shown: str, hidden: str
) -> None:
    script, picture = tmp_path / "model.py", tmp_path / "model.dot"
    script.write_text(MODEL)
    assert run("trace", f"{script}:step", "--device", "cpu", "-o", str(picture), *options).exit_code == 0
    assert shown in picture.read_text() and hidden not in picture.read_text()


MASKED = """
import torch

z = torch.tensor([4.0, 0.0], requires_grad=True)

def late():
    return torch.where(z > 0, torch.sqrt(z), torch.zeros_like(z)).sum()

def early():
    return torch.where(z > 0, torch.sqrt(torch.where(z > 0, z, 1.0)), 0.0).sum()
"""


@pytest.mark.parametrize(("name", "code", "said"), [("late", 1, "error not-finite"), ("early", 0, "Nothing found.")])
def test_trace_prints_a_diagnosis_and_ends_as_it_does(tmp_path: Path, name: str, code: int, said: str) -> None:
    script = tmp_path / "masked.py"
    script.write_text(MASKED)
    result = run("trace", f"{script}:{name}", "--device", "cpu", "-o", str(tmp_path / "masked.dot"), "--diagnose")
    alone = run("diagnose", f"{script}:{name}", "--device", "cpu")
    assert result.exit_code == alone.exit_code == code
    assert said in result.stdout and result.stdout.endswith(alone.stdout)
    told = run("trace", f"{script}:{name}", "--device", "cpu", "--diagnose", "--json")
    assert told.exit_code == code and json.loads(told.stdout)["diagnosis"]["ok"] is (not code)


def test_drawing_that_takes_too_long_says_which_option_allows_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*_: object, **__: object) -> bytes:
        raise OutOfTimeError("late")

    monkeypatch.setattr("gradviz.render.picture.draw", late)
    picture = tmp_path / "graph.svg"
    result = run("trace", *TEXT, "-o", str(picture), "--time-limit", "0.5")
    assert result.exit_code == 2 and not picture.exists()
    assert "the time limit of 0.5 s; show fewer nodes (--max-nodes), allow more time (--time-limit), or" in result.stderr


def test_trace_with_check_has_the_keys_of_both_in_json() -> None:
    document = json.loads(run("trace", *TEXT, "--check", "--json").stdout)
    assert document["check"]["ok"] is True
    assert document["nodes"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trace", "x*y", "--at", "x=2"], 'no value for y in "x*y"; give one to each variable, as in --at y=2'),
        (["trace", "x * foo(y)"], "column 5"),
        (["trace", "x", "--at", "x=two"], "--at x: 'two' is neither a number such as 2, 1/2 or 2pi nor a nested list"),
        (["trace", "x", "--at", "x"], "accepted is name=value"),
        (["trace", "x", "--at", "x=1", "--at", "x=2"], "x has a value already"),
        (["trace", "x", "--at", "x=1", "--device", "abacus"], "device 'abacus' cannot be used here"),
        (["trace", "x", "--at", "x=1", "-o", "graph.gif"], "accepted: svg, png, pdf, dot, gv, html, gradviz\n"),
        (["check", "missing.py:loss"], "there is no file missing.py"),
        (["trace", "missing.py"], "there is no file missing.py"),
        (["trace", "2x", "--at", "x=[1,2]"], "write sum(...), mean(...) or norm(...)"),
        (["check", "x", "--at", "x=1", "--samples", "-1"], "Error: --samples=-1: how many rows are looked at; accepted"),
        (["check", "x", "--at", "x=1", "--time-limit", "-1"], "Error: --time-limit=-1.0: accepted: a number of seconds"),
        (["slides", *TEXT, "--max-nodes", "3", "-o", "deck.pdf"], "a smaller part (--focus), or raise --max-nodes\n"),
        (["slides", *TEXT, "--seconds", "-1", "-o", "deck.gif"], "Error: --seconds is -1; accepted: above 0"),
        (["trace", "2seed=; x"], "  2seed=; x"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_ending_is_refused_before_the_target_runs(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("def step():\n    raise RuntimeError('this ran')\n")
    result = run("trace", f"{tmp_path / 'train.py'}:step", "-o", "graph.svg", "-o", "graph.gif")
    assert result.exit_code == 2
    assert "unknown picture format '.gif' of 'graph.gif'" in result.stderr


def test_help_of_check_names_no_target_that_it_refuses() -> None:
    told = {command: " ".join(run(command, "--help").stdout.split()) for command in ("trace", "check")}
    assert "Or FILE.gradviz, a trace that" in told["trace"]
    assert "Not FILE.gradviz, a trace that was saved" in told["check"]
    assert "Or FILE.gradviz" not in told["check"]


@pytest.mark.parametrize("arguments", [["trace"], ["trace", "x", "--them", "dark"], ["draw", "x"]])
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trace", "x*y", "x=2", "y=3"], "behind TARGET: x=2 y=3; give a value to a variable by --at x=2 --at y=3\n"),
        (["check", "sum(A)", "A=[[1, 2]]"], "behind TARGET: A=[[1, 2]]; give a value to a variable by --at 'A=[[1, 2]]'\n"),
        (["explain", "x*y", "+", "x", "--at", "x=2"], 'math text with blanks in quotation marks, as in "x*y + sin(pi*x)"'),
        (["compare", "one", "two", "three"], "behind TARGET OTHER: three; put math text"),
        (["app", "x*y", "x=2"], "behind TARGET: x=2; give a value to a variable by --at x=2\n"),
    ],
)
def test_what_stands_behind_a_target_is_told_its_place(arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr


LONG = ["pi*x*sin(x*y)^2 + exp(x*y)*log(x)*cos(x + y)", "--at", "x=2", "--at", "y=3", "--device", "cpu"]


def test_what_goes_into_a_pipe_is_never_cut() -> None:
    for command in (["check"], ["trace", "--check"]):
        gradients = run(*command, *LONG).stdout.partition("gradient  formula")[2]
        assert "…" not in gradients
        assert "cos(x + y)" in gradients


@pytest.mark.parametrize("width", [100, 140])
def test_formulas_take_the_width_of_the_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setattr("gradviz.cli.reports.columns", lambda: width)
    table = run("check", *LONG).stdout.partition("gradient  formula")[2].splitlines()[1:4]
    assert max(map(len, table)) == width
    assert any("…" in row for row in table)


def test_into_a_pipe_go_all_rows_and_in_a_terminal_json_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    many = ["+".join(f"sin({name})*cos({name})" for name in "abcdfghjkmnpqrstuvwxy")]
    many += [word for name in "abcdfghjkmnpqrstuvwxy" for word in ("--at", f"{name}=0.5")]
    for command in ("trace", "check"):
        whole = run(command, *many, "--device", "cpu").stdout
        assert "more;" not in whole and "more that" not in whole
        assert len(re.findall("^∂", whole, flags=re.MULTILINE)) >= 100
    monkeypatch.setattr("gradviz.cli.reports.columns", lambda: 100)
    assert "more that match; --json has all" in run("check", *many, "--device", "cpu").stdout


def test_in_a_terminal_tables_fit_on_a_screen_and_all_prints_every_row(monkeypatch: pytest.MonkeyPatch) -> None:
    many = ["+".join(f"sin({name})" for name in "abcdfghjkmnpqrstuvwxy")]
    many += [word for name in "abcdfghjkmnpqrstuvwxy" for word in ("--at", f"{name}=0.5")]
    monkeypatch.setattr("gradviz.cli.trace.rows", lambda: 20)
    short = run("trace", *many, "--device", "cpu").stdout
    assert short.count("more; --all prints them") == 2 and "... 1 more, the largest of norm 0.8776; --all" in short
    assert "more" not in run("trace", *many, "--device", "cpu", "--all").stdout


def test_a_terminal_has_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "91")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("LINES", "60")
    assert columns() == 91 and rows() == 30
    monkeypatch.setenv("LINES", "10")
    assert rows() == 20


def test_python_runs_the_package_as_the_command() -> None:
    answer = subprocess.run([sys.executable, "-m", "gradviz", "check", *TEXT], capture_output=True, text=True, check=True)
    assert answer.stdout == run("check", *TEXT).stdout
    assert subprocess.run([sys.executable, "-m", "gradviz", "trace", "x*"], capture_output=True, check=False).returncode == 2


@pytest.mark.parametrize("arguments", [["--help"], ["trace", "-h"], ["check", "--help"]])
def test_help_is_printed(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 0
    assert "TARGET" in result.stdout
    assert "Exit codes: 0 fine, 1 a mismatch, error or difference found, 2 bad input." in result.stdout.replace(":\n ", ":")


@pytest.mark.parametrize("command", ["trace", "check"])
def test_help_tells_what_a_target_is_and_every_function_of_math_text(command: str) -> None:
    told = " ".join(run(command, "--help").stdout.split())
    assert "FILE.py:NAME, a function without arguments in a file. It returns a scalar loss tensor, or a triple" in told
    assert set(SPELLINGS) <= set(re.findall(r"\w+", told))


def test_help_of_trace_names_formats_and_themes() -> None:
    told = run("trace", "--help").stdout
    assert all(f".{ending}" in told for ending in FORMATS)
    assert all(name in told for name in THEMES)


@pytest.mark.parametrize("option", ["--collapse=1", "--focus=x", "--max-nodes=5", "--dpi=100", "--direction=BT"])
def test_options_of_pictures_are_refused_where_none_is_written(tmp_path: Path, option: str) -> None:
    for output in ([], ["-o", str(tmp_path / "run.gradviz")]):
        result = run("trace", "sin(x)", "--at", "x=1", option, *output)
        assert result.exit_code == 2 and f"{option.partition('=')[0]} is about a picture" in result.stderr
    assert run("trace", "sin(x)", "--at", "x=1", "--dpi=100", "-o", str(tmp_path / "sine.png")).exit_code == 0
