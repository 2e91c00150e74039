"""Python values of a graph <-> JSON values; tensors by reference, each object once."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from gradviz.errors import InputError
from gradviz.opcall import OpCall
from gradviz.standin import StandIn, is_kept
from gradviz.statistics import Statistics

_OVERLOAD = re.compile(r"(?P<namespace>aten|prims)\.(?P<packet>\w+)\.(?P<overload>\w+)")
_KINDS: dict[str, tuple[type, ...]] = {
    "TensorType": (Tensor, bool, int, float, complex),
    "ListType": (list, tuple),
    "BoolType": (bool,),
    "NumberType": (bool, int, float, complex),
    "FloatType": (int, float),
    "StringType": (str,),
}
"""Kind of an argument in an op's schema -> what may stand there."""
_ENUMS: dict[str, type] = {"dtype": torch.dtype, "layout": torch.layout, "memory_format": torch.memory_format}


class Encoder:
    """Values -> JSON, collecting the tensors that they refer to.

    Attributes:
        tensors: name -> what is written for it: plain, contiguous, of a dtype that the format has.
        left_out: how many bytes of tensors did not fit the budget.
    """

    def __init__(self, max_bytes: int) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.left_out = 0
        self._names: dict[int, str | None] = {}
        self._numbers: dict[int, int] = {}
        self._kept: list[Tensor] = []
        self._free = max_bytes

    def encoded(self, value: Any) -> Any:
        """One value. What has no form in the file is named and loads as None."""
        if value is None or isinstance(value, (bool, int, str)):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else {"float": str(value)}
        if isinstance(value, complex):
            return {"complex": [self.encoded(value.real), self.encoded(value.imag)]}
        if isinstance(value, StandIn) and not is_kept(value):
            return {"statistics": self._standin(value)}
        if isinstance(value, Tensor):
            return {"tensor": self._name(value)}
        if isinstance(value, tuple):
            return {"tuple": [self.encoded(item) for item in value]}
        if isinstance(value, list):
            return [self.encoded(item) for item in value]
        if isinstance(value, Mapping):
            return {"dict": [[self.encoded(key), self.encoded(item)] for key, item in value.items()]}
        if isinstance(value, OpCall):
            return {"call": self._call(value)}
        for name, kind in (("device", torch.device), *_ENUMS.items()):
            if isinstance(value, kind):
                return {name: str(value).removeprefix("torch.")}
        return {"omitted": type(value).__name__}

    def _call(self, call: OpCall) -> dict[str, Any]:
        return {
            "overload": str(call.overload),
            "args": [self.encoded(value) for value in call.args],
            "kwargs": {name: self.encoded(value) for name, value in call.kwargs.items()},
            "outputs": [self.encoded(value) for value in call.outputs],
        }

    def _standin(self, standin: StandIn) -> dict[str, Any]:
        """What stands for elements that the graph did not keep, under a number of its own: one object loads as one."""
        self._kept.append(standin)
        return {
            "number": self._numbers.setdefault(id(standin), len(self._numbers)),
            "shape": list(standin.shape),
            "dtype": str(standin.dtype).removeprefix("torch."),
            "reason": standin.reason,
            "known": None if standin.statistics is None else self.encoded(asdict(standin.statistics)),
        }

    def _name(self, tensor: Tensor) -> str | None:
        """The name of a tensor in the file; None for one that is not in it."""
        if id(tensor) not in self._names:
            self._kept.append(tensor)  # so that its id stays its own
            plain = _plain(tensor)
            size = 0 if plain is None else plain.numel() * plain.element_size()
            if plain is None or size > self._free:
                self.left_out += size
                self._names[id(tensor)] = None
            else:
                self._free -= size
                name = self._names[id(tensor)] = f"{'c' if tensor.is_complex() else 't'}{len(self.tensors)}"
                self.tensors[name] = plain
        return self._names[id(tensor)]


