"""What the check reads: rows, kinks, bounds per dtype, chosen columns, compositions."""

from __future__ import annotations

import itertools
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy as sp
import torch
from all_samples import SAMPLES
from test_rules_against_autograd import DIFFERENTIABLE, record, row_array
from torch import Tensor
from torch._ops import OpOverload

from gradviz.errors import CheckError
from gradviz.opcall import OpCall
from gradviz.symbolic import NoRule, compose, reference

aten = torch.ops.aten


def call_of(overload: OpOverload, *args: Any, **kwargs: Any) -> OpCall:
    results = overload(*args, **kwargs)
    outputs = tuple(results) if isinstance(results, (tuple, list)) else (results,)
    return OpCall(overload=overload, args=args, kwargs=kwargs, outputs=outputs)


@pytest.mark.parametrize(
    ("call", "index", "kink"),
    [
        (call_of(aten.relu.default, torch.tensor([0.0, 1.0])), (0,), "relu at 0"),
        (call_of(aten.abs.default, torch.tensor(0.0)), (), "|x| at 0"),
        (call_of(aten.sqrt.default, torch.tensor(0.0)), (), "square root at 0"),
        (call_of(aten.hardtanh.default, torch.tensor(0.1), -1.0, 0.1), (), "hardtanh at an edge"),
        (call_of(aten.maximum.default, torch.tensor(2.0), torch.tensor(2.0)), (), "tie in maximum"),
        (call_of(aten.max.dim, torch.tensor([[1.0, 3.0, 3.0]]), 1), (0,), "tie in max"),
        (call_of(aten.amin.default, torch.tensor([1.0, 1.0])), (), "tie in amin"),
        (call_of(aten.linalg_vector_norm.default, torch.zeros(2)), (), "square root at 0"),
        (call_of(aten.std.correction, torch.ones(3)), (), "square root at 0"),
        (call_of(aten.fmod.Scalar, torch.tensor(4.0), 2.0), (), "jump of fmod"),
    ],
    ids=lambda value: value.op if isinstance(value, OpCall) else None,
)
def test_kinks_are_named(call: OpCall, index: tuple[int, ...], kink: str) -> None:
    truth = reference(call)
    assert truth.row(index).kinks == (kink,)
    if truth.method == "pointwise":
        assert truth.pointwise_partial(0).kinks[kink].reshape(-1)[0]


def test_smooth_points_have_no_kinks() -> None:
    truth = reference(call_of(aten.relu.default, torch.tensor([0.0, 1.0])))
    assert truth.row((1,)).kinks == ()
    assert truth.pointwise_partial(0).kink.tolist() == [True, False]


# Kernels that round in their own way: torch's float32 lgamma, digamma and erfinv are good to 1e-6 only.
COARSE_KERNELS = {aten.lgamma.default, aten.digamma.default, aten.erfinv.default}
NAN_IN_HALF = {aten.linalg_matrix_exp.default}  # torch's derivative of it in 16 bits
NARROW = [overload for overload in DIFFERENTIABLE if overload not in COARSE_KERNELS | NAN_IN_HALF]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_narrow_dtypes_stay_within_their_rounding_bounds(dtype: torch.dtype) -> None:
    failures, compared = [], 0
    for overload in NARROW:
        for args, kwargs in SAMPLES[overload][:2]:
            try:
                recorded = record(overload, args, kwargs, dtype)
            except RuntimeError:  # kernels that do not exist for this dtype
                continue
            truth = reference(recorded.call)
            for (place, position), expected in recorded.jacobians.items():
                output = truth.outputs[place]
                for index in [] if output is None else itertools.islice(output.indices(), 3):
                    row = truth.row(index, output=place)
                    value, bound = row_array(truth, place, index, position)
                    got = expected[index].double().numpy()
                    compared += 1
                    if not row.kinks and not (np.abs(value - got) <= bound).all():
                        failures.append((str(overload), position, index, value, got, bound))
    assert not failures, failures
    assert compared > 200


def test_only_chosen_elements_are_differentiated_for() -> None:
    x = torch.linspace(0, 1, 50)
    truth = reference(call_of(aten._softmax.default, x, 0, False), chosen={0: [(3,), (7,)]})
    row = truth.row((3,))
    assert set(row.partials[0]) == {(3,), (7,)}
    s = torch.softmax(x.double(), 0)
    assert float(row.partial(0, (3,))) == pytest.approx(float(s[3] * (1 - s[3])), rel=1e-12)
    assert float(row.partial(0, (7,))) == pytest.approx(float(-s[3] * s[7]), rel=1e-12)


def test_asking_for_one_element_touches_only_what_it_depends_on() -> None:
    truth = reference(call_of(aten.mm.default, torch.ones(5, 3), torch.ones(3, 7)))
    truth.value((2, 4))
    assert set(truth.inputs[0].touched) == {(2, 0), (2, 1), (2, 2)}
    assert set(truth.inputs[1].touched) == {(0, 4), (1, 4), (2, 4)}


def test_values_are_true_to_fifty_digits() -> None:
    truth = reference(call_of(aten.exp.default, torch.tensor(1.0, dtype=torch.float64)))
    digits = mpmath.nstr(truth.value(()).value, 50)
    assert digits == "2.7182818284590452353602874713526624977572470937"  # ...0937000: rounded at the 50th


