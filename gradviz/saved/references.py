"""Refuses a graph that was read where its own attributes speak of nodes, outputs or shapes that are not there."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from gradviz.errors import InputError
from gradviz.graph import GradGraph


def check_references(graph: GradGraph) -> None:
    """Looks at all attributes of the graph itself, once its nodes and edges are read.

    Raises:
        InputError: one of them does not fit.
    """
    told = graph.graph
    for name, node in (*told["leaves"].items(), *told["names"].items()):
        _require(isinstance(name, str) and _is_node(graph, node), "a name does not stand for a node")
    for name, lost in told["lost_leaves"].items():
        _require(isinstance(name, str) and _is_row(lost, str, str, str, str), "a lost leaf is not told by texts")
    for named in told["classes"].items():
        _require(_is_row(named, str, str), "the class of a module is not told by its path and its name")
    for moved in told["moved_leaves"].items():
        _require(_is_row(moved, str, str), "a leaf that the code moves is not told by its name and a line")
    for leaf, held in told["optimized"].items():
        fits = isinstance(leaf, str) and _is_row(held, str, str, float | None, bool)
        _require(fits, "an optimizer is not told by its name, its rule and its rate")
    for read in told["numbers_read"].items():
        _require(_is_row(read, float, str), "a number that was read is not told by number and line")
    for number, leaves in told["numbers_of"].items():
        fits = _is_row((number, leaves), float, tuple) and all(_is_leaf(graph, leaf) for leaf in leaves)
        _require(fits, "a number that was read is not told by leaves")
    for node, writes in told["unseen_writes"].items():
        fits = isinstance(writes, tuple) and all(_is_row(write, str, str) for write in writes)
        _require(fits and _is_node(graph, node), "a write that autograd does not see is not told by texts")
    for place, hooks in told["hooks"].items():
        is_place = _is_row(place, int, int) and _is_node(graph, place[0]) and place[1] in graph.nodes[place[0]]["outputs"]
        _require(is_place and _is_texts(hooks), "hooks on a value are not told by texts")
    for node, hooks in told["node_hooks"].items():
        fits = _is_row(hooks, tuple, tuple) and all(map(_is_texts, hooks))
        _require(fits and _is_node(graph, node), "hooks on a node are not told by texts")
    for node, buffer in told["kept_graphs"].items():
        _require(_is_node(graph, node) and isinstance(buffer, str), "a buffer with an earlier graph is not told by its name")
    outputs = told["outputs"]
    _require(bool(outputs) and all(_is_node(graph, node) for node in outputs), "the graph has no output that is there")
    for place, cotangent in told["starting_cotangents"].items():
        _check_start(graph, place, cotangent)


def is_number(value: Any) -> bool:
    """Whether it is a whole number, 0 or more, as nodes and places are numbered."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _check_start(graph: GradGraph, place: Any, cotangent: Any) -> None:
    """The place is (node, output) of a value, and the cotangent has its shape."""
    is_place = isinstance(place, tuple) and len(place) == 2 and all(map(is_number, place)) and place[0] in graph
    _require(is_place, "the backward pass starts where no node is")
    attributes, output = graph.nodes[place[0]], place[1]
    is_output = output in attributes["outputs"] and isinstance(cotangent, Tensor)
    _require(is_output, "the backward pass starts where no output is")
    shape = attributes["shape"][output] if len(attributes["outputs"]) > 1 else attributes["shape"]
    _require(tuple(cotangent.shape) == shape, "the backward pass starts with another shape than that of the output")


def _require(fits: bool, otherwise: str) -> None:
    if not fits:
        raise InputError(otherwise)


def _is_node(graph: GradGraph, number: Any) -> bool:
    return is_number(number) and number in graph


def _is_leaf(graph: GradGraph, name: Any) -> bool:
    return isinstance(name, str) and name in graph.graph["leaves"]


def _is_texts(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(entry, str) for entry in value)


def _is_row(value: Any, *kinds: Any) -> bool:
    """Whether it is a tuple of entries of these kinds, in this order."""
    return (
        isinstance(value, tuple)
        and len(value) == len(kinds)
        and all(isinstance(entry, kind) for entry, kind in zip(value, kinds, strict=True))
    )
