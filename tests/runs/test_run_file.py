"""The file of a run: what is written is read, and what did not come from gradviz is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from runs.loops import one_step, watched

import gradviz
from gradviz.errors import InputError
from gradviz.runs import Run, notes
from gradviz.runs.file import VERSION, line_of


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return watched(lambda model, optimizer: [one_step(model, optimizer) for _ in range(2)], tmp_path)


def lines(directory: Path) -> list[str]:
    return (directory / "rank0.jsonl").read_text().splitlines(keepends=True)


def written(directory: Path, content: list[str]) -> Path:
    file = directory / "changed.jsonl"
    file.write_text("".join(content))
    return file


def test_numbers_that_are_not_finite_come_back(run: Run, tmp_path: Path) -> None:
    note = replace(run.steps[0].modules[0], arriving=math.nan, leaving=math.inf)
    step = replace(run.steps[0], modules=(note,))
    file = written(tmp_path, [lines(tmp_path)[0], line_of(step) + "\n"])
    (found,) = gradviz.load_run(file).steps
    assert found.modules[0].leaving == math.inf and math.isnan(found.modules[0].arriving or 0.0)
    assert replace(found, modules=()) == replace(step, modules=())


def test_every_line_is_plain_json_without_words_that_json_does_not_know(run: Run, tmp_path: Path) -> None:
    for line in lines(tmp_path):
        json.loads(line, parse_constant=lambda word: pytest.fail(word))


def test_line_that_was_cut_short_is_left_out(run: Run, tmp_path: Path) -> None:
    header, first, second, _ = lines(tmp_path)
    assert gradviz.load_run(written(tmp_path, [header, first, second[: len(second) // 2]])).steps == run.steps[:1]


def test_run_is_read_while_it_is_written(tmp_path: Path) -> None:
    seen: list[int] = []

    def loop(model: Any, optimizer: Any) -> None:
        for _ in range(3):
            one_step(model, optimizer)
            seen.append(len(gradviz.load_run(tmp_path).steps))

    watched(loop, tmp_path)
    assert seen == [0, 1, 2]


CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a field is missing": lambda step: step.pop("forwards"),
    "a field is unknown": lambda step: step.update(code="import os"),
    "a number is text": lambda step: step.update(step="0"),
    "a number is a boolean": lambda step: step.update(forwards=True),
    "a list is a number": lambda step: step.update(modules=3),
    "a float is a word": lambda step: step["modules"][0].update(arriving={"float": "a lot"}),
    "an origin is of no known kind": lambda step: step.update(
        origins=[{"what": "a guess", "number": "NaN", "made": True, "op": "", "module": "", "source": ""}]
    ),
    "its rank has no header": lambda step: step.update(rank=7),
}


@pytest.mark.parametrize("change", CHANGES)
def test_step_that_is_not_as_it_should_be_is_refused(run: Run, tmp_path: Path, change: str) -> None:
    header, first, *_ = lines(tmp_path)
    content = json.loads(first)
    CHANGES[change](content["step"])
    with pytest.raises(InputError, match=r"changed\.jsonl"):
        gradviz.load_run(written(tmp_path, [header, json.dumps(content) + "\n"]))


OTHERS = {
    "empty": "",
    "no JSON": "no JSON\n",
    "a list": "[]\n",
    "an object": "{}\n",
    "another format": '{"gradviz": "graph", "version": 2}\n',
    "no header": '{"gradviz": "run", "version": 4}\n',
    "deeply nested": "[" * 100_000 + "\n",
}


@pytest.mark.parametrize("other", OTHERS)
def test_file_that_is_no_run_is_refused(tmp_path: Path, other: str) -> None:
    with pytest.raises(InputError):
        gradviz.load_run(written(tmp_path, [OTHERS[other]]))


@pytest.mark.parametrize("other", ["import torch\n", "[1, 2]\n", '{"other": 1}\n', "\x80\n", "hello"])
def test_first_line_of_no_run_is_told_as_such(tmp_path: Path, other: str) -> None:
    file = tmp_path / "other.py"
    file.write_bytes(other.encode("latin-1"))
    with pytest.raises(InputError, match=r"other\.py' is no file of a training run that gradviz wrote; accepted: the dir"):
        gradviz.load_run(file)


def test_empty_file_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"changed\.jsonl' is empty; accepted: what gradviz\.watch wrote$"):
        gradviz.load_run(written(tmp_path, []))


@pytest.mark.parametrize(
    ("version", "told"),
    [
        (1, "another version of gradviz: its format is '1', this one reads '4'; watch the run .*, or read it with"),
        (999, "a later version of gradviz: its format is '999', this one reads '4'; watch the run .*, or update this one"),
        (None, "another version of gradviz: its format is 'None'"),
    ],
)
def test_another_version_is_told_before_what_is_in_the_file(tmp_path: Path, version: object, told: str) -> None:
    header = json.dumps({"gradviz": "run", "version": version, "header": {"rank": 0}}) + "\n"
    with pytest.raises(InputError, match=rf"changed\.jsonl' was written by {told}"):
        gradviz.load_run(written(tmp_path, [header]))


def test_the_version_is_that_of_these_fields() -> None:
    """Whoever changes a record raises VERSION and writes its new fields here."""
    records = [kind for kind in vars(notes).values() if is_dataclass(kind)]
    assert [VERSION, *(" ".join([kind.__name__, *(field.name for field in fields(kind))]) for kind in records)] == [
        4,
        "Statistics count zeros nans infs low high mean std histogram",
        "Header rank world_size model parallel every torch knows_optimizers",
        "End rank forwards updates opened moved broken",
        "ModuleNote path kind calls value arriving leaving",
        "UnitsNote module source units dead lasting",
        "ParameterNote name shape frozen shard weight gradient update dtype lr unchanged carried",
        "LossNote source value ops minus_of",
        "Pair op before made module source dim",
        "OutsiderNote shape module source",
        "Origin what number made op module source",
        "Step rank step forwards backwards updated maximizes made thrown kept modules units parameters unheld "
        "outsiders unmoved in_eval losses pairs origins",
    ]


def test_directory_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no rank0\.jsonl"):
        gradviz.load_run(tmp_path)
    with pytest.raises(InputError, match=r"cannot read '.*nothing\.jsonl': No such file or directory$"):
        gradviz.load_run(tmp_path / "nothing.jsonl")
