"""Calls that only make a constant are drawn as that constant; the graph keeps them all."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from gradviz import trace
from gradviz.view import View, ViewNode
from gradviz.view.fold import Folded, fold


def ones(size: int = 6) -> Tensor:
    return torch.ones(size, requires_grad=True)


def drawn(function: Callable[[Tensor], Tensor]) -> View:
    return trace(function, ones()).view()


def node(view: View, name: str) -> ViewNode:
    return next(node for node in view.nodes if node.name == name)


def edges(view: View) -> set[tuple[str, str]]:
    names = {node.id: node.name for node in view.nodes}
    return {(names[edge.tail], names[edge.head]) for edge in view.edges}


def test_dropout_is_one_mask_that_says_how_it_was_drawn() -> None:
    view = drawn(lambda x: functional.dropout(x, 0.25).sum())
    mask = next(node for node in view.nodes if node.role == "constant")
    assert mask.call == "bernoulli(0.75) / 0.75"
    assert [node.call for node in view.nodes if node.role != "constant"] == ["", f"x·{mask.name}", "Σ(d)"]
    assert edges(view) == {("x", "d"), (mask.name, "d"), ("d", "e")}


def test_dropout_with_torchs_default_says_its_probability() -> None:
    assert {node.call for node in drawn(lambda x: functional.dropout(x).sum()).nodes} >= {"bernoulli(0.5) / 0.5"}


def test_the_graph_keeps_what_the_picture_folds() -> None:
    graph = trace(lambda x: functional.dropout(x, 0.25).sum(), ones())
    before = list(graph.nodes), list(graph.edges)
    assert len(graph.view().nodes) == len(graph) - 2
    assert (list(graph.nodes), list(graph.edges)) == before


def factories(x: Tensor) -> Tensor:
    a = torch.ones(6)
    b = torch.arange(6.0)
    return (x * a + b).sum()


def test_a_tensor_made_by_a_factory_is_one_constant() -> None:
    graph = trace(factories, ones())
    assert [attributes["kind"] for _, attributes in graph.nodes(data=True)].count("constant") == 2 and len(graph) == 6
    view = graph.view()
    assert {(node.name, node.role, node.call) for node in view.nodes if node.name in "ab"} == {
        ("a", "constant", ""),
        ("b", "constant", ""),
    }
    assert len(view.nodes) == 6


def like(x: Tensor) -> Tensor:
    noise = torch.full_like(x, 3.0)
    return (x * noise).sum()


def test_a_tensor_shaped_like_another_is_a_constant_that_reads_nothing() -> None:
    view = drawn(like)
    assert (node(view, "noise").role, node(view, "noise").call) == ("constant", "full_like(x, 3)")
    assert ("x", "noise") not in edges(view)


def user_detaches(x: Tensor, data: Tensor) -> Tensor:
    frozen = data.detach()
    return (x * frozen).sum()


def test_a_detach_that_the_user_wrote_stays() -> None:
    view = trace(user_detaches, ones(), torch.ones(6)).view()
    assert ("data", "frozen") in edges(view)
    assert node(view, "frozen").call == "detach(data)"


def used_twice(x: Tensor) -> Tensor:
    a = torch.zeros_like(x)
    b = a + 1
    return (x * a * b).sum()


def test_a_constant_with_a_use_of_its_own_stays() -> None:
    view = drawn(used_twice)
    assert ("a", "b") in edges(view) and node(view, "b").role == "op"


def never_written(x: Tensor) -> Tensor:
    memory = torch.empty_like(x)
    return (x * memory.bool()).sum()


def copied_over(x: Tensor) -> Tensor:
    memory = torch.empty_like(x).copy_(x)
    return (memory * 2).sum()


def test_memory_that_nobody_wrote_has_no_value_worth_showing() -> None:
    memory = node(drawn(never_written), "memory")
    assert (memory.value, memory.heat) == (("float32 [6]", "uninitialised"), None)


def test_memory_that_is_written_over_is_not_shown() -> None:
    view = drawn(copied_over)
    assert [node.call for node in view.nodes] == ["", "copy(x)", "2·memory_2", "Σ(b)"]
    assert not any("uninitialised" in node.value for node in view.nodes)


def test_a_node_with_a_mismatch_is_not_folded_away() -> None:
    graph = trace(lambda x: functional.dropout(x, 0.25).sum(), ones())
    drawing = next(node for node, attributes in graph.nodes(data=True) if attributes["op"] == "bernoulli")
    assert drawing in fold(graph).hidden
    assert drawing not in fold(graph, keep=[drawing]).hidden


def test_a_folded_constant_is_opened_by_its_name() -> None:
    graph = trace(lambda x: functional.dropout(x, 0.25).sum(), ones())
    mask = next(node for node in graph.view().nodes if node.role == "constant")
    assert len(graph.view(unfold=mask.name).nodes) == len(graph)


def test_a_graph_without_such_calls_is_not_folded() -> None:
    assert fold(trace("x*y + sin(pi*x)", x=2.0, y=3.0)) == Folded()
