"""GradGraph and choices -> the smaller graph that is drawn: what is in focus, without folded constants, in groups."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import networkx as nx

from gradviz.errors import InputError
from gradviz.recording.scopes import ScopePath
from gradviz.view.by_name import unfolded_names
from gradviz.view.focus import Focus, Side, Target, around
from gradviz.view.focus import between as between_nodes
from gradviz.view.fold import Folded
from gradviz.view.fold import fold as fold_constants
from gradviz.view.groups import Budget, Group, grouped
from gradviz.view.options import Collapse
from gradviz.view.quotient import Quotient, quotient
from gradviz.view.wires import Wires, wires_of

PAGE_NODES = 40
"""What fits on a page that is read at a glance: larger graphs are drawn in groups."""
EDGES_PER_NODE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A graph on its way to the picture.

    Attributes:
        whole: as it was traced.
        focus: which part of it is drawn; None for all.
        folded: what is left out because a constant stands for it.
        wires: the rest.
        quotient: of that, what is in focus, in groups.
        opened: the calls that would be groups, or inside one, were they not unfolded; the outer ones first.
        named: the nodes that are unfolded by their names.
        already: what is named to be unfolded although no group hides it.
        cut: the names that open a group of which only a part is in focus -> the group as it is in the whole graph.
    """

    whole: nx.MultiDiGraph
    focus: Focus | None
    folded: Folded
    wires: Wires
    quotient: Quotient
    opened: tuple[ScopePath, ...] = ()
    named: frozenset[int] = frozenset()
    already: tuple[str, ...] = ()
    cut: dict[tuple[str, ...], Group] = field(default_factory=dict)


def part_of(
    graph: nx.MultiDiGraph,
    focus: Target | Sequence[Target] | None,
    radius: int | None,
    side: Side,
    ends: tuple[int | str, int | str] | None,
) -> Focus | None:
    """The part of the graph that is asked for; None for all of it.

    Raises:
        InputError: the options contradict each other, or name what is not there.
    """
    if focus is not None and ends is not None:
        raise InputError("both focus= and between= are given; accepted: one of them")
    if focus is None and (radius is not None or side != "both"):
        raise InputError("radius= and side= are about a focus, and none is given")
    if ends is not None:
        return between_nodes(graph, ends)
    return None if focus is None else around(graph, focus, radius=radius, side=side)


def drawn_of(
    graph: nx.MultiDiGraph,
    part: Focus | None,
    collapse: Collapse,
    unfold: Collection[str],
    fold: Collection[str],
    page: int,
    *,
    keep: Collection[int],
    with_calls: bool,
) -> Drawn:
    """What is drawn of a graph; `page` is how many shapes fit, `keep` are nodes of which there is something to tell."""
    folded = fold_constants(graph, keep=keep)
    in_chains = [name for name in unfold if folded.chains_of(graph, [name])]
    if in_chains:
        folded = fold_constants(graph, keep={*keep, *folded.chains_of(graph, in_chains)})
    wires = wires_of(graph, without=folded.hidden, unread=folded.constants)
    shown = wires if part is None else wires.only(part.nodes)
    budget = Budget(nodes=page, edges=EDGES_PER_NODE * page)
    group = partial(
        grouped,
        shown,
        whole=wires,
        collapse=collapse,
        fold=fold,
        budget=budget,
        keep=part.centre if part else (),
        marked=keep,
        with_calls=with_calls,
    )
    meant = unfolded_names(unfold, wires, lambda names: group(unfold=names).groups)
    opened = [name for names in meant.values() for name in names]
    found = group(unfold=opened)
    is_whole = not (found.groups or folded.calls or part)
    drawn = Quotient(graph=graph) if is_whole else quotient(shown, found.groups)
    return Drawn(
        whole=graph,
        focus=part,
        folded=folded,
        wires=wires,
        quotient=drawn,
        opened=found.opened,
        named=frozenset(node for node, attributes in wires.attributes.items() if attributes["name"] in opened),
        already=tuple(name for name in found.already if name not in in_chains),
        cut={} if part is None else _cut(wires, found.groups, budget),
    )


def _cut(wires: Wires, groups: Iterable[Group], budget: Budget) -> dict[tuple[str, ...], Group]:
    """The groups that hold a part of their calls only -> the same with all of them."""
    calls = {group: [name.removesuffix("@1") for name in group.opens] for group in groups if group.kind in ("call", "alike")}
    names = sorted({name for several in calls.values() for name in several})
    found = grouped(wires, whole=wires, collapse=names, unfold=(), budget=budget).groups if names else ()
    known = {group.name: group for group in found}
    cut = {}
    for group, several in calls.items():
        members = [known[name] for name in several if name in known]
        nodes = frozenset(node for member in members for node in member.nodes)
        if several and len(members) == len(several) and nodes > group.nodes:
            blocks = tuple(block for member in members for block in member.blocks)
            cut[group.opens] = replace(group, blocks=blocks, nodes=nodes)
    return cut
