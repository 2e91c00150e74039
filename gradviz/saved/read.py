"""A `.gradviz` file -> GradGraph. The file may come from anywhere: every attribute is checked, and nothing is executed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gradviz.collector import collector_paused
from gradviz.errors import InputError, OtherVersionError
from gradviz.graph import Edge, GradGraph
from gradviz.opcall import OpCall
from gradviz.saved.damage import REMEDY, damage_of
from gradviz.saved.partial import SavedPartial
from gradviz.saved.references import check_references, is_number
from gradviz.saved.values import Decoder
from gradviz.saved.write import LOADED, VERSION

MAX_BYTES = 2**32
MAX_NODES = 2_000_000
MAX_ARGUMENTS = 100_000
_OPTIONAL_TENSOR = (Tensor, tuple, type(None))
_NODE: dict[str, tuple[type, ...]] = {
    "kind": (str,),
    "name": (str,),
    "output_names": (tuple,),
    "op": (str,),
    "expression": (str,),
    "value": _OPTIONAL_TENSOR,
    "value_missing": (str,),
    "cotangent": _OPTIONAL_TENSOR,
    "shape": (tuple,),
    "dtype": (torch.dtype,),
    "device": (torch.device,),
    "requires_grad": (bool,),
    "outputs": (tuple,),
    "differentiable": (tuple,),
    "module": (str,),
    "scope": (tuple,),
    "training": (bool, type(None)),
    "root": (str,),
    "is_named": (bool,),
    "earlier_gradient": (Tensor, type(None)),
    "source": (str,),
    "call": (OpCall, type(None)),
    "inner_calls": (tuple,),
    "inner_inputs": (tuple,),
    "backward_order": (int, type(None)),
    "is_output": (bool,),
}
_ITEMS: dict[str, tuple[type, ...]] = {
    "output_names": (str,),
    "scope": (str,),
    "differentiable": (int,),
    "inner_calls": (OpCall,),
    "inner_inputs": (Tensor, type(None)),
}
_EDGE: dict[str, tuple[type, ...]] = {
    "argument": (str,),
    "output": (int,),
    "partial": (dict, type(None)),
    "contribution": (Tensor, type(None)),
    "cut": (str,),
}
_GRAPH: dict[str, tuple[type, ...]] = {
    "outputs": (list,),
    "starting_cotangents": (dict,),
    "leaves": (dict,),
    "names": (dict,),
    "classes": (dict,),
    "lost_leaves": (dict,),
    "optimized": (dict,),
    "moved_leaves": (dict,),
    "unseen_writes": (dict,),
    "numbers_read": (dict,),
    "numbers_of": (dict,),
    "hooks": (dict,),
    "node_hooks": (dict,),
    "kept_graphs": (dict,),
}


def load(path: str | os.PathLike[str], *, max_bytes: int = MAX_BYTES) -> GradGraph:
    """Reads a graph that `GradGraph.save` wrote.

    Values, gradients, contributions, formulas and small local partials are there; what asks autograd's nodes (the check,
    large Jacobians) is not, and says so.

    Args:
        path: a `.gradviz` file; it may come from anywhere.
        max_bytes: a larger file is refused.

    Raises:
        InputError: the file cannot be read, or is not such a file.
    """
    file = Path(path)
    content, tensors = _opened(file, max_bytes)
    try:
        with collector_paused():
            graph = _graph(content, Decoder(tensors))
    except InputError as error:
        raise InputError(f"{str(file)!r} is damaged or was not made by gradviz: {error}; {REMEDY}") from error
    graph.graph[LOADED] = str(file)
    return graph


def _opened(file: Path, max_bytes: int) -> tuple[Any, dict[str, Tensor]]:
    import safetensors

    try:
        size = file.stat().st_size
        if size > max_bytes:
            raise InputError(f"{str(file)!r} has {size} bytes; accepted: up to {max_bytes} (max_bytes)")
        with safetensors.safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
            if metadata.get("format") != "gradviz":
                raise InputError(f"{str(file)!r} is a safetensors file, but not one that gradviz saved; {REMEDY}")
            if metadata.get("version") != VERSION:
                again = "trace once more and graph.save(path) with this one"
                raise OtherVersionError(str(file), found=str(metadata.get("version")), read=VERSION, again=again)
            return _written(metadata, file), {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except OSError as error:
        raise InputError(f"cannot read {str(file)!r}: {error.strerror or error}") from error
    except safetensors.SafetensorError as error:
        raise InputError(damage_of(file)) from error


def _written(metadata: dict[str, str], file: Path) -> Any:
    """What a file says of nodes and edges, not yet checked."""
    if "graph" not in metadata:
        raise InputError(f"{str(file)!r} is damaged: its metadata have no graph; {REMEDY}")
    try:
        return json.loads(metadata["graph"])
    except (ValueError, RecursionError) as error:
        raise InputError(f"{str(file)!r} is damaged in what it says of the graph: {str(error)[:200]}; {REMEDY}") from error


def _graph(content: Any, decoder: Decoder) -> GradGraph:
    _check(content, {"nodes": (list,), "numbers": (list,), "edges": (list,), "graph": (dict,)}, "the file")
    numbers = content["numbers"]
    if len(content["nodes"]) > MAX_NODES or len(numbers) != len(content["nodes"]):
        raise InputError(f"{len(content['nodes'])} nodes and {len(numbers)} numbers; accepted: up to {MAX_NODES}, one each")
    graph = GradGraph()
    for number, written in zip(numbers, content["nodes"], strict=True):
        if not is_number(number) or number in graph:
            raise InputError(f"node {str(number)[:40]} has no number of its own")
        attributes = _attributes(written, _NODE, decoder, f"node {number}")
        _check_node(attributes, f"node {number}")
        graph.add_node(number, **attributes)
    partials = {}
    for written in content["edges"]:
        edge, attributes = _edge(graph, written, decoder)
        partials[edge] = attributes.pop("partial")
        graph.add_edge(*edge, **attributes, partial=None)
    for edge, written in partials.items():
        if written is not None:
            graph.edges[edge]["partial"] = _partial(graph, edge, written, decoder)
    graph.graph.update(_attributes(content["graph"], _GRAPH, decoder, "the graph"))
    check_references(graph)
    return graph


def _edge(graph: GradGraph, written: Any, decoder: Decoder) -> tuple[Edge, dict[str, Any]]:
    if not isinstance(written, list) or len(written) != 4 or not all(map(is_number, written[:3])):
        raise InputError(f"an edge is not [tail, head, key, attributes]: {str(written)[:60]}")
    edge: Edge = (written[0], written[1], written[2])
    tail, head, key = edge
    if tail not in graph or head not in graph or tail >= head or graph.has_edge(*edge):
        raise InputError(f"edge {edge} joins nodes that are not there, leads back, or is there twice")
    if key > MAX_ARGUMENTS:
        raise InputError(f"edge {edge} is argument {key}; accepted: up to {MAX_ARGUMENTS}")
    found = _attributes(written[3], _EDGE, decoder, f"edge {edge}")
    if found["output"] not in graph.nodes[tail]["outputs"]:
        raise InputError(f"edge {edge} carries an output that its tail does not have")
    return edge, found


def _partial(graph: GradGraph, edge: Edge, content: Any, decoder: Decoder) -> SavedPartial:
    _check(content, {"in_shape": (list,), "out_shape": (list,), "jacobian": (dict, type(None))}, f"edge {edge}")
    in_shape, out_shape = tuple(content["in_shape"]), tuple(content["out_shape"])
    jacobian = decoder.decoded(content["jacobian"])
    fits = jacobian is None or (isinstance(jacobian, Tensor) and tuple(jacobian.shape) == out_shape + in_shape)
    if not all(map(is_number, in_shape + out_shape)) or not fits:
        raise InputError(f"the Jacobian of edge {edge} does not have the shapes of its ends")
    tail, head, _ = edge
    return SavedPartial(
        edge=edge,
        in_shape=in_shape,
        out_shape=out_shape,
        in_dtype=graph.nodes[tail]["dtype"],
        out_dtype=graph.nodes[head]["dtype"],
        jacobian=jacobian,
        call=graph.nodes[head]["call"],
        arguments=tuple(graph.argument_names(head)),
        head=graph.output_name(head, graph.nodes[head]["outputs"][0]),
    )


def _attributes(written: Any, kinds: dict[str, tuple[type, ...]], decoder: Decoder, where: str) -> dict[str, Any]:
    if not isinstance(written, dict) or set(written) != set(kinds):
        raise InputError(f"{where} does not have the attributes {', '.join(sorted(kinds))}")
    found = {str(name): decoder.decoded(value) for name, value in written.items()}
    _check(found, kinds, where)
    return found


def _check(found: Any, kinds: dict[str, tuple[type, ...]], where: str) -> None:
    """Every attribute is there and of its kind."""
    if not isinstance(found, dict):
        raise InputError(f"{where} has no attributes")
    for name, accepted in kinds.items():
        value = found.get(name)
        if name not in found or not isinstance(value, accepted) or (isinstance(value, bool) and bool not in accepted):
            raise InputError(
                f"{where}: {name} is {type(value).__name__}, not {' or '.join(kind.__name__ for kind in accepted)}"
            )


def _check_node(attributes: dict[str, Any], where: str) -> None:
    """What readers of a graph rely on: several outputs have tuples, one output has a tensor of the stated shape."""
    outputs, names = attributes["outputs"], attributes["output_names"]
    attributes["inner_calls"] = () if None in attributes["inner_calls"] else attributes["inner_calls"]
    for which, kinds in _ITEMS.items():
        if not all(isinstance(item, kinds) for item in attributes[which]):
            raise InputError(f"{where}: its {which} are not of their kind")
    if attributes["kind"] not in ("leaf", "op", "constant"):
        raise InputError(f"{where} is of no known kind")
    if not outputs or not all(map(is_number, outputs)):
        raise InputError(f"{where} has no outputs")
    several = len(outputs) > 1
    shapes = attributes["shape"] if several else (attributes["shape"],)
    if not all(isinstance(shape, tuple) and all(map(is_number, shape)) for shape in shapes):
        raise InputError(f"{where} has no shape")
    if several and (max(outputs) >= len(names) or max(outputs) >= len(shapes)):
        raise InputError(f"{where} has outputs without a name or a shape")
    for which in ("value", "cotangent"):
        found = attributes[which]
        if found is not None and several != isinstance(found, tuple):
            raise InputError(f"{where}: its {which} does not fit its outputs")
        for place, tensor in enumerate(found if isinstance(found, tuple) else (found,)):
            if tensor is not None and (not isinstance(tensor, Tensor) or tuple(tensor.shape) != shapes[place]):
                raise InputError(f"{where}: its {which} does not have the stated shape")
