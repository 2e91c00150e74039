"""From nothing known of a model to its first picture, in a process of its own: trace, view, drawing, until there is an SVG.

That process is `python -m benchmarks.drawing CASE MODULE TOOL`. It has loaded its libraries, and the drawing process of
gradviz is running, before the clock starts.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.allocator import as_started
from benchmarks.cases import CASES
from benchmarks.peers import load

TIME_LIMIT_S = 300
DOT = """#!{python}
import sys
sys.path.insert(0, {root!r})
from benchmarks.drawing import dot
dot(sys.argv[1:])
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstPicture:
    """How long a tool took from the model to an SVG, and how large that is; None where it failed."""

    total_s: float | None
    size_bytes: int = 0
    failure: str = ""


def first_picture(case: str, module: str, tool: str) -> FirstPicture:
    """Starts a process that builds the case and lets the tool draw it once."""
    command = [sys.executable, "-m", "benchmarks.drawing", case, module, tool]
    with tempfile.TemporaryDirectory() as folder:
        try:
            environment = as_started() | _path_with_dot(Path(folder))
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIME_LIMIT_S)
        except subprocess.TimeoutExpired:
            return FirstPicture(total_s=None, failure=f"took more than {TIME_LIMIT_S} s")
    if done.returncode != 0:
        return FirstPicture(total_s=None, failure=done.stderr.strip().rpartition("\n")[2])
    total_s, size_bytes = done.stdout.split()[-2:]
    return FirstPicture(total_s=float(total_s), size_bytes=int(size_bytes))


def dot(arguments: list[str]) -> None:
    """What other tools call the program `dot` for, where the system has none: by the Graphviz that gradviz draws with."""
    import pygraphviz

    if "-V" in arguments:
        sys.stderr.write("dot - graphviz version 12 (pygraphviz)\n")
        return
    picture_format = next(argument[2:] for argument in arguments if argument.startswith("-T"))
    output = arguments[arguments.index("-o") + 1] if "-o" in arguments else None
    sources = [argument for argument in arguments if not argument.startswith("-") and argument != output]
    text = Path(sources[0]).read_text() if sources else sys.stdin.read()
    picture = pygraphviz.AGraph(string=text).draw(format=picture_format, prog="dot")
    if output is None:
        sys.stdout.buffer.write(picture)
    else:
        Path(output).write_bytes(picture)


def main(case: str, module: str, tool: str) -> None:
    """What the started process does."""
    from gradviz.render import start

    tools = {one.name: one for one in load(module)}
    job = {one.name: one for one in CASES}[case].build()
    draw = tools[tool].draw
    if draw is None:
        raise SystemExit(f"{tool} draws no picture")
    start()
    tools[tool].before()
    began = time.perf_counter()
    picture = draw(job)
    print(time.perf_counter() - began, len(picture))


def _path_with_dot(folder: Path) -> dict[str, str]:
    """A search path on which there is a `dot`."""
    path = os.environ.get("PATH", "")
    if shutil.which("dot") is None:
        program = folder / "dot"
        program.write_text(DOT.format(python=sys.executable, root=str(Path(__file__).parent.parent)))
        program.chmod(0o755)
        path = f"{folder}{os.pathsep}{path}"
    return {"PATH": path}


if __name__ == "__main__":
    main(*sys.argv[1:])
