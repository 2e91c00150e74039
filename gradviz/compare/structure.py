"""Where two graphs are not of the same calls: leaves and calls that one alone has, or that read other values."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import chain, groupby
from typing import Any, NamedTuple

from gradviz.compare.alignment import Alignment, before
from gradviz.compare.comparison import NAMED, Difference
from gradviz.compare.leaves import PairedLeaves, Pairs, frozen_pairs, renamed_leaves, without_numbers
from gradviz.graph import GradGraph

_SYMMETRIC = {"add", "mul", "maximum", "minimum", "eq", "ne", "logical_and", "logical_or", "bitwise_and", "bitwise_or"}
"""Ops of two values that may be read in either order."""


class _Other(NamedTuple):
    """A call of the first graph that reads other values than its counterpart: what these are called here and there."""

    node: int
    names: tuple[tuple[str, ...], tuple[str, ...]]


def first_structural(first: GradGraph, second: GradGraph, leaves: PairedLeaves, pairs: Pairs) -> Difference | None:
    """The first place where two graphs, of which these leaves and these nodes stand for each other, are of other calls."""
    if not leaves.is_whole:
        alone = _unpaired(leaves)
        return _of_the_whole(f"the graphs have different leaves: {', and '.join(alone)}; nothing else is compared")
    frozen = {*frozen_pairs(first, second, leaves)}
    for place, (one, other) in enumerate(pairs):
        left, right = first.nodes[one], second.nodes[other]
        if (one, other) not in frozen and (told := _unlike(left, right)):
            return _first_rewired(first, second, pairs[:place]) or _parting(first, one, told)
    if len(first) != len(second) and (rewired := _first_rewired(first, second, pairs)):
        return rewired
    if len(first) != len(second):
        return _of_the_whole(f"one graph has {len(first)} nodes, the other {len(second)}")
    return None


def leaves_told(first: GradGraph, second: GradGraph, leaves: PairedLeaves) -> Iterator[Difference]:
    """What leaves are called in the second graph where that differs, those that learn in one alone, or that it alone has."""
    frozen = frozen_pairs(first, second, leaves)
    for kind, one_does, several_do in (
        ("leaf", "learns here, and is a constant in the other", "learn here, and are constants in the other"),
        ("constant", "is a constant here, and learns in the other", "are constants here, and learn in the other"),
    ):
        of_kind = [str(first.nodes[one]["name"]) for one, _ in frozen if first.nodes[one]["kind"] == kind]
        if of_kind:
            yield _of_the_whole(f"{_listed(of_kind)} {several_do if len(of_kind) > 1 else one_does}")
    names = renamed_leaves(first, second, leaves.pairs)
    if names:
        is_of_numbers = all(without_numbers(one) == without_numbers(other) for one, other in names)
        what = "layers have other numbers" if is_of_numbers else "leaves have other names"
        yield _of_the_whole(f"{what} in the second: {_listed([f'{one} is {other}' for one, other in names])}")
    if alone := _unpaired(leaves):
        yield _of_the_whole(f"{', and '.join(alone)}: passed over")


def rewired(first: GradGraph, second: GradGraph, pairs: Pairs) -> Iterator[Difference]:
    """The calls that read other values than their counterparts; once for those of one line and module that are in a row."""
    partner = dict(pairs)

    def place(call: _Other) -> tuple[object, ...]:
        data = first.nodes[call.node]
        return data["source"], data["module"] or call.node

    others = (_read_otherwise(first, second, one, other, partner) for one, other in pairs)
    for _, group in groupby((call for call in others if call is not None), place):
        told = [*group]
        sides = zip(*(call.names for call in told), strict=True)
        here, there = (_listed([*dict.fromkeys(chain(*names))]) for names in sides)
        name, source = (str(first.nodes[told[-1].node][which]) for which in ("name", "source"))
        message = f"{name} ({source or 'no source line'}) reads {here or 'nothing'} here, {there or 'nothing'} there"
        yield Difference(
            what="structure", node=told[-1].node, name=name, source=source, relative=float("inf"), message=message
        )


def in_between(first: GradGraph, second: GradGraph, aligned: Alignment | None) -> Iterator[Difference]:
    """One for each run of calls that one graph alone has, or that stand in the place of others; in forward order."""
    if aligned is None:
        return
    here, back = {one for one, _ in aligned.pairs}, {other: one for one, other in aligned.pairs}
    told: list[tuple[int, Difference]] = []
    for run in aligned.only_first:
        told.append((run[0], _run_told(first, run, f"only the first has {_calls(first, run)}", here, is_first=True)))
    for run in aligned.only_second:
        place = max((back[node] for node in back if node < run[0]), default=0)
        said = f"only the second has {_calls(second, run)}"
        told.append((place, _run_told(second, run, said, back, is_first=False)))
    for run, other in aligned.replaced:
        calls = _calls(first, run), _calls(second, other)
        if calls[0] == calls[1]:
            calls = _calls(first, run, shaped=True), _calls(second, other, shaped=True)
        said = f"the first has {calls[0]} where the second has {calls[1]}"
        told.append((run[0], _run_told(first, run, said, here, is_first=True)))
    yield from (one for _, one in sorted(told, key=lambda item: item[0]))


def _run_told(
    graph: GradGraph, run: tuple[int, ...], told: str, common: Collection[int], *, is_first: bool
) -> Difference:
    """A run of calls as a difference: which they are, behind which call that both graphs have, and on which line."""
    tail, source = before(graph, run[-1], common), str(graph.nodes[run[-1]]["source"])
    behind = "" if tail is None else f" behind {graph.nodes[tail]['name']}"
    return Difference(
        what="structure",
        node=run[0] if is_first else None,
        name=str(graph.nodes[run[0]]["name"]),
        source=source,
        relative=float("inf"),
        message=f"{told}{behind} ({source or 'no source line'})",
    )


def _calls(graph: GradGraph, run: tuple[int, ...], *, shaped: bool = False) -> str:
    """The first calls of a run, as "h = tanh", or with shapes as "h = tanh (8, 4)", and how many more there are."""
    nodes = [graph.nodes[node] for node in run]
    calls = [f"{data['name']} = {data['op'] or data['kind']}" for data in nodes]
    return _listed([f"{call} {data['shape']}" for call, data in zip(calls, nodes, strict=True)] if shaped else calls)


def _unpaired(leaves: PairedLeaves) -> list[str]:
    """The leaves that one graph alone has, in words."""
    known = ({one for one, _ in leaves.pairs}, {other for _, other in leaves.pairs})
    told = []
    for which, held, paired in zip(("first", "second"), (leaves.first, leaves.second), known, strict=True):
        names = [repr(name) for name, node in held.items() if node not in paired]
        told += [f"only the {which} has {_listed(names)}"] if names else []
    return told


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"


def _unlike(left: dict[str, Any], right: dict[str, Any]) -> str:
    """What tells two nodes apart that stand in the same place; "" where nothing does."""
    for attribute in ("kind", "op", "shape"):
        if left[attribute] != right[attribute]:
            return f"its {attribute} is {left[attribute] or 'none'} here and {right[attribute] or 'none'} in the other"
    return ""


def _first_rewired(first: GradGraph, second: GradGraph, pairs: Pairs) -> Difference | None:
    """The first of calls that look alike which reads other values, where the graphs are known to part later on."""
    partner = dict(pairs)
    for one, other in pairs:
        if _read_otherwise(first, second, one, other, partner):
            told = f"it reads {_read(first, one)} here, and its counterpart {_read(second, other)} in the other"
            return _parting(first, one, told)
    return None


def _read_otherwise(first: GradGraph, second: GradGraph, one: int, other: int, partner: dict[int, int]) -> _Other | None:
    """What a call reads here, and its counterpart there, in the argument positions where that is not the same."""
    here = {(partner.get(tail), *use): first.output_name(tail, use[-1]) for tail, *use in _arguments(first, one)}
    there = {(tail, *use): second.output_name(tail, use[-1]) for tail, *use in _arguments(second, other)}
    if first.nodes[one]["op"] in _SYMMETRIC and sorted(map(_value, here), key=str) == sorted(map(_value, there), key=str):
        return None
    if here.keys() == there.keys():
        return None
    only_here = tuple(name for use, name in here.items() if use not in there)
    return _Other(one, (only_here, tuple(name for use, name in there.items() if use not in here)))


def _value(use: tuple[int | None, ...]) -> tuple[int | None, int | None]:
    """Which value a use is of, wherever it stands."""
    tail, _, output = use
    return tail, output


def _arguments(graph: GradGraph, node: int) -> list[tuple[int, int, int]]:
    """Tail, argument position and which of the tail's outputs, of all that a call reads."""
    return [(use.edge[0], use.edge[2], use.output) for use in graph.arguments_of(node)]


def _read(graph: GradGraph, node: int) -> str:
    return ", ".join(graph.output_name(use.edge[0], use.output) for use in graph.arguments_of(node)) or "nothing"


def _parting(graph: GradGraph, node: int, told: str) -> Difference:
    """Where the structure of two graphs differs first."""
    name, source = str(graph.nodes[node]["name"]), str(graph.nodes[node]["source"])
    message = f"the graphs part at {name} ({source or 'no source line'}): {told}; what follows is not compared"
    return Difference(what="structure", node=node, name=name, source=source, relative=float("inf"), message=message)


def _of_the_whole(message: str) -> Difference:
    return Difference(what="structure", node=None, name="", source="", relative=float("inf"), message=message)
