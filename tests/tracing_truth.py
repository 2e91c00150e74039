"""What a traced graph is held against: what `.backward()` stores on the same code."""

from __future__ import annotations

import torch
from torch import Tensor

import gradviz


def assert_same_gradients(graph: gradviz.GradGraph, expected: dict[str, Tensor | None]) -> None:
    found = graph.gradients()
    assert set(found) == set(expected)
    for name, gradient in expected.items():
        assert (gradient is None) == (found[name] is None), name
        assert gradient is None or torch.equal(found[name], gradient), name


def stored_gradients(output: Tensor, **leaves: Tensor) -> dict[str, Tensor | None]:
    """What `.backward()` stores, as truth."""
    for leaf in leaves.values():
        leaf.grad = None
    output.backward(retain_graph=True)
    found = {name: leaf.grad for name, leaf in leaves.items()}
    for leaf in leaves.values():
        leaf.grad = None
    return found


def assert_contributions_add_up(graph: gradviz.GradGraph) -> None:
    """Contributions into a node sum to its cotangent; at an output its own starting cotangent comes on top."""
    for node, attributes in graph.nodes(data=True):
        for output in attributes["outputs"]:
            cotangent = graph.cotangent(node, output)
            parts = [
                use.contribution for use in graph.uses_of(node) if use.output == output and use.contribution is not None
            ]
            if cotangent is not None and parts and not attributes["is_output"]:
                torch.testing.assert_close(sum(parts), cotangent)
