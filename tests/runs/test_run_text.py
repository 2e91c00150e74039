"""The report of a training run for the terminal: no wider than that, and what it leaves out is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from runs.loops import one_step, watched
from torch import nn

import gradviz
from gradviz.cli.command import main
from gradviz.runs import Run
from gradviz.runs.text import report_text

CODE = """
import torch
from torch import nn

def step(*layers):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), *layers, nn.Linear(4, 1))
    return (model(torch.randn(8, 4)) - torch.randn(8)).square().mean()

def other():
    return step(nn.Dropout(0.5), nn.Tanh())
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return watched(lambda model, optimizer: [one_step(model, optimizer) for _ in range(15)], tmp_path)


def tables(run: Run, columns: float) -> list[str]:
    return [part for part in report_text(run, columns=columns).split("\n\n") if "─" in part]


@pytest.mark.parametrize("columns", [50, 60, 80])
def test_no_table_of_a_run_is_wider_than_the_terminal(run: Run, columns: int) -> None:
    narrow = tables(run, columns)
    assert max(len(line) for one in narrow for line in one.splitlines()) <= columns
    for one, whole in zip(narrow, tables(run, 1000), strict=True):
        told = one.partition(f"Not shown in {columns} columns: ")[2]
        heads = whole.split("\n")[0], one.split("\n")[0]
        gone = [title for title in ("rank", "passes", "least", "largest") if title in heads[0] and title not in heads[1]]
        assert [title for title in gone if title not in told] == []
    assert any(f"Not shown in {columns} columns: rank" in one for one in narrow)


def test_how_many_rows_there_are_more_is_told_before_the_columns_that_are_left_out(tmp_path: Path) -> None:
    deep = nn.Sequential(nn.Linear(8, 1), *[nn.Linear(1, 1) for _ in range(30)])
    run = watched(lambda model, optimizer: [one_step(model, optimizer) for _ in range(3)], tmp_path, model=deep)
    cut = [one.splitlines() for one in tables(run, 50) if "... and " in one]
    assert cut
    for lines in cut:
        more = next(place for place, line in enumerate(lines) if line.startswith("... and "))
        assert lines[more + 1].startswith("Not shown in 50 columns")


def test_ranks_are_told_apart_however_narrow_the_terminal_is(run: Run) -> None:
    steps = tuple(replace(step, rank=rank) for step in run.steps for rank in (0, 1))
    together = replace(run, headers=(run.headers[0], replace(run.headers[0], rank=1)), steps=steps)
    assert all("rank" in one.splitlines()[0] for one in tables(together, 40) if one.startswith("step"))


def test_a_report_is_as_it_is_where_nothing_is_narrow(run: Run) -> None:
    assert report_text(run) == str(run)


@pytest.mark.parametrize(
    "command", [["report", "."], ["diagnose", "train.py:step"], ["compare", "train.py:step", "train.py:other"]]
)
def test_sentences_of_the_commands_are_no_wider_than_the_terminal(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched(lambda model, optimizer: [one_step(model, optimizer) for _ in range(2)], tmp_path)
    (tmp_path / "train.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    for module in ("reports", "runs", "compare"):
        monkeypatch.setattr(f"gradviz.cli.{module}.columns", lambda: 60)
    lines = CliRunner().invoke(main, command, catch_exceptions=False).output.splitlines()
    assert len(lines) > 4 and max(map(len, lines)) <= 60


@pytest.mark.parametrize("name", ["report.pdf", "report.svg"])
def test_a_report_is_written_to_no_other_file_than_a_page(name: str, run: Run, tmp_path: Path) -> None:
    with pytest.raises(gradviz.InputError, match=f"a report is a page, and .*{name}' names none; accepted: .*html"):
        run.save_report(tmp_path / name)
    assert not (tmp_path / name).exists()


def test_the_one_step_too_many_is_shown_and_not_counted(run: Run) -> None:
    texts = {count: tables(replace(run, steps=run.steps[:count]), 200)[0] for count in (12, 13, 14)}
    assert len(run.steps) >= 14
    assert {count: "... 2 more" in text for count, text in texts.items()} == {12: False, 13: False, 14: True}
    assert [len(text.splitlines()) for text in texts.values()] == [14, 15, 15]
