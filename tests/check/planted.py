"""Custom autograd Functions with a hand-written backward into which one slip is planted, and a larger graph around each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from hand_written import (
    attention,
    attention_gradients,
    layer_norm,
    layer_norm_gradient,
    normed_gradients,
    rms_gradient,
    softmax_gradient,
)
from torch import Tensor

Gradients = Callable[..., tuple[Tensor | None, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A function with its right backward.

    Attributes:
        forward: of the inputs.
        backward: (cotangent, *inputs, result) -> one gradient per input.
        shapes: of the inputs.
    """

    forward: Callable[..., Tensor]
    backward: Gradients
    shapes: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slip:
    """One slip in the backward of a function.

    Attributes:
        function: name of the function.
        argument: which input's gradient is wrong.
        wrong: (cotangent, *inputs, result) -> the wrong gradient.
        said: what the report must say of the likely slip, in part; the inputs are called c and f in the graph.
        dtype: of all tensors.
    """

    function: str
    argument: int
    wrong: Callable[..., Tensor | None]
    said: str = ""
    dtype: torch.dtype = torch.float64


FUNCTIONS = {
    "x² sin w": Function(
        forward=lambda x, w: x * x * w.sin(),
        backward=lambda c, x, w, y: (c * 2 * x * w.sin(), c * x * x * w.cos()),
        shapes=((3, 4), (3, 4)),
    ),
    "swish": Function(
        forward=lambda x: x * torch.sigmoid(x),
        backward=lambda c, x, y: (c * (torch.sigmoid(x) + y * (1 - torch.sigmoid(x))),),
        shapes=((3, 4),),
    ),
    "tanh of a product": Function(
        forward=lambda a, b: torch.tanh(a @ b),
        backward=lambda c, a, b, y: ((c * (1 - y * y)) @ b.T, a.T @ (c * (1 - y * y))),
        shapes=((4, 4), (4, 4)),
    ),
    "scale and shift": Function(
        forward=lambda x, scale, shift: x * scale + shift,
        backward=lambda c, x, scale, shift, y: (c * scale, (c * x).sum(0), c.sum(0)),
        shapes=((5, 4), (4,), (4,)),
    ),
    "softmax": Function(
        forward=lambda x: torch.softmax(x, -1),
        backward=lambda c, x, y: (softmax_gradient(c, y),),
        shapes=((4, 5),),
    ),
    "layer norm": Function(
        forward=layer_norm,
        backward=lambda c, x, y: (layer_norm_gradient(c, x, y),),
        shapes=((4, 6),),
    ),
    "mean of squares": Function(
        forward=lambda x: x.pow(2).mean(),
        backward=lambda c, x, y: (c * 2 * x / x.numel(),),
        shapes=((3, 4),),
    ),
    "decay of many": Function(
        forward=lambda x, w: torch.exp(-x) * w,
        backward=lambda c, x, w, y: (-c * y, c * torch.exp(-x)),
        shapes=((3000,), (3000,)),
    ),
    "leaky relu": Function(
        forward=lambda x: torch.where(x > 0, x, 0.1 * x),
        backward=lambda c, x, y: (torch.where(x > 0, c, 0.1 * c),),
        shapes=((4, 5),),
    ),
    "picked rows": Function(
        forward=lambda x: x[1:3] * 2,
        backward=lambda c, x, y: (torch.nn.functional.pad(2 * c, (0, 0, 1, 1)),),
        shapes=((4, 3),),
    ),
    "cumulative sum": Function(
        forward=lambda x: x.cumsum(0),
        backward=lambda c, x, y: (c.flip(0).cumsum(0).flip(0),),
        shapes=((6,),),
    ),
    "gaussian": Function(
        forward=lambda x, s: torch.exp(-x * x / (2 * s * s)),
        backward=lambda c, x, s, y: (-c * y * x / s**2, c * y * x**2 / s**3),
        shapes=((7,), (7,)),
    ),
    "attention": Function(forward=attention, backward=attention_gradients, shapes=((3, 4), (5, 4), (5, 2))),
    "convolution": Function(
        forward=lambda x, w: torch.conv1d(x, w, padding=1),
        backward=lambda c, x, w, y: (
            torch.conv_transpose1d(c, w, padding=1),
            torch.nn.grad.conv1d_weight(x, w.shape, c, padding=1),
        ),
        shapes=((2, 3, 5), (2, 3, 3)),
    ),
    "root mean square": Function(
        forward=lambda x: x * (x * x).mean(-1, keepdim=True).add(0.1).rsqrt(),
        backward=lambda c, x, y: (rms_gradient(c, x, mean=True),),
        shapes=((3, 4),),
    ),
    "largest of pairs": Function(
        forward=lambda x: x.unfold(-1, 2, 2).amax(-1),
        backward=lambda c, x, y: (torch.where(x == y.repeat_interleave(2, -1), c.repeat_interleave(2, -1), 0),),
        shapes=((3, 6),),
    ),
    "normed weight": Function(
        forward=lambda v, g: g * v / v.norm(dim=1, keepdim=True),
        backward=lambda c, v, g, y: normed_gradients(c, v, g),
        shapes=((3, 4), (3, 1)),
    ),
}


