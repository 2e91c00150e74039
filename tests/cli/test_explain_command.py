"""`gradviz explain`: what it prints, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gradviz.cli.command import main

TEXT = ["x*y + sin(pi*x)", "--at", "x=2", "--at", "y=3", "--device", "cpu"]
MATRIX = ["sum(A @ x)", "--at", "A=[[1,2],[3,4]]", "--at", "x=[1,2]", "--device", "cpu"]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["explain", *arguments], catch_exceptions=False)


def test_every_leaf_is_explained_unless_one_is_named() -> None:
    everything = run(*TEXT)
    assert everything.exit_code == 0
    assert "How ∂d/∂x comes about: 2 paths" in everything.stdout
    assert "How ∂d/∂y comes about: 1 path" in everything.stdout
    assert "∂d/∂y comes about" not in run(*TEXT, "--leaf", "x").stdout


def test_a_short_explanation_is_one_line_per_leaf() -> None:
    assert run(*TEXT, "--level", "short").stdout.splitlines() == [
        "∂d/∂x = 3.142 + 3 = 6.142    (2 paths)",
        "∂d/∂y = 2    (1 path)",
    ]


def test_each_format_is_what_it_says() -> None:
    assert run(*TEXT, "--leaf", "x", "--format", "latex").stdout.startswith("\\documentclass")
    assert run(*TEXT, "--leaf", "x", "--format", "markdown").stdout.startswith("## How $")
    page = run(*TEXT, "--format", "html").stdout
    assert page.startswith("<!DOCTYPE html>") and '<meta charset="utf-8">' in page and page.endswith("</html>\n")
    assert page.count("<article") == page.count("</article>") == 2
    assert f"<title>How the gradients of {TEXT[0]} come about</title>" in page


def test_latex_of_several_leaves_is_one_document() -> None:
    latex = run(*TEXT, "--format", "latex").stdout
    assert latex.count(r"\begin{document}") == latex.count(r"\end{document}") == 1
    assert latex.count(r"\section*{How ") == 2
    assert latex.endswith("\\end{document}\n")


def test_an_element_is_written_out() -> None:
    assert "∂b/∂A[0, 1] =" in run(*MATRIX, "--leaf", "A", "--index", "0,1").stdout


def test_without_a_leaf_an_index_is_that_of_the_leaves_that_have_it() -> None:
    written = run(*MATRIX, "--index", "0,1").stdout
    assert "∂b/∂A[0, 1] =" in written
    assert "How ∂b/∂x" not in written


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*MATRIX, "--index", "0,0,0"], "no leaf has an element 0,0,0"),
        ([*MATRIX, "--index", "0,1", "--level", "short"], "it is for --level full and --level quiz"),
        ([*TEXT, "--leaf", "q"], "no node called 'q'"),
        ([*MATRIX, "--leaf", "A", "--index", "one"], "'one' is no index"),
        ([*MATRIX, "--leaf", "A", "--index", "5,5"], "does not fit 'A'"),
    ],
)
def test_what_is_not_accepted_exits_with_2(arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_leaf_that_is_misspelt_is_told_the_name_that_was_meant() -> None:
    done = CliRunner().invoke(main, ["explain", "width*height", "--at", "width=2", "--at", "height=3", "--leaf", "heigth"])
    assert done.exit_code == 2 and "no node called 'heigth'; did you mean 'height'? its nodes are" in done.output
    done = CliRunner().invoke(main, ["explain", "x*y", "--at", "x=2", "--at", "y=3", "--leaf", "z"])
    assert "no node called 'z'; its nodes are called x, y, a" in done.output


@pytest.mark.parametrize("name", ["x.txt", "x.md", "x.tex", "x.HTML"])
def test_a_file_has_what_is_printed_in_the_format_of_its_ending(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    done = run(*TEXT, "-o", str(path))
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", f"wrote {path}\n")
    as_format = {"txt": "text", "md": "markdown", "tex": "latex", "html": "html"}[name.lower()[2:]]
    assert path.read_text(encoding="utf-8") == run(*TEXT, "--format", as_format).stdout


def test_several_files_are_written_at_once_and_a_format_stands_for_an_ending(tmp_path: Path) -> None:
    run(*TEXT, "-o", str(tmp_path / "x.md"), "-o", str(tmp_path / "x.tex"))
    assert (tmp_path / "x.md").read_text().startswith("## How") and "documentclass" in (tmp_path / "x.tex").read_text()
    run(*TEXT, "-o", str(tmp_path / "README"), "--format", "markdown")
    assert (tmp_path / "README").read_text() == (tmp_path / "x.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["x.svg"], "unknown format '.svg' of 'x.svg'; accepted: txt, md, tex, html"),
        (["x"], "unknown format '' of 'x'"),
        (["x.md", "--format", "latex"], "'x.md' ends as markdown does, and --format is latex"),
        (["missing/x.md"], "cannot write 'missing/x.md': No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(*TEXT, "-o", *arguments)
    assert done.exit_code == 2 and message in done.stderr
    assert not [*tmp_path.iterdir()]
