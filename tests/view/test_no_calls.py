"""The graph of a tensor that was computed before the trace cannot be drawn in groups, and says so where it is to be."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import gradviz

MODEL = nn.Sequential(*(nn.Linear(3, 3) for _ in range(16)))
WHY = "nothing is drawn as one: a tensor that was computed before the trace no longer knows the calls that it came from"


def loss() -> Tensor:
    return MODEL(torch.ones(2, 3)).sum()  # type: ignore[no-any-return]


def test_a_picture_that_was_to_be_in_groups_says_why_it_is_not() -> None:
    graph = gradviz.trace(loss())
    for view in (graph.view(collapse=1), graph.view()):
        assert WHY in view.notes and not view.groups
    small = gradviz.trace(torch.sin(torch.ones(2, requires_grad=True)).sum())
    assert WHY in small.view(collapse=1).notes


def test_names_of_calls_are_refused_with_the_reason() -> None:
    graph = gradviz.trace(loss())
    with pytest.raises(gradviz.InputError, match=r"unfold names '0', .*computed before the trace.*gradviz\.record\(\)"):
        graph.view(unfold="0")


def test_where_nothing_was_to_be_grouped_or_all_is_known_nothing_is_said() -> None:
    recorded, small = gradviz.trace(loss), gradviz.trace(torch.sin(torch.ones(2, requires_grad=True)).sum())
    views = (recorded.view(), recorded.view(collapse=1), small.view(), gradviz.trace(loss()).view(collapse="none"))
    assert all(WHY not in view.notes for view in views)
    assert WHY not in gradviz.trace("x*y", x=1.0, y=2.0).view(collapse=1).notes
