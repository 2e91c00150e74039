"""Runs every example, one after the other: `python -m examples [FOLDER]`. Pictures go into FOLDER, `out` unless given."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

HERE = Path(__file__).parent


def scripts() -> list[Path]:
    """The examples in alphabetical order."""
    return sorted(path for path in HERE.glob("*.py") if not path.name.startswith("__"))


def main(folder: str = "out") -> None:
    os.environ["GRADVIZ_OUT"] = folder
    for script in scripts():
        print(f"\n── {script.name} " + "─" * max(0, 100 - len(script.name)))
        runpy.run_path(str(script), run_name="__main__")
    pictures = sorted(Path(folder).glob("*.svg"))
    print(f"\n{len(scripts())} examples ran; {len(pictures)} pictures are in {folder}/")


if __name__ == "__main__":
    main(*sys.argv[1:2])
