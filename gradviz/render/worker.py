"""The drawing process: DOT text comes in through standard input, pictures go out through standard output.

It is started as a file, not as a module of gradviz, so that it loads neither torch nor gradviz and is ready in a tenth
of a second. Graphviz runs inside it through pygraphviz, or as the system's `dot` where pygraphviz is missing. It ends
when its input ends.

A message is a 4-byte length and that many bytes. A request is JSON, then one message per image:

    {"source": DOT text, "format": "svg" | "png" | "pdf" | "json", "dpi": number, "time_limit_s": seconds,
     "images": [file name, ...]}

An answer is one message: `=` and the picture, or `!` and why there is none. What Graphviz says on stderr goes into a
file that only an error quotes. A layout cannot be interrupted from Python, so each request sets the process's alarm
clock: it dies soon after its time limit even when nobody is left to kill it.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import struct
import sys
from pathlib import Path
from typing import Any

LENGTH = struct.Struct(">I")
GRACE_S = 2.0


def read_message(stream: io.RawIOBase) -> bytes | None:
    """The next message; None when the stream ends."""
    header = _read_exactly(stream, LENGTH.size)
    return None if header is None else _read_exactly(stream, LENGTH.unpack(header)[0])


def write_message(stream: io.RawIOBase, data: bytes) -> None:
    """Sends one message through an unbuffered stream."""
    rest = memoryview(LENGTH.pack(len(data)) + data)
    while rest:
        rest = rest[stream.write(rest) or 0 :]


def font_configuration(folder: Path, system: str) -> str:
    """A fontconfig file that adds the fonts in `folder` to those of the system, which may have none.

    Without hinting, which rounds the width of each letter to whole pixels and sets small text unevenly.

    Args:
        folder: holds the fonts; fontconfig also puts its cache and notes there, so it must be open to writing.
        system: the system's own configuration file; need not exist.
    """
    return (
        '<?xml version="1.0"?>\n<!DOCTYPE fontconfig SYSTEM "fonts.dtd">\n<fontconfig>\n'
        f'<include ignore_missing="yes">{_xml(system)}</include>\n<dir>{_xml(str(folder))}</dir>\n'
        '<match target="font"><edit name="hinting" mode="assign"><bool>false</bool></edit></match>\n'
        f"<cachedir>{_xml(str(folder))}</cachedir>\n</fontconfig>\n"
    )


def serve(folder: Path) -> None:
    """Answers requests until standard input ends.

    Args:
        folder: where images, the font configuration and Graphviz's messages are put; the caller removes it.
    """
    requests, answers = _claim_streams(folder / "messages")
    fonts = folder / "fonts"
    fonts.mkdir()
    for font in (Path(__file__).parent / "fonts").glob("*.ttf"):
        shutil.copy(font, fonts)
    configuration = folder / "fonts.conf"
    configuration.write_text(font_configuration(fonts, os.environ.get("FONTCONFIG_FILE", "/etc/fonts/fonts.conf")))
    os.environ["FONTCONFIG_FILE"] = str(configuration)
    while (message := read_message(requests)) is not None:
        request = json.loads(message)
        os.truncate(folder / "messages", 0)
        _set_alarm(request["time_limit_s"] + GRACE_S)
        try:
            for name in request["images"]:
                (folder / name).write_bytes(read_message(requests) or b"")
            answer = b"=" + draw(request, folder)
        except Exception as error:  # whatever went wrong is told to the process that asked
            answer = b"!" + f"{type(error).__name__}: {error}".encode(errors="replace") + _messages(folder)
        for name in request["images"]:
            (folder / name).unlink(missing_ok=True)
        _set_alarm(0)
        write_message(answers, answer)


def draw(request: dict[str, Any], folder: Path) -> bytes:
    """Lays out one DOT text and draws it."""
    options = {"imagepath": str(folder)}
    if request["format"] == "png":
        options["dpi"] = str(request["dpi"])
    if request["format"] == "pdf":
        options["margin"] = "0"  # of the paper, half an inch on each side; what is around the picture is its pad
    try:
        import pygraphviz
    except ImportError:
        return _draw_with_dot(request["source"], request["format"], options)
    graph = pygraphviz.AGraph(string=request["source"])
    try:
        graph.graph_attr.update(options)
        picture: bytes = graph.draw(format=request["format"], prog="dot")
        return picture
    finally:
        graph.close()


def _draw_with_dot(source: str, picture_format: str, options: dict[str, str]) -> bytes:
    """The same by the `dot` program of the system."""
    import subprocess

    command = ["dot", f"-T{picture_format}", *(f"-G{name}={value}" for name, value in options.items())]
    done = subprocess.run(command, input=source.encode(), stdout=subprocess.PIPE)
    if done.returncode or not done.stdout:
        raise RuntimeError(f"dot ended with status {done.returncode}")
    return done.stdout


def _claim_streams(messages: Path) -> tuple[io.RawIOBase, io.RawIOBase]:
    """Private copies of stdin and stdout; the usual ones lead elsewhere, so that no print can break the protocol."""
    requests, answers = os.fdopen(os.dup(0), "rb", buffering=0), os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDWR)
    said = os.open(messages, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    os.dup2(nothing, 0)
    os.dup2(said, 1)
    os.dup2(said, 2)
    return requests, answers


def _messages(folder: Path) -> bytes:
    """What Graphviz said about this request."""
    said = (folder / "messages").read_bytes()[-2000:]
    return b"\n" + said if said else b""


def _set_alarm(seconds: float) -> None:
    """Lets the system end this process after that time; 0 takes it back. Does nothing where there is no such clock."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _read_exactly(stream: io.RawIOBase, count: int) -> bytes | None:
    parts = []
    while count:
        part = stream.read(min(count, 1 << 20))
        if not part:
            return None
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _xml(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


if __name__ == "__main__":
    here = str(Path(__file__).parent)
    sys.path[:] = [entry for entry in sys.path if entry != here]  # else a file beside this one could hide a library's module
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the caller, who then closes the pipe
    serve(Path(sys.argv[1]))
