"""What two sequences have in common is as much as can be, and what is left over is one side's alone."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import gradviz
from gradviz.compare import sequences
from gradviz.compare.sequences import Run, runs
from gradviz.graph import Use

TEXTS = st.text("abc", max_size=9)


def in_common(here: str, there: str) -> int:
    """The length of the longest common subsequence, by the table of all beginnings."""
    row = [0] * (len(there) + 1)
    for one in here:
        longest = [0]
        for place, other in enumerate(there):
            longest.append(row[place] + 1 if one == other else max(row[place + 1], longest[place]))
        row = longest
    return row[-1]


def runs_of(here: str, there: str) -> list[Run]:
    """Those found, once they were seen to make up both sequences, in order."""
    found = [*runs(here, there)]
    ends = [(0, 0), *((stop, stop_there) for _, _, stop, _, stop_there in found)]
    assert [(start, start_there) for _, start, _, start_there, _ in found] == ends[:-1]
    assert ends[-1] == (len(here), len(there))
    for tag, start, stop, start_there, stop_there in found:
        kinds = {(True, False): "delete", (False, True): "insert", (True, True): "replace"}
        is_same = here[start:stop] == there[start_there:stop_there]
        assert tag == ("equal" if is_same else kinds[stop > start, stop_there > start_there])
    return found


@given(here=TEXTS, there=TEXTS)
def test_as_much_as_can_be_is_in_common(here: str, there: str) -> None:
    assert sum(stop - start for tag, start, stop, *_ in runs_of(here, there) if tag == "equal") == in_common(here, there)


@given(here=TEXTS, there=TEXTS)
def test_behind_too_many_edits_the_rest_is_other_code(here: str, there: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sequences, "MOST_EDITS", 2)
        runs_of(here, there)


def layers(x: Tensor, *, every: int) -> Tensor:
    for place in range(60):
        x = torch.tanh(x @ x)
        if every and place % every == 0:
            x = x * 1.0
    return x.sum()


@pytest.mark.parametrize("every", [1, 5, 59])
def test_calls_between_layers_that_are_all_alike_are_left_over_alone(every: int) -> None:
    x = torch.eye(2, requires_grad=True) / 2
    plain, longer = (gradviz.trace(lambda x, at=at: layers(x, every=at), x) for at in (0, every))
    for which, found in (("second", plain.compare(longer)), ("first", longer.compare(plain))):
        assert (found.compared, found.skipped) == (2 * len(plain), 0)
        assert {one.what for one in found.differences} == {"structure"}
        assert len(found.differences) == len(range(0, 60, every))
        assert all(one.message.startswith(f"only the {which} has ") for one in found.differences)
        assert all(" = mul behind " in one.message for one in found.differences)


def test_values_that_are_read_twice_are_looked_behind_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def loss(x: Tensor, *, doublings: int) -> Tensor:
        y, scale = x.tanh(), torch.ones(2)
        for _ in range(doublings):
            scale = scale + scale
        return ((scale * y if doublings else y).exp() * 2).sum()

    x = torch.ones(2, requires_grad=True)
    plain, scaled = (gradviz.trace(lambda x, number=number: loss(x, doublings=number), x) for number in (0, 24))
    asked = itertools.count()

    def counted(graph: gradviz.GradGraph, node: int) -> list[Use]:
        assert next(asked) < 10_000
        return uses(graph, node)

    uses = gradviz.GradGraph.arguments_of
    monkeypatch.setattr(gradviz.GradGraph, "arguments_of", counted)
    assert plain.compare(scaled).compared == 2 * len(plain)
