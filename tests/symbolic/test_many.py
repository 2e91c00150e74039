"""Sums of rows had at once, in wide floats, are those had one by one, to 50 digits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from all_samples import SAMPLES
from test_rules_against_autograd import CALLED_AS
from torch._ops import OpOverload

from gradviz.opcall import OpCall
from gradviz.symbolic import NoRule, Reference, reference
from gradviz.symbolic.arithmetic import to_wide
from gradviz.symbolic.registry import RULES, TensorRule

aten = torch.ops.aten
WEIGHTS = (0.75, -0.5, 1.0)
AS_WIDE = 2.0**-8
_SAMPLES = 3


def _references(overload: OpOverload) -> list[Reference]:
    found = []
    for args, kwargs in SAMPLES.get(overload, [])[:_SAMPLES]:
        outputs = CALLED_AS.get(overload, overload)(*args, **kwargs)
        call = OpCall(
            overload=overload, args=args, kwargs=kwargs, outputs=outputs if isinstance(outputs, tuple) else (outputs,)
        )
        try:
            found.append(reference(call))
        except NoRule:  # at some samples a rule refuses, and says so: nothing to compare
            continue
    return found


def _compare(truth: Reference, place: int) -> bool:
    """Compares a weighted sum of rows and the values of one output; False where they are not had at once."""
    shape = truth.outputs[place].shape
    numel = math.prod(shape)
    if not numel:
        return False
    flats = sorted({0, numel // 2, numel - 1})
    indices = [tuple(int(item) for item in np.unravel_index(flat, shape)) if shape else () for flat in flats]
    rows = truth.vjp_at_once(flats, WEIGHTS[: len(flats)], output=place)
    if rows is None or not all(np.isfinite(found.value).all() for found in rows.values()):
        return False  # what is not finite is looked at one by one
    values = truth.values_at_once(flats, output=place)
    assert values is not None
    pairs: list[tuple[Any, Any, Any]] = [
        (wide, bound, truth.value(index, output=place)) for index, wide, bound in zip(indices, *values[1:], strict=True)
    ]
    one_by_one = truth.vjp({(place, index): weight for index, weight in zip(indices, WEIGHTS, strict=False)})
    for position, partials in one_by_one.partials.items():
        found = rows.get(position)
        in_shape = truth.inputs[position].shape
        known = {} if found is None else dict(zip(found.flats.tolist(), zip(*found[1:], strict=True), strict=True))
        for index, exact in partials.items():
            wide, bound = known.pop(int(np.ravel_multi_index(index, in_shape)) if index else 0, (0.0, 0.0))
            pairs.append((wide, bound, exact))
        assert all(wide == 0 for wide, _ in known.values())
    for wide, bound, exact in pairs:
        if not (math.isfinite(exact.value) and math.isfinite(exact.bound)):
            continue
        assert abs(wide - to_wide(exact.value)) <= AS_WIDE * exact.bound
        if bound or exact.value:
            assert exact.bound / 8 <= bound <= 8 * exact.bound
    return True


TENSOR_RULES = [
    overload
    for overload, rule in RULES.items()
    if isinstance(rule, TensorRule) and not rule.function.__module__.endswith("complex_rules")
]
OF_LARGE_MODELS = {
    aten.mm.default,
    aten.bmm.default,
    aten.addmm.default,
    aten.baddbmm.default,
    aten.convolution.default,
    aten.native_layer_norm.default,
    aten.native_group_norm.default,
    aten.native_batch_norm.default,
    aten._fused_rms_norm.default,
    aten._softmax.default,
    aten._safe_softmax.default,
    aten._log_softmax.default,
    aten._scaled_dot_product_flash_attention_for_cpu.default,
    aten.sum.dim_IntList,
    aten.mean.dim,
}


@pytest.mark.parametrize("overload", TENSOR_RULES, ids=str)
def test_a_sum_of_rows_at_once_is_that_of_rows_one_by_one(overload: OpOverload) -> None:
    compared = [
        _compare(truth, place)
        for truth in _references(overload)
        for place, output in enumerate(truth.outputs)
        if output is not None
    ]
    assert any(compared) or overload not in OF_LARGE_MODELS


def test_what_lies_on_a_kink_is_not_had_at_once() -> None:
    x = torch.tensor([[1.0, 3.0, 3.0]], dtype=torch.float64)
    call = OpCall(overload=aten.amax.default, args=(x, [1]), outputs=(x.amax(1),))
    assert reference(call).vjp_at_once([0], [1.0]) is None
    call = OpCall(overload=aten.amin.default, args=(x, [1]), outputs=(x.amin(1),))
    assert reference(call).vjp_at_once([0], [1.0]) is not None
