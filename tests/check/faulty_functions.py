"""Custom autograd Functions with a hand-written backward that is right but for one planted slip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Slip = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """A function of two tensors whose gradient for one of them goes through `slip`.

    Attributes:
        run: the function; the slip is in its backward.
        shapes: of its arguments.
        argument: which argument's gradient is wrong.
    """

    run: Callable[[Tensor, Tensor], Tensor]
    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    argument: int


def elementwise(slip: Slip, argument: int) -> Planted:
    """y = x² sin(w), hand-written."""

    class SquareTimesSine(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
            ctx.save_for_backward(x, w)
            return x * x * w.sin()

        @staticmethod
        def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, Tensor]:
            x, w = ctx.saved_tensors
            gradients = [cotangent * 2 * x * w.sin(), cotangent * x * x * w.cos()]
            gradients[argument] = slip(gradients[argument])
            return gradients[0], gradients[1]

    return Planted(run=SquareTimesSine.apply, shapes=((3, 3), (3, 3)), argument=argument)


def product(slip: Slip, argument: int) -> Planted:
    """y = tanh(a b), hand-written."""

    class TanhOfProduct(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
            y = torch.tanh(a @ b)
            ctx.save_for_backward(a, b, y)
            return y

        @staticmethod
        def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, Tensor]:
            a, b, y = ctx.saved_tensors
            inner = cotangent * (1 - y * y)
            gradients = [inner @ b.T, a.T @ inner]
            gradients[argument] = slip(gradients[argument])
            return gradients[0], gradients[1]

    return Planted(run=TanhOfProduct.apply, shapes=((3, 3), (3, 3)), argument=argument)


def many(slip: Slip, argument: int) -> Planted:
    """y = exp(-x) w over a vector of 3000, hand-written: more elements than rows are sampled."""

    class Decay(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
            decayed = torch.exp(-x)
            ctx.save_for_backward(decayed, w)
            return decayed * w

        @staticmethod
        def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, Tensor]:
            decayed, w = ctx.saved_tensors
            gradients = [-cotangent * decayed * w, cotangent * decayed]
            gradients[argument] = slip(gradients[argument])
            return gradients[0], gradients[1]

    return Planted(run=Decay.apply, shapes=((3000,), (3000,)), argument=argument)


def softmax(slip: Slip, argument: int) -> Planted:
    """y = softmax(x) + w over rows, hand-written."""

    class Softmax(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
            y = torch.softmax(x, -1)
            ctx.save_for_backward(y)
            return y + w

        @staticmethod
        def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, Tensor]:
            (y,) = ctx.saved_tensors
            gradients = [y * (cotangent - (cotangent * y).sum(-1, keepdim=True)), cotangent]
            gradients[argument] = slip(gradients[argument])
            return gradients[0], gradients[1]

    return Planted(run=Softmax.apply, shapes=((4, 5), (4, 5)), argument=argument)


def one_element(factor: float) -> Slip:
    """Wrong at the last element only."""

    def slip(gradient: Tensor) -> Tensor:
        wrong = gradient.clone()
        wrong.view(-1)[-1] *= factor
        return wrong

    return slip


def rolled(gradient: Tensor) -> Tensor:
    """Off by one index."""
    return gradient.reshape(-1).roll(1).reshape(gradient.shape)


def only_where_negative(gradient: Tensor) -> Tensor:
    return torch.where(gradient < 0, gradient * 1.01, gradient)


SLIPS: dict[str, Slip] = {
    "off by 0.1 %": lambda gradient: gradient * 1.001,
    "off by -0.1 %": lambda gradient: gradient * 0.999,
    "wrong sign": lambda gradient: -gradient,
    "missing factor 2": lambda gradient: gradient / 2,
    "one element wrong": one_element(1.5),
    "one element off by 0.1 %": one_element(1.001),
    "zero": torch.zeros_like,
    "off by one index": rolled,
    "only negative ones wrong": only_where_negative,
    "a constant added": lambda gradient: gradient + 0.01,
    "in float16 on the way": lambda gradient: gradient.half().to(gradient.dtype),
    "clamped": lambda gradient: gradient.clamp(-0.2, 0.2),
}
KINDS = {"elementwise": elementwise, "product": product, "many": many, "softmax": softmax}


def transposed(argument: int) -> Planted:
    return product(lambda gradient: gradient.T, argument)
