"""Rows of several calls had at once are those had one by one, and work stops where its allowance ends."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gradviz.opcall import OpCall
from gradviz.symbolic import Allowance, Reference, TooMuchWork, compose

aten = torch.ops.aten


def scaled_softmax(*, at_once: bool, length: int = 5) -> Reference:
    """(softmax(0.3 x^T) @ y)^2 as calls: moved, multiplied by a number, lowered, summed."""
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(length, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    calls: list[OpCall] = []

    def called(overload: torch._ops.OpOverload, *args: object) -> Tensor:
        made: Tensor = overload(*args)
        calls.append(OpCall(overload=overload, args=args, outputs=(made,)))
        return made

    scores = called(aten.mul.Tensor, called(aten.t.default, x), 0.3)
    mixed = called(aten.mm.default, called(aten._softmax.default, scores, -1, False), y)
    return compose(calls, [x, y], [called(aten.pow.Tensor_Scalar, mixed, 2)], at_once=at_once)


def test_a_row_of_several_calls_at_once_is_that_of_one_element_after_the_other() -> None:
    known, found = scaled_softmax(at_once=False).row((1, 2)), scaled_softmax(at_once=True).row_at_once((1, 2))
    assert found is not None
    for position in (0, 1):
        true, wide = known.partials[position], found.partials[position]
        assert len(true) == 5 and true.keys() == wide.keys()
        for index, one in true.items():
            assert float(wide[index]) == pytest.approx(float(one), rel=1e-16)
            assert wide[index].bound == pytest.approx(one.bound, rel=0.5)


def test_without_being_asked_for_at_once_there_is_no_such_row() -> None:
    assert scaled_softmax(at_once=False).row_at_once((1, 2)) is None


@pytest.mark.parametrize("at_once", [False, True])
def test_work_ends_where_its_allowance_ends(at_once: bool) -> None:
    truth = scaled_softmax(at_once=at_once, length=200)
    with pytest.raises(TooMuchWork), Allowance(400).entered():
        truth.row_at_once((0, 0)) if at_once else truth.row((0, 0))
    plenty = Allowance(20_000)
    with plenty.entered():
        assert scaled_softmax(at_once=at_once, length=200).value((0, 0))
    assert 0 < plenty.left < 20_000 - 200
    assert truth.row((0, 0)).partials  # outside of it nothing is counted
