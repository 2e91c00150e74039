"""Runs every example, one after the other, and writes its slides and derivations: `python -m examples [FOLDER]`.

Into FOLDER, `out` unless given, go for each example its picture (.svg), its deck (.pptx), the page that plays it (.html),
and how each of its gradients comes about (.md and .tex).
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

from gradviz import GradGraph
from gradviz.explain.latex import derivation_latex

HERE = Path(__file__).parent


def scripts() -> list[Path]:
    """The examples in alphabetical order."""
    return sorted(path for path in HERE.glob("*.py") if not path.name.startswith("__"))


def write_explained(graph: GradGraph, stem: Path) -> None:
    """The deck, the player and the derivation of every leaf's gradient, beside the picture."""
    graph.save_slides(stem.with_suffix(".pptx"))
    graph.save_slides(stem.with_suffix(".html"))
    explained = [graph.explain(name) for name in graph.leaves]
    stem.with_suffix(".md").write_text("\n".join(explanation.markdown for explanation in explained), encoding="utf-8")
    latex = derivation_latex(*(explanation.derivation for explanation in explained))
    stem.with_suffix(".tex").write_text(latex, encoding="utf-8")


def main(folder: str = "out") -> None:
    os.environ["GRADVIZ_OUT"] = folder
    for script in scripts():
        print(f"\n── {script.name} " + "─" * max(0, 100 - len(script.name)))
        stem = Path(folder) / script.stem
        write_explained(runpy.run_path(str(script), run_name="__main__")["graph"], stem)
        print(f"wrote {stem}.svg, .pptx, .html, .md, .tex")
    print(f"\n{len(scripts())} examples ran; what they wrote is in {folder}/")


if __name__ == "__main__":
    main(*sys.argv[1:2])
