"""The package as `make` installs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def test_a_folder_of_the_same_name_beside_a_script_is_not_taken_for_the_package(tmp_path: Path) -> None:
    if not Path(sys.prefix, "ready").exists() and not os.environ.get("PYTHONPATH"):
        pytest.skip("an environment that make did not make: `pip install -e .` alone puts a finder behind such folders")
    (tmp_path / "gradviz" / "docs").mkdir(parents=True)  # a checkout, in the folder that it was cloned into
    (tmp_path / "script.py").write_text("import gradviz\nprint(gradviz.trace.__name__)\n")
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("trace\n", "")


def test_an_environment_is_made_again_when_its_recipe_changes() -> None:
    rules = [line for line in (ROOT / "Makefile").read_text().splitlines() if "/ready: " in line and line[0] == "$"]
    assert len(rules) >= 2 and all("Makefile" in rule.split()[1:] for rule in rules if "pyproject.toml" in rule)
