"""Two graphs -> which leaf of the one is which of the other: by name, else layer by layer, by value, words and shapes.

A layer put into an `nn.Sequential` renumbers all that come after it, and with them their parameters; an attribute that is
called otherwise renames them. One layer more has parameters that the other graph does not have. A parameter that is frozen
in one of them is a leaf in the other, by the same name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterator, Sequence
from typing import NamedTuple

import torch

from gradviz.compare.sequences import runs
from gradviz.graph import GradGraph
from gradviz.standin import is_kept

Pairs = list[tuple[int, int]]
"""(node of the first, node of the second)"""
Leaves = dict[str, int]
"""Name -> node."""
_ELEMENTS = 16
"""By so many elements of each parameter a layer is known again."""


class PairedLeaves(NamedTuple):
    """Which leaf is which.

    Attributes:
        pairs: those that both graphs have, in the order of the first.
        first, second: name -> node of the leaves of each, and of its constants that are leaves of the other by that name.
    """

    pairs: Pairs
    first: dict[str, int]
    second: dict[str, int]

    @property
    def is_whole(self) -> bool:
        """Whether none has a leaf more."""
        return len(self.pairs) == len(self.first) == len(self.second)


class _Layer(NamedTuple):
    """The leaves of one module, or one leaf by itself.

    Attributes:
        module: its name.
        words: what that consists of, without numbers.
        names: of the leaves within it.
        shapes: of the leaves.
        nodes: of the leaves.
    """

    module: str
    words: tuple[str, ...]
    names: tuple[str, ...]
    shapes: tuple[Hashable, ...]
    nodes: tuple[int, ...]


def paired_leaves(first: GradGraph, second: GradGraph) -> PairedLeaves:
    """Each leaf that both have; what has no counterpart is left out of the pairs.

    Numbers of layers name nothing where other layers are there: then these are lined up in their order.
    """
    here, there = _with_frozen(first, second), _with_frozen(second, first)
    return PairedLeaves(pairs=_paired(first, second, here, there), first=here, second=there)


def frozen_pairs(first: GradGraph, second: GradGraph, leaves: PairedLeaves) -> Pairs:
    """The leaves that are constants in one of the graphs."""
    kinds = {"leaf", "constant"}
    return [pair for pair in leaves.pairs if {first.nodes[pair[0]]["kind"], second.nodes[pair[1]]["kind"]} == kinds]


def _with_frozen(graph: GradGraph, other: GradGraph) -> Leaves:
    """The leaves, and where the other has them the parameters that are constants here, and leaves of the other."""
    nodes = graph.nodes(data=True)
    constants = {str(data["name"]): node for node, data in nodes if data["kind"] == "constant" and data["root"]}
    frozen = {
        name: node
        for name, node in constants.items()
        if name in other.leaves
        and name not in graph.leaves
        and graph.nodes[node]["shape"] == other.nodes[other.leaves[name]]["shape"]
    }
    names, place = list(graph.leaves), 0
    for name in other.leaves:
        if name in frozen:
            names.insert(place, name)
        place = names.index(name) + 1 if name in frozen or name in graph.leaves else place
    held = graph.leaves | frozen
    return {name: held[name] for name in names}


def _paired(first: GradGraph, second: GradGraph, here: Leaves, there: Leaves) -> Pairs:
    if set(here) == set(there):
        return [(node, there[name]) for name, node in here.items()]
    if _without_numbers(first, here) == _without_numbers(second, there):
        return [*zip(here.values(), there.values(), strict=True)]
    by_name = {
        node: there[name]
        for name, node in here.items()
        if name in there
        and ".".join(without_numbers(name)) == name
        and first.nodes[node]["shape"] == second.nodes[there[name]]["shape"]
    }
    left, right = _layers(first, here, by_name.keys()), _layers(second, there, {*by_name.values()})
    paired = by_name | dict(_by_value(first, second, left, right))
    return [(node, paired[node]) for node in here.values() if node in paired]


def renamed_leaves(first: GradGraph, second: GradGraph, leaves: Pairs) -> list[tuple[str, str]]:
    """What leaves that both have are called in the first and in the second, where that is not the same."""
    names = ((str(first.nodes[one]["name"]), str(second.nodes[other]["name"])) for one, other in leaves)
    return [(one, other) for one, other in names if one != other]


def without_numbers(name: str) -> list[str]:
    """The words of a dotted name.

    >>> without_numbers("layers.3.weight")
    ['layers', 'weight']
    """
    return [part for part in name.split(".") if not part.isdigit()]


def _by_value(
    first: GradGraph, second: GradGraph, left: Sequence[_Layer], right: Sequence[_Layer]
) -> Iterator[tuple[int, int]]:
    """Layers of the same numbers, and what stands beside these in one block, as norms do, whose numbers are all alike.

    Then those of the same words and shapes between these; and so on, at last by shapes alone.
    """
    here, there = ([tuple(_elements(graph, node) for node in layer.nodes) for layer in layers]
                   for graph, layers in ((first, left), (second, right)))  # fmt: skip
    alone = {key for key, times in Counter(here).items() if times == 1} & {
        key for key, times in Counter(there).items() if times == 1
    }
    keys, keys_there = ([key if key in alone else (which, place) for place, key in enumerate(side)]
                        for which, side in (("first", here), ("second", there)))  # fmt: skip
    for one, other, is_equal in _runs(left, right, _with_neighbours(left, right, keys, keys_there), keys_there):
        yield from _pairs(one, other) if is_equal else _by_words(one, other)


def _with_neighbours(
    left: Sequence[_Layer], right: Sequence[_Layer], here: Sequence[Hashable], there: Sequence[Hashable]
) -> list[Hashable]:
    """The keys of the first: in a block that shares layers with one of the second, others have their namesakes' keys."""
    place_of = {key: place for place, key in enumerate(there)}
    blocks: dict[str, set[str]] = {}
    for layer, key in zip(left, here, strict=True):
        if key in place_of:
            blocks.setdefault(_block(layer.module), set()).add(_block(right[place_of[key]].module))
    named = {(layer.module, layer.names, layer.shapes): key for layer, key in zip(right, there, strict=True)}
    keys = []
    for layer, key in zip(left, here, strict=True):
        block = _block(layer.module)
        others = blocks.get(block, set())
        if key not in place_of and block and len(others) == 1:
            module = next(iter(others)) + layer.module.removeprefix(block)
            key = named.get((module, layer.names, layer.shapes), key)
        keys.append(key)
    return keys


