"""What is told of custom Functions whose forward leaves torch: numpy, Python numbers, a kernel."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import gradviz
from gradviz.diagnose import Finding


def kinds(diagnosis: list[Finding]) -> list[str]:
    return [finding.kind for finding in diagnosis]


def _filled(x: Tensor) -> Tensor:
    made = torch.empty_like(x)
    made.numpy()[...] = np.sin(x.detach().numpy())
    return made


def _by_kernel(x: Tensor) -> Tensor:
    """Writes to memory without any call of torch's, as kernels do."""
    x, made = x.contiguous(), torch.empty_like(x)
    number = ctypes.c_float if x.dtype == torch.float32 else ctypes.c_double
    source, target = ((number * x.numel()).from_address(one.data_ptr()) for one in (x, made))
    target[:] = [math.sin(value) for value in source]
    return made


def _in_place(x: Tensor) -> Tensor:
    made = x.clone()
    np.sin(made.numpy(), out=made.numpy())
    return made


LEAVING_TORCH: dict[str, Callable[[Tensor], Tensor]] = {
    "from_numpy": lambda x: torch.from_numpy(np.sin(x.detach().numpy())),
    "tensor": lambda x: torch.tensor(np.sin(x.detach().numpy())),
    "a list": lambda x: torch.tensor([math.sin(value) for value in x.tolist()], dtype=x.dtype),
    "numbers": lambda x: torch.full_like(x, math.sin(x.sum().item())),
    "empty_like": _filled,
    "in place": _in_place,
    "a kernel": _by_kernel,
}


@pytest.mark.parametrize("way", LEAVING_TORCH)
@pytest.mark.parametrize(("factor", "told"), [(1, []), (2, ["wrong-backward"])])
def test_a_backward_is_asked_where_its_forward_leaves_torch(way: str, factor: int, told: list[str]) -> None:
    class Sine(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return LEAVING_TORCH[way](x)

        @staticmethod
        def backward(ctx: Any, cotangent: Tensor) -> Tensor:
            (x,) = ctx.saved_tensors
            if way == "numbers":
                return factor * cotangent.sum() * x.sum().cos().expand(x.shape)
            return factor * cotangent * x.cos()

    x = torch.tensor([0.3, -0.4, 0.9], requires_grad=True)
    diagnosis = gradviz.trace(lambda x: Sine.apply(x * 2).square().mean(), x).diagnose()
    assert kinds(diagnosis) == told
    assert all("Sine" in finding.message for finding in diagnosis)


def _quantized_in_numpy(x: Tensor) -> Tensor:
    values = x.detach().numpy()
    step = np.abs(values).max() / 7
    return torch.from_numpy((np.round(values / step) * step).astype(values.dtype))


@pytest.mark.parametrize(
    ("forward", "factor", "told"),
    [
        (lambda x: torch.from_numpy(np.round(x.detach().numpy())), 1, []),
        (lambda x: torch.full_like(x, round(x.sum().item())), 1, []),
        (lambda x: torch.from_numpy(x.detach().numpy().copy()), -1, []),
        (lambda x: torch.from_numpy((np.random.rand(*x.shape) < x.detach().numpy()).astype("f")), 1, []),
        (_quantized_in_numpy, 1, []),
        (lambda x: torch.from_numpy(np.maximum(x.detach().numpy(), 0)), 1, ["wrong-backward"]),
    ],
)
def test_a_forward_outside_of_torch_that_jumps_or_copies_is_meant(
    forward: Callable[[Tensor], Tensor], factor: int, told: list[str]
) -> None:
    class Outside(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return forward(x)

        @staticmethod
        def backward(ctx: Any, cotangent: Tensor) -> Tensor:
            return factor * cotangent

    x = torch.tensor([0.3, -0.4, 0.9, 2.1, -1.7], requires_grad=True)
    found = kinds(gradviz.trace(lambda x: (Outside.apply(x * 2) * x).square().mean(), x).diagnose())
    assert [kind for kind in found if kind == "wrong-backward"] == told
