"""A group and the graph it stands in -> what is written on it: shapes, parameters, gradients in and out, the worst."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from torch import Tensor

from gradviz.standin import is_kept
from gradviz.view.calls import op_word
from gradviz.view.groups import Group
from gradviz.view.notation import number_text, shape_text
from gradviz.view.summary import has_norm, norm
from gradviz.view.verdicts import SEVERITIES
from gradviz.view.wires import Place, Wires

SHOWN_SHAPES = 3
NO_SHAPES = "∅"
"""What stands for the shapes that come in where none does."""
SHOWN_TROUBLES = 3
LISTED_OPS = 3


def shapes_line(wires: Wires, group: Group) -> str:
    """`[1, 64, 768] → [1, 64, 50257]`: what comes in, parameters aside, and what goes out.

    Of a call itself, not of a reshape beside it that is drawn with it. Of several calls that are alike, of the last one:
    what comes before the first is often a constant.
    """
    if group.kind == "inputs":
        return _listed([wires.shape(place) for place in wires.made_by(group.nodes)])
    nodes = frozenset(group.blocks[-1]) if group.kind in ("call", "alike", "steps") else group.nodes
    moved = _moved_parameters(wires, group)
    read = [place for place in wires.read_by(nodes) if place[0] not in moved]
    coming = [wires.shape(place) for place in read if not _is_parameter(wires, place[0], group.nodes)]
    going = [wires.shape(place) for place in wires.made_by(nodes)]
    return f"{_listed(coming)} → {_listed(going)}" if coming or going else ""


def size_line(wires: Wires, group: Group) -> str:
    """The ops inside, or how many there are, and how many parameters.

    >>> import networkx as nx
    >>> from gradviz.view.wires import wires_of
    >>> graph = nx.MultiDiGraph()
    >>> graph.add_node(0, kind="leaf", shape=(10, 5))
    >>> graph.add_node(1, kind="op", op="addmm", shape=(5,))
    >>> size_line(wires_of(graph), Group(name="fc", kind="call", blocks=((1,),), nodes=frozenset({0, 1})))
    'addmm, 50 parameters'
    """
    if group.kind == "inputs":
        kinds = {"leaf": "leaves"}.get(wires.attributes[min(group.nodes)]["kind"], "constants")
        return f"{len(group.nodes):,} {kinds}"
    ops = [op_word(wires.attributes[node]["op"]) for block in group.blocks for node in block]
    parameters = sum(
        math.prod(wires.attributes[node]["shape"]) for node in group.nodes if wires.attributes[node]["kind"] == "leaf"
    )
    words = [", ".join(ops) if len(ops) <= LISTED_OPS else f"{len(ops):,} ops"]
    words += [f"{parameters:,} parameter{'' if parameters == 1 else 's'}"] if parameters else []
    return ", ".join(words)


def gradient_lines(wires: Wires, group: Group) -> Iterator[str]:
    """The norm of the cotangent that arrives at the outputs, of that which leaves through the inputs, and their quotient."""
    if group.kind == "bookkeeping" or not any(wires.attributes[node]["requires_grad"] for node in group.nodes):
        return
    if all(_cotangent(wires, place) is None for place in wires.made_by(group.nodes)):
        yield "no gradient"
        return
    rolled = group.kind == "steps" and len(group.blocks) > 1  # steps of a loop with other calls between them
    arriving, leaving = (None, None) if rolled else norms(wires, group.nodes)
    if arriving is not None:
        out = f"out {number_text(arriving, 3)}"
        gain = f", gain {number_text(leaving / arriving, 3)}" if arriving and leaving is not None else ""
        yield f"‖cotangent‖ {out}" if leaving is None else f"‖cotangent‖ in {number_text(leaving, 3)} ← {out}{gain}"
    if len(group.blocks) > 1:
        pairs = [norms(wires, frozenset(block), aside=group.nodes) for block in group.blocks]
        gains = [right / left for left, right in pairs if left and right is not None]
        if gains:
            least, most = number_text(min(gains), 3), number_text(max(gains), 3)
            yield f"each: gain {least}" if least == most else f"each: gain {least} to {most}"


def trouble_lines(group: Group, troubles: Mapping[int, Sequence[str]], mismatches: int) -> tuple[str, ...]:
    """What the check and a diagnosis found inside, the worst first."""
    counts = Counter(line for node in sorted(group.nodes) for line in troubles.get(node, ()))
    ranked = sorted(counts, key=lambda line: SEVERITIES.index(line.partition(":")[0]))
    lines = [f"{mismatches:,} mismatch{'' if mismatches == 1 else 'es'}"] if mismatches else []
    lines += [f"{line} ({counts[line]} ×)" if counts[line] > 1 else line for line in ranked]
    more = [f"and {len(lines) - SHOWN_TROUBLES} more"] if len(lines) > SHOWN_TROUBLES else []
    return tuple(lines[:SHOWN_TROUBLES] + more)


def norms(
    wires: Wires, nodes: Collection[int], *, aside: Collection[int] = ()
) -> tuple[float | None, float | None]:
    """Of the cotangents at what leaves these nodes, and of what they contribute to the values that they read.

    None where there is nothing, or not all is known. Parameters are not among the values, nor are the leaves in `aside`.
    """
    arriving = [cotangent for place in wires.made_by(nodes) if (cotangent := _cotangent(wires, place)) is not None]
    terms: dict[Place, list[Tensor]] = {}
    for head in nodes:
        for tail, _, data in wires.into[head]:
            contribution = data["contribution"]
            if tail in nodes or contribution is None or _is_parameter(wires, tail, aside):
                continue
            terms.setdefault((tail, data["output"]), []).append(contribution)
    if any(len(several) > 1 and not all(map(is_kept, several)) for several in terms.values()):
        return _norm(arriving), None  # statistics do not add up
    return _norm(arriving), _norm([sum(several[1:], several[0]) for several in terms.values()])


def _is_parameter(wires: Wires, node: int, aside: Collection[int]) -> bool:
    attributes = wires.attributes[node]
    return attributes["kind"] != "op" and (bool(attributes["module"]) or node in aside)


def _moved_parameters(wires: Wires, group: Group) -> set[int]:
    """What calls beside those of the group, such as a transpose, make of parameters alone."""
    found: set[int] = set()
    for node in sorted(group.nodes.difference(*group.blocks)):
        tails = [tail for tail, _, _ in wires.into[node]]
        if tails and all(tail in found or _is_parameter(wires, tail, group.nodes) for tail in tails):
            found.add(node)
    return found


def _cotangent(wires: Wires, place: Place) -> Tensor | None:
    found = wires.attributes[place[0]]["cotangent"]
    one: Tensor | None = found[place[1]] if isinstance(found, tuple) else found
    return one


def _norm(tensors: Iterable[Tensor]) -> float | None:
    """Of all their elements together."""
    known = [norm(tensor) for tensor in tensors if has_norm(tensor)]
    return math.hypot(*known) if known else None


def _listed(shapes: list[tuple[int, ...]]) -> str:
    """Each shape once, with how often it occurs.

    >>> _listed([(2, 3), (2, 3), ()]), _listed([])
    ('2 × [2, 3], []', '∅')
    """
    counts = {shape: shapes.count(shape) for shape in dict.fromkeys(shapes)}
    words = [f"{count} × {shape_text(shape)}" if count > 1 else shape_text(shape) for shape, count in counts.items()]
    return ", ".join(words[:SHOWN_SHAPES]) + (", …" if len(words) > SHOWN_SHAPES else "") if words else NO_SHAPES
