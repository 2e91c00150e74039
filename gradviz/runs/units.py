"""Masks of the dead units of each pass -> the notes of a step, which also say how many have been dead for several steps."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping

from torch import Tensor

from gradviz.runs.notes import UnitsNote
from gradviz.runs.plain import reading

Place = tuple[str, str]
"""Module and source line of a ReLU."""
LASTING = 4
"""At how many recorded steps in a row a unit is dead that hardly is so by the choice of samples."""


class DeadUnits:
    """Remembers the masks of the last recorded steps: a byte for each unit and step, whatever the length of the run."""

    def __init__(self) -> None:
        self._masks: dict[Place, deque[Tensor]] = {}

    def notes(self, passes: Collection[Mapping[Place, Tensor]]) -> tuple[UnitsNote, ...]:
        """What is written down of one more step. A unit is dead where it was zero in all its passes."""
        found = []
        with reading():
            for place in dict.fromkeys(place for masks in passes for place in masks):
                dead = _all_of([masks[place] for masks in passes if place in masks])
                before = self._masks.setdefault(place, deque(maxlen=LASTING))
                before.append(dead)
                found.append(
                    UnitsNote(
                        module=place[0],
                        source=place[1],
                        units=dead.numel(),
                        dead=int(dead.sum()),
                        lasting=int(_all_of(list(before)[::-1]).sum()),
                    )
                )
        return tuple(found)


def _all_of(masks: list[Tensor]) -> Tensor:
    """What all masks say together that have the shape of the first."""
    first, *others = masks
    for mask in others:
        first = first & mask if mask.shape == first.shape else first
    return first
