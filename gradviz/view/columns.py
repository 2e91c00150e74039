"""Shapes in rows -> columns that are read one after the other, each from the bottom up, as a page of text is.

A column ends where few values go on to the next, and the highest is as low as can be. What only prepares an input, such as
the transpose of a weight, stands in the column that reads it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from gradviz.view.ranks import Arrow, rows

MOST_COLUMNS = 8
MOST_CARRIED = 4
"""With more values from one column to later ones it is hard to see what goes where."""
PER_VALUE = 40.0
"""What a value that goes on costs, in points by which the highest column may be higher."""
MOST_HANGING = 3
"""A shape and all that leads to it, where they are no more, hang on what reads them."""
MOST_ROWS = 300
"""A picture with more is not legible in columns either, and dividing it takes long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """A value that is read in a later column than the one in which it is made.

    Attributes:
        shape: its id.
        column: where it is made, from 0.
        readers: where it is read.
    """

    shape: str
    column: int
    readers: tuple[int, ...]


def carried(columns: Sequence[Sequence[str]], arrows: Collection[Arrow]) -> list[Carried]:
    """What goes from one column to others, in the order of the columns.

    >>> [(one.shape, one.column, one.readers) for one in carried([["a"], ["b"], ["c"]], [("a", "b"), ("a", "c")])]
    [('a', 0, (1, 2))]
    """
    column = {shape: place for place, members in enumerate(columns) for shape in members}
    readers: dict[str, set[int]] = {}
    for tail, head in arrows:
        if column[tail] != column[head]:
            readers.setdefault(tail, set()).add(column[head])
    found = [Carried(shape=shape, column=column[shape], readers=tuple(sorted(to))) for shape, to in readers.items()]
    return sorted(found, key=lambda one: one.column)


def divisions(
    shapes: Sequence[str],
    arrows: Collection[Arrow],
    heights: Mapping[str, float],
    together: Collection[Collection[str]] = (),
) -> list[tuple[tuple[str, ...], ...]]:
    """The picture in two columns, in three, and so on, as far as it can be divided.

    Args:
        shapes: ids in forward order.
        arrows: between them.
        heights: of each shape with the room above it, in points.
        together: shapes that may not be torn apart, as those in a box.

    >>> chain = [("a", "b"), ("b", "c"), ("c", "d"), ("d", "e"), ("e", "f"), ("f", "g"), ("g", "h")]
    >>> divisions("abcdefgh", chain, dict.fromkeys("abcdefgh", 100.0))[0]
    (('a', 'b', 'c', 'd'), ('e', 'f', 'g', 'h'))
    """
    divider = _Divider(shapes, arrows, heights, together)
    return [columns for ends in divider.ends() if all(columns := divider.divided(ends))]


class _Divider:
    """One picture; its methods read and never change it."""

    def __init__(
        self,
        shapes: Sequence[str],
        arrows: Collection[Arrow],
        heights: Mapping[str, float],
        together: Collection[Collection[str]],
    ) -> None:
        self.shapes = shapes
        self.row = rows(shapes, arrows)
        first = min(self.row.values(), default=0)
        self.row = {shape: row - first for shape, row in self.row.items()}
        self.tails: dict[str, list[str]] = {}
        self.heads: dict[str, list[str]] = {}
        for tail, head in arrows:
            self.heads.setdefault(tail, []).append(head)
            self.tails.setdefault(head, []).append(tail)
        self.hanging = self._hanging({shape for members in together for shape in members})
        count = max(self.row.values(), default=-1) + 1
        tallest = [0.0] * count
        for shape, row in self.row.items():
            tallest[row] = max(tallest[row], heights[shape])
        self.top = [0.0, *accumulate(tallest)]
        self.costs = self._costs(count, together)

    def ends(self) -> list[list[int]]:
        """The rows that end the columns but the last, of the best division in two columns, in three, and so on."""
        last = len(self.top) - 2
        if not 0 < last < MOST_ROWS:
            return []
        bottom = self._bottoms(last + 1)
        best = {row: (self.top[row + 1], [row]) for row in [*self.costs, last]}  # of one column up to a row
        found = []
        for _ in range(MOST_COLUMNS - 1):
            longer = {}
            for row in best:
                ways = [
                    (max(height, self.top[row + 1] - self.top[bottom[end]]) + PER_VALUE * self.costs[end], ends)
                    for end, (height, ends) in best.items()
                    if end < row
                ]
                if ways:
                    height, ends = min(ways)
                    longer[row] = height, [*ends, row]
            best = longer
            if last not in best:
                break
            found.append(best[last][1][:-1])
        return found

    def divided(self, ends: Sequence[int]) -> tuple[tuple[str, ...], ...]:
        """The columns that end with these rows, and the rest."""
        column = {shape: sum(row > end for end in ends) for shape, row in self.row.items()}
        for shape in sorted(self.hanging, key=self.row.__getitem__, reverse=True):
            column[shape] = min((column[head] for head in self.heads.get(shape, ())), default=column[shape])
        return tuple(tuple(shape for shape in self.shapes if column[shape] == place) for place in range(len(ends) + 1))

    def _hanging(self, boxed: Collection[str]) -> set[str]:
        """Inputs, and what is made of few of them."""
        size: dict[str, int] = {}
        for shape in sorted(self.shapes, key=self.row.__getitem__):
            size[shape] = 1 + sum(size.get(tail, MOST_HANGING) for tail in self.tails.get(shape, ()))
        return {shape for shape, count in size.items() if count <= MOST_HANGING}.difference(boxed)

    def _bottoms(self, count: int) -> list[int]:
        """Row that ends a column -> the lowest row of what hangs on those after it."""
        bottom = [row + 1 for row in range(count)]
        for shape in self.hanging:
            read = min((self.row[head] for head in self.heads.get(shape, ()) if head not in self.hanging), default=0)
            for row in range(self.row[shape], read):
                bottom[row] = min(bottom[row], self.row[shape])
        return bottom

    def _costs(self, count: int, together: Collection[Collection[str]]) -> dict[int, int]:
        """Row that a column may end with -> how many values go on there."""
        changes = [0] * (count + 1)
        for tail, heads in self.heads.items():
            last = max(self.row[head] for head in heads)
            if tail not in self.hanging and last > self.row[tail]:
                changes[self.row[tail]] += 1
                changes[last] -= 1
        going_on = list(accumulate(changes))
        torn: set[int] = set()
        for members in together:
            places = [self.row[shape] for shape in members]
            torn.update(range(min(places), max(places)))
        first = min((row for shape, row in self.row.items() if shape not in self.hanging), default=count)
        return {row: going_on[row] for row in range(first, count - 1) if going_on[row] <= MOST_CARRIED and row not in torn}
