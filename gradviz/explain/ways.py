"""Paths -> the names by which they are told apart: of a long path the ends, and wherever another one leaves it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gradviz.explain import sentences as say
from gradviz.explain.terms import Stop, Way
from gradviz.explain.wanted import Wanted
from gradviz.graph import Edge
from gradviz.paths import Path

MAX_WAY = 12
"""Up to how many nodes a path is named in full."""


def ways_of(wanted: Wanted) -> tuple[Way, ...]:
    """A way for each of the paths that are shown one by one; no two are written alike.

    Where two paths part, both are named before and behind: what is named in one of them there is not on the other.
    """
    paths = wanted.paths.top
    return tuple(_way(wanted, path, forks) for path, forks in zip(paths, _forks(paths), strict=True))


def as_argument(wanted: Wanted, edge: Edge) -> str:
    """Which argument of its head an edge is, where its tail is several; "" elsewhere."""
    tail, head, position = edge
    return say.as_argument(position + 1) if wanted.graph.number_of_edges(tail, head) > 1 else ""


def _forks(paths: Sequence[Path]) -> list[list[int]]:
    """For each path, the places of its edges at which another one, the same up to there, takes another edge."""
    found: list[list[int]] = [[] for _ in paths]
    bundles = [list(range(len(paths)))]
    place = 0
    while bundles := [[path for path in bundle if place < len(paths[path].edges)] for bundle in bundles if len(bundle) > 1]:
        following: list[list[int]] = []
        for bundle in bundles:
            taken: dict[Edge, list[int]] = {}
            for path in bundle:
                taken.setdefault(paths[path].edges[place], []).append(path)
            for path in bundle if len(taken) > 1 else ():
                found[path].append(place)
            following += taken.values()
        bundles = following
        place += 1
    return found


def _way(wanted: Wanted, path: Path, forks: Sequence[int]) -> Way:
    count, half = len(path.nodes), MAX_WAY // 2
    named = set(range(count))
    if count > MAX_WAY:
        named = {*range(half), *range(count - half, count), *(place + side for place in forks for side in (0, 1))}
    return Way(tuple(_stops(wanted, path, sorted(named))))


def _stops(wanted: Wanted, path: Path, named: Sequence[int]) -> Iterator[Stop | None]:
    """The named nodes, with None for those between them; where that is one node, it is named too."""
    last = -1
    for place in named:
        if place - last > 2:
            yield None
        elif place - last == 2:
            yield _stop(wanted, path, place - 1)
        yield _stop(wanted, path, place)
        last = place


def _stop(wanted: Wanted, path: Path, place: int) -> Stop:
    remark = as_argument(wanted, path.edges[place - 1]) if place else ""
    return Stop(name=wanted.value_name(path.nodes[place]), remark=remark)
