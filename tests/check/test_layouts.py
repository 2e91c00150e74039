"""Nested tensors of layout `torch.jagged` and sparse leaves: what is not checked is unverified, with the reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.testing._internal.two_tensor import TwoTensor

import gradviz

PARTS = [torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[5.0, 6.0], [7.0, 8.0], [9.0, 1.0]])]


def nested_leaf() -> Tensor:
    return torch.nested.nested_tensor(PARTS, layout=torch.jagged, requires_grad=True)


NESTED: dict[str, Callable[[Tensor], Tensor]] = {
    "product": lambda x: (x * x).values().sum(),
    "linear": lambda x: torch.nn.functional.linear(x, torch.ones(3, 2, requires_grad=True)).values().sum(),
    "padded": lambda x: x.sin().to_padded_tensor(0.0).sum(),
}


@pytest.mark.parametrize("name", NESTED)
def test_a_nested_leaf_is_unverified_with_the_reason(name: str) -> None:
    report = gradviz.trace(NESTED[name], nested_leaf(), device="cpu").check()
    assert report.ok
    assert not report.verified
    unverified = [found for found in (*report.edges, *report.nodes, *report.sums) if found.verdict == "unverified"]
    assert unverified
    assert all("nested tensor of layout torch.jagged" in found.reason for found in unverified)
    assert "has to do with a nested tensor" in report.summary


def test_beside_a_nested_tensor_the_rest_is_checked() -> None:
    leaves = [part.clone().requires_grad_() for part in PARTS]

    def total(first: Tensor, second: Tensor) -> Tensor:
        return (torch.nested.as_nested_tensor([first, second], layout=torch.jagged) * 2).values().sin().sum()

    graph = gradviz.trace(total, *leaves, device="cpu")
    verdicts = {graph.nodes[edge.edge[1]]["op"]: edge.verdict for edge in graph.check().edges}
    assert verdicts["sin"] == verdicts["cat"] == verdicts["sum"] == "match"
    assert verdicts["mul"] == "unverified"


def test_tensors_on_the_meta_device_are_refused_as_before() -> None:
    graph = gradviz.trace(lambda x: x.sin().sum(), torch.ones(3, device="meta", requires_grad=True))
    with pytest.raises(gradviz.GradvizError, match="on the meta device"):
        graph.check()


def test_a_sparse_leaf_is_named_in_the_reason() -> None:
    x = torch.eye(3).to_sparse().requires_grad_()
    report = gradviz.trace(lambda q: (q @ torch.ones(3, 2)).sum(), x, device="cpu").check()
    assert [leaf.verdict for leaf in report.leaves] == ["unverified"]
    assert report.leaves[0].reason.startswith("q (torch.sparse_coo) is sparse")


def test_tensors_that_hold_others_are_unverified_with_the_reason() -> None:
    leaf = TwoTensor(torch.tensor([0.5, 2.0]), torch.tensor([3.0, 4.0])).requires_grad_()
    report = gradviz.trace(lambda x: (x * x).sin().sum(), leaf, device="cpu").check()
    unverified = [found for found in (*report.edges, *report.nodes, *report.sums) if found.verdict == "unverified"]
    assert report.ok and len(unverified) == len(report.edges) + len(report.nodes) + len(report.sums)
    assert all("is a TwoTensor, a tensor that holds others, which is not checked" in found.reason for found in unverified)
    assert "has to do with a TwoTensor" in report.summary
