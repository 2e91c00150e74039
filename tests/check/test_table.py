"""A report as text fits its width, tells first what does not match, and says what it leaves out."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from gradviz.check import CheckReport, EdgeCheck
from gradviz.check.table import report_text

LONG = "the reason goes on " * 12


def entry(place: int, verdict: str = "match", reason: str = "", name: str = "") -> EdgeCheck:
    return EdgeCheck(
        name=name or f"∂n{place}/∂x",
        verdict=verdict,  # type: ignore[arg-type]
        method="symbolic",
        formula="+".join(f"x_{place}_{term}" for term in range(9)),
        autograd=1.0,
        reference=1.0,
        checked=1,
        total=1,
        reason=reason,
        edge=(0, place, 0),
    )


def test_every_line_fits_into_100_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    name = "∂transformer.h.0.attn.c_attn.weight_after_a_long_way/∂transformer.h.0.attn.c_attn.weight"
    report = CheckReport(edges=(entry(1, "mismatch", LONG, name), entry(2, "unverified", LONG)), remarks=(LONG,))
    assert max(map(len, str(report).splitlines())) <= 100
    shown = str(report).splitlines()[2].split("  ")[0]
    assert shown.startswith("∂transformer") and "…" in shown and shown.endswith("attn.weight")
    assert max(map(len, report_text(report, math.inf).splitlines())) > 200


def test_where_places_do_not_fit_they_are_left_out() -> None:
    far = replace(entry(1), index=(100_000,) * 8, quantity="VJP", checked=5, total=500)
    assert max(map(len, str(CheckReport(edges=(far,))).splitlines())) <= 100
    shown = report_text(CheckReport(edges=(far,)), 300)
    assert "of a VJP" in shown and "5 of 500" in shown and "1 %" in str(CheckReport(edges=(far,)))


def test_places_are_told_before_the_last_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    slope = replace(entry(1, name="∂c/∂x"), formula="diag(c) - c·cᵀ", autograd=-1 / 3, reference=-1 / 3, index=(1, 2))
    assert "−0.33333 at [1, 2]" in str(CheckReport(edges=(slope,)))
    assert "−0.3333333333333333 at [1, 2]" in report_text(CheckReport(edges=(slope,)), 140)


def test_columns_of_the_environment_say_how_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    report = CheckReport(edges=tuple(entry(place, "unverified", LONG) for place in range(3)))
    widths = []
    for columns in ("90", "160"):
        monkeypatch.setenv("COLUMNS", columns)
        widths.append(max(map(len, str(report).splitlines())))
    assert widths[0] <= 90 < widths[1] <= 160


def test_of_many_edges_those_that_do_not_match_come_first() -> None:
    verdicts = {150: "unverified", 170: "mismatch"}
    edges = [entry(place, verdicts.get(place, "match"), verdicts.get(place, "")) for place in range(220)]
    report = CheckReport(edges=tuple(edges))
    lines = str(report).splitlines()
    assert lines[2].startswith("∂n170/∂x") and "MISMATCH" in lines[2] and lines[3].startswith("∂n150/∂x")
    assert lines[42] == "... 180 more that match; report.edges has all"
    assert lines[44].startswith("∂n170/∂x: mismatch") and lines[45].startswith("∂n150/∂x: unverified")


def test_up_to_40_edges_stay_in_their_order() -> None:
    report = CheckReport(edges=tuple(entry(place, "mismatch" if place == 30 else "match") for place in range(40)))
    assert str(report).splitlines()[32].startswith("∂n30/∂x") and "more that" not in str(report)


def test_a_reason_is_told_once_with_how_often() -> None:
    report = CheckReport(edges=tuple(entry(place, "unverified", "no rule for foo") for place in range(9)))
    assert str(report).count("no rule for foo") == 1
    assert "∂n0/∂x, ∂n1/∂x, ∂n2/∂x and 6 more: unverified: no rule for foo" in str(report)
    assert "Unverified: no rule for foo (9)." in report.summary


def test_many_different_notes_are_counted() -> None:
    report = CheckReport(edges=tuple(entry(place, "match", f"on a kink at {place}") for place in range(30)))
    assert "... 10 more notes" in str(report)
