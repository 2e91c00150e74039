"""The pictures and the derivation of the README's gallery are what the code makes today."""

from __future__ import annotations

import os
import re
import runpy
from pathlib import Path
from xml.etree import ElementTree

import pytest

import gradviz

ROOT = Path(__file__).parent.parent
GALLERY = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Gallery\n")[2].partition("\n## ")[0]
SVG = "{http://www.w3.org/2000/svg}"
KINDS = ("text", "path", "polygon", "ellipse", "title")


def content(path: Path) -> list[tuple[str | None, ...]]:
    """What a picture shows, in order, without coordinates: those differ from one Graphviz to the next."""
    root = ElementTree.parse(path).getroot()
    kept = [element for element in root.iter() if element.tag.removeprefix(SVG) in KINDS]
    return [
        ("".join(element.itertext()).strip(), element.tag.removeprefix(SVG), element.get("fill"), element.get("stroke"))
        for element in kept
    ]


def test_its_pictures_are_what_the_command_draws_today(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADVIZ_OUT", os.environ.get("GRADVIZ_OUT", ""))  # puts back what the command sets
    runpy.run_path(str(ROOT / "docs" / "gallery.py"))["main"](str(tmp_path))
    made = sorted(path.name for path in tmp_path.iterdir())
    assert made == sorted(path.name for path in (ROOT / "docs").glob("*.svg"))
    assert set(re.findall(r"\]\(docs/(\S+\.svg)\)", GALLERY)) == {*made} - {"product_plus_sine.svg"}
    for name in made:
        drawn = content(tmp_path / name)
        assert len(drawn) > 20
        assert drawn == content(ROOT / "docs" / name), f"{name} differs: run python docs/gallery.py and look at it"
        assert (ROOT / "docs" / name).stat().st_size < 20_000


def test_its_derivation_is_what_explain_prints() -> None:
    printed = str(gradviz.trace("z = x*y; log(z) + exp(z)", x=5.0, y=3.0, device="cpu").explain("x"))
    quoted = "\n".join(line.removeprefix("    ") for line in GALLERY.splitlines())
    assert printed[printed.index("Local partial") :].strip() in quoted
