"""Whose code a frame runs: the user's, torch's, which is passed over, or our own, where what is traced ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import NamedTuple

import torch

from gradviz.recording.functions import is_forward

_TORCH = (str(Path(torch.__file__).parent), "<frozen")
_GRADVIZ = str(Path(__file__).parent.parent)
_MODELS = str(Path(__file__).parent.parent / "models.py")
"""Ours, but what is looked at: lines and names of it are shown as a user's."""
_PASSED_OVER, _USER, _APPLIES, _STOP = 0, 1, 2, 4  # _APPLIES: a forward of a custom Function, whosever code it is
_owners: dict[int, int] = {}
_owned: list[CodeType] = []  # code is kept, so its id stays its own


class Seen(NamedTuple):
    """What is seen from a frame outwards.

    Attributes:
        start: the frame.
        frames: the user's frames, the innermost first.
        places: their code, and where each stands in it.
        applied: the frames among and between them that are forwards of custom Functions.
    """

    start: FrameType | None
    frames: list[FrameType]
    places: tuple[tuple[CodeType, int], ...]
    applied: list[FrameType]


NOTHING = Seen(None, [], (), [])
_new: Callable[..., Seen] = tuple.__new__  # what the class of a named tuple calls in turn, by a function more


def seen_from(start: FrameType | None, most: int, known: Seen = NOTHING) -> Seen:
    """The user's frames from `start` outwards, `most` at most: what called gradviz is not part of the code traced.

    Args:
        start: the frame.
        most: how many.
        known: what is seen from a frame further out, which has not run on since: it is not walked again.
    """
    told, end, frame = _owners.get, known.start, start
    if frame is not None and frame.f_back is end is not None:
        # As a rule a module calls one function, of torch's or of the user's, within what lies around the module.
        code = frame.f_code
        owner = told(id(code))
        if owner == _PASSED_OVER:
            return _new(Seen, (start, known.frames, known.places, known.applied))
        if owner == _USER:
            frames_within = [frame, *known.frames[: most - 1]]
            places_within = ((code, frame.f_lasti), *known.places[: most - 1])
            return _new(Seen, (start, frames_within, places_within, known.applied))
    frames: list[FrameType] = []
    places: list[tuple[CodeType, int]] = []
    applied: list[FrameType] = []
    while frame is not end:
        if frame is None:
            return Seen(start, frames, tuple(places), applied)
        code = frame.f_code
        owner = told(id(code))
        if owner is None:
            owner = _remembered(code)
        if owner:
            if owner & _STOP:
                return Seen(start, frames, tuple(places), applied)
            if owner & _APPLIES:
                applied.append(frame)
            if owner & _USER:
                frames.append(frame)
                places.append((code, frame.f_lasti))
                if len(frames) == most and frame.f_back is not end:
                    return Seen(start, frames, tuple(places), applied)
        frame = frame.f_back
    _, frames_further, places_further, applied_further = known
    if frames:
        left = most - len(frames)
        frames_further, places_further = frames + frames_further[:left], (*places, *places_further[:left])
    if applied:
        applied_further = applied + applied_further
    return _new(Seen, (start, frames_further, places_further, applied_further))


def run_on(seen: Seen) -> Seen:
    """What is seen now from the frame that `seen` starts from, which has run on since, as what called it has not."""
    start, frames, places, applied = seen
    if not frames or frames[0] is not start:  # it is torch's: where it stands is not told
        return seen
    return _new(Seen, (start, frames, ((start.f_code, start.f_lasti), *places[1:]), applied))


def user_frames(start: FrameType | None, most: int) -> list[FrameType]:
    """The user's frames alone."""
    return seen_from(start, most).frames


def frames_around(frame: FrameType | None) -> Iterator[FrameType]:
    """The same, one by one and all of them: for who stops early in a deep recursion."""
    while frame is not None and (inner := user_frames(frame, 1)):
        yield inner[0]
        frame = inner[0].f_back


def is_our_own(frame: FrameType) -> bool:
    """Whether a frame belongs to gradviz: the command line and the app are no user's code."""
    return _owner(frame.f_code.co_filename) == _STOP


def _remembered(code: CodeType) -> int:
    _owned.append(code)
    told = _owners[id(code)] = _owner(code.co_filename) | (_APPLIES if is_forward(code) else 0)
    return told


def _owner(file: str) -> int:
    if file.startswith(_GRADVIZ) and file != _MODELS:
        return _STOP
    return _PASSED_OVER if file.startswith(_TORCH) else _USER
