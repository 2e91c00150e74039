"""The bug gallery: each broken script gives its finding, with a line of its own file, and each healthy twin gives none."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path

import pytest

import gradviz.diagnose
from gradviz.diagnose import Finding
from gradviz.target import graph_of_target

ROOT = Path(__file__).parent.parent.parent
SCRIPTS = sorted(path for path in (ROOT / "examples" / "bugs").glob("*.py") if path.name != "__init__.py")
WITHOUT_A_PLACE = {"unused-parameter"}
"""Nothing ran, so there is no line; the message names the parameter."""


def findings_of(script: Path, function: str) -> list[Finding]:
    with warnings.catch_warnings():
        # What torch itself says about broadcasting is a part of the bug.
        warnings.filterwarnings("ignore", message="Using a target size")
        warnings.filterwarnings("ignore", message=".*degrees of freedom is <= 0")
        return graph_of_target(f"{script}:{function}", at=[], device="cpu").diagnose()


def kind_of(script: Path) -> str:
    return str(importlib.import_module(f"examples.bugs.{script.stem}").FINDING)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_broken_script_gives_its_finding(script: Path) -> None:
    kind = kind_of(script)
    found = [finding for finding in findings_of(script, "broken") if finding.kind == kind]
    assert found
    for finding in found:
        assert finding.message and finding.hint and finding.numbers
        # gradviz itself calls the module of a triple: where that is one of torch's, no line is the user's.
        assert finding.source.startswith(script.name) or finding.module or kind in WITHOUT_A_PLACE


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_healthy_twin_gives_none(script: Path) -> None:
    assert findings_of(script, "healthy") == []


def test_gallery_has_at_least_25_bugs_and_all_kinds_but_five() -> None:
    told = (gradviz.diagnose.__doc__ or "").partition("The kinds, by severity:")[2].partition("The other files:")[0]
    kinds = {word.strip(",") for word in told.split()} - {"error", "warning", "hint"}
    assert len(SCRIPTS) >= 25
    # test_findings.py has these: one needs CUDA, one is told of code that is not broken, one of a loaded graph; and
    # test_hooks_told.py one of hooks that may be meant, test_packed_values.py one of hooks on what is saved.
    elsewhere = {"not-deterministic", "masked-nan", "not-checked", "hooked-gradient", "lossy-saved-tensors"}
    assert kinds - {kind_of(script) for script in SCRIPTS} == elsewhere
