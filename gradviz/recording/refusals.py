"""What torch refuses of the inputs of a program: its words, and which input it was, as an `InputError`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from gradviz.errors import InputError

_OTHER_TYPE = re.compile(r"must be Tensor, not ([\w.]+)")  # torch's wordings
_OTHER_DTYPE = re.compile(r"dtype|scalar type|Input type")


@contextmanager
def refusals_told(inputs: Mapping[str, Any], module: torch.nn.Module | None) -> Iterator[None]:
    """Names the input at which torch stopped. Other errors of the code pass as they are.

    Args:
        inputs: argument name -> what the code is called with.
        module: what is called, for its dtype; None for a function.

    Raises:
        InputError: an input is no tensor where torch takes one, or not of the dtype of the module's parameters.

    >>> with refusals_told({"x": [1.0]}, None):
    ...     raise TypeError("relu(): must be Tensor, not list")
    Traceback (most recent call last):
    gradviz.errors.InputError: x is a list, where torch takes a tensor: hand in torch.as_tensor(x); torch says:
    relu(): must be Tensor, not list
    """
    try:
        yield
    except TypeError as error:
        refused = _OTHER_TYPE.search(str(error))
        name = next((name for name, value in inputs.items() if refused and _type_name(value) == refused[1]), None)
        if name is None or refused is None:
            raise
        hint = _tensor_of(name, inputs[name])
        raise InputError(
            f"{name} is a {refused[1]}, where torch takes a tensor: hand in {hint}; torch says: {error}"
        ) from error
    except RuntimeError as error:
        own = _dtype(module)
        name = next((name for name, value in inputs.items() if own and _is_other(value, own, module)), None)
        if name is None or not _OTHER_DTYPE.search(str(error)):
            raise
        raise InputError(
            f"{name} is {inputs[name].dtype}, and the parameters of the model are {own}: hand in {name}.to({own}), or trace "
            f"a model of the other dtype; torch says: {error}"
        ) from error


def _tensor_of(name: str, value: Any) -> str:
    """What to hand in for an input that is none: of a dict one of its tensors, or what a function makes of it."""
    if not isinstance(value, Mapping):
        return f"torch.as_tensor({name})"
    keys = [key for key, entry in value.items() if isinstance(entry, Tensor)][:3]
    return " or ".join(f"{name}[{key!r}]" for key in keys) or "one of the tensors that it is made of"


def _type_name(value: Any) -> str:
    """As torch writes it: `list`, `numpy.ndarray`."""
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _dtype(module: torch.nn.Module | None) -> torch.dtype | None:
    """The dtype of a module's parameters, where they have one."""
    dtypes = set() if module is None else {one.dtype for one in module.parameters() if one.is_floating_point()}
    return dtypes.pop() if len(dtypes) == 1 else None


def _is_other(value: Any, own: torch.dtype, module: torch.nn.Module | None) -> bool:
    """Whether an input may clash with parameters of dtype `own`: an embedding takes whole numbers, a mask booleans."""
    if not isinstance(value, Tensor) or value.dtype in (own, torch.bool):
        return False
    embeds = module is not None and any(isinstance(part, torch.nn.Embedding) for part in module.modules())
    return value.is_floating_point() or not embeds
