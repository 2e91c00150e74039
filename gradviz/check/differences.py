"""Derivatives by central differences of the op itself in float64: beside sampled rows, and where there is no symbolic rule.

Of complex tensors the real and the imaginary parts are moved, each on its own.

Two step widths and Richardson's extrapolation give the derivative and an estimate of its error; where the estimate is not
tight nothing is claimed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch._ops import OpOverload

from gradviz.check.arrays import appended, as_array, widened
from gradviz.check.heads import EdgeUnderCheck
from gradviz.check.judge import CANCELLED
from gradviz.check.parts import joined, parts_of
from gradviz.opcall import OpCall, op_name
from gradviz.rerun import run_call, why_not_again
from gradviz.standin import is_kept
from gradviz.symbolic import NoRule, require_time, unit_roundoff
from gradviz.symbolic.lowering import run_own_statement
from gradviz.symbolic.rounding import smallest

aten = torch.ops.aten

if TYPE_CHECKING:
    from gradviz.check.local import Plan

STEPS = (2.0**-10, 2.0**-20)
TIGHT = 1e-5
_NOTHING = 1e-10
COLUMNS_UP_TO = 64
DIRECTIONS = 4
_ROUNDINGS = 1024  # units of u, of the largest element: what an op without a rule costs is not known
_ROUNDINGS_AT_MOST = 0.01
_FAR_BELOW = 2.0**-20
_TINY = 2.0**-20
_USUAL_SHARE = 2.0**-4
_FINE = 2.0**-12
_GROWN = 64.0
"""Quotients that grow so far as steps shrink 4096 times are those of a step function: to what, none of them tells."""
_ROUGH = 1e-3
_ROUNDING = 2.0**-50
_STRAIGHT = 2.0**-44
"""Of the largest value: a function that bends less than this is a straight line, to rounding."""
_EIGHT_DIGITS = "torch computes it to some eight digits only: differences of it have fewer"
_STRAIGHT_THROUGH = "torch differentiates a fake quantization as if it did not round, on purpose (straight through)"
_CONVENTIONS = {
    "_fake_quantize_per_tensor_affine_cachemask_tensor_qparams": _STRAIGHT_THROUGH,
    "_fused_moving_avg_obs_fq_helper": _STRAIGHT_THROUGH,
    "as_strided": "as_strided reads memory, which in float64 would lie elsewhere",
    "_ctc_loss": "torch's derivative of ctc_loss holds for normalized log-probabilities only",
    "cudnn_ctc_loss": "torch's derivative of ctc_loss holds for normalized log-probabilities only",
    "fake_quantize_per_channel_affine_cachemask": _STRAIGHT_THROUGH,
    "fake_quantize_per_tensor_affine_cachemask": _STRAIGHT_THROUGH,
    "max_unpool2d": "where indices repeat, max_unpool writes only one of the values, and does not say which",
    "max_unpool3d": "where indices repeat, max_unpool writes only one of the values, and does not say which",
    "special_bessel_y0": _EIGHT_DIGITS,
    "special_bessel_y1": _EIGHT_DIGITS,
}
_MOVING_ALONG = "torch takes mean and spread for functions of the input, and in differences they would not move along"
_NORMS_BACKWARD = {
    "native_layer_norm_backward",
    "native_batch_norm_backward",
    "batch_norm_backward",
    "cudnn_batch_norm_backward",
}
_OF_EITHER_SIGN = {"_linalg_svd", "_linalg_eigh"}
_OTHER_SIGNS = "in float64, where differences are taken, other signs of the same vectors come out"
_OTHER = 0.1
"""Of the largest element: so far apart are vectors of either sign, at least, in one place."""
_SPARSE = "differences of sparse and nested tensors are not taken"
_ALWAYS_SPARSE = re.compile("sparse|nested|^values|^to_mkldnn")
_PRODUCTS = {
    aten.mm.default,
    aten.bmm.default,
    aten.mv.default,
    aten.dot.default,
    aten.addmm.default,
    aten.addmv.default,
    aten.baddbmm.default,
    aten.linear.default,
    aten.convolution.default,
}
"""Sums of products of two arguments each: of degree two, whichever of their arguments move."""
_OF_SYMMETRIC = {"cholesky", "linalg_cholesky_ex", "_linalg_eigh", "linalg_ldl_factor_ex", "linalg_matrix_sqrth"}


def check_by_differences(edge: EdgeUnderCheck, call: OpCall, place: int, plan: Plan) -> None:
    """Compares autograd's Jacobian with differences: every column of a small one, else some random directions.

    Raises:
        NoRule: the op cannot be run again in float64, or differences are not accurate at these inputs.
    """
    partial, comparison = edge.partials[place], edge.comparison
    count = math.prod(partial.out_shape)
    tensors = [*(argument.tensor for argument in call.tensor_arguments()), *call.outputs]
    if any(tensor is not None and tensor.layout is not torch.strided for tensor in tensors):
        raise NoRule(_SPARSE)
    refusal = why_no_differences(call.overload)
    if refusal:
        raise NoRule(refusal)
    if edge.in_numel > COLUMNS_UP_TO or count * edge.in_numel > 4096 or is_of_symmetric(call):
        _check_directions(edge, call, place, plan)
        return
    comparison.total += count * edge.in_numel
    jacobian = as_array(partial.jacobian())
    size = float(np.abs(jacobian).max(initial=0.0, where=np.isfinite(jacobian)))
    for column in np.ndindex(*partial.in_shape):
        tangent = torch.zeros(partial.in_shape, dtype=torch.float64)
        tangent[column] = 1
        slope, error = slopes(call, {edge.position: tangent}, place)
        _require_tight(slope, error, size)
        got = jacobian[(..., *column)]
        bound = 4 * error + (rounding_of(comparison.dtype) + 1e-9) * size + _ROUNDINGS * smallest(comparison.dtype)
        comparison.method = "numeric"
        comparison.elements(got, slope.astype(np.longdouble), bound, loose=loose_of(call, place), place=appended(column))
        comparison.checked += count
    comparison.method = "numeric"
    comparison.step("by central differences in float64")


def why_no_differences(overload: OpOverload) -> str:
    """Why differences of no call of the overload are taken; "" where they are, if they turn out to be accurate."""
    op = op_name(overload)
    if op in _CONVENTIONS:
        return _CONVENTIONS[op]
    if op in _NORMS_BACKWARD:
        return _MOVING_ALONG
    return _SPARSE if _ALWAYS_SPARSE.search(op) else why_not_again(overload)


def _check_directions(edge: EdgeUnderCheck, call: OpCall, place: int, plan: Plan) -> None:
    partial, comparison = edge.partials[place], edge.comparison
    comparison.total += math.prod(partial.out_shape) * edge.in_numel
    still = immovable(call, edge.position)
    for _ in range(DIRECTIONS):
        tangent = plan.cotangent(partial.in_shape, torch.float64)
        if is_of_symmetric(call):
            start = list(call.tensor_arguments())[edge.position].tensor
            if not torch.equal(start, start.mH):
                raise NoRule(f"{call.op} is a function of symmetric matrices, and its argument is not symmetric")
            matrix = joined(tangent, start.dtype)
            tangent = parts_of(matrix + matrix.mH)
        tangent = tangent if still is None else tangent.masked_fill(still, 0)
        slope, error = slopes(call, {edge.position: tangent}, place)
        _require_tight(slope, error, 0.0)
        weights = plan.cotangent(partial.out_shape, comparison.dtype)
        answer = partial.vjp(weights)
        got, size = _inner(answer, tangent)
        true = float((as_array(weights) * slope).sum())
        size += float(np.abs(slope).sum())
        bound = float(error.sum()) * 4 + size * max(1e-8, rounding_of(comparison.dtype))
        bound += _ROUNDINGS * smallest(comparison.dtype) * math.sqrt(edge.in_numel)
        comparison.method = "numeric"
        loose = loose_of(call, place) * math.sqrt(slope.size)
        comparison.element(None, got, true, bound, loose=loose, of="slope")
        usual = size_of_usual(answer) / 2
        comparison.notice((bound + abs(got - true)) / usual if usual and still is None else math.inf)
    comparison.step(f"by central differences in float64 along {DIRECTIONS} random directions{but_for(still)}")


def rounding_of(dtype: torch.dtype) -> float:
    """How far, relative to the largest element, torch may be from the true derivative."""
    return min(_ROUNDINGS * unit_roundoff(dtype), _ROUNDINGS_AT_MOST)


def loose_of(call: OpCall, place: int) -> float:
    """How far a right formula may be off where it cancels: roundings of numbers of the size of the output."""
    value = call.outputs[place]
    if value is None or not is_kept(value) or not value.numel():
        return 0.0
    numbers = np.abs(as_array(value))
    return CANCELLED * unit_roundoff(value.dtype) * float(numbers.max(initial=0.0, where=np.isfinite(numbers)))


def is_of_symmetric(call: OpCall) -> bool:
    """Whether the function is one of symmetric matrices only: torch's derivative holds for symmetric changes."""
    if call.op == "linalg_pinv":
        return any(value is True for value in (*call.args, *call.kwargs.values()))
    return call.op in _OF_SYMMETRIC


