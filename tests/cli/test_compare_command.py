"""`gradviz compare`: two traces of the same code, saved or made now, and where they part."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gradviz.cli.command import main

CODE = """
import torch

def before():
    w = torch.ones(2, requires_grad=True)
    h = (w * 3).tanh()
    return h.exp().sum()

def slightly_other():
    w = torch.ones(2, requires_grad=True)
    h = (w * 3.003).tanh()
    return h.exp().sum()

def cut():
    w = torch.ones(2, requires_grad=True)
    with torch.no_grad():
        h = (w * 3).tanh()
    return (h.exp() + 0 * w).sum()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("train.py").write_text(CODE)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments), catch_exceptions=False)


def test_a_saved_trace_is_compared_with_its_target() -> None:
    assert run("trace", "train.py:before", "-o", "before.gradviz").exit_code == 0
    done = run("compare", "before.gradviz", "train.py:before")
    assert (done.exit_code, done.stdout.strip().rpartition(": ")[2]) == (0, "no difference")


def test_the_first_value_and_the_first_cotangent_that_differ_are_told_with_their_lines() -> None:
    done = run("compare", "train.py:before", "train.py:slightly_other")
    assert done.exit_code == 1
    assert "the value of a (train.py:6) differs by a relative 0.000999" in done.stdout
    assert "the cotangent of a (train.py:6) differs" in done.stdout


def test_a_larger_tolerance_lets_small_differences_pass() -> None:
    assert run("compare", "train.py:before", "train.py:slightly_other", "--rtol", "0.01").exit_code == 0


def test_the_document_tells_the_same_as_the_text() -> None:
    done = run("compare", "train.py:before", "train.py:slightly_other", "--json")
    document = json.loads(done.stdout)
    assert (done.exit_code, document["target"], document["other"]) == (1, "train.py:before", "train.py:slightly_other")
    told = document["comparison"]
    assert (told["same"], told["first_value"]["name"], told["first_cotangent"]["name"]) == (False, "a", "a")
    assert told["first_value"] in told["differences"]
    assert told["structure"] is None


def test_graphs_of_other_calls_part_with_an_exit_code() -> None:
    done = run("compare", "train.py:before", "train.py:cut", "--json")
    told = json.loads(done.stdout)["comparison"]
    assert done.exit_code == 1
    assert (told["structure"]["what"], told["structure"]["relative"]) == ("structure", "inf")


def test_values_of_variables_go_to_math_text() -> None:
    text = ["x*y", "y*x", "--at", "x=2", "--at", "y=3"]
    assert run("compare", *text).exit_code == 0
    run("trace", "x*y", "--at", "x=2", "--at", "y=4", "-o", "other.gradviz")
    done = run("compare", "x*y", "other.gradviz", "--at", "x=2", "--at", "y=3")
    assert (done.exit_code, "the value of y differs" in done.stdout) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing.gradviz", "train.py:before"], "cannot read 'nothing.gradviz'"),
        (["train.py:before", "train.py:nothing"], "no function called nothing"),
        (["train.py:before", "train.py:before", "--at", "x=2"], "--at x=2: values go with math text; neither"),
        (["train.py:before", "train.py:before", "--rtol", "-1"], "rtol is -1.0; accepted: 0 or more"),
    ],
)
def test_bad_input_is_said_in_a_sentence(arguments: list[str], said: str) -> None:
    done = run("compare", *arguments)
    assert (done.exit_code, said in done.stderr) == (2, True), done.stderr


def test_what_is_no_trace_is_refused() -> None:
    Path("broken.gradviz").write_bytes(b"nothing")
    assert run("compare", "broken.gradviz", "train.py:before").exit_code == 2
