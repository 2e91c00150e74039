"""Quantizers as papers write them, in one custom Function, give no finding; backwards that are wrong for them do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import gradviz

Forward = Callable[..., Tensor]
Backward = Callable[..., Any]
PER_FILTER = [1, 2, 3]


def kinds(forward: Forward, backward: Backward, *shapes: tuple[int, ...], values: tuple[float, ...] = ()) -> list[str]:
    """Severities and kinds of what is told of a Function of drawn tensors and numbers; `backward` gets its arguments too."""

    class Custom(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *arguments: Tensor) -> Tensor:
            ctx.save_for_backward(*arguments)
            return forward(*arguments)

        @staticmethod
        def backward(ctx: Any, cotangent: Tensor) -> Any:
            return backward(cotangent, *ctx.saved_tensors)

    torch.manual_seed(0)
    leaves = [torch.randn(shape, requires_grad=True) for shape in shapes]
    leaves += [torch.tensor(value, requires_grad=True) for value in values]

    def loss() -> Tensor:
        out = Custom.apply(*leaves)
        return (out * torch.linspace(-1, 1, out.numel()).view(out.shape)).sum() + out.square().mean()

    return [f"{finding.severity} {finding.kind}" for finding in gradviz.trace(loss).diagnose()]


def of_tensor(w: Tensor) -> Tensor:
    return w.sign() * w.abs().mean()


def of_filters(w: Tensor) -> Tensor:
    return w.sign() * w.abs().mean(PER_FILTER, keepdim=True)


def by_norms(w: Tensor) -> Tensor:
    return w.sign() * w.norm(1, 3, keepdim=True).sum(2, keepdim=True).sum(1, keepdim=True) / w[0].nelement()


def by_comparison(w: Tensor) -> Tensor:
    return torch.where(w >= 0, w.abs().mean(), -w.abs().mean())


def by_writing(w: Tensor) -> Tensor:
    signs, scale = w.clone(), w.abs().mean()
    signs[w >= 0] = 1
    signs[w < 0] = -1
    return signs * scale


def ternary(w: Tensor) -> Tensor:
    mask = (w.abs() > 0.7 * w.abs().mean(PER_FILTER, keepdim=True)).float()
    scale = (w.abs() * mask).sum(PER_FILTER, keepdim=True) / mask.sum(PER_FILTER, keepdim=True)
    return scale * w.sign() * mask


def dynamic(x: Tensor) -> Tensor:
    low, high = x.amin(1, keepdim=True), x.amax(1, keepdim=True)
    step = ((high - low) / 15).clamp(min=1e-5)
    return torch.round((x - low) / step) * step + low


def as_it_is(cotangent: Tensor, w: Tensor) -> Tensor:
    return cotangent


def scaled(cotangent: Tensor, w: Tensor) -> Tensor:
    return cotangent * w.abs().mean()


def scaled_and_clipped(cotangent: Tensor, w: Tensor) -> Tensor:
    return cotangent * w.abs().mean(list(range(1, w.ndim)), keepdim=True) * (w.abs() <= 1)


def xnor_net(cotangent: Tensor, w: Tensor) -> Tensor:
    count = w[0].nelement()
    scale = w.abs().mean(PER_FILTER, keepdim=True).expand_as(w).masked_fill(w.abs() > 1, 0)
    of_scale = (w.sign() * cotangent).sum(PER_FILTER, keepdim=True) / count * w.sign()
    return (scale * cotangent + of_scale) * (1 - 1 / w.shape[1]) * count


def triangle(cotangent: Tensor, w: Tensor) -> Tensor:
    return cotangent * (2 - 2 * w.abs()).clamp(min=0) * w.abs().mean()


def narrow_tanh(cotangent: Tensor, w: Tensor) -> Tensor:
    return cotangent * 3 * (1 - torch.tanh(3 * w) ** 2)


def swish_of_sign(cotangent: Tensor, w: Tensor) -> Tensor:
    return cotangent * 5 * (2 - 5 * w * torch.tanh(2.5 * w)) / (1 + torch.cosh(5 * w))  # BNN+: shallow wells beside its bump


BINARIZED = [of_tensor, of_filters, by_norms, by_comparison, by_writing, ternary]
PASSED = [as_it_is, scaled, scaled_and_clipped, xnor_net, triangle, narrow_tanh, swish_of_sign]


@pytest.mark.parametrize("backward", PASSED)
@pytest.mark.parametrize("forward", BINARIZED)
def test_binarized_weights_with_a_scale_are_meant(forward: Forward, backward: Backward) -> None:
    assert kinds(forward, backward, (4, 3, 3, 3)) == []


@pytest.mark.parametrize("backward", [as_it_is, scaled_and_clipped])
def test_a_quantizer_with_steps_of_its_own_for_each_row_is_meant(backward: Backward) -> None:
    assert kinds(dynamic, backward, (8, 5)) == []


WRONG: list[Backward] = [
    lambda cotangent, w: -cotangent,
    lambda cotangent, w: -cotangent * w.abs().mean() * (w.abs() <= 1),
    lambda cotangent, w: cotangent * 0,
    lambda cotangent, w: cotangent * w,
    lambda cotangent, w: cotangent.flip(0, 1),
]


@pytest.mark.parametrize("backward", WRONG, ids=["turned", "turned and clipped", "stopped", "times w", "moved"])
@pytest.mark.parametrize("forward", BINARIZED)
def test_what_turns_stops_or_moves_a_gradient_is_no_estimator(forward: Forward, backward: Backward) -> None:
    assert "error wrong-backward" in kinds(forward, backward, (4, 3, 3, 3))


def clipped_learned(x: Tensor, limit: Tensor) -> Tensor:
    levels = 15 / limit
    return torch.round(torch.minimum(x.relu(), limit) * levels) / levels


def clipped_learned_by_sizes(x: Tensor, limit: Tensor) -> Tensor:
    levels = 15 / limit
    return torch.round(0.5 * (x.abs() - (x - limit).abs() + limit) * levels) / levels


def pact(cotangent: Tensor, x: Tensor, limit: Tensor) -> tuple[Tensor, Tensor]:
    return cotangent * ((x >= 0) & (x < limit)), (cotangent * (x >= limit)).sum()


def learned_step(x: Tensor, step: Tensor, shift: Tensor) -> Tensor:
    return ((x - shift) / step).clamp(-8, 7).round() * step + shift


def lsq_plus(cotangent: Tensor, x: Tensor, step: Tensor, shift: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    place = (x - shift) / step
    low, high = (place < -8).float(), (place > 7).float()
    within = 1 - low - high
    of_step = ((-8 * low + 7 * high + within * (place.round() - place)) * cotangent * 0.05).sum()
    return cotangent * within, of_step, ((low + high) * cotangent * 0.05).sum()


def two_scales(w: Tensor, plus: Tensor, minus: Tensor) -> Tensor:
    threshold = 0.05 * w.abs().max()
    return plus * (w > threshold).float() - minus * (w < -threshold).float()


def ttq(cotangent: Tensor, w: Tensor, plus: Tensor, minus: Tensor, sign: float = -1) -> tuple[Tensor, Tensor, Tensor]:
    threshold = 0.05 * w.abs().max()
    above, below = (w > threshold).float(), (w < -threshold).float()
    factor = plus * above + minus * below + (1 - above - below)
    return factor * cotangent, (above * cotangent).sum(), sign * (below * cotangent).sum()


@pytest.mark.parametrize(
    ("forward", "backward", "numbers"),
    [
        *((clipped_learned, pact, (1.2,)), (clipped_learned_by_sizes, pact, (1.2,))),
        *((learned_step, lsq_plus, (0.2, 0.1)), (two_scales, ttq, (0.9, 0.7))),
    ],
)
def test_learned_limits_steps_shifts_and_scales_are_meant(
    forward: Forward, backward: Backward, numbers: tuple[float, ...]
) -> None:
    assert kinds(forward, backward, (8, 5), values=numbers) == []


def test_a_learned_scale_behind_the_rounding_is_judged_in_full() -> None:
    assert kinds(two_scales, lambda *given: ttq(*given, sign=1), (8, 5), values=(0.9, 0.7)) == ["error wrong-backward"]


def eight_bits(x: Tensor) -> Tensor:
    step = x.abs().max() / 127
    return (x / step).round().clamp(-128, 127) * step


def quantized_layer(x: Tensor, w: Tensor) -> Tensor:
    return eight_bits(x) @ eight_bits(w).T


def binarized_layer(x: Tensor, w: Tensor) -> Tensor:
    return x @ of_tensor(w).T


def binarized_convolution(x: Tensor, w: Tensor) -> Tensor:
    return F.conv2d(x.sign(), of_filters(w))


def of_convolution(cotangent: Tensor, x: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    of_x = torch.nn.grad.conv2d_input(x.shape, of_filters(w), cotangent)
    of_w = torch.nn.grad.conv2d_weight(x.sign(), w.shape, cotangent)  # type: ignore[arg-type]
    return of_x * (x.abs() < 1), of_w * (w.abs() < 1)


SQUARE = ((5, 5), (5, 5))
LAYERS: list[tuple[Forward, Backward, tuple[tuple[int, ...], ...]]] = [
    (quantized_layer, lambda c, x, w: (c @ eight_bits(w), c.T @ eight_bits(x)), ((8, 5), (6, 5))),
    (quantized_layer, lambda c, x, w: (c @ w, c.T @ x), SQUARE),
    (binarized_layer, lambda c, x, w: (c @ of_tensor(w), c.T @ x), ((8, 5), (6, 5))),
    (binarized_convolution, of_convolution, ((2, 3, 6, 6), (4, 3, 3, 3))),
]


@pytest.mark.parametrize(("forward", "backward", "shapes"), LAYERS)
def test_a_layer_that_quantizes_its_weights_is_meant(
    forward: Forward, backward: Backward, shapes: tuple[tuple[int, ...], ...]
) -> None:
    assert kinds(forward, backward, *shapes) == []


@pytest.mark.parametrize(
    "backward",
    [
        lambda c, x, w: (c @ of_tensor(w), -c.T @ x),
        lambda c, x, w: (c @ of_tensor(w), c.T @ x.flip(0)),
        lambda c, x, w: (c @ w.sign(), c.T @ x),  # x is not rounded: its derivative is judged in full
    ],
    ids=["turned", "mixed up", "of x"],
)
def test_a_wrong_backward_of_such_a_layer_is_told(backward: Backward) -> None:
    assert kinds(binarized_layer, backward, (8, 5), (6, 5)) == ["error wrong-backward"]


def half_pruned(w: Tensor) -> Tensor:
    kept, order = w.clone(), w.flatten().abs().sort().indices
    kept.flatten()[order[: w.numel() // 2]] = 0
    return kept


def two_of_four(w: Tensor) -> Tensor:
    lowest = w.abs().reshape(-1, 4).argsort(1)[:, :2]
    return w * torch.ones(lowest.shape[0], 4).scatter_(1, lowest, 0).reshape(w.shape)


def with_decay(cotangent: Tensor, w: Tensor) -> Tensor:
    return cotangent + 2e-4 * (two_of_four(w) == 0) * w


@pytest.mark.parametrize(
    ("forward", "backward", "told"),
    [
        *((half_pruned, as_it_is, []), (two_of_four, as_it_is, []), (two_of_four, with_decay, [])),
        (two_of_four, lambda cotangent, w: 2 * cotangent * (two_of_four(w) != 0), ["error wrong-backward"]),
    ],
)
def test_weights_that_are_pruned_by_rank_may_get_a_gradient_all_the_same(
    forward: Forward, backward: Backward, told: list[str]
) -> None:
    assert kinds(forward, backward, (4, 8)) == told


def hashed(x: Tensor, w: Tensor) -> Tensor:
    return (1 - torch.acos(F.normalize(x) @ F.normalize(w).T) / torch.pi) ** 8


def by_bound(cotangent: Tensor, x: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        x, w = x.detach().requires_grad_(), w.detach().requires_grad_()
        cosines = F.normalize(x) @ F.normalize(w).T
        return torch.autograd.grad(cosines, [x, w], cotangent * 4 * hashed(x, w).detach())  # type: ignore[return-value]


def by_derivative(cotangent: Tensor, x: Tensor, w: Tensor, factor: float = 1) -> tuple[Tensor, ...]:
    with torch.enable_grad():
        x, w = x.detach().requires_grad_(), w.detach().requires_grad_()
        return torch.autograd.grad(hashed(x, w), [x, w], factor * cotangent)


@pytest.mark.parametrize(
    ("backward", "told"),
    [
        *((by_derivative, []), (by_bound, ["hint wrong-backward"])),
        (lambda *given: by_derivative(*given, factor=2), ["error wrong-backward"]),
        (lambda *given: [-one for one in by_bound(*given)], ["error wrong-backward"]),
    ],
    ids=["derivative", "bound", "twice", "turned"],
)
def test_a_bound_in_place_of_the_derivative_of_an_angle_is_a_hint(backward: Backward, told: list[str]) -> None:
    assert kinds(hashed, lambda *given: tuple(backward(*given)), (8, 5), (6, 5)) == told


SMOOTH: list[tuple[Forward, Backward]] = [
    (lambda x: x.sign() * x.abs().sqrt(), as_it_is),
    (lambda x: x / x.norm(), lambda cotangent, x: cotangent / x.norm()),
    (lambda x: x - x.median(), as_it_is),
    (lambda x: x.abs().mean() * x.sigmoid(), as_it_is),
    (lambda x: x.sum() / (x > 0).sum(), lambda cotangent, x: cotangent.expand_as(x)),
    (lambda x: -x.abs() * (x > 9), as_it_is),
    (lambda x: torch.where(x > 0, x, 0.1 * x), as_it_is),
    (lambda x: x.amax(1), lambda cotangent, x: cotangent[:, None].expand_as(x)),
    (lambda x: x.sort(1).values, as_it_is),
]


@pytest.mark.parametrize(("forward", "backward"), SMOOTH)
def test_a_wrong_backward_of_what_rounds_nothing_is_told(forward: Forward, backward: Backward) -> None:
    assert kinds(forward, backward, (4, 6)) == ["error wrong-backward"]
