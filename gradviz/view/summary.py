"""A tensor -> the few lines and the small heat map that stand for it on a picture.

Numbers are reduced on the tensor's own device, so that of a large tensor on an accelerator only a few numbers travel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gradviz.standin import StandIn, is_kept
from gradviz.statistics import Statistics
from gradviz.view.notation import number_text, shape_text

HEAT_CELLS = 32
"""A tensor with at most this many rows and columns gets a heat map."""
HEAT_NOTE = "squares: vermilion > 0, white = 0, blue < 0, each tensor to its own scale; black NaN, yellow ∞"
NO_HEAT_NOTE = "heat maps left out, so that the rest is larger on a page: show with “heat” draws them"
"""What a picture says of its heat maps, and where they are left out."""
SHOWN_ELEMENTS = 4
_BRIEF = 3
WRITTEN_LENGTH = 32
"""A vector or matrix with at most this many elements, in at most this many characters, is written out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatMap:
    """The values of a small tensor, laid out as on the picture.

    Attributes:
        values: the rows, of equal length; NaN and infinities included.
        limit: the largest finite magnitude, where the colours end; 0 when there is none.
    """

    values: tuple[tuple[float, ...], ...]
    limit: float

    @property
    def rows(self) -> int:
        return len(self.values)

    @property
    def columns(self) -> int:
        return len(self.values[0])


def value_lines(value: Tensor, *, digits: int = 4) -> tuple[str, ...]:
    """The lines that describe a value; one number for a scalar, the elements where they are few, else what sums them up.

    Args:
        value: any tensor.
        digits: how many significant ones mean, least and greatest element get.

    >>> value_lines(torch.tensor(6.0)), value_lines(torch.tensor([[6.0]]))
    (('6',), ('[[6]]',))
    >>> value_lines(torch.tensor([1.0, 2.5, -4.0]))
    ('float32 [3]', '[1, 2.5, −4]')
    >>> value_lines(torch.arange(6.0))
    ('float32 [6]', 'mean 2.5', 'min 0  max 5')
    """
    if (known := kept_statistics(value)) is not None:
        return (head_line(value), *_lines_of(known, value.dtype, digits), "elements not kept")
    if is_opaque(value):
        return (head_line(value),)
    if value.numel() == 1:
        return (_brackets(number_text(value.item()), value.ndim),)
    if value.numel() == 0:
        return (head_line(value), "empty")
    written = written_out(value)
    return (head_line(value), *([written] if written else statistics_lines(value, digits)))


def brief_line(value: Tensor) -> str:
    """One line that describes a value where there is little room: the number, the elements, or shape and range.

    >>> brief_line(torch.tensor(6.0)), brief_line(torch.tensor([1.0, 2.5])), brief_line(torch.arange(6.0))
    ('6', '[1, 2.5]', '[6]  0 to 5')
    """
    head, *rest = value_lines(value, digits=_BRIEF)
    if not rest or rest[0].startswith("["):
        return rest[0] if rest else head
    told = [line.removeprefix("min ").replace("  max ", " to ") for line in rest if not line.startswith("mean ")]
    return f"{shape_text(value.shape)}  {', '.join(told)}"


def norm_line(value: Tensor) -> str:
    """The same of a cotangent, whose shape is told elsewhere: the number, the elements, or the norm.

    >>> norm_line(torch.tensor(6.0)), norm_line(torch.ones(100))
    ('6', 'norm 10')
    """
    lines = value_lines(value)
    is_long = len(lines) > 1 and not lines[1].startswith("[") and has_norm(value) and value.numel()
    return f"norm {number_text(norm(value))}" if is_long else brief_line(value)


def cotangent_text(cotangent: Tensor, sign: str, *, longest: int = WRITTEN_LENGTH) -> str:
    """A cotangent on one line: itself where it is short, else its norm.

    Args:
        cotangent: any shape.
        sign: what it is called, for instance `∂d/∂c`.
        longest: elements that take more characters are not written out.

    >>> cotangent_text(torch.tensor(1.5), "∂d/∂c"), cotangent_text(torch.ones(100), "∂d/∂h")
    ('∂d/∂c = 1.5', '‖∂d/∂h‖ = 10')
    """
    if not has_norm(cotangent) or cotangent.numel() == 0:
        return f"{sign}: {head_line(cotangent)}"
    if cotangent.numel() == 1:
        return f"{sign} = {_brackets(number_text(cotangent.item()), cotangent.ndim)}"
    if (written := written_out(cotangent)) and len(written) <= longest:
        return f"{sign} = {written}"
    return f"‖{sign}‖ = {number_text(norm(cotangent))}"


def written_out(value: Tensor, *, most: int = SHOWN_ELEMENTS, longest: int = WRITTEN_LENGTH) -> str:
    """The elements of a short vector or a small matrix; "" for any other tensor and where they take too much room.

    Args:
        value: any tensor.
        most, longest: how many elements are written, in how many characters.

    >>> written_out(torch.tensor([[0.5, -1.0], [2.0, 0.25]])), written_out(torch.zeros(5)), written_out(torch.tensor(1.0))
    ('[[0.5, −1], [2, 0.25]]', '', '')
    """
    if is_opaque(value) or value.ndim not in (1, 2) or not 0 < value.numel() <= most:
        return ""
    text = _nested(value.tolist())
    return text if len(text) <= longest else ""