def _block(module: str) -> str:
    """The numbered module that a module lies in; "" where it lies in none.

    >>> _block("transformer.h.3.attn.c_proj"), _block("layers.3")
    ('transformer.h.3', '')
    """
    parts = module.split(".")
    ends = (end for end in range(len(parts) - 1, 0, -1) if parts[end - 1].isdigit())
    return ".".join(parts[: next(ends, 0)])


def _by_words(left: Sequence[_Layer], right: Sequence[_Layer]) -> Iterator[tuple[int, int]]:
    here, there = ([(layer.words, layer.names, layer.shapes) for layer in layers] for layers in (left, right))
    for one, other, is_equal in _runs(left, right, here, there):
        yield from _pairs(one, other) if is_equal else _by_names(one, other)


def _by_names(left: Sequence[_Layer], right: Sequence[_Layer]) -> Iterator[tuple[int, int]]:
    here, there = ([(layer.names, layer.shapes) for layer in layers] for layers in (left, right))
    for one, other, is_equal in _runs(left, right, here, there):
        if is_equal or [layer.shapes for layer in one] == [layer.shapes for layer in other]:
            yield from _pairs(one, other)


def _runs(
    left: Sequence[_Layer], right: Sequence[_Layer], here: Sequence[Hashable], there: Sequence[Hashable]
) -> Iterator[tuple[Sequence[_Layer], Sequence[_Layer], bool]]:
    """Layers of both sides, in order, that have the same keys, or that stand between those."""
    for tag, start, stop, at, end in runs(here, there):
        yield left[start:stop], right[at:end], tag == "equal"


def _pairs(left: Sequence[_Layer], right: Sequence[_Layer]) -> Iterator[tuple[int, int]]:
    for one, other in zip(left, right, strict=True):
        yield from zip(one.nodes, other.nodes, strict=True)


def _elements(graph: GradGraph, node: int) -> Hashable:
    """Shape and some elements of a leaf; the node itself where these are not known."""
    value = graph.value(node)
    if value is None or not is_kept(value) or value.layout is not torch.strided:
        return (id(graph), node)
    flat = value.detach().reshape(-1)
    return tuple(value.shape), tuple(flat[:: max(flat.numel() // _ELEMENTS, 1)].tolist())


def _layers(graph: GradGraph, leaves: Leaves, known: Collection[int]) -> list[_Layer]:
    """The leaves that are not known yet, in their order, by the modules that hold them."""
    found: dict[str, list[tuple[str, int]]] = {}
    for name, node in leaves.items():
        module, _, own = name.rpartition(".")
        is_alone = not module or own.isdigit()
        if node not in known:
            found.setdefault(name if is_alone else module, []).append(("" if is_alone else own, node))
    return [
        _Layer(
            module=module,
            words=tuple(without_numbers(module)),
            names=tuple(name for name, _ in held),
            shapes=tuple(graph.nodes[node]["shape"] for _, node in held),
            nodes=tuple(node for _, node in held),
        )
        for module, held in found.items()
    ]


def _without_numbers(graph: GradGraph, leaves: Leaves) -> list[tuple[list[str], object]]:
    """The leaves in their order: names without the numbers of layers, and shapes."""
    return [(without_numbers(name), graph.nodes[node]["shape"]) for name, node in leaves.items()]
