"""GradGraph and a choice -> which nodes are drawn together as one group.

A group is a call of a module or function (`gradviz.recording.scopes`), several such calls that are alike, or calls that
only compute a constant, such as an attention mask. Groups are plain values: `quotient` puts them in the place of their
nodes, `group_labels` says what is written on them, and a group is opened by making the groups again with its name in
`unfold`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import networkx as nx

from gradviz.errors import InputError
from gradviz.moves import moved_as
from gradviz.recording.scopes import ScopePath
from gradviz.view.alike import alike, rolled, stretch
from gradviz.view.calls import op_word
from gradviz.view.choose import most_users
from gradviz.view.closing import Closing, at_depth, at_names, exact, first_of, matches, outside_of
from gradviz.view.no_calls import why_no_calls
from gradviz.view.told import is_read_in_parts
from gradviz.view.wires import Wires

GroupKind = Literal["call", "alike", "steps", "constants", "bookkeeping", "inputs"]

MIN_CONSTANT_CALLS = 3
"""Fewer calls that compute a constant are drawn one by one."""
MIN_INPUTS = 8
"""Fewer inputs that are alike are drawn one by one."""
MERGE, ROLL, HIDE_INPUTS = 1, 2, 3
"""How much is done to fit a picture into its budget."""
_BOOKKEEPING = {"alias", "clone", "contiguous", "detach", "lift_fresh"}
_BOOKKEEPING_MOVES = {"reshape", "transpose", "copies"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Nodes that are drawn as one.

    Attributes:
        name: the module's path or the function's name; of several, what they have in common: `h.0 … h.11`.
        kind: one call, several calls that are alike, single ops that are, or inputs; or the computation of a constant.
        blocks: the ops of each call, in forward order.
        nodes: all of them, with the parameters and the bookkeeping that only they use.
        opens: the names by which `unfold` opens it, one per block.
    """

    name: str
    kind: GroupKind
    blocks: tuple[tuple[int, ...], ...]
    nodes: frozenset[int]
    opens: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    """The groups of a graph, and those that were opened.

    Attributes:
        groups: none has a node of another.
        opened: the calls that would be groups, or inside one, were they not unfolded; the outer ones first.
        already: what `unfold` names although it is open without that.
    """

    groups: tuple[Group, ...] = ()
    opened: tuple[ScopePath, ...] = ()
    already: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How many nodes and edges may be drawn."""

    nodes: int
    edges: int


def grouped(
    wires: Wires,
    *,
    whole: Wires,
    collapse: int | str | Sequence[str],
    unfold: Collection[str],
    fold: Collection[str] = (),
    budget: Budget,
    keep: Collection[int] = (),
    marked: Collection[int] = (),
    with_calls: bool = True,
) -> Grouping:
    """The groups of a graph; none has a node of another, and no output is in one.

    Args:
        wires: of the graph, or of the part that is drawn.
        whole: of the graph, for what `collapse`, `unfold` and `fold` may name.
        collapse: "auto" for the finest level of calls at which the picture stays within the budget; a number of levels
            that stay open; a module's path, a function's name or patterns of them, all others as "auto" has them; or "none".
        unfold: names or patterns of calls, and names of nodes; what they are in is open whatever `collapse` says.
        fold: names or patterns of calls that are closed, whatever `collapse` leaves open; `unfold` has the last word.
        budget: for "auto".
        keep: nodes that are in no group.
        marked: leaves and constants that are drawn wherever they are used, since there is something to tell of them.
        with_calls: whether the picture says what calls do: only then are constants told by what picks parts of them.

    Raises:
        InputError: `collapse`, `unfold` or `fold` names what the graph does not have.
    """
    if collapse == "none" and not fold and not unfold:
        return Grouping()
    plain = _Folder(wires, whole, (), keep, marked, with_calls)
    folder = _Folder(wires, whole, unfold, keep, marked, with_calls) if unfold else plain
    folder.check_names(fold, "fold")
    closing, effort = _choice(plain, collapse, budget)  # of the closed picture: what is unfolded comes on top
    closing = first_of(at_names(fold), closing)
    groups = tuple(folder.closed(closing, effort))
    already = tuple(folder.already(closing, plain.closed(closing, effort) if folder.named else ()))
    return Grouping(groups=groups, opened=tuple(folder.opened(closing)), already=already)


def _choice(folder: _Folder, collapse: int | str | Sequence[str], budget: Budget) -> tuple[Closing, int]:
    """What `collapse` closes, and with how much effort."""
    if collapse == "none":
        return at_depth(0), 0
    if collapse == "auto":
        return folder.within(budget)
    if isinstance(collapse, int):
        return at_depth(collapse), 0
    patterns = [collapse] if isinstance(collapse, str) else collapse
    folder.check_names(patterns, "collapse")
    scopes = {attributes["scope"] for attributes in folder.whole.attributes.values()}
    return outside_of(at_names(patterns), folder.within(budget)[0], scopes), 0


class _Folder:
    """One graph; its methods read and never change it."""

    def __init__(
        self,
        wires: Wires,
        whole: Wires,
        unfold: Collection[str],
        keep: Collection[int],
        marked: Collection[int],
        with_calls: bool,
    ) -> None:
        self.wires = wires
        self.with_calls = with_calls
        self.whole = whole
        self.attributes = wires.attributes
        self.hashes: dict[tuple[int, ...], int] = {}
        self.scopes: dict[int, ScopePath] = {
            node: attributes["scope"]
            for node, attributes in wires.attributes.items()
            if attributes["kind"] == "op" and not attributes["is_output"]
        }
        inputs = (node for node, attributes in wires.attributes.items() if attributes["kind"] != "op")
        self.quiet = set(inputs).difference(marked) if wires is whole else set()
        self.all_scopes = set(self.scopes.values())
        self.names = {name for scope in self.all_scopes for name in scope}
        self.keep = keep
        named = {str(attributes["name"]): node for node, attributes in whole.attributes.items()} if unfold else {}
        self.named = {name: named[name] for name in unfold if name in named}
        self.single = set(self.named.values()).union(keep)
        self.constants = list(self._constant_groups())
        self.check_names([name for name in unfold if name not in named], "unfold")
        self.called = {
            pattern: {
                scope[: place + 1]
                for scope in self.all_scopes
                for place, name in enumerate(scope)
                if matches(name, pattern)
            }
            for pattern in unfold
        }
        self.unfolded = {whole.attributes[node]["scope"] for node in self.single}.union(*self.called.values())
        self.open = {scope[:length] for scope in self.unfolded for length in range(1, len(scope) + 1)}

    def check_names(self, patterns: Collection[str], option: str) -> None:
        """Refuses a pattern that matches nothing."""
        scopes = {attributes["scope"] for attributes in self.whole.attributes.values()} if patterns else set()
        names = dict.fromkeys(name for scope in sorted(scopes) for name in scope)
        for pattern in patterns:
            if not any(matches(name, pattern) for name in names):
                known = ", ".join(list(names)[:12]) + (", …" if len(names) > 12 else "")
                why = "; ".join(why_no_calls(self.whole.attributes.values()))
                none = why or "the graph has no calls of modules or functions inside it"
                told = f"its calls are {known}" if names else none
                raise InputError(f"{option} names {pattern!r}, which matches no call in the graph; {told}")

    def within(self, budget: Budget) -> tuple[Closing, int]:
        """The finest level that fits, with as little effort as it takes."""
        if len(self.attributes) <= budget.nodes:
            return at_depth(0), 0
        deepest = max(map(len, self.all_scopes), default=0)
        opened, self.open = self.open, set()  # nor does what must be seen make it coarser
        level, effort = next(
            (
                (depth, effort)
                for effort in (MERGE, ROLL, HIDE_INPUTS)
                for depth in range(deepest, -1, -1)
                if self._fits(self.closed(at_depth(depth), effort), budget)
            ),
            (min(1, deepest), MERGE),
        )
        self.open = opened
        return at_depth(level), effort

    def opened(self, closing: Closing) -> list[ScopePath]:
        """The calls that `closing` would close, or that lie in one, were they not unfolded; the outer ones first."""
        around = {scope[:length] for scope in self.all_scopes for length in range(1, len(scope) + 1)}
        found = [scope for scope in self.open & around if _is_closed(scope, closing)]
        return sorted(found, key=lambda scope: (len(scope), scope))

    def already(self, closing: Closing, plain: Iterable[Group]) -> list[str]:
        """What `unfold` names although no group would hide it; `plain` are the groups where nothing is unfolded."""
        hidden = {node for group in plain for node in group.nodes}
        found = []
        for name, scopes in self.called.items():
            node = self.named.get(name)
            is_shown = node is None or (node in self.attributes and node not in hidden)
            if is_shown and not any(_is_closed(scope, closing) for scope in scopes):
                found.append(name)
        return found

    def closed(self, closing: Closing, effort: int = 0) -> list[Group]:
        """The groups of the calls that `closing` closes.

        Args:
            closing: which calls.
            effort: from `MERGE` on, calls that are alike and feed each other become one group; from `ROLL` on all that is
                alike does, single ops included, as in a loop; with `HIDE_INPUTS` so do inputs that one group reads.
        """
        prefix = {scope: self._prefix(scope, closing) for scope in self.all_scopes}
        in_constants = {node for group in self.constants for node in group.nodes}
        blocks: dict[ScopePath, list[int]] = {}
        for node, scope in self.scopes.items():
            if (call := prefix[scope]) is not None and node not in in_constants:
                blocks.setdefault(call, []).append(node)
        calls = {call: tuple(sorted(nodes)) for call, nodes in blocks.items()}
        groups = alike(self.wires, calls, self.hashes, only_chains=effort < ROLL) if effort else [[call] for call in calls]
        found = [
            Group(
                name=stretch([call[-1] for call in members]),
                kind="alike" if len(members) > 1 else "call",
                blocks=tuple(calls[call] for call in members),
                nodes=frozenset(node for call in members for node in calls[call]),
                opens=tuple(exact(call[-1], self.names) for call in members),
            )
            for members in groups
        ]
        if effort >= ROLL:
            taken = in_constants.union(self.single, *(group.nodes for group in found))
            loose = [node for node in self.scopes if node not in taken and not _is_bookkeeping(self.attributes[node]["op"])]
            found += map(self._rolled_group, rolled(self.wires, loose))
        completed = self._completed([*found, *self.constants], with_inputs=effort >= HIDE_INPUTS)
        if effort:
            completed += self._bookkeeping_groups({node for group in completed for node in group.nodes})
        if effort >= HIDE_INPUTS:
            completed += self._input_groups({node for group in completed for node in group.nodes})
        return [group for group in completed if len(group.nodes) > 1]

    def _prefix(self, scope: ScopePath, closing: Closing) -> ScopePath | None:
        """The call that a scope is drawn as: the one that `closing` says, or the next one inside that is not unfolded."""
        length = closing(scope)
        while length is not None and length <= len(scope):
            if scope[:length] not in self.open:
                return scope[:length]
            length += 1
        return None

    def _fits(self, groups: list[Group], budget: Budget) -> bool:
        unit = {node: -1 - place for place, group in enumerate(groups) for node in group.nodes}
        units, edges = len(self.attributes) - len(unit) + len(groups), 0
        if units - sum(node not in unit for node in self.quiet) > budget.nodes:
            return False
        users: dict[int, set[int]] = {}
        for (tail, head, _), _ in self.wires.edges():
            if unit.get(tail, tail) != unit.get(head, head):
                users.setdefault(unit.get(tail, tail), set()).add(unit.get(head, head))
        for tail, heads in users.items():
            is_repeated = tail >= 0 and len(heads) > most_users(self.attributes[tail])
            if is_repeated and self._is_told_by(heads, tail):
                units -= 1
                continue
            units += len(heads) - 1 if is_repeated else 0
            edges += len(heads)
        return units <= budget.nodes and edges <= budget.edges

    def _is_told_by(self, heads: Collection[int], tail: int) -> bool:
        """Whether what reads a leaf or constant names it, so that it is not drawn: groups, or calls that pick a part."""
        if tail not in self.quiet or self.attributes[tail]["kind"] == "leaf":
            return tail in self.quiet and max(heads) < 0
        reads_one = self.with_calls and all(head >= 0 and len(self.wires.into[head]) == 1 for head in heads)
        return reads_one and is_read_in_parts(self.attributes[tail], [self.attributes[head] for head in heads])

    def _completed(self, groups: list[Group], *, with_inputs: bool) -> list[Group]:
        """The groups with the parameters that only they use, and with calls beside them that only move elements.

        Args:
            groups: of ops.
            with_inputs: whether inputs that only one group uses go into it too.
        """
        group_of = {node: place for place, group in enumerate(groups) for node in group.nodes}
        added: dict[int, set[int]] = {place: set() for place in range(len(groups))}

        def join(node: int, neighbours: Iterable[int]) -> None:
            places = {group_of.get(neighbour, -1) for neighbour in neighbours}
            if len(places) == 1 and (place := places.pop()) >= 0:
                group_of[node] = place
                added[place].add(node)

        alone = self.single.union(node for node, attributes in self.attributes.items() if attributes["is_output"])
        loose = [node for node in self.attributes if node not in group_of and node not in alone]
        for node in reversed(loose):
            attributes = self.attributes[node]
            if attributes["kind"] != "op":
                if with_inputs or attributes["module"] or attributes["source"]:
                    join(node, (head for head, _ in self.wires.out_of[node]))
            elif _is_bookkeeping(attributes["op"]) and attributes["scope"] not in self.unfolded:
                join(node, (head for head, _ in self.wires.out_of[node]))
        for node in loose:
            attributes = self.attributes[node]
            if node not in group_of and _is_bookkeeping(attributes["op"]) and attributes["scope"] not in self.unfolded:
                join(node, (tail for tail, _, _ in self.wires.into[node]))
        return [replace(group, nodes=group.nodes | added[place]) for place, group in enumerate(groups)]

    def _bookkeeping_groups(self, taken: Collection[int]) -> Iterator[Group]:
        """Calls in a row that only move elements, each read by the next and by nothing else."""
        chains: dict[int, list[int]] = {}  # last call of a chain -> the chain
        for node in self.scopes:
            if node in taken or not _is_bookkeeping(self.attributes[node]["op"]) or len(self.wires.into[node]) != 1:
                continue
            tail = self.wires.into[node][0][0]
            chain = chains.pop(tail, []) if len(self.wires.out_of[tail]) == 1 else []
            chains[node] = [*chain, node]
        for last, chain in chains.items():
            if self.single.intersection(chain):
                continue
            name = str(self.attributes[last]["name"])
            yield Group(name=name, kind="bookkeeping", blocks=(tuple(chain),), nodes=frozenset(chain), opens=(name,))

    def _input_groups(self, taken: Collection[int]) -> Iterator[Group]:
        """Inputs that are alike and that one call reads, each once: the terms of a sum, what is stacked."""
        alike_inputs: dict[tuple[object, ...], list[int]] = {}
        for node in sorted(self.quiet.difference(taken, self.single)):
            if len(heads := self.wires.out_of[node]) == 1 and heads[0][0] not in taken:
                kind = (self.attributes[node][name] for name in ("kind", "shape", "dtype"))
                alike_inputs.setdefault((heads[0][0], *kind), []).append(node)
        for nodes in alike_inputs.values():
            if len(nodes) >= MIN_INPUTS:
                names = tuple(str(self.attributes[node]["name"]) for node in nodes)
                blocks = tuple((node,) for node in nodes)
                yield Group(name=stretch(names), kind="inputs", blocks=blocks, nodes=frozenset(nodes), opens=names)

    def _rolled_group(self, nodes: list[int]) -> Group:
        first = self.attributes[nodes[0]]
        return Group(
            name=f"{op_word(first['op'])} at {first['source']}",
            kind="steps",
            blocks=tuple((node,) for node in nodes),
            nodes=frozenset(nodes),
            opens=tuple(str(self.attributes[node]["name"]) for node in nodes),
        )

    def _constant_groups(self) -> Iterator[Group]:
        """The calls that compute a constant from constants, where they are several and of one scope."""
        only_constants: set[int] = set()
        for node in self.attributes:
            attributes = self.attributes[node]
            is_constant = attributes["kind"] != "leaf" and not attributes["requires_grad"]
            if is_constant and all(tail in only_constants for tail, _, _ in self.wires.into[node]):
                only_constants.add(node)
        ops = only_constants & set(self.scopes)
        neighbours = nx.Graph()
        neighbours.add_nodes_from(ops)
        neighbours.add_edges_from((tail, node) for node in ops for tail, _, _ in self.wires.into[node] if tail in ops)
        for part in sorted(nx.connected_components(neighbours), key=min):
            calls = tuple(sorted(part))
            name = str(self.attributes[calls[-1]]["name"])
            if len(calls) >= MIN_CONSTANT_CALLS and not self.single.intersection(calls):
                yield Group(name=name, kind="constants", blocks=(calls,), nodes=frozenset(calls), opens=(name,))


def _is_closed(scope: ScopePath, closing: Closing) -> bool:
    """Whether `closing` closes this call, or one around it."""
    length = closing(scope)
    return length is not None and length <= len(scope)


@cache
def _is_bookkeeping(op: str) -> bool:
    return op in _BOOKKEEPING or moved_as(op) in _BOOKKEEPING_MOVES