def slopes(
    call: OpCall,
    tangents: Mapping[int, Tensor],
    place: int,
    *,
    lengths: Mapping[int, float] | None = None,
    enough: float = 0.0,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The derivative of one output along tangents of some arguments, and an estimate of its error, elementwise.

    Args:
        call: the call.
        tangents: position -> the direction in which that argument moves.
        place: of the output.
        lengths: position -> what its tangent is multiplied by; None for 1.
        enough: an error that, relative to the largest derivative, need not be made smaller.

    Raises:
        NoRule: differences of the call are not its derivative, or it cannot be run again.
    """
    if call.op in _NORMS_BACKWARD:
        raise NoRule(_MOVING_ALONG)
    tensors = [widened(argument.tensor).cpu() for argument in call.tensor_arguments()]
    starts = {position: (parts_of(tensors[position]), tensors[position].dtype) for position in tangents}
    times = dict.fromkeys(tangents, 1.0) if lengths is None else lengths
    scale = min(scale_of(start) / (_largest(tangents[at]) * times[at] or 1.0) for at, (start, _) in starts.items())

    def at(distance: float) -> Tensor:
        require_time()
        for position, (start, dtype) in starts.items():
            moved = torch.add(start, tangents[position], alpha=distance * times[position])
            tensors[position] = joined(moved, dtype)
        result = (run_own_statement(call, tensors) or run_call(call, tensors, widen=True))[place]
        if result is None:
            raise NoRule(f"{call.overload} gives no output {place}")
        return parts_of(result)

    found = []
    with torch.no_grad():
        if call.op in _OF_EITHER_SIGN and _is_other(call.outputs[place], at(0.0)):
            raise NoRule(_OTHER_SIGNS)
        if call.overload in _PRODUCTS:
            slope, error = (as_array(tensor) for tensor in _of_product(at, scale))
            return slope, error
        share = min(_share_of_usual(start) * _share_of_tiny(start) for start, _ in starts.values())
        for step in (*(step * share for step in STEPS if share < 1), *STEPS):
            slope, error = (as_array(tensor) for tensor in _extrapolated(at, step * scale, enough))
            worst = float(error.max(initial=0.0))
            found.append((worst if math.isfinite(worst) else math.inf, slope, error))
            if worst <= TIGHT * float(np.abs(slope).max(initial=0.0)):
                break
    _, slope, error = min(found, key=lambda one: one[0])
    return slope, error


def _is_other(recorded: Tensor | None, again: Tensor) -> bool:
    """Whether a result that was computed again, as parts, is not the recorded one but for rounding."""
    if recorded is None or not is_kept(recorded):
        return False
    numbers = parts_of(recorded.detach().cpu()).to(again.dtype)
    return _largest(again - numbers) > _OTHER * _largest(numbers)


def _of_product(at: Callable[[float], Tensor], step: float) -> tuple[Tensor, Tensor]:
    """The central difference of a function of degree two, which is its derivative at any step width; and the rounding."""
    right, left = at(step), at(-step)
    return (right - left).div_(2 * step), right.abs_().add_(left.abs_()).mul_(_ROUNDING / (2 * step))


def _extrapolated(at: Callable[[float], Tensor], step: float, enough: float) -> tuple[Tensor, Tensor]:
    """Richardson's extrapolation of central differences, and an estimate of its error.

    The estimate also sees what looks smooth at one scale and is not at a smaller one: a staircase, and a kink, where the
    differences to both sides do not come together.
    """
    middle = at(0.0)

    def differences(width: float) -> tuple[Tensor, Tensor, Tensor]:
        right, left = at(width), at(-width)
        slope = (right - left).div_(2 * width)
        return slope, (right + left).sub_(middle, alpha=2).div_(2 * width).abs_(), right

    first, bend, beside = differences(step)
    fine, fine_bend, _ = differences(step * _FINE)
    straight, apart = _STRAIGHT * _largest(middle) / step, (fine - first).abs_()
    rounding = torch.maximum(middle.abs(), beside.abs_()).mul_(_ROUNDING)
    if _largest(bend) <= straight and _FINE * _largest(apart) <= straight:
        return first, apart.add_(bend).add_(rounding, alpha=8 / step)  # linear, as most calls of a model are
    kink = fine_bend.sub_(bend, alpha=2 * _FINE).sub_(rounding, alpha=1 / (step * _FINE)).clamp_(min=0)
    grown = fine.abs() > first.abs().mul_(_GROWN).add_(rounding, alpha=8 / (step * _FINE))
    if not grown.any() and _largest(apart.add_(kink)) <= enough * _largest(first):
        return first, apart.add_(rounding, alpha=8 / step)
    quotients = [first, *(differences(step / 2**halving)[0] for halving in (1, 2, 3))]
    twice = [(4 * narrow - wide) / 3 for wide, narrow in pairwise(quotients)]
    third = [(16 * narrow - wide) / 15 for wide, narrow in pairwise(twice)]
    rough = (third[1] - fine).abs() - rounding / (step * _FINE) - _ROUGH * fine.abs()
    error = (third[1] - third[0]).abs() + 8 * rounding / step + rough.clamp(min=0) + kink
    return third[1], error.masked_fill_(grown, math.inf)


def _inner(one: Tensor, other: Tensor) -> tuple[float, float]:
    """The inner product, and the largest that it could be."""
    vectors = [tensor.detach().to("cpu", torch.float64).reshape(-1) for tensor in (one, other)]
    return float(vectors[0] @ vectors[1]), float(vectors[0].norm() * vectors[1].norm())


def size_of_usual(tensor: Tensor) -> float:
    """The root mean square of the elements that are not zero."""
    return float(tensor.detach().to(torch.float64).norm()) / math.sqrt(max(int(tensor.count_nonzero()), 1))


def scale_of(tensor: Tensor) -> float:
    """The size of the largest element, which differences are taken in units of; 1 for nothing but zeros, as of a bias."""
    size = _largest_finite(tensor)
    return max(size, _TINY) if size and math.isfinite(size) else 1.0


def _share_of_tiny(tensor: Tensor) -> float:
    """The size of the largest element beside what differences of it are taken in units of; mostly 1."""
    size = _largest_finite(tensor)
    return size / _TINY if 0 < size < _TINY else 1.0


def _share_of_usual(tensor: Tensor) -> float:
    """The largest of the usual elements beside the largest of all, as the −3e38 of a mask are none of them; mostly 1."""
    largest = _largest_finite(tensor)
    if not largest or not math.isfinite(largest):
        return 1.0
    sizes = tensor.detach().abs()
    usual = sizes[(sizes > 0) & (sizes < largest * _FAR_BELOW)]
    return float(usual.max()) / largest if usual.numel() >= _USUAL_SHARE * sizes.numel() else 1.0


def immovable(call: OpCall, position: int) -> Tensor | None:
    """The elements of an argument that steps in units of the usual ones do not move, as −3e38 + 1e-3 is −3e38; None: none.

    Differences say nothing of them.
    """
    start = parts_of(list(call.tensor_arguments())[position].tensor.detach().cpu())
    return None if _share_of_usual(start) == 1 else start.abs() >= _largest_finite(start) * _FAR_BELOW


def but_for(still: Tensor | None) -> str:
    """What is told of a probe that left these elements out."""
    return "" if still is None else f", but for {int(still.count_nonzero()):,} elements too large to be moved"


def _largest(tensor: Tensor) -> float:
    """The size of the largest element; NaN where there is one."""
    if not tensor.numel():
        return 0.0
    low, high = torch.aminmax(tensor.detach())
    return max(abs(float(low)), abs(float(high)))


def _largest_finite(tensor: Tensor) -> float:
    """The same beside infinities, as those of a mask; NaN where there is one."""
    size = _largest(tensor)
    return _largest(tensor[tensor.isfinite()]) if math.isinf(size) else size


def _require_tight(slope: NDArray[np.float64], error: NDArray[np.float64], size: float) -> None:
    """Refuses where the estimated error is not small beside the largest derivative, or nothing at all."""
    largest = max(float(np.abs(slope).max(initial=0.0)), size)
    worst = float(error.max(initial=0.0))
    if not math.isfinite(largest) or not worst <= TIGHT * largest + _NOTHING:
        raise NoRule("differences are not accurate at these inputs")
