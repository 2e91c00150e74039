"""Headers and steps <-> lines of JSON in a file; the file may come from anywhere, and nothing in it is executed.

The first line of a rank's file is its header, `{"gradviz": "run", "version": 4, "header": {...}}`; each further line is a
step, `{"step": {...}}`, with the fields of `notes.Step`, and the last one an end, `{"end": {...}}`, unless the run was
killed. A step's line is written as soon as the step is over, so that such a run keeps what it had: a last line that was cut
short is left out. A merged file has the lines of several.
A float that is not finite is `{"float": "nan"}`, as in a saved graph.
"""

from __future__ import annotations

import json
import math
import os
import types
from collections.abc import Iterator
from dataclasses import asdict, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TextIO, Union, get_args, get_origin, get_type_hints
from weakref import WeakKeyDictionary

from gradviz.errors import InputError, OtherVersionError
from gradviz.runs.notes import End, Header, Step

FORMAT, VERSION = "run", 4
"""The version is raised whenever a record of `notes` gets or loses a field: a file of before could not be read as it is."""
PATTERN = "rank*.jsonl"
MERGED = "run.jsonl"
MAX_LINE = 2**27
_BEING_WRITTEN: WeakKeyDictionary[TextIO, Path] = WeakKeyDictionary()
"""The files that watchers of this process write to at this time."""


def rank_file(rank: int) -> str:
    """The name of a rank's file."""
    return f"rank{rank}.jsonl"


def new_file(file: Path, *, overwrite: bool) -> TextIO:
    """Opens a rank's file to be written, in a directory that is made where it is not there; `close_file` closes it.

    Raises:
        InputError: there is such a file, or it is being written; it cannot be written.
    """
    directory = file.parent
    if directory.exists() and not directory.is_dir():
        raise InputError(f"{str(directory)!r} is a file; accepted: a directory, which watch makes where it is not there")
    if file.resolve() in _BEING_WRITTEN.values():
        raise InputError(f"another watcher writes to {str(file)!r}; give each a directory of its own")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        opened = file.open("w" if overwrite else "x", encoding="utf-8")
    except FileExistsError as error:
        raise InputError(
            f"{str(file)!r} holds an earlier run; give watch another directory, or overwrite=True to replace it"
        ) from error
    except OSError as error:
        raise InputError(f"cannot write to {str(file)!r}: {error.strerror or error}") from error
    _BEING_WRITTEN[opened] = file.resolve()
    return opened


def close_file(opened: TextIO) -> None:
    """Closes what `new_file` opened."""
    _BEING_WRITTEN.pop(opened, None)
    opened.close()


def line_of(note: Header | Step | End) -> str:
    """One line, without its end."""
    content = _plain(asdict(note))
    if isinstance(note, Header):
        return json.dumps({"gradviz": FORMAT, "version": VERSION, "header": content}, allow_nan=False)
    kind = "end" if isinstance(note, End) else "step"
    return json.dumps({kind: content}, allow_nan=False, separators=(",", ":"))


def read_lines(file: Path) -> Iterator[Header | Step | End]:
    """What a file holds, in its order.

    Raises:
        InputError: it cannot be read, or is not such a file.
    """
    try:
        with file.open(encoding="utf-8") as lines:
            number = 0
            while line := lines.readline(MAX_LINE):
                number += 1
                if not line.endswith("\n"):
                    if len(line) >= MAX_LINE or number == 1:
                        raise InputError(_no_run(file))
                    return  # cut short: the process ended while it wrote this
                yield _read_line(line, file, number)
    except UnicodeDecodeError as error:
        raise InputError(_no_run(file)) from error
    except OSError as error:
        raise InputError(f"cannot read {str(file)!r}: {error.strerror or error}") from error


def files_of(path: str | os.PathLike[str]) -> list[Path]:
    """The files of a run: of a directory those of its ranks, by rank; or the one file.

    Raises:
        InputError: there are none.
    """
    found = Path(path)
    if not found.is_dir():
        return [found]
    files = [file for file in found.glob(PATTERN) if file.stem.removeprefix("rank").isdigit()]
    if not files:
        raise InputError(f"{str(found)!r} holds no {rank_file(0)}: accepted is a directory that gradviz.watch wrote to")
    return sorted(files, key=lambda file: int(file.stem.removeprefix("rank")))


def _read_line(line: str, file: Path, number: int) -> Header | Step | End:
    try:
        content = json.loads(line)
        if number == 1:
            _check_version(content, file)
        kinds: dict[str, Any] = {"header": Header, "end": End, "step": Step}
        name = next((name for name in kinds if name in content), "step")
        found: Header | Step | End = _of_kind(kinds[name], content[name])
        return found
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        unread = number == 1 and isinstance(error, json.JSONDecodeError)
        raise InputError(_no_run(file) if unread else f"{str(file)!r}, line {number}: {str(error)[:200]}") from error


def _no_run(file: Path) -> str:
    return f"{str(file)!r} is no file of a training run that gradviz wrote; accepted: the directory, or a file in it"


def _check_version(content: Any, file: Path) -> None:
    if not isinstance(content, dict) or content.get("gradviz") != FORMAT:
        raise InputError(_no_run(file))
    if content.get("version") != VERSION:
        again = "watch the run once more with this one"
        raise OtherVersionError(str(file), found=str(content.get("version")), read=str(VERSION), again=again)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _of_kind(kind: Any, value: Any) -> Any:
    """A JSON value as what the records say that it is."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return None if value is None else _of_kind(arguments[0], value)
    if origin is tuple:
        if not isinstance(value, list):
            raise TypeError(f"{str(value)[:40]} is no list")
        return tuple([_of_kind(arguments[0], item) for item in value])
    if origin is Literal:
        if value not in arguments:
            raise ValueError(f"{str(value)[:40]} is none of {', '.join(arguments)}")
        return value
    if isinstance(kind, type) and is_dataclass(kind):
        names = {field.name for field in fields(kind)}
        if not isinstance(value, dict) or set(value) != names:
            raise TypeError(f"{kind.__name__} does not have the fields {', '.join(sorted(names))}")
        return kind(**{name: _of_kind(_hints(kind)[name], item) for name, item in value.items()})
    if kind is float:
        if isinstance(value, dict) and list(value) == ["float"] and value["float"] in ("nan", "inf", "-inf"):
            return float(value["float"])
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
    elif type(value) is kind:
        return value
    raise TypeError(f"{str(value)[:40]} is no {kind.__name__}")
