"""Targets of the command line: math text and functions in files."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from gradviz.errors import InputError
from gradviz.target import graph_of_target, values_of

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

CONSTANT = 3
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
        ("needs", r"needs arguments .*; accepted is a function without any"),
        ("missing", r"has no function called missing; its functions are: loss, triple, keywords"),
        ("CONSTANT", r"has a int, not a function, called CONSTANT"),
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


def test_values_are_numbers_or_nested_lists() -> None:
    assert values_of(["x=-1e-3", " A = [[1, 2], [3, 4]] "]) == {"x": -0.001, "A": [[1, 2], [3, 4]]}


@pytest.mark.parametrize("text", ["x=", "x=__import__('os')", "x=[1,", "x=" + "[" * 100_000, "x=1+1"])
def test_a_value_is_never_evaluated_as_code(text: str) -> None:
    with pytest.raises(InputError, match="neither a number nor a nested list"):
        values_of([text])


@pytest.mark.parametrize("value", ["nan", "true", '"text"', "{}", "[]", "[[1], [2, 3]]", "null"])
def test_a_value_that_is_no_number_is_refused(value: str) -> None:
    with pytest.raises(InputError, match="x"):
        graph_of_target("x", at=[f"x={value}"])
