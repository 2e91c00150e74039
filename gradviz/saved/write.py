"""GradGraph -> a `.gradviz` file."""

from __future__ import annotations

import json
import math
import os
import uuid
from pathlib import Path
from typing import Any

import torch

from gradviz.errors import GradvizError, InputError
from gradviz.graph import GradGraph
from gradviz.partials import LocalPartial
from gradviz.saved.partial import MAX_ELEMENTS, SavedPartial
from gradviz.saved.values import Encoder

VERSION = "6"
"""Raised whenever attributes are added, removed or written otherwise: a file of before could not be read as it is."""
LOADED = "loaded_from"
"""The graph attribute that says that a graph came from a file; it is not written again."""
NOT_IN_FILE = "not in the saved file: over its budget, or of a kind that it cannot hold"
"""Why a value that the graph had is missing in the loaded one."""
_NOT_WRITTEN = {LOADED, "functions", "states"}
"""Of custom Functions a file cannot hold the code; states only matter to a check, which it cannot have."""


def save(graph: GradGraph, path: str | os.PathLike[str], *, max_bytes: int = 2**30) -> None:
    """Writes a graph to a file: the whole file or nothing; see `GradGraph.save`."""
    import safetensors.torch

    if max_bytes < 0:
        raise InputError(f"max_bytes is {max_bytes}; accepted: 0 or more")
    encoder = Encoder(max_bytes)
    with torch.no_grad():
        content: dict[str, Any] = {
            "nodes": [_node(graph.nodes[node], encoder) for node in graph],
            "numbers": list(graph),
            "edges": [
                [tail, head, key, _edge(data, encoder, is_real=_is_real(graph, tail, head))]
                for tail, head, key, data in graph.edges(keys=True, data=True)
            ],
            "graph": {name: encoder.encoded(value) for name, value in graph.graph.items() if name not in _NOT_WRITTEN},
        }
    starting = content["graph"]["starting_cotangents"]["dict"]
    starting[:] = [entry for entry in starting if entry[1] != {"tensor": None}]
    metadata = {"format": "gradviz", "version": VERSION, "torch": str(torch.__version__), "graph": json.dumps(content)}
    file = Path(path)
    temporary = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
    try:
        try:
            safetensors.torch.save_file(encoder.tensors, temporary, metadata=metadata)
            temporary.replace(file)
        finally:
            temporary.unlink(missing_ok=True)
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(f"cannot write the graph to {str(file)!r}: {error}") from error


def _node(attributes: dict[str, Any], encoder: Encoder) -> dict[str, Any]:
    written = {name: encoder.encoded(value) for name, value in attributes.items()}
    if attributes["value"] is not None and written["value"] == {"tensor": None}:
        written["value_missing"] = NOT_IN_FILE
    return written


def _edge(attributes: dict[str, Any], encoder: Encoder, *, is_real: bool) -> dict[str, Any]:
    written = {name: encoder.encoded(value) for name, value in attributes.items() if name != "partial"}
    partial = attributes["partial"]
    written["partial"] = None if partial is None else {"partial": _partial(partial, encoder, is_real=is_real)}
    return written


def _is_real(graph: GradGraph, tail: int, head: int) -> bool:
    """Between complex values an array of numbers does not tell the VJP, which also conjugates."""
    return not any(graph.nodes[node]["dtype"].is_complex for node in (tail, head))


def _partial(partial: LocalPartial | SavedPartial, encoder: Encoder, *, is_real: bool) -> dict[str, Any]:
    small = math.prod(partial.in_shape) * math.prod(partial.out_shape) <= MAX_ELEMENTS
    try:
        jacobian = partial.jacobian() if small and is_real else None
    except GradvizError:  # its buffers are freed: shapes and formula are left, and asking for numbers says why
        jacobian = None
    shapes = {"in_shape": list(partial.in_shape), "out_shape": list(partial.out_shape)}
    return {**shapes, "jacobian": encoder.encoded(jacobian)}
