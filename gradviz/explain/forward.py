"""The forward pass of an explanation: every value that it speaks of, by name, function and number."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from gradviz.explain import sentences as say
from gradviz.explain.amounts import LOSS, is_shown, shown
from gradviz.explain.terms import Equation, Line, Name, Section, Term, Words
from gradviz.explain.text import term_text
from gradviz.explain.wanted import MAX_LINES, Wanted, limited
from gradviz.graph import GradGraph
from gradviz.view import node_call, value_lines
from gradviz.view.summary import head_line


def forward_section(wanted: Wanted) -> Section:
    """The nodes on the way and all that they are made from, in forward order.

    Where that is more than a section lists, what lies off the way is given as known, without the function that made it.
    """
    graph = wanted.graph
    read = {use.edge[0] for node in wanted.between for use in graph.arguments_of(node)}
    behind = _behind(graph, wanted.between)
    named = behind if len(behind) <= MAX_LINES else {*wanted.between, *read}
    known = set() if named == behind else named.difference(wanted.between)
    places = [(node, place) for node in sorted(named) for place in graph.nodes[node]["outputs"] or (0,)]
    lines = limited(places, "value", lambda place: _value_line(wanted, *place, is_known=place[0] in known))
    return Section(heading=say.FORWARD, lines=(*lines, *_start(wanted)))


def _behind(graph: GradGraph, nodes: Iterable[int]) -> set[int]:
    """The nodes and all that they are made from."""
    found = set(nodes)
    pending = list(found)
    while pending:
        for use in graph.arguments_of(pending.pop()):
            if use.edge[0] not in found:
                found.add(use.edge[0])
                pending.append(use.edge[0])
    return found


def _start(wanted: Wanted) -> tuple[Line, ...]:
    """What `L` is, where it is not simply the output."""
    if wanted.loss != LOSS:
        return ()
    starting = list(wanted.graph.starting_cotangents())
    if len(starting) > 1:
        return (say.starts_from_several(len(starting)),)
    node, place = starting[0]
    return (say.starts_from(wanted.graph.output_name(node, place), wanted.shape(node)),)


def _value_line(wanted: Wanted, node: int, place: int, *, is_known: bool) -> Line:
    attributes = wanted.graph.nodes[node]
    name, value = Name(wanted.graph.output_name(node, place)), wanted.graph.value(node, place)
    call = "" if is_known else node_call(wanted.graph, node)
    if call and len(attributes["outputs"]) > 1:
        call += f"[{place}]"
    function: tuple[Term, ...] = (Words(call),) if call else ()
    if value is not None and value.layout is torch.strided and is_shown(value):
        number = shown(value)
        if not function and name.text == term_text(number):
            return (name,)
        remark = head_line(value) if value.numel() > 1 else say.ROUNDED if wanted.rounded.is_zero(node) else ""
        return Equation((name, *function, number), remark=remark)
    described = attributes["value_missing"] if value is None else ", ".join(value_lines(value))
    equals = (" = ", *function) if function else ()
    return (name, *equals, f": {described}")
