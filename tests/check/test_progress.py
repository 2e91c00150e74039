"""The bar on long checks: what it says, and when there is one."""

from __future__ import annotations

import sys

import pytest

import gradviz
from gradviz.check import progress


def checked(shown: bool | None) -> None:
    gradviz.trace("x*y + sin(x)", x=3.0, y=2.0, device="cpu").check(progress=shown)


def test_the_bar_says_what_is_being_checked_and_is_removed_at_the_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_EVERY_S", 0.0)
    checked(True)
    lines = capsys.readouterr().err.split("\r")
    assert any(line.startswith("checking █") and line.endswith("of 5, 0 s: b = sin") for line in lines)
    assert lines[-1] == ""


@pytest.mark.parametrize(("is_terminal", "long_s", "drawn"), [(True, 0.0, True), (True, 60.0, False), (False, 0.0, False)])
def test_unasked_the_bar_is_for_long_checks_on_a_terminal(
    is_terminal: bool, long_s: float, drawn: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    monkeypatch.setattr(progress, "_LONG_S", long_s)
    checked(None)
    assert ("checking" in capsys.readouterr().err) == drawn


def test_a_function_is_told_instead_of_a_bar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_EVERY_S", 0.0)
    told: list[tuple[int, int, str]] = []
    gradviz.trace("x*y + sin(x)", x=3.0, y=2.0, device="cpu").check(progress=lambda *what: told.append(what))
    assert told == [(2, 5, "a = mul"), (3, 5, "b = sin"), (4, 5, "c = add")] and capsys.readouterr().err == ""


def test_a_bar_that_is_not_wanted_is_not_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    checked(False)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("columns", [20, 40, 80, 300])
def test_the_bar_fits_on_one_line_of_the_terminal(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_EVERY_S", 0.0)
    monkeypatch.setenv("COLUMNS", str(columns))
    with progress.Progress(3, shown=True) as bar:
        bar.at(1, "a = " + "name" * 40)
    written = capsys.readouterr().err.split("\r")
    assert max(map(len, written)) == min(columns - 1, 100)
