"""Where each output element of a data movement comes from: the op itself, run on positions instead of values.

Every element of the moved tensors gets a code, 1, 2, 3, ...; zero stays the code of what the op fills with zeros, and
-1 stands for its fill value. Views are not even run: on a meta tensor their strides and offset say where elements
lie, so a view of a tensor of any size costs nothing.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradviz.opcall import OpCall
from gradviz.symbolic.binding import Argument, bind, call_with, functional_form
from gradviz.symbolic.registry import MovementRule, NoRule
from gradviz.symbolic.tensor import Index

FILL = -1
_DTYPE_ARGUMENTS = {"dtype", "layout", "device", "pin_memory", "memory_format", "non_blocking"}


class Movement:
    """The source of every output element of one recorded data movement.

    Attributes:
        moved: position of each moved tensor -> the code before its first element's.
        fill: what elements with code `FILL` hold.
    """

    def __init__(self, rule: MovementRule, call: OpCall) -> None:
        self._rule = rule
        self._call = call
        self._arguments = bind(call)
        self._overload = functional_form(call.overload)
        self.moved: dict[int, int] = {}
        self.shapes: dict[int, tuple[int, ...]] = {}
        self.fill: complex = 0.0
        first = 0
        for argument in self._arguments:
            if argument.name in rule.moved:
                for position, tensor in _tensors(argument):
                    self.moved[position] = first
                    self.shapes[position] = tuple(tensor.shape)
                    first += tensor.numel()
            elif argument.name == rule.fill and argument.value is not None:
                self.fill = argument.value if isinstance(argument.value, complex) else float(argument.value)
        self._codes: dict[int, NDArray[np.int64]] = {}
        self._views: list[Tensor] | None = None

    def source(self, output: int, index: Index) -> tuple[int, Index] | complex:
        """(position, index) of the element that lies at `index` of this output, or the number that fills it."""
        if self._rule.row_major:
            ((position, _),) = self.moved.items()
            flat = _flat_of(index, tuple(self._output(output).shape))
            return position, _index_of(flat, self.shapes[position])
        if self._overload is torch.ops.aten.embedding.default:  # its weight may be large: look one row up
            ((position, _),) = self.moved.items()
            row = int(self._argument("indices")[index[:-1]])
            if row == self._padding:
                return self._argument("weight")[row, index[-1]].item()  # type: ignore[no-any-return]
            return position, (row, index[-1])
        if self._is_view:
            view = self._view(output)
            flat = int(view.storage_offset()) + sum(p * s for p, s in zip(index, view.stride(), strict=True))
            ((position, _),) = self.moved.items()
            return position, _index_of(flat, self.shapes[position])
        code = int(self.codes(output).item(index))
        if code == 0 and self._overload is torch.ops.aten.as_strided.default:
            return float(self._output(output)[index])  # from beside the tensor
        if code <= 0:
            return self.fill if code == FILL else 0.0
        position = max((p for p in self.moved if self.moved[p] < code), key=lambda p: (self.moved[p], p))
        return position, _index_of(code - 1 - self.moved[position], self.shapes[position])

    def codes(self, output: int) -> NDArray[np.int64]:
        """The codes of all elements of this output."""
        if self._rule.row_major:
            shape = tuple(self._output(output).shape)
            return np.arange(1, 1 + math.prod(shape)).reshape(shape)
        if output not in self._codes:
            results = self._run(self._coded)
            if self._padding is not None:
                results[0][self._argument("indices") == self._padding] = 0
            self._codes.update(
                {place: result.to(torch.int64).numpy() for place, result in enumerate(results) if result is not None}
            )
        return self._codes[output]

    def moved_back(self, output: int, cotangent: Tensor) -> Tensor | None:
        """The only moved tensor's VJP, where it is a copy of the cotangent: no two elements come from one; else None."""
        ((position, _), *others) = self.moved.items()
        shape = self.shapes[position]
        if others:
            return None
        if self._rule.row_major:
            return cotangent.reshape(shape)
        if not self._is_view:
            return None
        found = torch.zeros(shape, dtype=cotangent.dtype)
        view = self._run(lambda argument, tensor, position: found)[output]
        if _may_overlap(view):
            return None
        view.copy_(cotangent)
        return found

    @property
    def _padding(self) -> int | None:
        """The row of an embedding that torch documents to get no gradient: its `padding_idx`."""
        if self._overload is not torch.ops.aten.embedding.default:
            return None
        given = next((argument.value for argument in self._arguments if argument.name == "padding_idx"), -1)
        return int(given) if given is not None and int(given) >= 0 else None

    @property
    def _is_view(self) -> bool:
        if self._overload is torch.ops.aten.as_strided.default:
            return False  # it reads the strides of its input, which the meta tensor does not have
        returns = self._overload._schema.returns
        aliased = [result.alias_info for result in returns]
        return len(self.moved) == 1 and all(alias is not None and not alias.is_write for alias in aliased)

    def _view(self, output: int) -> Tensor:
        if self._views is None:
            self._views = self._run(lambda argument, tensor, position: torch.empty(tensor.shape, device="meta"))
        return self._views[output]

    def _argument(self, name: str) -> Any:
        return next(argument.value for argument in self._arguments if argument.name == name)

    def _output(self, output: int) -> Tensor:
        tensor = self._call.outputs[output]
        assert tensor is not None
        return tensor

    def _coded(self, argument: Argument, tensor: Tensor, position: int) -> Tensor:
        if position not in self.moved:
            return tensor.cpu()
        first = self.moved[position] + 1
        codes = torch.arange(first, first + tensor.numel()).view(tensor.shape)
        return self._in_memory(tensor, codes) if self._overload is torch.ops.aten.as_strided.default else codes

    def _in_memory(self, tensor: Tensor, codes: Tensor) -> Tensor:
        """The codes lying as the elements lie, in a memory of zeros: `as_strided` reads memory, beside the tensor too."""
        memory = torch.zeros(tensor.untyped_storage().nbytes() // tensor.element_size(), dtype=torch.int64)
        lying = memory.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())
        if not (tensor.numel() and 0 in tensor.stride()):
            lying.copy_(codes)
        if not torch.equal(lying, codes):
            raise NoRule("as_strided of a tensor whose elements share memory")
        if not torch.equal(tensor.as_strided(*self._geometry(tensor)), self._output(0)):
            raise NoRule("as_strided of memory that was changed afterwards")
        return lying

    def _geometry(self, tensor: Tensor) -> tuple[Any, Any, Any]:
        offset = self._argument("storage_offset")
        return self._argument("size"), self._argument("stride"), tensor.storage_offset() if offset is None else offset

    def _run(self, replace: Any) -> list[Tensor]:
        arguments = []
        for argument in self._arguments:
            if argument.name in _DTYPE_ARGUMENTS:
                continue
            if argument.name == self._rule.fill and not argument.positions and argument.value is not None:
                argument = Argument(name=argument.name, value=FILL, positions=(), keyword_only=argument.keyword_only)
            arguments.append(argument)
        with torch.no_grad():
            results = call_with(self._overload, arguments, replace)
        return list(results) if isinstance(results, (list, tuple)) else [results]


def _may_overlap(view: Tensor) -> bool:
    """Whether two of its elements may share memory, as where a tensor is expanded or unfolded."""
    reached = 0
    for step, size in sorted(zip(view.stride(), view.shape, strict=True)):
        if size > 1:
            if step <= reached:
                return True
            reached += step * (size - 1)
    return False


def _tensors(argument: Argument) -> list[tuple[int, Tensor]]:
    items = argument.value if isinstance(argument.value, (list, tuple)) else (argument.value,)
    return [(p, item) for p, item in zip(argument.positions, items, strict=False) if p is not None]


def _flat_of(index: Index, shape: Index) -> int:
    flat = 0
    for place, size in zip(index, shape, strict=True):
        flat = flat * size + place
    return flat


def _index_of(flat: int, shape: Index) -> Index:
    index = []
    for size in reversed(shape):
        flat, place = divmod(flat, size)
        index.append(place)
    return tuple(reversed(index))
