"""What a read graph says of itself as a whole is refused where it does not fit, with the sentence for it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import gradviz
from gradviz.recording.hooks import NodeHooks
from gradviz.saved.references import check_references

NO_NODE = 999
WRONG: list[tuple[str, Any, str]] = [
    ("leaves", {"x": NO_NODE}, "a name does not stand for a node"),
    ("names", {5: 0}, "a name does not stand for a node"),
    ("lost_leaves", {"w": ("", "unused", "")}, "a lost leaf is not told by texts"),
    ("moved_leaves", {"x": 3}, "a leaf that the code moves is not told by its name and a line"),
    ("optimized", {"x": ("optimizer", "SGD", "0.1", False)}, "an optimizer is not told by its name, its rule and its rate"),
    ("numbers_read", {1: "train.py:3"}, "a number that was read is not told by number and line"),
    ("numbers_of", {0.5: ("nobody",)}, "a number that was read is not told by leaves"),
    ("numbers_of", {0.5: ([],)}, "a number that was read is not told by leaves"),
    ("unseen_writes", {0: (("mul",),)}, "a write that autograd does not see is not told by texts"),
    ("unseen_writes", {NO_NODE: (("mul", "train.py:3"),)}, "a write that autograd does not see is not told by texts"),
    ("hooks", {(0, 0): "clip at train.py:3"}, "hooks on a value are not told by texts"),
    ("hooks", {(0, 1): ("clip at train.py:3",)}, "hooks on a value are not told by texts"),
    ("hooks", {0: ("clip at train.py:3",)}, "hooks on a value are not told by texts"),
    ("node_hooks", {0: ("clip at train.py:3",)}, "hooks on a node are not told by texts"),
    ("node_hooks", {NO_NODE: ((), ("clip at train.py:3",))}, "hooks on a node are not told by texts"),
    ("kept_graphs", {NO_NODE: "state of Memory"}, "a buffer with an earlier graph is not told by its name"),
    ("kept_graphs", {0: 3}, "a buffer with an earlier graph is not told by its name"),
    ("outputs", [], "the graph has no output that is there"),
    ("outputs", [True], "the graph has no output that is there"),
    ("starting_cotangents", {(NO_NODE, 0): torch.tensor(1.0)}, "the backward pass starts where no node is"),
    ("starting_cotangents", {(0, 0, 0): torch.tensor(1.0)}, "the backward pass starts where no node is"),
    ("starting_cotangents", {(0, 1): torch.tensor(1.0)}, "the backward pass starts where no output is"),
    ("starting_cotangents", {(0, 0): 1.0}, "the backward pass starts where no output is"),
    ("starting_cotangents", {(0, 0): torch.ones(2)}, "the backward pass starts with another shape than that of the output"),
]


def lecture() -> gradviz.GradGraph:
    return gradviz.trace("x*y + sin(pi*x)", x=2.0, y=3.0, device="cpu")


def test_what_a_trace_says_of_itself_fits() -> None:
    graph = lecture()
    graph.graph["optimized"] = {"x": ("optimizer", "SGD", 0.1, False), "y": ("optimizer", "SGD", None, True)}
    graph.graph |= {"numbers_read": {0.5: "train.py:3"}, "numbers_of": {0.5: ("x", "y")}}
    graph.graph["lost_leaves"] = {"w": ("", "unused", "", "")}
    graph.graph["moved_leaves"] = {"x": "train.py:3"}
    graph.graph["unseen_writes"] = {0: (("mul", "train.py:3"), ("add", "train.py:4"))}
    graph.graph["hooks"] = {(0, 0): ("clip at train.py:3", "neg")}
    graph.graph["kept_graphs"] = {2: "state of Memory"}
    graph.graph["node_hooks"] = {2: NodeHooks(after=("clip at train.py:3",))}
    check_references(graph)


@pytest.mark.parametrize(("attribute", "value", "said"), WRONG)
def test_what_does_not_fit_is_refused(attribute: str, value: Any, said: str) -> None:
    graph = lecture()
    graph.graph[attribute] = value
    with pytest.raises(gradviz.InputError, match=f"^{said}$"):
        check_references(graph)