class Decoder:
    """JSON -> values. Whatever is not as the format says is refused.

    Raises:
        InputError: says where.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = {name: _complex(tensor) if name.startswith("c") else tensor for name, tensor in tensors.items()}
        self._stand_ins: dict[int, StandIn] = {}

    def decoded(self, value: Any) -> Any:
        """One value."""
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        if isinstance(value, list):
            return [self.decoded(item) for item in value]
        if not isinstance(value, dict) or len(value) != 1:
            raise InputError(f"a value in the file is neither plain nor tagged: {str(value)[:60]}")
        ((tag, content),) = value.items()
        read = getattr(self, f"_read_{tag}", None) if tag.isidentifier() else None
        if read is None:
            raise InputError(f"unknown kind of value {tag[:40]!r} in the file")
        try:
            return read(content)
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise InputError(f"a {tag} in the file cannot be read: {str(content)[:60]}") from error

    def _read_tuple(self, content: list[Any]) -> tuple[Any, ...]:
        return tuple(self.decoded(item) for item in content)

    def _read_dict(self, content: list[Any]) -> dict[Any, Any]:
        return {self.decoded(key): self.decoded(item) for key, item in content}

    def _read_tensor(self, content: str | None) -> Tensor | None:
        return None if content is None else self._tensors[content]

    def _read_statistics(self, content: dict[str, Any]) -> StandIn:
        number, shape, known = content["number"], content["shape"], self.decoded(content["known"])
        if not all(type(size) is int and 0 <= size < 2**40 for size in (number, *shape)):
            raise ValueError(str(shape))
        if number not in self._stand_ins:
            statistics = None if known is None else _checked_statistics(known, math.prod(shape))
            like = torch.empty(1, dtype=self._of_torch("dtype", content["dtype"])).expand(shape)
            self._stand_ins[number] = StandIn(like, reason=str(content["reason"]), statistics=statistics)
        return self._stand_ins[number]

    def _read_float(self, content: str) -> float:
        return float(content)

    def _read_complex(self, content: list[Any]) -> complex:
        real, imaginary = (self.decoded(part) for part in content)
        return complex(real, imaginary)

    def _read_device(self, content: str) -> torch.device:
        return torch.device(content)

    def _read_dtype(self, content: str) -> torch.dtype:
        return self._of_torch("dtype", content)  # type: ignore[no-any-return]

    def _read_layout(self, content: str) -> torch.layout:
        return self._of_torch("layout", content)  # type: ignore[no-any-return]

    def _read_memory_format(self, content: str) -> torch.memory_format:
        return self._of_torch("memory_format", content)  # type: ignore[no-any-return]

    def _read_partial(self, content: dict[str, Any]) -> dict[str, Any]:
        return {str(name): value for name, value in content.items()}

    def _read_omitted(self, content: str) -> None:
        return None

    def _read_call(self, content: dict[str, Any]) -> OpCall | None:
        """The call; None where this torch does not know the op, or a tensor of it is not in the file."""
        overload = _overload(content["overload"])
        if overload is None or _lacks_a_tensor([content["args"], *content["kwargs"].values()]):
            return None
        call = OpCall(
            overload=overload,
            args=tuple(self.decoded(value) for value in content["args"]),
            kwargs={str(name): self.decoded(value) for name, value in content["kwargs"].items()},
            outputs=tuple(self.decoded(value) for value in content["outputs"]),
        )
        _check_call(call)
        return call

    def _of_torch(self, kind: str, name: str) -> Any:
        found = getattr(torch, name)
        if not isinstance(found, _ENUMS[kind]):
            raise ValueError(name)
        return found


def _checked_statistics(known: dict[str, Any], count: int) -> Statistics:
    """Every number is of its kind, so that whoever reads them can rely on it."""
    found = Statistics(**known)
    counts = (found.count, found.zeros, found.nans, found.infs, *found.histogram)
    if not all(type(one) is int and 0 <= one <= count for one in counts) or found.count != count:
        raise ValueError("counts")
    if not all(type(one) is float for one in (found.low, found.high, found.mean, found.std)):
        raise TypeError("numbers")
    return found


def _plain(tensor: Tensor) -> Tensor | None:
    """The tensor's elements in memory of their own; None where the file has no form for it."""
    odd = tensor.layout is not torch.strided or tensor.device.type == "meta" or tensor.is_quantized or tensor.is_nested
    if odd:
        return None
    numbers = torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor
    return numbers.detach().resolve_neg().cpu().clone(memory_format=torch.contiguous_format)


def _complex(parts: Tensor) -> Tensor:
    """What was written as real and imaginary parts, in memory where torch takes complex numbers from.

    In a file they lie where parts may lie, at any multiple of half of their size: there torch's functions end the process.
    """
    return torch.view_as_complex(parts.clone())


def _overload(name: str) -> torch._ops.OpOverload | None:
    """An op of torch's own by its full name; nothing else is ever looked up."""
    found = _OVERLOAD.fullmatch(name)
    if found is None:
        return None
    packet = getattr(getattr(torch.ops, found["namespace"]), found["packet"], None)
    overload = getattr(packet, found["overload"], None)
    return overload if isinstance(overload, torch._ops.OpOverload) else None


def _check_call(call: OpCall) -> None:
    """The arguments are such as the op's schema takes, so that whoever reads the call can rely on it."""
    schema = call.overload._schema.arguments
    given = dict(zip((argument.name for argument in schema), call.args, strict=False)) | call.kwargs
    if len(call.args) > len(schema) or not all(item is None or isinstance(item, Tensor) for item in call.outputs):
        raise ValueError(str(call.overload))
    for argument in schema:
        value = given.pop(argument.name, argument.default_value)
        kinds = _KINDS.get(argument.type.kind(), (object,))
        if not isinstance(value, kinds):
            raise TypeError(f"{call.overload}: {argument.name}")
    if given:
        raise TypeError(f"{call.overload}: {', '.join(given)}")


def _lacks_a_tensor(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_lacks_a_tensor, value))
    if isinstance(value, dict):
        return value.get("tensor", "") is None or any(_lacks_a_tensor(item) for item in value.values() if item is not None)
    return False
