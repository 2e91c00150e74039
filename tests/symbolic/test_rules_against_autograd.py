"""Every registered rule against torch autograd in float64, at every element of its samples."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from all_samples import SAMPLES
from torch import Tensor
from torch._ops import OpOverload

from gradviz.opcall import OpCall, op_name
from gradviz.symbolic import RULES, NoRule, Reference, reference
from gradviz.symbolic.registry import MovementRule, NoGradient, PointwiseRule, TensorRule

DIFFERENTIABLE = sorted(
    (
        overload
        for overload, rule in RULES.items()
        if not isinstance(rule, NoGradient)
        and not (isinstance(rule, TensorRule) and rule.function.__module__.endswith("complex_rules"))  # test_complex_rules
    ),
    key=str,
)

# Arguments that autograd refuses to differentiate for.
aten = torch.ops.aten
CONSTANT = {
    ("native_batch_norm", "running_mean"),
    ("native_batch_norm", "running_var"),
    ("_native_batch_norm_legit", "running_mean"),
    ("_native_batch_norm_legit", "running_var"),
    ("nll_loss_forward", "weight"),
    ("soft_margin_loss", "target"),
    ("binary_cross_entropy", "weight"),
    ("binary_cross_entropy_with_logits", "weight"),
    ("binary_cross_entropy_with_logits", "pos_weight"),
    ("_scaled_dot_product_flash_attention_for_cpu", "attn_mask"),
    ("linalg_pinv", "rtol"),
    ("_batch_norm_with_update", "running_mean"),
    ("_batch_norm_with_update", "running_var"),
    ("fractional_max_pool2d", "random_samples"),
    ("rrelu_with_noise", "noise"),
    ("fractional_max_pool3d", "random_samples"),
    ("native_layer_norm_backward", "mean"),
    ("native_layer_norm_backward", "rstd"),
    *(("native_batch_norm_backward", name) for name in ("running_mean", "running_var", "save_mean", "save_invstd")),
    *(("batch_norm_backward", name) for name in ("running_mean", "running_var", "save_mean", "save_var")),
    ("binary_cross_entropy_backward", "weight"),
    ("log_sigmoid_backward", "buffer"),
}
# Outputs that torch's backward passes over where nothing but they is used.
WITHOUT_GRADIENT = {(1, "native_group_norm"), (2, "native_group_norm")}


def _products_of_groups(left: Tensor, right: Tensor, ends: Tensor | None = None) -> Tensor:
    if ends is None:
        return left @ right
    groups = [slice(start, end) for start, end in itertools.pairwise([0, *ends.tolist()])]
    if left.ndim == right.ndim == 2:
        return torch.stack([left[:, group] @ right[group] for group in groups])
    if left.ndim == 2:
        return torch.cat([left[group] @ matrix for group, matrix in zip(groups, right, strict=True)])
    return torch.cat([matrix @ right[:, group] for group, matrix in zip(groups, left, strict=True)], 1)


# Functional overloads that autograd knows only in their in-place form, or torch only in narrow dtypes.
CALLED_AS: dict[OpOverload, Callable[..., Tensor]] = {
    torch.ops.aten._grouped_mm.default: _products_of_groups,
    torch.ops.aten.copy.default: lambda base, source: base.clone().copy_(source),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A call as recorded, and autograd's Jacobian for each (output, argument position)."""

    call: OpCall
    jacobians: dict[tuple[int, int], Tensor]


