"""Every example runs as a user would run it, says what it claims, and is written as picture, deck, player and derivation."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pptx

ROOT = Path(__file__).parent.parent
NAMES = sorted(path.stem for path in (ROOT / "examples").glob("*.py") if not path.name.startswith("__"))


def run(arguments: list[str], folder: Path) -> str:
    """What Python prints in `folder`."""
    environment = {key: value for key, value in os.environ.items() if key != "GRADVIZ_OUT"} | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_demo_checks_every_example_and_writes_all_that_explains_it(tmp_path: Path) -> None:
    printed = re.split(r"^── (\w+)\.py ─+$", run(["-m", "examples"], tmp_path), flags=re.MULTILINE)
    said = dict(zip(printed[1::2], printed[2::2], strict=True))
    assert sorted(said) == NAMES
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        f"{name}.{suffix}" for name in NAMES for suffix in ("svg", "pptx", "html", "md", "tex")
    )
    for name in NAMES:
        assert ("MISMATCH" in said[name]) == (name == "wrong_backward"), name
        assert "unverified" not in said[name], name
        assert f"wrote out/{name}.svg, .pptx, .html, .md, .tex" in said[name]
        written = {suffix: tmp_path / "out" / f"{name}.{suffix}" for suffix in ("svg", "html", "md", "tex")}
        picture, page, markdown, latex = (path.read_text(encoding="utf-8") for path in written.values())
        assert picture.startswith("<svg") and "<text" in picture
        assert len(page.encode()) < 300_000 and "function mount(root, data)" in page
        slides = pptx.Presentation(str(tmp_path / "out" / f"{name}.pptx")).slides
        assert len(slides) == page.count('"sentence":') > 5, name
        leaves = re.findall(r"^## How .*comes about: \d+ path", markdown, re.MULTILINE)
        assert len(leaves) == latex.count(r"\section*{How ") > 1, name
        assert latex.isascii()


def test_an_example_is_a_script_of_its_own(tmp_path: Path) -> None:
    assert "8 edges: 8 match" in run([str(ROOT / "examples" / "one_neuron.py")], tmp_path)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["one_neuron.svg"]
