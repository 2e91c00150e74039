"""Long sums of plain numbers in wide floats say the same as sums to 50 digits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from gradviz.opcall import OpCall
from gradviz.symbolic import bulk, reference, tensor

aten = torch.ops.aten
COLUMN = (1, 123)


def _numbers(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)), dtype=torch.float64)


CALLS: dict[str, tuple[Any, tuple[Any, ...], tuple[int, ...]]] = {
    "layer_norm": (aten.native_layer_norm.default, (_numbers(2, 600), [600], _numbers(600), None, 1e-5), (1, 123)),
    "log_softmax": (aten._log_softmax.default, (_numbers(2, 600) * 3, 1, False), (1, 123)),
    "matrix_product": (aten.mm.default, (_numbers(2, 600), _numbers(600, 3)), (1, 2)),
    "batched": (aten.matmul.default, (_numbers(2, 600), _numbers(600)), (1,)),
    "convolution": (
        aten.convolution.default,
        (_numbers(2, 600).T[None], _numbers(2, 600, 1), None, [1], [0], [1], False, [0], 1),
        (0, 1, 1),
    ),
    "deviation": (aten.std.correction, (_numbers(2, 600), [1]), (1,)),
}


def _call(overload: Any, args: tuple[Any, ...]) -> OpCall:
    outputs = overload(*args)
    return OpCall(overload=overload, args=args, outputs=outputs if isinstance(outputs, tuple) else (outputs,))


@pytest.mark.parametrize("name", CALLS)
def test_a_long_sum_in_wide_floats_is_that_to_50_digits(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    overload, args, index = CALLS[name]
    call = _call(overload, args)
    column = (0, 123, 1) if name == "convolution" else COLUMN
    found: list[Any] = []
    in_bulk: list[int] = []
    plain = bulk._plain
    monkeypatch.setattr(bulk, "_plain", lambda value, error: in_bulk.append(len(value)) or plain(value, error))
    for long in (bulk.LONG, 10**9):
        monkeypatch.setattr(bulk, "LONG", long)
        monkeypatch.setattr(tensor, "LONG", long)
        truth = reference(call, chosen={0: frozenset([column])})
        found.append((truth.value(index), truth.row(index).partial(0, column)))
    assert max(in_bulk) >= 599
    for quick, slow in zip(*found, strict=True):
        assert slow.value != 0
        assert abs(quick.value - slow.value) <= slow.bound * 2.0**-8
        assert quick.bound == pytest.approx(slow.bound, rel=0.02)


def test_the_largest_of_many_elements_is_the_first_that_is_not_a_number() -> None:
    line = _numbers(1000)
    line[700] = torch.nan
    call = _call(aten.amax.default, (line, [0]))
    assert str(reference(call, chosen={}).value(()).value) == "nan"


def test_ties_among_many_elements_are_a_kink() -> None:
    line = _numbers(1000)
    line[[3, 900]] = 9.0
    row = reference(_call(aten.amax.default, (line, [0])), chosen={0: frozenset([(3,), (900,)])}).row(())
    assert row.kinks == ("tie in amax",)
