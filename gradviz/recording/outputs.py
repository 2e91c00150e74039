"""Finds the tensors to differentiate in what the user's code returned, and the cotangents to start from."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gradviz.errors import InputError, NotScalarError, TraceError


def differentiable_outputs(result: Any, cut_of: Callable[[list[Tensor]], str] = lambda outputs: "") -> list[Tensor]:
    """The tensors with a gradient in `result`: itself, its `loss` where it has one, or those in nested containers.

    Args:
        result: what the code returned.
        cut_of: says of outputs without gradient which call cut it off; "" where that is not known.

    Raises:
        TraceError: there is none; says why.
    """
    loss = None if isinstance(result, Tensor) else _entries(result).get("loss")
    tensors = list(_tensors(loss if isinstance(loss, Tensor) else result))
    if not tensors:
        raise TraceError(f"the traced code returned {_described(result)}, not a tensor; {_way_back(result)}")
    found = [tensor for tensor in tensors if tensor.requires_grad]
    for tensor in tensors:
        _refuse_untraceable(tensor)
    if not found:
        raise TraceError(_no_gradient(tensors[0], cut_of(tensors)))
    return found


def starting_cotangents(outputs: list[Tensor], grad_output: Any) -> list[Tensor]:
    """The cotangents of the outputs: copies of those given, what a function makes of each, or 1 where there is one element.

    Raises:
        NotScalarError: an output has several elements and no cotangent is given.
        InputError: shapes differ.
    """
    if grad_output is None:
        given: list[Any] = [None] * len(outputs)
    elif callable(grad_output):
        given = [grad_output(output.detach()) for output in outputs]
    else:
        several = isinstance(grad_output, (list, tuple)) and (
            len(outputs) > 1 or any(isinstance(cotangent, Tensor) for cotangent in grad_output)
        )
        given = list(grad_output) if several else [grad_output]
    if len(given) != len(outputs):
        raise InputError(f"grad_output has {len(given)} tensors; the traced code has {len(outputs)} differentiable outputs")
    return [_cotangent(output, cotangent) for output, cotangent in zip(outputs, given, strict=True)]


def _cotangent(output: Tensor, given: Any) -> Tensor:
    shape = tuple(output.shape)
    if given is None:
        if output.numel() != 1:
            raise NotScalarError(
                shape, "pass grad_output= with that shape, or loss=lambda out: ... that maps it to one number"
            )
        if output.is_complex():
            raise InputError(
                "the output is complex: pass grad_output=, or loss=lambda out: ... that maps it to a real number"
            )
        return torch.ones_like(output)
    cotangent = torch.as_tensor(given, dtype=output.dtype, device=output.device).detach()
    if tuple(cotangent.shape) != shape:
        raise InputError(f"grad_output has shape {tuple(cotangent.shape)}; the output has shape {shape}")
    return cotangent.clone()  # it may be written to after the trace, an array of numpy without any trace of that


def _tensors(result: Any) -> Iterator[Tensor]:
    pending = [result]
    seen: set[int] = set()
    while pending:
        value = pending.pop()
        if isinstance(value, Tensor):
            yield value
        elif id(value) not in seen:
            seen.add(id(value))
            items = value if isinstance(value, (list, tuple)) else _entries(value).values()
            pending.extend(reversed(list(items)))


def _entries(value: Any) -> Mapping[str, Any]:
    """The named entries of a mapping or a dataclass instance."""
    if isinstance(value, Mapping):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {}


def _refuse_untraceable(tensor: Tensor) -> None:
    if torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        raise TraceError(
            "this tensor belongs to a torch.func transform (grad, vjp, jvp, vmap, ...): it has no autograd graph; trace the "
            "plain function with inputs that require grad instead"
        )
    if tensor.is_nested or type(tensor).__name__ == "MaskedTensor":
        raise TraceError("a nested or masked tensor has no plain values to show; trace a padded tensor, or its parts")
    if tensor.is_inference():
        raise TraceError("this tensor was made under torch.inference_mode(), which keeps no graph; run the code without it")


def _no_gradient(tensor: Tensor, cut: str) -> str:
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return f"the output has dtype {tensor.dtype}, which has no gradient; trace a floating-point value"
    if cut:
        return (
            f"no gradient leads to this output: it has no grad_fn. The way is cut by {cut}: compute on with the tensor "
            "itself, by functions that torch differentiates, and outside of torch.no_grad()"
        )
    return (
        "no gradient leads to this output: it has no grad_fn. Either no input requires grad (call x.requires_grad_() "
        "or pass parameters that do), or the path is cut: by a comparison as x > 0, a cast to integers as .long(), argmax, "
        "detach(), .data, .item(), torch.no_grad() or torch.inference_mode()"
    )


def _way_back(result: Any) -> str:
    """What to do about a result that holds no tensor."""
    if isinstance(result, (np.ndarray, np.generic)):
        return "numpy keeps no gradient: hand in torch tensors, and compute with torch"
    if isinstance(result, numbers.Number):
        return "return the tensor that it is a number of: .item(), float() and int() leave autograd"
    return "return the tensor to differentiate, or pass loss=lambda out: ..."


def _described(result: Any) -> str:
    if result is None:
        return "None"
    return f"a {type(result).__name__}{'' if isinstance(result, numbers.Number) else ' without tensors'}"
