"""`gradviz slides`: what it writes, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pptx
import pytest
from click.testing import CliRunner, Result

from gradviz.cli.command import main

TEXT = ["x*y", "--at", "x=2", "--at", "y=3", "--device", "cpu"]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["slides", *TEXT, *arguments], catch_exceptions=False)


def test_a_presentation_is_written_with_the_options_that_are_given(tmp_path: Path) -> None:
    path = tmp_path / "deck.pptx"
    done = run("-o", str(path), "--theme", "dark", "--title", "Product rule", "--one-slide", "--highlight", "#ff00ff")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", f"wrote {path}\n")
    (slide,) = pptx.Presentation(str(path)).slides
    assert slide.shapes.title.text_frame.text == "Product rule"
    assert 'val="FF00FF"' in slide.part.blob.decode()
    assert str(slide.background.fill.fore_color.rgb) != "FFFFFF"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "deck.key"], "unknown slide format '.key'"),
        ([], "Missing option '-o'"),
        (["-o", "deck.pptx", "--highlight", "red"], "highlight is 'red'"),
    ],
)
def test_what_is_not_accepted_exits_with_2(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(*arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_calls_are_drawn_as_one_where_that_is_asked_for(tmp_path: Path) -> None:
    target = tmp_path / "train.py"
    target.write_text(
        "import torch\n"
        "def step():\n"
        "    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))\n"
        "    return model, torch.ones(2), None\n"
    )
    arguments = ["slides", f"{target}:step", "--device", "cpu", "-o", str(tmp_path / "deck.pptx")]
    found = {}
    for option in ([], ["--collapse", "auto", "--fold", "0"], ["--collapse", "1"]):
        done = CliRunner().invoke(main, [*arguments, *option], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        slides = list(pptx.Presentation(str(tmp_path / "deck.pptx")).slides)
        found[" ".join(option)] = [slide.notes_slide.notes_text_frame.text for slide in slides]
    whole, folded, all_closed = found.values()
    assert len(whole) > len(folded) > len(all_closed)
    assert any(text.startswith("0 · Linear passes on what arrived") for text in folded)
    assert not any("passes on what arrived" in text for text in whole)
