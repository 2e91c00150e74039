"""Draws the pictures of the README: `python docs/gallery.py [FOLDER]`. They go into `docs` unless a folder is given."""

from __future__ import annotations

import os
import runpy
import shutil
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).parent
EXAMPLES = ("product_plus_sine", "shared_intermediate", "hidden_layer", "wrong_backward")
STEP_OF, STEP = "product_plus_sine", 10


def main(folder: str = str(DOCS)) -> None:
    """The picture that each example writes, and one step of a deck."""
    os.environ["GRADVIZ_OUT"] = folder
    made = {name: runpy.run_path(str(DOCS.parent / "examples" / f"{name}.py")) for name in EXAMPLES}
    with tempfile.TemporaryDirectory() as steps:
        made[STEP_OF]["graph"].save_slides(steps, format="svg")
        shutil.copy(Path(steps, f"frame-{STEP}.svg"), Path(folder, "step.svg"))


if __name__ == "__main__":
    main(*sys.argv[1:2])
