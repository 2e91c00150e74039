"""Two sequences -> what turns the one into the other, as lines of two texts are lined up.

With as few entries left over as can be (Myers, "An O(ND) difference algorithm and its variations", 1986).
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Iterator, Sequence

Run = tuple[str, int, int, int, int]
"""What happens ("equal", "delete", "insert" or "replace"), and from where to where in the first and in the second."""
MOST_EDITS = 2000
"""Behind so many calls that one graph alone has, the rest counts as other code: time and memory grow as the square."""


def runs(here: Sequence[Hashable], there: Sequence[Hashable]) -> Iterator[Run]:
    """What turns one sequence into the other, with the fewest deletions and insertions.

    >>> [*runs("abab", "abcab")]
    [('equal', 0, 2, 0, 2), ('insert', 2, 2, 2, 3), ('equal', 2, 4, 3, 5)]
    """
    at = at_there = 0
    for one, other, size in _blocks(here, there):
        if one > at or other > at_there:
            tag = "insert" if one == at else "delete" if other == at_there else "replace"
            yield tag, at, one, at_there, other
        if size:
            yield "equal", one, one + size, other, other + size
        at, at_there = one + size, other + size


def _blocks(here: Sequence[Hashable], there: Sequence[Hashable]) -> list[tuple[int, int, int]]:
    """Places in the first and in the second where as many entries are the same; in order, with an empty one at the end."""
    numbers: dict[Hashable, int] = {}
    left, right = ([numbers.setdefault(key, len(numbers)) for key in keys] for keys in (here, there))
    rows = _furthest(left, right)
    blocks = [(len(left), len(right), 0)]
    ends = ((at, at + len(rows) - 1 - 2 * place, place) for place, at in enumerate(rows[-1]))
    within = (end for end in ends if end[0] <= len(left) and end[1] <= len(right))
    one, other, place = max(within, key=lambda end: end[0] + end[1])
    for before in reversed(rows[:-1]):
        is_insertion = _is_insertion(before, place)
        size = one - (before[place] if is_insertion else before[place - 1] + 1)
        one, other = one - size, other - size
        blocks += [(one, other, size)] if size else []
        one, other, place = (one, other - 1, place) if is_insertion else (one - 1, other, place - 1)
    return [*([(0, 0, one)] if one else []), *reversed(blocks)]


def _furthest(left: Sequence[int], right: Sequence[int]) -> list[array[int]]:
    """How far into the first one gets with each number of edits, by how many of these are deletions.

    It ends where both are read to their ends, or at `MOST_EDITS`.
    """
    rows: list[array[int]] = []
    for edits in range(MOST_EDITS + 1):
        row = array("q")
        for deletions in range(edits + 1):
            at, shift = 0, edits - 2 * deletions
            if rows:
                is_insertion = _is_insertion(rows[-1], deletions)
                at = rows[-1][deletions] if is_insertion else rows[-1][deletions - 1] + 1
            while at < len(left) and at + shift < len(right) and left[at] == right[at + shift]:
                at += 1
            row.append(at)
            if at == len(left) and at + shift == len(right):
                return [*rows, row]
        rows.append(row)
    return rows


def _is_insertion(before: array[int], deletions: int) -> bool:
    """Whether the last of some edits is best an insertion, of which one gets so far with one edit less."""
    return deletions == 0 or (deletions < len(before) and before[deletions - 1] < before[deletions])
