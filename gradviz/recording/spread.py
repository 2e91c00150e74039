"""Refuses tensors and models that are spread over processes: what a trace asks again, all processes would have to answer."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

from gradviz.errors import TraceError
from gradviz.recording.classes import once_per_class
from gradviz.recording.nodes import forward_class

_INSTEAD = "trace the model as it is before {}, on one process; gradviz.watch records a loop on all of them"


def refuse_sharded_module(module: nn.Module) -> None:
    """Objects to a module after `fully_shard`, before its parameters are gathered.

    Raises:
        TraceError: it is one.
    """
    kind: type = type(module)
    if _is_sharded(kind):
        name = kind.__name__.removeprefix("FSDP")
        raise TraceError(
            f"this {name} is sharded by fully_shard: its parameters are whole only while a layer runs, and a trace asks "
            f"them later; {_INSTEAD.format('fully_shard')}"
        )


def refuse_distributed(leaves: Iterable[Tensor], custom: Iterable[Node]) -> None:
    """Objects to a graph of DTensors.

    Args:
        leaves: of the graph.
        custom: its autograd nodes of custom Functions, by some of which DTensors are made.

    Raises:
        TraceError: it is one.
    """
    if any(_is_distributed(kind) for kind in set(map(type, leaves))) or any(map(_distributes, custom)):
        raise TraceError(
            "this was computed with a DTensor, which is spread over processes; trace what one of them computes of its part, "
            f"tensor.to_local().detach().requires_grad_(), or {_INSTEAD.format('distribute_tensor or parallelize_module')}"
        )


def refuse_freed(leaves: Iterable[Tensor]) -> None:
    """Objects to a graph with leaves whose memory was freed, as after a sharded module has run.

    Raises:
        TraceError: it has one.
    """
    if any(map(_is_freed, leaves)):
        raise TraceError(
            "the memory of a leaf has been freed since it was used, as fully_shard does when a layer has run; "
            + _INSTEAD.format("fully_shard")
        )


@once_per_class
def _is_sharded(kind: type) -> bool:
    return any(base.__name__ == "FSDPModule" for base in kind.__mro__)


@once_per_class
def _is_distributed(kind: type) -> bool:
    return any(base.__name__ == "DTensor" for base in kind.__mro__)


def _distributes(node: Node) -> bool:
    return str(getattr(forward_class(node), "__module__", "")).startswith("torch.distributed.tensor")


def _is_freed(leaf: Tensor) -> bool:
    if type(leaf) not in (Tensor, nn.Parameter) or leaf.layout is not torch.strided or leaf.device.type == "meta":
        return False
    return leaf.numel() > 0 and leaf.untyped_storage().nbytes() == 0
