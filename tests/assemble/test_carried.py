"""What is written to a part of a constant shows in the whole: values and edges are those of what the code then reads."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import gradviz
from gradviz.graph import GradGraph

ONES = [1.0, 1.0, 1.0, 1.0]


def _x() -> Tensor:
    return torch.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)


def _read_by_product(graph: GradGraph) -> int:
    """The node of what the last product reads beside the leaf."""
    product = max(node for node in graph.nodes if graph.nodes[node]["op"] == "mul" and graph.nodes[node]["requires_grad"])
    (other,) = (tail for tail, _, edge in graph.in_edges(product, data=True) if edge["contribution"] is None)
    return int(other)


def _a_part(x: Tensor) -> Tensor:
    m = torch.ones(4)
    m[1] = 0.0
    m[2:].mul_(3.0)
    return (x * m).sum()


def _a_loop(x: Tensor) -> Tensor:
    m = torch.ones(4)
    for place in range(4):
        m[place:] += place
    return (x * m).sum()


def _a_view_of_what_is_written_to(x: Tensor) -> Tensor:
    m = torch.ones(5)
    v = m[1:]
    m.mul_(torch.arange(5.0))
    return (x * v).sum()


def _a_view_beside(x: Tensor) -> Tensor:
    m = torch.ones(8)
    v = m[::2]
    m[2:4].zero_()
    return (x * v).sum()


def _behind_an_offset(x: Tensor) -> Tensor:
    m = torch.ones(6)[2:]
    m[0].fill_(7.0)
    return (x * m).sum()


def _transposed(x: Tensor) -> Tensor:
    m = torch.arange(4.0).view(2, 2)
    t = m.t()
    m.add_(1)
    return (x.view(2, 2) * t).sum()


def _by_out(x: Tensor) -> Tensor:
    m = torch.ones(4)
    torch.add(torch.ones(2), 1, out=m[:2])
    return (x * m).sum()


def _by_many_at_once(x: Tensor) -> Tensor:
    m = torch.ones(4)
    torch._foreach_mul_([m[:2], m[3:]], 5.0)
    return (x * m).sum()


WRITES: dict[str, tuple[Callable[[Tensor], Tensor], list[float]]] = {
    "a part": (_a_part, [1.0, 0.0, 3.0, 3.0]),
    "a loop": (_a_loop, [1.0, 2.0, 4.0, 7.0]),
    "a view of what is written to": (_a_view_of_what_is_written_to, [1.0, 2.0, 3.0, 4.0]),
    "a view beside": (_a_view_beside, [1.0, 0.0, 1.0, 1.0]),
    "behind an offset": (_behind_an_offset, [7.0, 1.0, 1.0, 1.0]),
    "transposed": (_transposed, [1.0, 3.0, 2.0, 4.0]),
    "by out=": (_by_out, [2.0, 2.0, 1.0, 1.0]),
    "by many at once": (_by_many_at_once, [5.0, 5.0, 1.0, 5.0]),
}


@pytest.mark.parametrize(("run", "held"), WRITES.values(), ids=WRITES.keys())
def test_a_node_holds_what_is_read(run: Callable[[Tensor], Tensor], held: list[float]) -> None:
    graph = gradviz.trace(run, _x())
    read = graph.nodes[_read_by_product(graph)]
    assert read["value"].flatten().tolist() == held
    assert read["shape"] == tuple(read["value"].shape)
    assert graph.gradients()["x"].flatten().tolist() == held
    assert graph.check().ok


def test_each_write_is_made_from_the_one_before_it() -> None:
    graph = gradviz.trace(_a_part, _x())
    written = _read_by_product(graph)
    values = [graph.nodes[written]["value"].tolist()]
    while before := [tail for tail, _, edge in graph.in_edges(written, data=True) if edge["argument"] == "self"]:
        (written,) = before
        values.append(graph.nodes[written]["value"].tolist())
    assert values == [[1.0, 0.0, 3.0, 3.0], [1.0, 0.0, 1.0, 1.0], ONES]
    assert [graph.nodes[node]["name"] for node in graph.nodes][1] == "m"


def test_a_detached_tensor_that_was_written_to_comes_from_autograds_own_node_of_the_write() -> None:
    def run(x: Tensor, w: Tensor) -> Tensor:
        y = x * 2
        y[1:] = w
        return (y.detach() * x).sum() + y.sum()

    graph = gradviz.trace(run, _x(), torch.tensor([5.0, 6.0, 7.0], requires_grad=True))
    detached = next(node for node in graph.nodes if graph.nodes[node]["op"] == "detach")
    (behind,) = graph.predecessors(detached)
    assert graph.nodes[behind]["op"] == "copy_slices"
    assert graph.nodes[detached]["value"].tolist() == graph.nodes[behind]["value"].tolist() == [2.0, 5.0, 6.0, 7.0]


def test_who_reads_the_written_part_reads_that() -> None:
    def run(x: Tensor) -> Tensor:
        m = torch.ones(6)
        part = m[2:]
        part.mul_(3)
        return (x * part).sum()

    graph = gradviz.trace(run, _x())
    read = graph.nodes[_read_by_product(graph)]
    assert (read["op"], read["value"].tolist()) == ("mul", [3.0] * 4)


def test_many_writes_are_no_recursion() -> None:
    def run(x: Tensor) -> Tensor:
        m = torch.ones(4)
        for place in range(3000):
            m[place % 4 :] += 1.0
        return (x * m).sum()

    graph = gradviz.trace(run, _x())
    assert graph.nodes[_read_by_product(graph)]["value"].tolist() == [751.0, 1501.0, 2251.0, 3001.0]
