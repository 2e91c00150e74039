"""Targets of the command line: math text and functions in files."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest
import torch

from gradviz.errors import InputError
from gradviz.target import graph_of_target, refuse_target, values_of

FILE = '''
import torch
from torch import nn
from beside import SCALE

calls = []

def loss():
    calls.append(1)
    weight = torch.tensor([1.0, 2.0], requires_grad=True)
    return (SCALE * weight).sum()

def triple():
    model = nn.Linear(2, 1)
    return model, (torch.ones(3, 2),), lambda output: output.square().mean()

def keywords():
    model = nn.Bilinear(2, 2, 1)
    return model, {"input1": torch.ones(1, 2), "input2": torch.ones(1, 2)}, torch.sum

def loss_itself():
    return nn.Sequential(nn.Linear(2, 1), nn.Flatten(0)), torch.ones(1, 2), None

def pair():
    return nn.Linear(2, 1), torch.ones(1, 2)

def fails():
    return 1 / 0

def leaves():
    raise SystemExit(3)

def late():
    from beside import SCALE as factor
    return torch.tensor(1.0, requires_grad=True) * factor

def needs(x):
    return x

def vector():
    return torch.tensor([1.0, 2.0], requires_grad=True) * 2

def vectors():
    return nn.Linear(2, 2), torch.ones(1, 2), None

def module():
    return nn.MSELoss()

def nothing():
    pass

def deep():
    return nn.Sequential(nn.Linear(2, 3), nn.Tanh()), torch.ones(4, 2), lambda output: output.square().mean()

CONSTANT = 3
criterion = nn.MSELoss()
Net = nn.Linear
'''


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "beside.py").write_text("SCALE = 3.0\n")
    path = tmp_path / "targets.py"
    path.write_text(FILE)
    return path


@pytest.fixture(autouse=True)
def fresh_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("beside", "targets"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_a_function_that_returns_a_loss_runs_once_and_keeps_its_names(file: Path) -> None:
    graph = graph_of_target(f"{file}:loss")
    torch.testing.assert_close(graph.gradients()["weight"], torch.tensor([3.0, 3.0]))
    assert sys.modules["targets"].calls == [1]
    assert graph.nodes[graph.output]["source"] == "targets.py:11"


@pytest.mark.parametrize("name", ["triple", "keywords", "loss_itself"])
def test_a_triple_is_a_model_with_inputs_and_loss(file: Path, name: str) -> None:
    graph = graph_of_target(f"{file}:{name}", device="cpu")
    assert any(leaf.endswith("weight") for leaf in graph.leaves)


def test_imports_inside_the_function_find_what_lies_beside_the_file(file: Path) -> None:
    before = list(sys.path)
    assert graph_of_target(f"{file}:late").leaves
    assert sys.path == before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pair", r"returned \(Linear, Tensor\); a target function returns a scalar loss tensor or a triple"),
        ("fails", r"targets\.py:28: fails failed: ZeroDivisionError: division by zero"),
        ("leaves", r"targets\.py:31: leaves failed: SystemExit: 3"),
        ("needs", r"needs arguments .*; a target is a function without arguments"),
        ("missing", r"has no function called missing; its functions are: loss, triple, keywords"),
        ("CONSTANT", r"targets\.py:CONSTANT is an int, not a function; a target is a function without arguments that"),
        ("criterion", r"criterion is the module MSELoss alone, not a function; a target is a function without arguments"),
        ("module", r"returned the module MSELoss alone; a target function returns a scalar loss tensor or a triple"),
        ("nothing", r"returned None; a target function returns"),
        ("Net", r"Net needs arguments .*; a target is a function without arguments"),
        ("vector", r"shape \(2,\): a gradient needs a single number; return a scalar loss, .* in .*targets\.py:vector"),
        ("vectors", r"shape \(1, 2\): a gradient needs a single number; give a loss that returns one number"),
    ],
)
def test_what_cannot_be_traced_is_named_with_its_line(file: Path, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        graph_of_target(f"{file}:{name}")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def f(:\n", r"broken\.py:1: the file cannot be loaded: SyntaxError"),
        ("\n1 / 0\n", r"broken\.py:2: the file cannot be loaded: ZeroDivisionError"),
        ("raise SystemExit\n", r"broken\.py:1: the file cannot be loaded: SystemExit"),
    ],
)
def test_a_file_that_cannot_be_loaded_says_where_and_leaves_nothing(tmp_path: Path, source: str, message: str) -> None:
    path = tmp_path / "broken.py"
    path.write_text(source)
    with pytest.raises(InputError, match=message):
        graph_of_target(f"{path}:f")
    assert "broken" not in sys.modules


def test_values_do_not_go_with_a_function(file: Path) -> None:
    with pytest.raises(InputError, match="values go with math text"):
        graph_of_target(f"{file}:loss", at=["x=1"])


def test_a_function_makes_its_tensors_on_the_device_that_is_asked_for(file: Path) -> None:
    graph = graph_of_target(f"{file}:loss", device="cpu")
    assert {str(device) for _, device in graph.nodes(data="device")} == {"cpu"}
    with pytest.raises(InputError, match="device 'nowhere' cannot be used here"):
        graph_of_target(f"{file}:loss", device="nowhere")


@pytest.mark.parametrize("name", ["loss", "triple", "loss_itself", "deep"])
def test_no_line_of_gradviz_is_the_source_of_a_node(file: Path, name: str) -> None:
    graph = graph_of_target(f"{file}:{name}", device="cpu")
    assert {source.partition(":")[0] for _, source in graph.nodes(data="source")} <= {"", "targets.py"}


def test_math_text_has_no_source() -> None:
    assert {source for _, source in graph_of_target("x*y + sin(x)", at=["x=1", "y=2"]).nodes(data="source")} == {""}


@pytest.mark.parametrize("tail", ["", ":", "::loss", ":loss.call"])
def test_a_file_without_a_function_is_told_its_functions(file: Path, tail: str) -> None:
    message = r"write .*targets\.py:loss .*without arguments are: loss, triple, .*, deep$"
    with pytest.raises(InputError, match=message) as caught:
        graph_of_target(f"{file}{tail}")
    assert "needs" not in str(caught.value)
    assert "targets" not in sys.modules


def test_a_module_without_py_is_told_its_functions(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    with pytest.raises(InputError, match=r"targets:loss names no function; write targets\.py:loss"):
        graph_of_target("targets:loss")


def test_a_file_that_is_not_there_or_has_no_function_is_said_to(tmp_path: Path) -> None:
    path = tmp_path / "empty.py"
    with pytest.raises(InputError, match=r"there is no file .*empty\.py; a target is a function"):
        graph_of_target(str(path))
    path.write_text("def f(:")
    with pytest.raises(InputError, match=r"write .*empty\.py:NAME .* are: none"):
        graph_of_target(str(path))


@pytest.mark.parametrize(
    ("target", "at", "message"),
    [
        ("2*x", ["x=[1, 2]"], r"shape \(2,\): .* a single number; write sum\(...\), mean\(...\) or norm\(...\)"),
        ("2 + 3", [], 'the expression "2 \\+ 3" has no variable, so it has no gradient'),
        ("z = x; 3", ["x=1"], "does not depend on x, so it has no gradient"),
        ("x", ["X=1"], 'no value for x in "x", which has no X; give one to each variable, as in --at x=2'),
        ("x", ["x=1, y=2"], "one variable each; repeat the option, as in --at x=2 --at y=3"),
    ],
)
def test_text_without_a_gradient_is_told_what_to_write(target: str, at: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        graph_of_target(target, at=at)
    assert "grad_output" not in str(caught.value)


def test_values_are_numbers_or_nested_lists() -> None:
    assert values_of(["x=-1e-3", " A = [[1, 2], [3, pi]] "]) == {"x": -0.001, "A": [[1, 2], [3, math.pi]]}


@pytest.mark.parametrize("text", ["x=", "x=__import__('os')", "x=[1,", "x=" + "[" * 100_000, "x=exit()"])
def test_a_value_is_never_evaluated_as_code(text: str) -> None:
    with pytest.raises(InputError, match=r"is neither a number .* nor a nested list"):
        values_of([text])


@pytest.mark.parametrize("value", ["nan", "true", '"text"', "{}", "[]", "[[1], [2, 3]]", "null"])
def test_a_value_that_is_no_number_is_refused(value: str) -> None:
    with pytest.raises(InputError, match="x"):
        graph_of_target("x", at=[f"x={value}"])


def test_tensors_that_the_file_holds_keep_their_names(tmp_path: Path) -> None:
    path = tmp_path / "named.py"
    held = "import torch\nrows, w = torch.ones(2), torch.ones(2, requires_grad=True)\n"
    path.write_text(f"{held}def step():\n    return (w * rows).sum()\n")
    graph = graph_of_target(f"{path}:step")
    assert list(graph.leaves) == ["w"] and graph.nodes[graph.node("rows")]["kind"] == "constant"


def test_a_saved_trace_is_read(tmp_path: Path) -> None:
    path = str(tmp_path / "run.gradviz")
    graph_of_target("x*y", at=["x=2", "y=3"], device="cpu").save(path)
    assert graph_of_target(path).gradients()["x"].item() == 3
    refuse_target(path, [])
    for refused in (graph_of_target, refuse_target):
        with pytest.raises(InputError, match=r"--at x=2: values go with math text; .*run.gradviz is a trace that was saved"):
            refused(path, at=["x=2"])
    with pytest.raises(InputError, match=r"there is no file .*gone.gradviz"):
        refuse_target(str(tmp_path / "gone.gradviz"), [])


def test_a_file_of_another_kind_is_no_math_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("graph.svg", "x"):
        Path(name).touch()
    for refused in (graph_of_target, refuse_target):
        with pytest.raises(InputError, match=r"graph.svg is a file, but no saved trace, which ends in .gradviz; a"):
            refused("graph.svg", at=[])
    assert graph_of_target("x", at=["x=2"], device="cpu").gradients()["x"].item() == 1
