"""A recurrence read as arrays: the same numbers as one by one to 50 digits, however many steps there are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import gradviz
from gradviz.opcall import OpCall
from gradviz.symbolic import reference


def layer_call(steps: int, *, bidirectional: bool = False) -> OpCall:
    """The last opaque call that an LSTM makes."""
    torch.manual_seed(0)
    lstm = torch.nn.LSTM(3, 4, bidirectional=bidirectional)
    graph = gradviz.trace(lambda: lstm(torch.randn(steps, 2, 3))[0].square().sum())
    calls = [attributes["call"] for _, attributes in graph.nodes(data=True) if attributes["op"] == "mkldnn_rnn_layer"]
    call: OpCall = calls[-1]
    return call


@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "reverse"])
def test_values_and_derivatives_at_once_are_those_of_one_element_after_the_other(bidirectional: bool) -> None:
    call = layer_call(3, bidirectional=bidirectional)
    truth = reference(call)
    flats, weights = [0, 7, 17, 23], [1.0, -0.5, 0.75, 0.625]
    shape = tuple(call.outputs[0].shape)  # type: ignore[union-attr]
    places = [tuple(int(place) for place in np.unravel_index(flat, shape)) for flat in flats]
    values = truth.values_at_once(flats)
    assert values is not None
    for place, value, bound in zip(places, values.value, values.bound, strict=True):
        exact = truth.value(place)
        assert abs(float(value) - float(exact.value)) <= 1e-15 and bound == pytest.approx(exact.bound, rel=0.1)
    at_once = truth.vjp_at_once(flats, weights)
    assert at_once is not None
    one_by_one = truth.vjp({(0, place): weight for place, weight in zip(places, weights, strict=True)})
    assert set(at_once) == {position for position, partials in one_by_one.partials.items() if partials}
    for position, found in at_once.items():
        of_input = truth.inputs[position].shape
        indices = [tuple(int(place) for place in np.unravel_index(flat, of_input)) for flat in found.flats]
        assert set(indices) == set(one_by_one.partials[position])
        for index, value, bound in zip(indices, found.value, found.bound, strict=True):
            exact = one_by_one.partial(position, index)
            assert abs(float(value) - float(exact.value)) <= 1e-14
            assert bound == pytest.approx(exact.bound, rel=0.5)


def test_many_steps_are_read_without_deep_recursion() -> None:
    truth = reference(layer_call(100))
    found = truth.vjp_at_once([799], [1.0])
    assert found is not None and all(np.isfinite(elements.value).all() for elements in found.values())


def test_a_check_of_a_recurrence_looks_at_its_rows_as_one_sum() -> None:
    torch.manual_seed(0)
    lstm = torch.nn.LSTM(8, 16)
    report = gradviz.trace(lambda: lstm(torch.randn(10, 4, 8))[0].square().mean()).check()
    assert report.verified, report
    into_layer = [edge for edge in report.edges if "weight" in edge.name]
    assert into_layer and all("8 rows as one random sum" in edge.how for edge in into_layer)
    assert all(edge.checked == 8 * edge.total // 640 for edge in into_layer)


def test_a_slip_in_one_weight_of_a_recurrence_is_seen_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is compared at once is all of it: where one element is wrong, the rows are looked at one by one."""
    from gradviz.check import local

    right = local.vjps_into

    def slipped(edges, place, cotangent):  # type: ignore[no-untyped-def]
        answers = [answer.clone() for answer in right(edges, place, cotangent)]
        elements = answers[0].view(-1)
        elements[elements.abs().argmax()] *= 1.001
        return answers

    torch.manual_seed(0)
    lstm = torch.nn.LSTM(8, 16)
    graph = gradviz.trace(lambda: lstm(torch.randn(6, 4, 8))[0].square().mean())
    monkeypatch.setattr(local, "vjps_into", slipped)
    assert "8 rows as one random sum" not in graph.check().edges[0].how
