"""The package as it is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_a_folder_of_the_same_name_beside_a_script_is_not_taken_for_the_package(tmp_path: Path) -> None:
    (tmp_path / "gradviz" / "docs").mkdir(parents=True)  # a checkout, in the folder that it was cloned into
    (tmp_path / "script.py").write_text("import gradviz\nprint(gradviz.trace.__name__)\n")
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("trace\n", "")
