"""Programs whose values are kept, summed up or offloaded, and how what a graph holds of them is compared."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from swish import Swish
from torch import Tensor, nn

from gradviz.graph import GradGraph
from gradviz.standin import StandIn
from gradviz.statistics import statistics_of


def sums(x: Tensor) -> Tensor:
    h = x + 1
    h = h + x.t()
    return (h + h.mean()).square().mean()


def views(x: Tensor) -> Tensor:
    h = (x * 2).view(4, 100)
    q, k = (h + 1).chunk(2)
    return (q.t().reshape(-1) + k.expand(3, 2, 100)[1].flatten()).sum()


def in_place(x: Tensor) -> Tensor:
    h = x + 0.5
    h += x
    h.mul_(2)
    row = h[3]
    row += 1
    return (h + 1).relu_().sum()


def without_gradient(x: Tensor) -> Tensor:
    with torch.no_grad():
        mask = (x > 0).to(x.dtype) + 1
        where = x.argmax(1, keepdim=True) + torch.zeros(20, 20, dtype=torch.int64)
    return ((x + 1) * (mask + 1)).gather(1, where).sum() + x.detach().add(1).sum()


def converted(x: Tensor) -> Tensor:
    layer = nn.Linear(20, 20).double()  # a leaf that is filled and gets another storage while the recorder listens
    h = layer(x + 1)
    return (h[1:, 1:] + h[0, 0]).sum() + (h.mT + 1).flatten()[3]


def custom(x: Tensor) -> Tensor:
    return (Swish.apply(x + 1) + x).mean()


def several(x: Tensor) -> Tensor:
    top, places = (x + 1).sort(dim=1)
    return (top + places + torch.linalg.qr(x + torch.eye(20)).R).sum()


def complex_numbers(x: Tensor) -> Tensor:
    z = torch.complex(x + 1, x - 1)
    return ((z + 1j).conj() + torch.view_as_complex(torch.stack([x, x], -1))).abs().sum()


def narrow(x: Tensor) -> Tensor:
    h = (x * 100).to(torch.bfloat16) + 1
    return (h.half() + 1).float().mean() + (x.to(torch.float32) / 0).nan_to_num(0, 0, 0).sum()


PROGRAMS = [sums, views, in_place, without_gradient, converted, custom, several, complex_numbers, narrow]


def leaf() -> Tensor:
    return torch.randn(20, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()


def tensors(graph: GradGraph) -> Iterator[tuple[str, Tensor | None]]:
    """Everything that a graph holds, under names."""
    for node, attributes in graph.nodes(data=True):
        for which in ("value", "cotangent"):
            found = attributes[which]
            for place, one in enumerate(found if isinstance(found, tuple) else (found,)):
                yield f"{which} {place} of {attributes['name']}", one
        calls = [attributes["call"], *attributes["inner_calls"]]
        for number, call in enumerate(call for call in calls if call is not None):
            for argument in call.tensor_arguments():
                yield f"{argument.name} of call {number} of {attributes['name']}", argument.tensor
        for use in graph.arguments_of(node):
            yield f"contribution of {use.edge}", use.contribution


def stand_ins(graph: GradGraph) -> list[str]:
    return [name for name, tensor in tensors(graph) if isinstance(tensor, StandIn)]


def same(one: Tensor | None, other: Tensor | None) -> bool:
    """Equal, NaN to NaN."""
    return one is not None and other is not None and torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)


def assert_same(graph: GradGraph, full: GradGraph) -> None:
    """Tensors are those of the full graph, and stand-ins say what those hold."""
    kept, expected = list(tensors(graph)), list(tensors(full))
    assert [name for name, _ in kept] == [name for name, _ in expected]
    for (name, tensor), (_, whole) in zip(kept, expected, strict=True):
        if tensor is None or whole is None:
            assert tensor is whole is None, name
        elif isinstance(tensor, StandIn):
            assert (tensor.shape, tensor.dtype) == (whole.shape, whole.dtype), name
            assert "call" in name or tensor.stride() == whole.stride(), name
            found, truth = tensor.statistics, statistics_of(whole, bins=24)
            if "call" in name and found is None:
                continue  # made up for the check: what is scattered back into a base that was written to through a view
            assert found is not None and truth is not None
            assert (found.count, found.nans, found.infs, found.zeros) == (truth.count, truth.nans, truth.infs, truth.zeros)
            assert [found.low, found.high, found.mean, found.std] == pytest.approx(
                [truth.low, truth.high, truth.mean, truth.std], rel=1e-12, abs=1e-12, nan_ok=True
            )
        else:
            assert same(tensor, whole), name