def test_infinities_and_nan_pass_through() -> None:
    x = torch.tensor([float("-inf"), 0.0, 1.0], dtype=torch.float64)
    truth = reference(call_of(aten._softmax.default, x, 0, False))
    assert float(truth.value((0,))) == 0.0
    assert float(truth.row((1,)).partial(0, (0,))) == 0.0
    broken = reference(call_of(aten.log.default, torch.tensor([-1.0, 0.0])))
    assert np.isnan(float(broken.value((0,)))) and float(broken.value((1,))) == -np.inf


def test_cancellation_widens_the_bound_and_not_the_value() -> None:
    a = torch.tensor(1.0, dtype=torch.float32)
    truth = reference(call_of(aten.expm1.default, a * 1e-4))
    rough = compose(
        [first := call_of(aten.exp.default, x := a * 1e-4), second := call_of(aten.sub.Tensor, first.outputs[0], 1.0)],
        [x],
        [second.outputs[0]],
    )
    assert float(rough.value(())) == pytest.approx(float(truth.value(())), rel=1e-15)
    assert rough.value(()).bound > 1000 * truth.value(()).bound


def test_a_row_and_a_vjp_agree() -> None:
    x = torch.tensor([0.3, -0.2, 0.5])
    truth = reference(call_of(aten._log_softmax.default, x, 0, False))
    mixed = truth.vjp({(0, (0,)): 2.0, (0, (2,)): -1.0})
    for place in range(3):
        parts = [float(truth.row((k,)).partial(0, (place,))) for k in range(3)]
        assert float(mixed.partial(0, (place,))) == pytest.approx(2 * parts[0] - parts[2], rel=1e-14)


def test_an_output_without_derivative_is_refused() -> None:
    truth = reference(call_of(aten.max.dim, torch.tensor([1.0, 2.0]), 0))
    with pytest.raises(CheckError, match="output 1 is not differentiable; differentiable are"):
        truth.row((), output=1)


def chain() -> tuple[list[OpCall], Tensor, Tensor, Tensor]:
    x, y = torch.tensor([0.5, 1.5], dtype=torch.float64), torch.tensor([2.0, -1.0], dtype=torch.float64)
    calls = [call_of(aten.mul.Tensor, x, y)]
    calls.append(call_of(aten.sin.default, calls[-1].outputs[0]))
    calls.append(call_of(aten.add.Tensor, calls[-1].outputs[0], x))
    calls.append(call_of(aten.sum.default, calls[-1].outputs[0]))
    result = calls[-1].outputs[0]
    assert result is not None
    return calls, x, y, result


def test_a_composition_has_the_derivative_of_the_whole_and_its_sympy_expression() -> None:
    calls, x, y, result = chain()
    truth = compose(calls, [x, y], [result], names=["x", "y"])
    row = truth.row(())
    assert float(row.partial(0, (0,))) == pytest.approx(2.0 * np.cos(1.0) + 1)
    assert float(row.partial(1, (1,))) == pytest.approx(1.5 * np.cos(-1.5))
    output = truth.outputs[0]
    assert output is not None
    x0, x1, y0, y1 = sp.symbols("x_0 x_1 y_0 y_1", real=True)
    assert sp.expand(output.expression(()) - (sp.sin(x0 * y0) + x0 + sp.sin(x1 * y1) + x1)) == 0


def test_sympys_own_derivative_of_the_expression_equals_the_sweep() -> None:
    calls, x, y, result = chain()
    truth = compose(calls, [x, y], [result], names=["x", "y"])
    output = truth.outputs[0]
    assert output is not None
    x0, x1, y0, y1 = sp.symbols("x_0 x_1 y_0 y_1", real=True)
    derivative = sp.diff(output.expression(()), y0).subs({x0: 0.5, x1: 1.5, y0: 2, y1: -1})
    assert float(derivative) == pytest.approx(float(truth.row(()).partial(1, (0,))), rel=1e-14)


def test_constants_cut_a_composition() -> None:
    calls, x, y, result = chain()
    truth = compose(calls, [x, y], [result], constants=[calls[0].outputs[0]])
    assert float(truth.row(()).partial(1, (0,))) == 0.0
    assert float(truth.row(()).partial(0, (0,))) == 1.0


def test_a_long_chain_composes_without_recursion() -> None:
    x = torch.tensor(0.5, dtype=torch.float64)
    calls, value = [], x
    for _ in range(3000):
        calls.append(call_of(aten.mul.Tensor, value, 1.0))
        value = calls[-1].outputs[0]
    assert float(compose(calls, [x], [value]).row(()).partial(0, ())) == 1.0


def test_a_composition_names_the_call_without_rule_and_refuses_changed_views() -> None:
    x = torch.tensor([1.0, 2.0])
    strange = call_of(aten.special_bessel_j0.default, x)
    with pytest.raises(NoRule, match=r"special_bessel_j0\.default.* needed for a composition"):
        compose([strange], [x], [strange.outputs[0]])
    other = call_of(aten.exp.default, x.view(2))
    with pytest.raises(NoRule, match="shares memory"):
        compose([call_of(aten.sin.default, x), other], [x], [other.outputs[0]])


@pytest.mark.parametrize(("size", "overflows"), [(3e38, True), (3e37, False)])
def test_a_sum_may_overflow_on_the_way_though_all_of_it_does_not(size: float, overflows: bool) -> None:
    """That of the cotangents of a factor that is broadcast: in which order they are added is not known."""
    large = torch.tensor([size, size, -size, -size])
    truth = reference(call_of(aten.mul.Tensor, large, torch.tensor(1e-30)))
    assert float(truth.full_vjp(1, [torch.ones(4)]).value) == 0.0
    assert truth.overflowed == overflows
