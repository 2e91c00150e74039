"""Why a backward pass failed -> a sentence: what to do about it, or in which custom Function, on which line."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterable
from pathlib import Path

import torch
from torch.autograd.graph import Node

from gradviz.recording.functions import CustomFunction
from gradviz.recording.nodes import forward_class

_RETURNED = re.compile(
    r"[Ff]unction (?P<node>\w+) returned an (?:invalid gradient at index (?P<place>\d+)|incorrect number of gradients)"
)
_NOT_OF_THE_USER = (Path(torch.__file__).parent, Path(__file__).parents[1])


def backward_failure(error: RuntimeError, custom: Iterable[Node], kept_graphs: Iterable[str] = ()) -> str:
    """What autograd's engine raised, as a sentence.

    Args:
        error: with the traceback that it was raised with.
        custom: the nodes of custom Functions in the graph.
        kept_graphs: the buffers that hold the graph of an earlier step, as "state of Memory".
    """
    text = str(error)
    if "backward through the graph a second time" in text or "have already been freed" in text:
        for buffer in kept_graphs:
            own = buffer.partition(" ")[0]
            return (
                f"the buffer {buffer} holds a graph from before this step, which a backward pass freed; detach it where a "
                f"step ends, or where it is read: self.{own} = self.{own}.detach(); where what it is made of is to learn, "
                "compute it in forward()"
            )
        return (
            "the graph of this tensor was freed by an earlier backward pass; trace it before calling .backward(), have a "
            "traced step return its loss without calling that, or call .backward(retain_graph=True)"
        )
    if "modified by an inplace operation" in text:
        return f"the backward pass failed: a tensor that it needs was changed in place after the forward pass: {text}"
    if "use_reentrant=True" in text or "Checkpointing is not compatible" in text:
        return (
            "a reentrant checkpoint hides its ops from autograd's graph; call torch.utils.checkpoint.checkpoint with "
            "use_reentrant=False, which can be traced"
        )
    return f"the backward pass failed{_where(error, text, custom)}: {text}"


def _where(error: RuntimeError, text: str, custom: Iterable[Node]) -> str:
    """The line of the backward that failed, and the argument whose gradient it is; "" where torch's own failed."""
    returned = _RETURNED.search(text)
    if returned is not None:
        named = (forward_class(node) for node in custom if node.name() == returned["node"])
        for known in (CustomFunction(function=function) for function in named if function is not None):
            of = "" if returned["place"] is None else f", for {known.argument(int(returned['place']))}"
            return f" in {known.name}.backward at {known.backward_source}{of}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not any(Path(frame.filename).is_relative_to(one) for one in _NOT_OF_THE_USER)]
    return f" at {Path(own[-1].filename).name}:{own[-1].lineno}" if own else ""