def head_line(value: Tensor) -> str:
    """The dtype and the shape, and what is unusual about where the tensor lives.

    >>> head_line(torch.zeros(2, 50, dtype=torch.bfloat16))
    'bfloat16 [2, 50]'
    """
    place = "" if value.layout == torch.strided else f" {str(value.layout).removeprefix('torch.')}"
    place += " meta" if value.device.type == "meta" else ""
    return f"{str(value.dtype).removeprefix('torch.')} {shape_text(value.shape)}{place}"


def statistics_lines(value: Tensor, digits: int = 4) -> tuple[str, ...]:
    """Mean, least and greatest element of the finite ones, and how many are not finite; short lines keep a node narrow.

    >>> statistics_lines(torch.tensor([[1.0, float("nan")], [float("inf"), 3.0]]))
    ('mean 2', 'min 1  max 3', '1 NaN, 1 ∞')
    >>> statistics_lines(torch.tensor([True, False, True, True]))
    ('3 of 4 True',)
    """
    if value.dtype == torch.bool:
        return (f"{int(value.sum())} of {value.numel()} True",)
    numbers = as_reals(value)
    extremes = torch.aminmax(numbers)  # NaN where there is one: a large tensor need not be read a second time to look for it
    odd = ""
    if not all(math.isfinite(extreme.item()) for extreme in extremes):
        finite = torch.isfinite(numbers)
        nan = int(torch.isnan(numbers).sum())
        infinite = numbers.numel() - int(finite.sum()) - nan
        odd = ", ".join(f"{count} {name}" for count, name in ((nan, "NaN"), (infinite, "∞")) if count)
        numbers = numbers[finite]
        if not numbers.numel():
            return ("nothing finite", odd)
        extremes = torch.aminmax(numbers)
    least, greatest = (_exact(extreme, value) for extreme in extremes)
    of = "modulus: " if value.is_complex() else ""
    mean = f"{of}mean {number_text(numbers.mean().item(), digits)}"
    ends = f"min {number_text(least, digits)}  max {number_text(greatest, digits)}"
    return (mean, ends, odd) if odd else (mean, ends)


def norm(value: Tensor) -> float:
    """The Euclidean norm of all elements."""
    if (known := kept_statistics(value)) is not None:
        return math.nan if known.nans else math.inf if known.infs else known.norm
    return float(torch.linalg.vector_norm(as_reals(value)))


def heat_map(value: Tensor) -> HeatMap | None:
    """The values of a tensor of 2 to 32 x 32 elements; None for any other.

    Axes of length 1 do not count. A vector becomes one row. A complex number is shown by its modulus.

    >>> heat_map(torch.tensor([1.0, -3.0]))
    HeatMap(values=((1.0, -3.0),), limit=3.0)
    >>> heat_map(torch.zeros(33, 2)) is None
    True
    """
    shape = [size for size in value.shape if size != 1]
    if is_opaque(value) or not 1 <= len(shape) <= 2 or not all(1 < size <= HEAT_CELLS for size in shape):
        return None
    numbers = as_reals(value).reshape(shape if len(shape) == 2 else (1, *shape))
    finite = numbers[torch.isfinite(numbers)]
    limit = float(finite.abs().max()) if finite.numel() else 0.0
    return HeatMap(values=tuple(tuple(row) for row in numbers.tolist()), limit=limit)


def is_opaque(value: Tensor) -> bool:
    """Whether the elements cannot be read by ordinary operations."""
    if not is_kept(value):
        return True
    return value.layout != torch.strided or value.device.type == "meta" or value.is_quantized or value.is_nested


def has_norm(value: Tensor) -> bool:
    """Whether `norm` can be asked."""
    return kept_statistics(value) is not None or not is_opaque(value)


def kept_statistics(value: Tensor) -> Statistics | None:
    """The statistics that stand for a value whose elements were not kept; None for any other."""
    return value.statistics if isinstance(value, StandIn) and not is_kept(value) else None


def as_reals(value: Tensor) -> Tensor:
    """Real floating-point numbers, in float64 unless the tensor is large or its device has none."""
    numbers = value.detach()
    if numbers.is_complex():
        numbers = numbers.abs()
    wide = numbers.numel() <= 1 << 20 and numbers.device.type != "mps"
    return numbers.to(torch.float64 if wide else torch.float32)


def _lines_of(known: Statistics, dtype: torch.dtype, digits: int) -> tuple[str, ...]:
    """The lines of `statistics_lines`, of statistics."""
    if dtype == torch.bool:
        return (f"{known.count - known.zeros} of {known.count} True",)
    odd = ", ".join(f"{count} {name}" for count, name in ((known.nans, "NaN"), (known.infs, "∞")) if count)
    if not known.finite:
        return ("nothing finite", odd)
    mean = f"{'modulus: ' if dtype.is_complex else ''}mean {number_text(known.mean, digits)}"
    ends = f"min {number_text(known.low, digits)}  max {number_text(known.high, digits)}"
    return (mean, ends, odd) if odd else (mean, ends)


def _exact(extreme: Tensor, value: Tensor) -> float | int:
    """An extreme element as a number of the tensor's own kind: ints print in full."""
    number: float = extreme.item()
    return number if value.dtype.is_floating_point or value.is_complex() else int(number)


def _nested(elements: Any) -> str:
    if not isinstance(elements, list):
        return number_text(elements)
    return f"[{', '.join(_nested(element) for element in elements)}]"


def _brackets(text: str, ndim: int) -> str:
    return "[" * ndim + text + "]" * ndim
