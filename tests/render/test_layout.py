"""The drawing process: time limits, errors, forks, threads, and that nothing is left behind."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gradviz.errors import RenderError
from gradviz.render import layout
from gradviz.render.layout import DrawingProcess, OutOfTimeError, draw, stop

SMALL = "digraph { a -> b }"
SLOW = "digraph { " + " ".join(f"hub -> n{i}; n{i} -> n{i + 1} [label=x];" for i in range(3000)) + " }"


def run(script: str) -> subprocess.CompletedProcess[str]:
    """Runs a script that has `layout` and `draw`, without the packages around them: those would load torch."""
    folder = Path(layout.__file__).parent
    prepare = (
        "import sys, types\n"
        f"for name, path in (('gradviz', {str(folder.parent)!r}), ('gradviz.render', {str(folder)!r})):\n"
        "    sys.modules[name] = types.ModuleType(name)\n"
        "    sys.modules[name].__path__ = [path]\n"
        "from gradviz.render import layout\n"
        "from gradviz.render.layout import draw\n"
    )
    return subprocess.run([sys.executable, "-c", prepare + script], capture_output=True, text=True, timeout=60)


def process() -> subprocess.Popen[bytes]:
    assert layout._desk.process is not None
    return layout._desk.process.process


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(("picture_format", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_each_format_is_drawn(picture_format: layout.DrawnFormat, start: bytes) -> None:
    assert draw(SMALL, picture_format).startswith(start)


def test_the_process_is_kept_for_the_next_picture() -> None:
    draw(SMALL, "svg")
    before = process()
    assert draw(SMALL, "svg") == draw(SMALL, "svg")
    assert process() is before


def test_a_picture_that_is_late_is_given_up_and_the_next_one_is_drawn() -> None:
    draw(SMALL, "svg")
    late = process()
    with pytest.raises(OutOfTimeError, match=r"drawing took more than 0\.3 s"):
        draw(SLOW, "svg", time_limit_s=0.3)
    assert late.returncode == -signal.SIGKILL  # and not by its own alarm clock, which rings later
    assert draw(SMALL, "svg").startswith(b"<?xml")


def test_a_picture_that_is_ready_as_its_time_ends_is_handed_out_and_the_next_one_is_drawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ask = DrawingProcess._ask

    def asked(drawing: DrawingProcess, messages: list[bytes]) -> bytes | None:
        answer = ask(drawing, messages)
        drawing._kill_late()
        return answer

    with monkeypatch.context() as ringing:
        ringing.setattr(DrawingProcess, "_ask", asked)
        assert draw(SMALL, "svg").startswith(b"<?xml")
    assert draw(SMALL, "svg").startswith(b"<?xml")


def test_a_process_that_was_killed_is_replaced() -> None:
    draw(SMALL, "svg")
    folder = layout._desk.process.folder  # type: ignore[union-attr]
    process().kill()
    process().wait()
    assert draw(SMALL, "svg").startswith(b"<?xml")
    assert not folder.exists()


def test_text_that_is_not_dot_is_refused_with_what_graphviz_said() -> None:
    with pytest.raises(RenderError, match=r"(?s)Graphviz could not draw.*syntax error in line 1"):
        draw("digraph { a -> ", "svg")
    assert draw(SMALL, "svg").startswith(b"<?xml")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"picture_format": "bmp"}, "unknown format 'bmp'; accepted: svg, png, pdf"),
        ({"dpi": 5}, "dpi is 5; accepted: 10 to 1200"),
        ({"dpi": float("nan")}, "dpi is nan"),
        ({"time_limit_s": 0}, "time_limit_s is 0"),
    ],
)
def test_an_option_that_is_not_accepted_is_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(RenderError, match=message):
        draw(SMALL, **{"picture_format": "png"} | options)  # type: ignore[arg-type]


def test_dpi_scales_a_png() -> None:
    def width(png: bytes) -> int:
        return int.from_bytes(png[16:20], "big")

    assert width(draw(SMALL, "png", dpi=192)) == pytest.approx(2 * width(draw(SMALL, "png", dpi=96)), abs=3)


def test_threads_get_their_own_pictures() -> None:
    pictures: dict[int, bytes] = {}

    def work(place: int) -> None:
        pictures[place] = draw(f"digraph {{ only{place} }}", "svg")

    threads = [threading.Thread(target=work, args=(place,)) for place in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(f">only{place}<".encode() in pictures[place] for place in range(8))


def test_the_process_loads_neither_torch_nor_gradviz_and_files_beside_it_hide_no_module() -> None:
    code = Path(layout.worker.__file__).read_text()
    assert "import gradviz" not in code and "from gradviz" not in code and "torch" not in code.split('"""', 2)[2]


def test_a_script_without_a_main_guard_draws_and_leaves_no_process_and_no_folder() -> None:
    script = "print(len(draw('digraph { a }', 'svg')) > 0, layout._desk.process.process.pid, layout._desk.process.folder)"
    done = run(script)
    drawn, pid, folder = done.stdout.split()
    assert (drawn, done.stderr) == ("True", "")
    assert not is_running(int(pid))
    assert not Path(folder).exists()


def test_the_process_ends_when_its_owner_is_killed() -> None:
    script = (
        "import os, signal\ndraw('digraph { a }', 'svg')\n"
        "print(layout._desk.process.process.pid, layout._desk.process.folder, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    pid, folder = run(script).stdout.split()
    deadline = time.monotonic() + 60
    while is_running(int(pid)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_running(int(pid))
    shutil.rmtree(folder)


def test_a_forked_child_draws_with_a_process_of_its_own() -> None:
    script = (
        "import os\ndraw('digraph { a }', 'svg')\n"
        "parent = layout._desk.process.process.pid\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    draw('digraph { b }', 'svg')\n"
        "    same = layout._desk.process.process.pid == parent\n"
        "    layout.stop()\n"
        "    os._exit(1 if same else 7)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), b'>a<' in draw('digraph { a }', 'svg'),\n"
        "      layout._desk.process.process.pid == parent)"
    )
    done = run(script)
    assert done.stdout.split() == ["7", "True", "True"], done.stderr


def test_stopping_twice_is_allowed() -> None:
    stop()
    stop()
    assert draw(SMALL, "svg").startswith(b"<?xml")


def test_letters_are_drawn_on_a_machine_without_fonts(tmp_path: Path) -> None:
    bare = tmp_path / "fonts.conf"
    bare.write_text(f"<fontconfig><cachedir>{tmp_path}</cachedir></fontconfig>")
    script = (
        "import hashlib, os\n"
        f"os.environ['FONTCONFIG_FILE'] = {str(bare)!r}\n"
        'source = \'digraph { n [fontname="DejaVu Sans" label="%s"] }\'\n'
        "pictures = [draw(source % letter, 'png') for letter in '∂π✓✗ΣλAb']\n"
        "print(len({hashlib.sha256(picture).digest() for picture in pictures}))"
    )
    done = run(script)
    assert done.stdout.split() == ["8"], done.stderr  # empty boxes would all be alike
