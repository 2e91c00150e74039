"""Numbers of any size, subnormal ones and those that overflow among them: no false alarm, and slips are still found."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import gradviz
from gradviz.check import CheckReport, heads
from gradviz.check.parts import vjps_of
from gradviz.partials import LocalPartial

FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "layer_norm": lambda x, y: F.layer_norm(x, x.shape[-1:]),
    "layer_norm without eps": lambda x, y: F.layer_norm(x, x.shape[-1:], eps=0.0),
    "group_norm": lambda x, y: F.group_norm(x[None], 1),
    "rms_norm": lambda x, y: F.rms_norm(x, x.shape[-1:]),
    "normalize": lambda x, y: F.normalize(x, dim=-1),
    "norm": lambda x, y: x.norm(dim=-1),
    "softmax": lambda x, y: x.softmax(-1),
    "log_softmax": lambda x, y: x.log_softmax(-1),
    "attention": lambda x, y: F.scaled_dot_product_attention(x[None, None], y[None, None], x[None, None]),
    "matrix product": lambda x, y: x @ y.T,
    "product": lambda x, y: x * y * x,
    "quotient": lambda x, y: x / y,
    "variance": lambda x, y: x.var(-1),
    "gelu": lambda x, y: F.gelu(x),
}
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
EXPONENTS = {"float32": (-45, 38), "float16": (-8, 4), "bfloat16": (-41, 38)}


def _numbers(shape: tuple[int, int], exponent: float, dtype: torch.dtype, seed: int) -> Tensor:
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (drawn * 10.0**exponent).to(dtype).requires_grad_()


@pytest.mark.parametrize("name", FUNCTIONS)
@settings(max_examples=7, deadline=None)
@given(data=st.data())
def test_no_size_of_numbers_raises_a_false_alarm(name: str, data: Any) -> None:
    dtype = data.draw(st.sampled_from(sorted(DTYPES)))
    exponents = [data.draw(st.floats(*EXPONENTS[dtype])) for _ in range(2)]
    shape = data.draw(st.sampled_from([(2, 3), (3, 8), (9, 24)]))
    seed = data.draw(st.integers(0, 2**16))
    assert _false_alarms(name, dtype, exponents, shape, seed) == []


@pytest.mark.parametrize(
    ("name", "dtype", "exponents", "seed"),
    [
        ("attention", "float32", (-23.0, 18.0), 0),  # its scores vary over steps of 1e-18, a trillionth of 2**-20
        ("attention", "float32", (-35.66, 37.11), 54625),
        ("layer_norm without eps", "bfloat16", (-18.0, 0.0), 7314),
        ("softmax", "bfloat16", (18.41, 0.0), 8331),  # two scores of 1e18 tie: no step in float64 is small enough
        ("matrix product", "bfloat16", (0.0, 38.0), 0),  # whose factor holds infinities of both signs
        ("attention", "float32", (7.1, -3.4), 17824),  # one-hot weights: its slope is 0, and torch's is rounding
    ],
)
def test_no_size_raised_a_false_alarm_again(name: str, dtype: str, exponents: tuple[float, float], seed: int) -> None:
    assert _false_alarms(name, dtype, exponents, (9, 24), seed) == []


def _false_alarms(
    name: str, dtype: str, exponents: Sequence[float], shape: tuple[int, int], seed: int
) -> list[tuple[str, str]]:
    report = _report(name, dtype, exponents, shape, seed)
    return [(entry.name, entry.reason) for entry in report.mismatches]


def _report(name: str, dtype: str, exponents: Sequence[float], shape: tuple[int, int], seed: int) -> CheckReport:
    x, y = (_numbers(shape, exponent, DTYPES[dtype], seed + place) for place, exponent in enumerate(exponents))
    return gradviz.trace(lambda: FUNCTIONS[name](x, y).double().sum()).check()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_slip_of_a_thousandth_is_found_at_everyday_sizes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vjp, jacobian = LocalPartial.vjp, LocalPartial.jacobian
    monkeypatch.setattr(LocalPartial, "vjp", lambda partial, cotangent: vjp(partial, cotangent) * 1.001)
    monkeypatch.setattr(LocalPartial, "jacobian", lambda partial: jacobian(partial) * 1.001)
    monkeypatch.setattr(heads, "vjps_of", lambda *given: [answer * 1.001 for answer in vjps_of(*given)])
    for exponent in (-2.0, 0.0, 1.0):
        x, y = (_numbers((3, 8), exponent, torch.float32, seed) for seed in (1, 2))
        report = gradviz.trace(lambda x=x, y=y: FUNCTIONS[name](x, y).sum()).check()
        assert report.mismatches, f"numbers of size 10^{exponent}"


@pytest.mark.parametrize(
    ("name", "dtype", "exponents", "shape", "seed", "reason"),
    [
        ("attention", "float32", (19.49, -23.55), (2, 3), 8538, "overflow"),
        ("rms_norm", "float32", (37.99, 24.54), (9, 24), 15334, "overflow"),
        ("attention", "bfloat16", (-37.77, 37.3), (2, 3), 4511, "for 0"),
        ("attention", "bfloat16", (-38.34, 38.0), (9, 24), 37410, "for 0"),
        ("quotient", "bfloat16", (-12.29, -40.64), (3, 8), 42939, "holds −0"),
        ("quotient", "float16", (-5.71, -7.96), (2, 3), 42290, "holds −0"),
        ("layer_norm without eps", "float16", (-7.69, -3.17), (2, 3), 2621, "no true value"),
    ],
)
def test_what_kernels_do_at_the_ends_of_a_range_is_told(
    name: str, dtype: str, exponents: tuple[float, float], shape: tuple[int, int], seed: int, reason: str
) -> None:
    """It depends on the processor whether there is something to tell: those without AVX-512 may keep subnormal numbers."""
    report = _report(name, dtype, exponents, shape, seed)
    assert not report.mismatches
    if "for 0" not in reason:
        assert any(reason in entry.reason for entry in report.unverified)


@pytest.mark.parametrize(("zero", "verdict"), [(0.0, "mismatch"), (-0.0, "unverified")])
def test_the_sign_of_an_infinity_is_judged_where_no_zero_is_negative(
    zero: float, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalPartial, "vjp", lambda partial, cotangent: torch.full(partial.in_shape, -math.inf))
    x, y = torch.ones(9, requires_grad=True), torch.full((9,), zero)
    (edge, *_) = gradviz.trace(lambda x: (x / y).sum(), x).check().edges
    assert edge.verdict == verdict


def test_subnormal_numbers_excuse_no_slip_that_is_larger_than_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """A weight of bfloat16 that is all but 0 beside others, in a product whose backward is wrong."""
    jacobian = LocalPartial.jacobian
    monkeypatch.setattr(LocalPartial, "jacobian", lambda partial: jacobian(partial) * 1.1)
    x, w = (torch.randn(3, 8, generator=torch.Generator().manual_seed(seed)).bfloat16() for seed in (0, 1))
    w[0, 0] = 1e-39
    report = gradviz.trace(lambda x, w: (x @ w.T).sum(), x.requires_grad_(), w.requires_grad_()).check()
    assert report.mismatches


@pytest.mark.parametrize("exponent", [-3.0, -2.0, 0.0, 2.0])
def test_group_norm_in_half_precision_is_asked_as_the_engine_asks(exponent: float) -> None:
    """Zeros as cotangents of its mean and deviation make NaN of its answer: the third power of 1/deviation overflows."""
    assert _false_alarms("group_norm", "float16", (exponent, 0.0), (3, 8), 15310) == []


def test_gelu_matches_over_its_whole_range() -> None:
    """The kernels of torch take 1 + erf there to a few units of 1, which is much where little is left of it."""
    x = torch.linspace(-6, 6, 20_000, requires_grad=True)
    report = gradviz.trace(lambda: F.gelu(x).sum()).check()
    assert report.verified, [entry.reason for entry in report.mismatches]


@pytest.mark.parametrize(("shape", "seed", "scale"), [((7, 300), 0, 100), ((24, 40), 5, 300), ((7, 3000), 0, 100)])
def test_a_softmax_of_large_scores_is_right_in_half_precision(shape: tuple[int, int], seed: int, scale: float) -> None:
    """Rounding is coarse in the few rows of weights that are nearly 1, of which a sample meets none."""
    torch.manual_seed(seed)
    x = torch.randn(shape, dtype=torch.bfloat16).requires_grad_()
    report = gradviz.trace(lambda x: ((x * scale).softmax(-1) * torch.randn(shape).bfloat16()).sum(), x).check()
    assert report.mismatches == ()


def test_a_slip_of_few_rows_is_found_in_half_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "vjps_of", lambda *given: [answer * 1.5 for answer in vjps_of(*given)])
    torch.manual_seed(0)
    x = torch.randn(7, 300, dtype=torch.bfloat16).requires_grad_()
    report = gradviz.trace(lambda x: ((x * 100).softmax(-1) * torch.randn(7, 300).bfloat16()).sum(), x).check()
    assert report.mismatches


@pytest.mark.parametrize(("dtype", "slip", "verdict"), [(torch.float32, 1.0, "match"), (torch.float32, 1.001, "mismatch")])
def test_what_is_rounded_within_erfcx_left_of_zero_is_no_slip(dtype: torch.dtype, slip: float, verdict: str) -> None:
    class Scaled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return torch.special.erfcx(x)

        @staticmethod
        def backward(ctx, cotangent):
            (x,) = ctx.saved_tensors
            return cotangent * slip * (2 * x * torch.special.erfcx(x) - 2 / torch.pi**0.5)

    x = torch.linspace(-8, -6, 50, dtype=dtype).requires_grad_()
    for function in (Scaled.apply, torch.special.erfcx) if slip == 1 else (Scaled.apply,):
        report = gradviz.trace(lambda x, function=function: function(x).sum(), x).check()
        assert verdict in {edge.verdict for edge in report.edges} and report.ok == (verdict == "match"), str(report)
