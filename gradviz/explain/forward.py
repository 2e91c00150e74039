"""The forward pass of an explanation: every value that it speaks of, by name, function and number."""

from __future__ import annotations

import torch

from gradviz.explain import sentences as say
from gradviz.explain.amounts import LOSS
from gradviz.explain.terms import Equation, Line, Name, Number, Section, Term, Words
from gradviz.explain.text import term_text
from gradviz.explain.wanted import Wanted, limited
from gradviz.view import node_call, value_lines


def forward_section(wanted: Wanted) -> Section:
    """The nodes on the way and what they read, in forward order."""
    graph = wanted.graph
    named = set(wanted.between) | {use.edge[0] for node in wanted.between[1:] for use in graph.arguments_of(node)}
    lines = limited([_value_line(wanted, node) for node in sorted(named)], "value")
    return Section(heading=say.FORWARD, lines=(*lines, *_start(wanted)))


def _start(wanted: Wanted) -> tuple[Line, ...]:
    """What `L` is, where it is not simply the output."""
    if wanted.loss != LOSS:
        return ()
    starting = list(wanted.graph.starting_cotangents())
    if len(starting) > 1:
        return (say.starts_from_several(len(starting)),)
    node, place = starting[0]
    return (say.starts_from(wanted.graph.output_name(node, place), wanted.shape(node)),)


def _value_line(wanted: Wanted, node: int) -> Line:
    attributes = wanted.graph.nodes[node]
    name, value = Name(wanted.value_name(node)), wanted.graph.value(node)
    call = node_call(wanted.graph, node)
    function: tuple[Term, ...] = (Words(call),) if call else ()
    if value is not None and value.numel() == 1 and value.layout is torch.strided:
        number = Number(value.item())
        if not function and name.text == term_text(number):
            return (name,)
        return Equation((name, *function, number))
    described = attributes["value_missing"] if value is None else ", ".join(value_lines(value))
    equals = (" = ", *function) if function else ()
    return (name, *equals, f": {described}")
