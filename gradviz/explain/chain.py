"""Between single numbers: the local partials, and for each path their product, as on the blackboard."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from gradviz.explain import sentences as say
from gradviz.explain.amounts import factor_of, shown, shown_of, without_repeats
from gradviz.explain.terms import Equation, Line, Number, Product, Section, Way, product
from gradviz.explain.wanted import Wanted, limited
from gradviz.explain.ways import as_argument, ways_of
from gradviz.graph import Use
from gradviz.paths import Path

MAX_FACTORS = 12
"""Up to how many local partials a product is written out."""
CANCELLING = 100


def local_partials_section(wanted: Wanted) -> Section:
    """∂head/∂tail of every edge on a path, as formula and number."""
    uses = [use for head in wanted.between for use in wanted.uses_into(head)]
    return Section(heading=say.LOCAL, lines=limited(uses, "local partial", partial(_partial_line, wanted)))


def product_paths_section(wanted: Wanted) -> Section:
    """Each of the largest paths with the product of its local partials, then all others together."""
    lines: list[Line] = []
    if len(wanted.between) == 1:
        return Section(heading=say.PATHS, lines=(say.is_the_output(wanted.name),))
    for path, way in zip(wanted.paths.top, ways_of(wanted), strict=True):
        lines += _product_lines(wanted, path, way)
    return Section(heading=say.PATHS, lines=(*lines, *other_paths(wanted)))


def compared_paths_section(wanted: Wanted) -> Section:
    """Each of the largest paths by the size of what it contributes, then all others together."""
    lines: list[Line] = [
        say.path_gives(way, *shown_of(say.CONTRIBUTION, path.contribution))
        for path, way in zip(wanted.paths.top, ways_of(wanted), strict=True)
    ]
    return Section(heading=say.PATHS, lines=(*lines, *other_paths(wanted)))


def other_paths(wanted: Wanted) -> Iterator[Line]:
    """What is not written path by path, and what to know about the sum."""
    paths = wanted.paths
    if paths.rest is not None:
        yield say.other_paths(paths.count - len(paths.top), len(paths.top), *shown_of(say.CONTRIBUTION, paths.rest))
    if not paths.is_largest:
        yield say.not_proven_largest(paths.count)
    if paths.cancellation > CANCELLING:
        yield say.cancelling(shown(paths.top[0].contribution), shown(paths.total))


def _partial_line(wanted: Wanted, use: Use) -> Equation:
    formula, number = factor_of(use)
    sign, remark = wanted.derivative(use), as_argument(wanted, use.edge)
    if sign.fixed and not remark:
        remark = say.held(sign.fixed)
    if wanted.rounded.is_zero_partial(use):
        remark = f"{remark}; {say.ROUNDED}" if remark else say.ROUNDED
    return Equation(without_repeats([sign, formula, number]), remark=remark)


def _product_lines(wanted: Wanted, path: Path, way: Way) -> Iterator[Line]:
    yield say.along(way)
    result = shown(path.contribution)
    if len(path.edges) > MAX_FACTORS:
        yield say.many_factors(len(path.edges), result)
        return
    uses = [wanted.use(edge) for edge in reversed(path.edges)]
    start = shown(wanted.graph.starting_cotangents()[_end(wanted, path)])
    factors = [factor for factor in ((start, start), *map(factor_of, uses)) if factor[0] != Number(1.0)]
    sides = [
        product([start, *(wanted.derivative(use) for use in uses)]),
        product([formula for formula, _ in factors]),
        Product(tuple(number for _, number in factors)) if len(factors) > 1 else result,
        result,
    ]
    kept = without_repeats(sides)
    remark = say.ROUNDED if any(map(wanted.rounded.is_zero_partial, uses)) else ""
    yield Equation(kept, remark=remark) if len(kept) > 1 else (kept[0],)


def _end(wanted: Wanted, path: Path) -> tuple[int, int]:
    """The place where the backward pass started for this path."""
    return next(place for place in wanted.graph.starting_cotangents() if place[0] == path.nodes[-1])
