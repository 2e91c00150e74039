"""Whose code a frame runs: the user's, torch's, which is passed over, or our own, where what is traced ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType

import torch

from gradviz.recording.functions import is_forward

_TORCH = (str(Path(torch.__file__).parent), "<frozen")
_GRADVIZ = str(Path(__file__).parent.parent)
_MODELS = str(Path(__file__).parent.parent / "models.py")
"""Ours, but what is looked at: lines and names of it are shown as a user's."""
_USER, _PASSED_OVER, _STOP = range(3)
_owners: dict[int, tuple[int, bool]] = {}  # with whether it is a forward of a custom Function
_owned: list[CodeType] = []  # code is kept, so its id stays its own


def user_frames(frame: FrameType | None, most: int, applied: list[FrameType] | None = None) -> list[FrameType]:
    """The user's frames from `frame` outwards, `most` at most: what called gradviz is not part of the code traced.

    `applied` gets the frames among and between them that are forwards of custom Functions.
    """
    found: list[FrameType] = []
    known = _owners.get
    while frame is not None and len(found) < most:
        code = frame.f_code
        owner, applies = known(id(code)) or _remembered(code)
        if owner == _STOP:
            break
        if owner == _USER:
            found.append(frame)
        if applies and applied is not None:
            applied.append(frame)
        frame = frame.f_back
    return found


def frames_around(frame: FrameType | None) -> Iterator[FrameType]:
    """The same, one by one and all of them: for who stops early in a deep recursion."""
    while frame is not None and (inner := user_frames(frame, 1)):
        yield inner[0]
        frame = inner[0].f_back


def is_our_own(frame: FrameType) -> bool:
    """Whether a frame belongs to gradviz: the command line and the app are no user's code."""
    return _owner(frame.f_code.co_filename) == _STOP


def _remembered(code: CodeType) -> tuple[int, bool]:
    _owned.append(code)
    told = _owners[id(code)] = (_owner(code.co_filename), is_forward(code))
    return told


def _owner(file: str) -> int:
    if file.startswith(_GRADVIZ) and file != _MODELS:
        return _STOP
    return _PASSED_OVER if file.startswith(_TORCH) else _USER