def changed(gradient: Tensor, place: tuple[int, ...], factor: float) -> Tensor:
    """The gradient with one element multiplied."""
    wrong = gradient.clone()
    wrong[place] *= factor
    return wrong


def product_rows(c: Tensor, b: Tensor, y: Tensor) -> Tensor:
    """The gradient of `tanh of a product` for its first factor."""
    return (c * (1 - y * y)) @ b.T


SINE, SWISH, PRODUCT, AFFINE = "x² sin w", "swish", "tanh of a product", "scale and shift"

SLIPS: dict[str, Slip] = {
    # factors and signs
    "missing factor 2": Slip(function=SINE, argument=0, wrong=lambda c, x, w, y: c * x * w.sin(), said="missing factor 2"),
    "factor 2 too much": Slip(
        function=SINE, argument=1, wrong=lambda c, x, w, y: c * 2 * x * x * w.cos(), said="a factor 2 too much"
    ),
    "wrong sign": Slip(function=SINE, argument=1, wrong=lambda c, x, w, y: -c * x * x * w.cos(), said="wrong sign"),
    "off by 0.1 %": Slip(function=SINE, argument=1, wrong=lambda c, x, w, y: 1.001 * c * x * x * w.cos()),
    "missing factor x": Slip(function=SINE, argument=1, wrong=lambda c, x, w, y: c * x * w.cos(), said="missing factor c"),
    "minus forgotten": Slip(function="gaussian", argument=0, wrong=lambda c, x, s, y: c * y * x / s**2, said="wrong sign"),
    "a power too little": Slip(
        function="gaussian", argument=1, wrong=lambda c, x, s, y: c * y * x**2 / s**2, said="a factor f too much"
    ),
    "the mean's divisor forgotten": Slip(
        function="mean of squares", argument=0, wrong=lambda c, x, y: c * 2 * x, said="a sum in place of a mean"
    ),
    "divided by the rows only": Slip(
        function="mean of squares", argument=0, wrong=lambda c, x, y: c * 2 * x / len(x), said="a factor 4 too much"
    ),
    # derivatives of another function, or of half of it
    "cos for sin": Slip(function=SINE, argument=1, wrong=lambda c, x, w, y: -c * x * x * w.sin(), said="another function"),
    "the value for the derivative": Slip(function=SINE, argument=1, wrong=lambda c, x, w, y: c * y, said="sin(f) itself"),
    "the x of the product rule forgotten": Slip(
        function=SWISH, argument=0, wrong=lambda c, x, y: c * torch.sigmoid(x) * (2 - torch.sigmoid(x))
    ),
    "a term of the product rule forgotten": Slip(function=SWISH, argument=0, wrong=lambda c, x, y: c * torch.sigmoid(x)),
    "derivative of relu": Slip(function=SWISH, argument=0, wrong=lambda c, x, y: c * (x > 0)),
    "1 - y for 1 - y²": Slip(function=PRODUCT, argument=0, wrong=lambda c, a, b, y: (c * (1 - y)) @ b.T),
    "activation forgotten": Slip(function=PRODUCT, argument=1, wrong=lambda c, a, b, y: a.T @ c),
    "softmax by its diagonal only": Slip(function="softmax", argument=0, wrong=lambda c, x, y: c * y * (1 - y)),
    "the mean's part forgotten": Slip(
        function="layer norm",
        argument=0,
        wrong=lambda c, x, y: layer_norm_gradient(c, x, y) + c.mean(-1, keepdim=True),
    ),
    "the variance as a constant": Slip(
        function="layer norm",
        argument=0,
        wrong=lambda c, x, y: (c - c.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, correction=0) + 0.1).sqrt(),
    ),
    "Bessel's correction": Slip(
        function="layer norm",
        argument=0,
        wrong=lambda c, x, y: (
            (c - c.mean(-1, keepdim=True) - y * (c * y).mean(-1, keepdim=True)) / (x.var(-1, keepdim=True) + 0.1).sqrt()
        ),
    ),
    # shapes and places
    "transposed": Slip(function=PRODUCT, argument=0, wrong=lambda c, a, b, y: product_rows(c, b, y).T, said="transposed"),
    "a factor not transposed": Slip(function=PRODUCT, argument=0, wrong=lambda c, a, b, y: (c * (1 - y * y)) @ b),
    "the broadcast sum forgotten": Slip(
        function=AFFINE, argument=2, wrong=lambda c, x, scale, shift, y: c[0], said="missing sum over dimension 0"
    ),
    "the last row only": Slip(
        function=AFFINE, argument=1, wrong=lambda c, x, scale, shift, y: (c * x)[-1], said="missing sum over dimension 0"
    ),
    "a mean for the broadcast sum": Slip(
        function=AFFINE, argument=2, wrong=lambda c, x, scale, shift, y: c.mean(0), said="a mean in place of a sum"
    ),
    "sums multiplied, not products summed": Slip(
        function=AFFINE, argument=1, wrong=lambda c, x, scale, shift, y: c.sum(0) * x.sum(0)
    ),
    "summed over the wrong dimension": Slip(
        function="softmax", argument=0, wrong=lambda c, x, y: y * (c - (c * y).sum(0, keepdim=True))
    ),
    "off by one index": Slip(
        function="picked rows",
        argument=0,
        wrong=lambda c, x, y: torch.nn.functional.pad(2 * c, (0, 0, 0, 2)),
        said="off by one index along dimension 0",
    ),
    "off by one column": Slip(
        function="leaky relu",
        argument=0,
        wrong=lambda c, x, y: torch.where(x > 0, c, 0.1 * c).roll(1, 1),
        said="off by one index along dimension 1",
    ),
    "summed from the wrong end": Slip(function="cumulative sum", argument=0, wrong=lambda c, x, y: c.cumsum(0)),
    "the last sum not reversed back": Slip(
        function="cumulative sum", argument=0, wrong=lambda c, x, y: c.flip(0).cumsum(0), said="reversed along dimension 0"
    ),
    "an exclusive sum": Slip(function="cumulative sum", argument=0, wrong=lambda c, x, y: c.flip(0).cumsum(0).flip(0) - c),
    # values
    "the other tensor was saved": Slip(function=SINE, argument=0, wrong=lambda c, x, w, y: c * 2 * w * w.sin()),
    "the result was saved for the input": Slip(
        function=SWISH, argument=0, wrong=lambda c, x, y: c * (torch.sigmoid(y) + y * (1 - torch.sigmoid(y)))
    ),
    "the factors' gradients swapped": Slip(function=PRODUCT, argument=1, wrong=lambda c, a, b, y: product_rows(c, b, y)),
    # parts of the numbers
    "a detached branch": Slip(
        function=AFFINE, argument=1, wrong=lambda c, x, scale, shift, y: torch.zeros_like(scale), said="no gradient at all"
    ),
    "None": Slip(function=AFFINE, argument=1, wrong=lambda c, x, scale, shift, y: None, said="no gradient at all"),
    "the negative side forgotten": Slip(
        function="leaky relu", argument=0, wrong=lambda c, x, y: c * (x > 0), said="is negative, right elsewhere"
    ),
    "the negative slope is 0.11": Slip(
        function="leaky relu",
        argument=0,
        wrong=lambda c, x, y: torch.where(x > 0, c, 0.11 * c),
        said="is negative, right elsewhere",
    ),
    "one of 3000 elements": Slip(
        function="decay of many",
        argument=1,
        wrong=lambda c, x, w, y: changed(c * torch.exp(-x), (2345,), 1.01),
        said="wrong at element [2345] only, the other 2999 are right",
    ),
    "one of 3000 elements by 0.1 %": Slip(
        function="decay of many",
        argument=0,
        wrong=lambda c, x, w, y: changed(-c * y, (17,), 1.001),
        said="wrong at element [17] only",
    ),
    "the last of 3000 is left out": Slip(
        function="decay of many",
        argument=1,
        wrong=lambda c, x, w, y: changed(c * torch.exp(-x), (2999,), 0.0),
        said="wrong at element [2999] only",
    ),
    "one row": Slip(
        function="softmax",
        argument=0,
        wrong=lambda c, x, y: changed(softmax_gradient(c, y), (2,), 1.3),
        said="wrong at index 2 of dimension 0 only",
    ),
    "clipped": Slip(
        function="gaussian", argument=0, wrong=lambda c, x, s, y: (-c * y * x / s**2).clamp(-0.1, 0.1), said="clamped at"
    ),
    "a constant added": Slip(
        function=SINE, argument=0, wrong=lambda c, x, w, y: c * 2 * x * w.sin() + 1e-3, said="0.001 is added everywhere"
    ),
    "without signs": Slip(
        function="gaussian", argument=0, wrong=lambda c, x, s, y: (c * y * x / s**2).abs(), said="the sign is lost"
    ),
    "the cotangent forgotten": Slip(function="gaussian", argument=1, wrong=lambda c, x, s, y: y * x**2 / s**3),
    # of layers that people write by hand
    "the scale of the keys": Slip(
        function="attention",
        argument=1,
        wrong=lambda c, q, k, v, y: 2 * attention_gradients(c, q, k, v, y)[1],
        said="a factor 2 too much",
    ),
    "the kernel not flipped": Slip(
        function="convolution",
        argument=0,
        wrong=lambda c, x, w, y: torch.conv1d(c, w.transpose(0, 1), padding=1),
        dtype=torch.float32,
    ),
    "a sum for the mean inside": Slip(
        function="root mean square", argument=0, wrong=lambda c, x, y: rms_gradient(c, x, mean=False), dtype=torch.bfloat16
    ),
    "always the first of a pair": Slip(
        function="largest of pairs",
        argument=0,
        wrong=lambda c, x, y: torch.stack([c, torch.zeros_like(c)], -1).flatten(-2),
        dtype=torch.bfloat16,
    ),
    "the projection forgotten": Slip(
        function="normed weight",
        argument=0,
        wrong=lambda c, v, g, y: c * g / v.norm(dim=1, keepdim=True),
        dtype=torch.float32,
    ),
    "half of it in bfloat16": Slip(
        function=SINE, argument=1, wrong=lambda c, x, w, y: c * x * x * w.cos() / 2, dtype=torch.bfloat16
    ),
    # dtypes
    "rounded to float16 on the way": Slip(
        function="decay of many",
        argument=1,
        wrong=lambda c, x, w, y: c * torch.exp(-x).half().to(c.dtype),
        said="computed in a coarser dtype on the way",
    ),
    "rounded to bfloat16 in float32": Slip(
        function="decay of many",
        argument=1,
        wrong=lambda c, x, w, y: c * torch.exp(-x).bfloat16().to(c.dtype),
        said="computed in a coarser dtype on the way",
        dtype=torch.float32,
    ),
    "wrong in float32 only": Slip(
        function=SINE,
        argument=0,
        wrong=lambda c, x, w, y: c * 2 * x * w.sin() * (1.001 if x.dtype == torch.float32 else 1),
        dtype=torch.float32,
    ),
    "one element in float32": Slip(
        function="softmax",
        argument=0,
        wrong=lambda c, x, y: changed(softmax_gradient(c, y), (1, 3), 1.01),
        said="wrong at element [1, 3] only",
        dtype=torch.float32,
    ),
}


def planted(function: Function, argument: int = 0, wrong: Callable[..., Tensor | None] | None = None) -> Callable[..., Any]:
    """The function as an `autograd.Function`, with the slip if there is one."""

    class Handwritten(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *inputs: Tensor) -> Tensor:
            result = function.forward(*inputs)
            ctx.save_for_backward(*inputs, result)
            return result

        @staticmethod
        def backward(ctx: Any, cotangent: Tensor) -> Any:
            gradients = list(function.backward(cotangent, *ctx.saved_tensors))
            if wrong is not None:
                gradients[argument] = wrong(cotangent, *ctx.saved_tensors)
            return tuple(gradients)

    return Handwritten.apply  # type: ignore[no-any-return]
