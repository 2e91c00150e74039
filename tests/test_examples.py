"""Every example runs as a user would run it, writes its picture, and says what it claims."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPTS = sorted(path for path in (ROOT / "examples").glob("*.py") if not path.name.startswith("__"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_example_runs_and_writes_its_picture(script: Path, tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "GRADVIZ_OUT"} | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    picture = (tmp_path / "out" / f"{script.stem}.svg").read_text()
    assert picture.startswith("<svg") and "<text" in picture
    assert ("MISMATCH" in done.stdout) == (script.stem == "wrong_backward")
    assert "unverified" not in done.stdout
