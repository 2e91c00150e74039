"""The LaTeX document: compiled where there is a TeX with Beamer, and read by a small parser everywhere."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pypdfium2
import pytest
from slide_samples import NAMES, NASTY, frames_named, paintings

from gradviz.slides.beamer import beamer, text_latex


def has_beamer() -> bool:
    """Whether TeX finds what the document asks for."""
    if not (shutil.which("pdflatex") and shutil.which("kpsewhich")):
        return False
    found = subprocess.run(["kpsewhich", "beamer.cls", "tikz.sty"], capture_output=True, text=True)
    return len(found.stdout.splitlines()) == 2


def depths(latex: str) -> list[int]:
    """How many braces are open at the end of each line."""
    found, depth = [], 0
    for line in latex.splitlines():
        signs = re.sub(r"\\[\\{}%]|(?<!\\)%.*", "", line)
        depth += signs.count("{") - signs.count("}")
        found.append(depth)
    return found


@pytest.mark.parametrize("name", [*NAMES, "nasty"])
def test_every_overlay_is_one_ascii_line_with_matching_braces(name: str) -> None:
    latex = beamer(paintings(name))
    assert latex.isascii()
    assert set(depths(latex)) == {0}
    for environment in ("document", "frame", "tikzpicture"):
        assert latex.count(f"\\begin{{{environment}}}") == latex.count(f"\\end{{{environment}}}") == 1


@pytest.mark.parametrize("name", ["lecture", "training"])
def test_the_overlays_of_a_frame_show_its_texts_and_no_others(name: str) -> None:
    latex = beamer(paintings(name))
    spans = re.findall(r"^\\only<(\d+)(?:-(\d+))?>\{(.*)\}$", latex, re.MULTILINE)
    for number, painting in enumerate(paintings(name), 1):
        shown = [look for first, last, look in spans if int(first) <= number <= int(last or first)]
        written = [re.search(r"\\node\[.*?\] at \(.*?\) \{(.*)\};$", look) for look in shown]
        texts = sorted(found[1].removeprefix("\\textbf{") for found in written if found)
        expected = [text_latex(text.text) + ("}" if text.bold else "") for text in painting.texts if text.text]
        assert texts == sorted(expected)
        assert len(shown) == len(painting.arrows) + len(painting.shapes) + len(expected)


def test_signs_that_latex_does_not_have_are_replaced() -> None:
    assert text_latex("‖∂L/∂A‖ ≥ 10⁻³ é 𝛼") == r"$\Vert$$\partial$L/$\partial$A$\Vert$ $\ge$ 10$^{-3}$ \'{e} ?"
    assert text_latex("a_b\\{100%}") == r"a\_b\textbackslash{}\{100\%\}"
    assert text_latex(NASTY).isascii()


@pytest.mark.skipif(not has_beamer(), reason="no TeX with Beamer here: braces, overlays and ASCII were checked instead")
@pytest.mark.parametrize("name", ["cut", "nasty"])
def test_the_document_compiles_to_a_page_for_each_frame(name: str, tmp_path: Path) -> None:
    (tmp_path / "slides.tex").write_text(beamer(paintings(name)))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "slides.tex"]
    for _ in range(2):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
        assert done.returncode == 0, done.stdout[-2000:]
    with pypdfium2.PdfDocument(tmp_path / "slides.pdf") as document:
        assert len(document) == len(frames_named(name))
        inked = document[0].render(scale=1).to_pil().convert("L").point(lambda value: 255 - value).getbbox()
        assert inked and inked[0] > 5 and inked[2] < document[0].get_width() - 5
