"""What is said of a number of torch's beside the true one."""

from __future__ import annotations

import math

import torch


def ratio_text(got: float, true: float) -> str:
    """How many times the true number it is; "" where that is no number.

    >>> ratio_text(1.001, 1.0), ratio_text(-0.0, 2.0), ratio_text(1.0, math.inf)
    (' (ratio 1.001)', ' (ratio 0)', '')
    """
    if not true or math.isinf(true) or not math.isfinite(got / true):
        return ""
    return f" (ratio {got / true + 0.0:.6g})"


def cancellation_text(got: float, true: float, dtype: torch.dtype) -> str:
    """How many digits cancellation left."""
    digits = math.log10(1 / torch.finfo(dtype).eps)
    error = abs(got - true) / max(abs(got), abs(true))
    kept = max(0.0, -math.log10(error)) if error else digits
    return (
        f"cancellation in {dtype_name(dtype)}: {kept:.0f} of {digits:.0f} digits are left; torch gives {got:.4g}, "
        f"the true value is {true:.4g}"
    )


def range_end_text(got: float, true: float, dtype: torch.dtype, *, overflowed: bool) -> str:
    """That numbers on the way are too large for their dtype, or too small to keep all of their digits."""
    kind = torch.finfo(dtype)
    small = f"underflow in {dtype_name(dtype)}: numbers on the way lie below {kind.tiny:.2g}, where digits are lost"
    large = f"overflow in {dtype_name(dtype)}: numbers on the way lie beyond {kind.max:.2g}"
    return f"{large if overflowed else small}; torch gives {got:.4g}, the true value is {true:.4g}"


def short_text(apart: float) -> str:
    """That the formula of a backward() is off by so much of the true number, and is taken for right all the same."""
    is_off = f"backward()'s own formula is off by {apart:.1g} of the true number"
    return f"{is_off}, as by a constant that is written with few digits"


def hidden_slip_text(least: float, dtype: torch.dtype) -> str:
    """How large a slip must be for a check to see it, where rounding hides smaller ones.

    >>> hidden_slip_text(0.0234, torch.bfloat16)
    'rounding in bfloat16 hides a slip of less than 2.3 % in these numbers'
    """
    return f"rounding in {dtype_name(dtype)} hides a slip of less than {100 * least:.2g} % in these numbers"


def dtype_name(dtype: torch.dtype) -> str:
    """`float32` for `torch.float32`."""
    return str(dtype).removeprefix("torch.")
