"""Every Python block and every command of the README runs as it stands, and its lists are those of the code."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from click.testing import CliRunner

import gradviz
from gradviz.check.composed import MAX_LEAF_ELEMENTS
from gradviz.cli.command import main
from gradviz.expression.functions import FUNCTIONS
from gradviz.target import graph_of_target
from gradviz.view import Direction, Part, ThemeName

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_code_block_runs(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("block.py").write_text(block)
    with torch.random.fork_rng():
        runpy.run_path("block.py", run_name="__main__")


def test_table_in_the_readme_is_what_the_check_prints() -> None:
    printed = str(gradviz.trace("x*y + sin(pi*x)", x=2.0, y=3.0, device="cpu").check())
    quoted = "\n".join(line.removeprefix("    ") for line in README.splitlines())
    assert printed.strip() in quoted


def test_derivation_in_the_readme_is_what_explain_prints() -> None:
    printed = str(gradviz.trace("z = x*y; log(z) + exp(z)", x=5.0, y=3.0, device="cpu").explain("x")).rstrip()
    quoted = "\n".join(line.removeprefix("    ") for line in README.splitlines())
    assert printed[printed.index("Local partial derivatives") :] in quoted


def test_sentences_in_the_readme_are_those_of_explanation_and_frames() -> None:
    graph = gradviz.trace("x*y + sin(pi*x)", x=2.0, y=3.0, device="cpu")
    assert f'level="short"))   # {graph.explain("x", level="short")}' in README
    frames = re.findall(r"^    (\d+  ∂.*)$", README, re.MULTILINE)
    assert frames and set(frames) <= {line.strip() for line in str(graph.frames()).splitlines()}


def test_finding_in_the_readme_is_what_the_block_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("train.py").write_text(next(block for block in BLOCKS if "print(finding)" in block))
    with torch.random.fork_rng():
        runpy.run_path("train.py", run_name="__main__")
    printed = capsys.readouterr().out.strip()
    assert printed and printed in "\n".join(line.removeprefix("    ") for line in README.splitlines())


def test_training_loop_in_the_readme_is_healthy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("loop.py").write_text(next(block for block in BLOCKS if "finding.step" in block))
    with torch.random.fork_rng():
        assert not runpy.run_path("loop.py", run_name="__main__")["watcher"].run.diagnose()


def write_run(directory: Path) -> None:
    """What `gradviz merge` and `gradviz report` read."""
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters())
    with gradviz.watch(model, directory):
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()


COMMANDS = [shlex.split(line) for line in re.findall(r"^    (gradviz .*)$", README, re.MULTILINE)]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command[1:3]))
def test_command_runs(command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("train.py").write_text("import torch\n\ndef step():\n    return torch.ones(2, requires_grad=True).exp().sum()\n")
    write_run(Path("gradviz-run"))
    graph_of_target("train.py:step").save("before.gradviz")
    done = CliRunner().invoke(main, command[1:])
    assert done.exit_code == 0, done.output


def test_functions_of_math_text_are_all_listed() -> None:
    listed = re.search(r"the functions (.*?)\. `ln`", README, re.DOTALL)
    assert listed and set(listed[1].split()) == {*FUNCTIONS, "pow"}


@pytest.mark.parametrize("choices", [Part, ThemeName, Direction])
def test_accepted_choices_of_a_picture_are_all_named(choices: Any) -> None:
    table = README[README.index("| option ") : README.index("A tensor shows")]
    assert all(f'"{choice}"' in table for choice in get_args(choices))


def test_limit_of_composed_gradients_is_the_one_of_the_check() -> None:
    assert f"up to {MAX_LEAF_ELEMENTS} elements together" in README


def test_pictures_in_the_readme_exist() -> None:
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", README)
    assert pictures and [picture for picture in pictures if not (ROOT / picture).is_file()] == []
