"""One recorded aten call as a value: what every later step (recovery, partials, symbolic rules, the check) reads.

The tensors in it are detached snapshots of what the call really received and returned. One tensor at one version is one
snapshot object, so data flow between calls is object identity: an argument `is` the output of the call that made it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")

_NO_TENSORS = re.compile(r"(?:(?:List|Optional)\[)*(?:int|bool|float|complex|str|Device|Generator)\]*")
"""Types of arguments, as schemas write them, that neither are nor hold tensors. A number may be one of a single element."""
_ONE_TENSOR = ("Tensor", "Optional[Tensor]")
_OF_TORCH = frozenset({"aten", "prims"})
WITH_CHANNELS = frozenset({"convolution", "native_batch_norm", "cudnn_batch_norm", "native_group_norm"})
"""Functions of whose results dimension 1 counts the units."""
KEEPING_CHANNELS = frozenset({"add", "mul", "div", "sub", "max_pool2d_with_indices", "avg_pool2d"})
"""Functions whose results have the units where their first argument has them; those that only move or copy aside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorArgument:
    """One tensor among the arguments of a call.

    Attributes:
        position: its place among the call's tensor arguments, lists flattened, absent ones not counted; the edge key.
        name: the name of the schema's argument; `tensors[1]` for the second of a list.
        tensor: the detached snapshot.
    """

    position: int
    name: str
    tensor: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class OpCall:
    """One aten call as it ran.

    Attributes:
        overload: the aten overload, for instance `aten.mul.Tensor`.
        args, kwargs: as the dispatcher saw them; tensors are detached snapshots, numbers are plain Python numbers.
        outputs: the results, flattened; None where the op returned none.
    """

    overload: torch._ops.OpOverload
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    outputs: tuple[Tensor | None, ...] = ()

    @property
    def op(self) -> str:
        """The function's name without overload and in-place mark: `mul` for `aten.mul_.Tensor`."""
        return op_name(self.overload)

    def tensor_arguments(self) -> Iterator[TensorArgument]:
        """The tensors among the arguments, in the order of the schema, numbered as edge keys are."""
        for position, (name, tensor) in enumerate(tensors_of(self.overload, self.args, self.kwargs)):
            yield TensorArgument(position=position, name=name, tensor=tensor)

    def arguments_with(
        self, of_tensor: Callable[[int, Tensor], Tensor], of_other: Callable[[Any], Any] = lambda value: value
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments with others in their places, as `overload(*args, **kwargs)` takes them.

        Args:
            of_tensor: edge key and tensor -> what stands in its place.
            of_other: the same of what is neither a tensor nor a list.

        >>> x = torch.ones(2)
        >>> call = OpCall(overload=torch.ops.aten.cat.default, args=([x, x],), kwargs={"dim": 0})
        >>> call.arguments_with(lambda position, tensor: tensor.new_full((1,), position))
        (([tensor([0.]), tensor([1.])],), {'dim': 0})
        """
        positions = itertools.count()

        def entered(value: Any) -> Any:
            if isinstance(value, Tensor):
                return of_tensor(next(positions), value)
            if isinstance(value, (list, tuple)):
                return type(value)(entered(item) for item in value)
            return of_other(value)

        args = tuple(entered(value) for value in self.args)
        names = argument_names(self.overload)
        return args, {name: entered(self.kwargs[name]) for name in names if name in self.kwargs}


_set_overload, _set_args, _set_kwargs, _set_outputs = (
    OpCall.__dict__[name].__set__ for name in ("overload", "args", "kwargs", "outputs")
)


def op_call(
    overload: torch._ops.OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any], outputs: tuple[Tensor | None, ...]
) -> OpCall:
    """`OpCall(...)` for who makes thousands: the constructor of a frozen dataclass takes four times as long."""
    made = OpCall.__new__(OpCall)
    _set_overload(made, overload)
    _set_args(made, args)
    _set_kwargs(made, kwargs)
    _set_outputs(made, outputs)
    return made


def once_per_overload(function: Callable[[torch._ops.OpOverload], Result]) -> Callable[[torch._ops.OpOverload], Result]:
    """Remembers what a function said of each overload. By identity: an overload's own hash runs Python code."""
    said: dict[int, Result] = {}
    kept: list[torch._ops.OpOverload] = []  # so that their ids stay their own

    @wraps(function)
    def remembered(overload: torch._ops.OpOverload) -> Result:
        try:
            return said[id(overload)]
        except KeyError:
            said[id(overload)] = found = function(overload)
            kept.append(overload)
            return found

    return remembered


@once_per_overload
def op_name(overload: torch._ops.OpOverload) -> str:
    """`aten.add_.Tensor` -> `add`; `aten._softmax.default` -> `_softmax`."""
    name: str = overload._schema.name.split("::")[-1]
    return name[:-1] if name.endswith("_") and not name.endswith("__") else name


@once_per_overload
def custom_name(overload: torch._ops.OpOverload) -> str:
    """The name of an op that `torch.library` made, "mylib::round"; "" of torch's own."""
    name: str = overload._schema.name
    return "" if overload.namespace in _OF_TORCH else name


@once_per_overload
def argument_names(overload: torch._ops.OpOverload) -> tuple[str, ...]:
    """The names of an overload's arguments, in the order of its schema."""
    return tuple(argument.name for argument in overload._schema.arguments)


@once_per_overload
def tensor_places(overload: torch._ops.OpOverload) -> tuple[tuple[int, str], ...]:
    """Place and name of each argument that may be a tensor or hold tensors, in the order of the schema."""
    arguments = enumerate(overload._schema.arguments)
    return tuple((place, argument.name) for place, argument in arguments if not _NO_TENSORS.fullmatch(str(argument.type)))


@once_per_overload
def positions_of_tensors(overload: torch._ops.OpOverload) -> tuple[int, ...]:
    """The same places without the names."""
    return tuple(place for place, _ in tensor_places(overload))


class _Leading(NamedTuple):
    """The names of the first arguments of an overload, none of which is a list, up to one that can be no single tensor; and
    the place of the next argument after these that may be or hold a tensor."""

    names: tuple[str, ...]
    next_place: int


@once_per_overload
def _leading(overload: torch._ops.OpOverload) -> _Leading:
    types = [str(argument.type) for argument in overload._schema.arguments]
    count = next((place for place, kind in enumerate(types) if kind not in _ONE_TENSOR), len(types))
    further = (place for place in positions_of_tensors(overload) if place >= count)
    return _Leading(argument_names(overload)[:count], next(further, len(types)))


def tensors_of(
    overload: torch._ops.OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> list[tuple[str, Tensor]]:
    """The (name, tensor) pairs among the arguments of a call, lists flattened, in the order of the schema."""
    given = len(args)
    names, next_place = _leading(overload)
    if not kwargs and given <= next_place:  # as a rule there are no other tensors
        return [pair for pair in zip(names, args, strict=False) if isinstance(pair[1], Tensor)]  # numbers come as such
    found = []
    for place, name in tensor_places(overload):
        if place < given:
            value = args[place]
        elif name in kwargs:
            value = kwargs[name]
        else:
            continue
        if isinstance(value, Tensor):
            found.append((name, value))
        elif isinstance(value, (list, tuple)):
            found += [(f"{name}[{place}]", item) for place, item in enumerate(value) if isinstance(item, Tensor)]
    return found


ALLOCATING = frozenset({"empty", "empty_like", "empty_permuted", "empty_strided", "new_empty", "new_empty_strided"})
"""Functions whose results hold what memory held."""
SAME_MEMORY = frozenset({"alias", "detach", "lift_fresh"})
"""Functions whose results are what their argument is, element by element, and change with it."""
OVERWRITING = frozenset(
    {"bernoulli", "cauchy", "copy", "exponential", "fill", "geometric", "log_normal", "normal", "random", "uniform", "zero"}
)
"""Functions that, in place, write every element of their first argument without reading it."""

SHAPE_READING = frozenset(
    {
        *("empty_like", "full_like", "ones_like", "rand_like", "randint_like", "randn_like", "zeros_like"),
        *("new_empty", "new_empty_strided", "new_full", "new_ones", "new_zeros"),
    }
)
"""Functions that take nothing from their tensor but shape, dtype and device: they cut off no gradient. What autograd starts
a gradient within the code with is made so."""

# torch's schemas do not say that these write to their running statistics, when `training`, their sixth argument, is set.
WRITE_IN_TRAINING = frozenset({torch.ops.aten.native_batch_norm.default, torch.ops.aten.cudnn_batch_norm.default})


@once_per_overload
def written_arguments(overload: torch._ops.OpOverload) -> tuple[str, ...]:
    """Names of the arguments that an overload writes to."""
    if overload in WRITE_IN_TRAINING:
        return ("running_mean", "running_var")
    schema = getattr(overload, "_schema", None)
    arguments = schema.arguments if schema is not None and schema.is_mutable else ()
    return tuple(argument.name for argument in arguments if argument.alias_info is not None and argument.alias_info.is_write)


def written_tensors(
    overload: torch._ops.OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Iterator[Tensor]:
    """The tensors that a call writes to, lists flattened, in the order of the schema."""
    names = written_arguments(overload)
    for name, tensor in tensors_of(overload, args, kwargs) if names else ():
        if name.partition("[")[0] in names:
            yield tensor


def is_inexact(tensor: Tensor) -> bool:
    """Whether its elements are floating or complex: they are rounded, vary by little, and can require a gradient."""
    return tensor.dtype.is_floating_point or tensor.dtype.is_complex


class Effects(NamedTuple):
    """What calls of an overload do to memory.

    Attributes:
        writes: whether they write to arguments.
        in_training: whether they do so only where `training`, their sixth argument, is set.
        fills: whether they write every element of their first argument, and read none.
        reshapes: whether they change the shape or strides of what they write to, as `transpose_` does.
        rebinds: whether they make what they write to look at other memory, as `set_` does.
        allocates: whether their results hold what memory held.
    """

    writes: bool
    in_training: bool
    fills: bool
    reshapes: bool
    rebinds: bool
    allocates: bool


@once_per_overload
def effects_of(overload: torch._ops.OpOverload) -> Effects:
    """All that a recorder asks of an overload at each call."""
    return Effects(
        writes=bool(written_arguments(overload)),
        in_training=overload in WRITE_IN_TRAINING,
        fills=op_name(overload) in OVERWRITING,
        reshapes=torch.Tag.inplace_view in overload.tags,
        rebinds=overload._schema.name == "aten::set_",
        allocates=op_name(overload) in ALLOCATING,
    )


def flat_outputs(result: Any) -> tuple[Tensor | None, ...]:
    """The results of a call, flattened."""
    if isinstance(result, Tensor):
        return (result,)
    if isinstance(result, (list, tuple)):
        return tuple(output for item in result for output in flat_outputs(item))
    return (None,)