def record(overload: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any], dtype: torch.dtype) -> Recorded:
    inputs: list[Tensor] = []

    def enter(value: Any, name: str) -> Any:
        if isinstance(value, Tensor):
            differentiable = value.is_floating_point() and (op_name(overload), name) not in CONSTANT
            inputs.append(value.to(dtype).detach().requires_grad_() if differentiable else value.detach())
            return inputs[-1]
        return [enter(item, name) for item in value] if isinstance(value, list) else value

    names = [argument.name for argument in overload._schema.arguments]
    entered = [enter(value, name) for value, name in zip(args, names, strict=False)]
    named = {name: enter(value, name) for name, value in kwargs.items()}
    torch.manual_seed(0)
    results = CALLED_AS.get(overload, overload)(*entered, **named)
    outputs = list(results) if isinstance(results, (list, tuple)) else [results]

    def snapshot(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.detach()
        return [snapshot(item) for item in value] if isinstance(value, list) else value

    call = OpCall(
        overload=overload,
        args=tuple(snapshot(value) for value in entered),
        kwargs={name: snapshot(value) for name, value in named.items()},
        outputs=tuple(None if output is None else output.detach() for output in outputs),
    )
    jacobians = {}
    for place, output in enumerate(outputs):
        if output is None or not output.requires_grad:
            continue
        for position, tensor in enumerate(inputs):
            if tensor.requires_grad and (place, op_name(overload)) not in WITHOUT_GRADIENT:
                jacobians[place, position] = jacobian(output, tensor)
    return Recorded(call=call, jacobians=jacobians)


def jacobian(output: Tensor, tensor: Tensor) -> Tensor:
    rows = []
    for flat in range(output.numel()):
        cotangent = torch.zeros(output.shape, dtype=output.dtype)
        cotangent.view(-1)[flat] = 1
        (row,) = torch.autograd.grad(output, tensor, cotangent, retain_graph=True, allow_unused=True)
        rows.append(torch.zeros(tensor.shape, dtype=tensor.dtype) if row is None else dense(row))
    shape = (*output.shape, *tensor.shape)
    return torch.stack(rows).reshape(shape) if rows else torch.zeros(shape)


def dense(tensor: Tensor) -> Tensor:
    return tensor if tensor.layout is torch.strided else tensor.to_dense()


def cases(overload: OpOverload, dtype: torch.dtype = torch.float64) -> Iterator[tuple[Recorded, Reference]]:
    for args, kwargs in SAMPLES.get(overload, []):
        recorded = record(overload, args, kwargs, dtype)
        yield recorded, reference(recorded.call)


def row_array(truth: Reference, output: int, index: tuple[int, ...], position: int) -> tuple[Any, Any]:
    shape = truth.inputs[position].shape
    value, bound = np.zeros(shape), np.zeros(shape)
    for place, exact in truth.row(index, output=output).partials[position].items():
        value[place], bound[place] = float(exact), exact.bound
    return value, bound


@pytest.mark.parametrize("overload", DIFFERENTIABLE, ids=str)
def test_every_rule_has_a_sample(overload: OpOverload) -> None:
    assert SAMPLES.get(overload), f"{overload} has a rule but no sample in all_samples.py"


@pytest.mark.parametrize("overload", DIFFERENTIABLE, ids=str)
def test_forward_values_agree_with_torch_within_the_rounding_bound(overload: OpOverload) -> None:
    for recorded, truth in cases(overload):
        for place, tensor in enumerate(truth.outputs):
            if tensor is None:
                continue
            got = recorded.call.outputs[place]
            assert got is not None and tuple(got.shape) == tensor.shape
            for index in tensor.indices():
                exact = truth.value(index, output=place)
                assert abs(float(exact.value - got[index].item())) <= exact.bound, (recorded.call, index)


@pytest.mark.parametrize("overload", DIFFERENTIABLE, ids=str)
def test_jacobian_rows_agree_with_autograd_within_the_rounding_bound(overload: OpOverload) -> None:
    compared = 0
    for recorded, truth in cases(overload):
        for (place, position), expected in recorded.jacobians.items():
            output = truth.outputs[place]
            if output is None:
                continue
            for index in output.indices():
                value, bound = row_array(truth, place, index, position)
                got = expected[index].numpy()
                assert (np.abs(value - got) <= bound).all(), (recorded.call, place, position, index, value, got, bound)
                compared += got.size
    assert compared or overload in NEVER_DIFFERENTIATED, f"nothing was compared for {overload}"


# Ops that autograd does not differentiate when they are called directly.
NEVER_DIFFERENTIATED: set[OpOverload] = {aten.detach.default}


# Ops whose derivative is 0 wherever it is defined: there is nothing to be wrong by a thousandth of.
FLAT: set[OpOverload] = {
    *(aten.angle.default, aten.bernoulli.default, aten.ceil.default, aten.div.Scalar_mode, aten.fill.Scalar),
    *(aten.floor.default, aten.poisson.default, aten.round.decimals, aten.round.default, aten.sgn.default),
    *(aten.sign.default, aten.trunc.default, aten.zero.default),
}


@pytest.mark.parametrize("overload", DIFFERENTIABLE, ids=str)
def test_a_partial_wrong_by_a_thousandth_is_outside_the_bound(overload: OpOverload) -> None:
    compared = 0
    for recorded, truth in itertools.islice(cases(overload), 4):
        for (place, position), expected in recorded.jacobians.items():
            output = truth.outputs[place]
            for index in [] if output is None else [one for one in output.indices() if expected[one].any()][:2]:
                value, bound = row_array(truth, place, index, position)
                wrong = expected[index].numpy() * 1.001
                telling = np.abs(value) >= 1e-10
                assert (np.abs(value - wrong) > bound)[telling].all(), (recorded.call, position)
                compared += telling.sum()
    assert bool(compared) != (overload in FLAT | NEVER_DIFFERENTIATED)


POINTWISE = [overload for overload in DIFFERENTIABLE if isinstance(RULES[overload], PointwiseRule)]
MOVEMENT = [overload for overload in DIFFERENTIABLE if isinstance(RULES[overload], MovementRule)]


@pytest.mark.parametrize("overload", [*POINTWISE, *MOVEMENT], ids=str)
def test_the_whole_vjp_agrees_with_the_jacobian(overload: OpOverload) -> None:
    generator = torch.Generator().manual_seed(3)
    compared = 0
    for recorded, truth in cases(overload):
        cotangents = [
            None if output is None else torch.rand(output.shape, generator=generator, dtype=torch.float64) + 0.5
            for output in recorded.call.outputs
        ]
        for position in {position for _, position in recorded.jacobians}:
            expected = sum(
                np.tensordot(weights.numpy(), recorded.jacobians[place, position].numpy(), axes=weights.ndim)
                for place, weights in enumerate(cotangents)
                if weights is not None and (place, position) in recorded.jacobians
            )
            try:
                found = truth.full_vjp(position, cotangents)
            except NoRule:
                assert not np.any(expected)
                continue
            assert found.value.shape == truth.inputs[position].shape
            assert (np.abs(found.value - expected) <= found.bound).all(), (recorded.call, position)
            compared += found.value.size
    assert bool(compared) != (overload in NEVER_DIFFERENTIATED)


@pytest.mark.parametrize("overload", POINTWISE, ids=str)
def test_wide_arrays_and_exact_numbers_give_the_same_partials(overload: OpOverload, monkeypatch: pytest.MonkeyPatch) -> None:
    for recorded, truth in cases(overload):
        for position in {position for _, position in recorded.jacobians}:
            exact = truth.pointwise_partial(position)
            with monkeypatch.context() as patch:
                patch.setattr("gradviz.symbolic.full.EXACT_UP_TO", -1)
                wide = truth.pointwise_partial(position)
            assert (np.abs(wide.value - exact.value) <= wide.bound / 100).all(), recorded.call
            assert not exact.kink.any(), (recorded.call, exact.kinks)
