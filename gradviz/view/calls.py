"""A recorded call -> what it does in the names of its inputs, as on the blackboard: `x·y`, `b + x @ W`, `Wᵀ`, `x[:, 1]`.

A product of elements is `·` and a matrix product is `@`, so that the two are never mistaken for each other.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from gradviz.opcall import OpCall
from gradviz.signs import MINUS
from gradviz.view.notation import SUPERSCRIPT, atom_text, number_text, shape_text, shorten

INFIX = {
    "add": " + ",
    "bmm": " @ ",
    "div": " / ",
    "dot": " @ ",
    "eq": " = ",
    "ge": " ≥ ",
    "gt": " > ",
    "le": " ≤ ",
    "lt": " < ",
    "matmul": " @ ",
    "mm": " @ ",
    "mul": "·",
    "mv": " @ ",
    "ne": " ≠ ",
    "pow": "^",
    "sub": f" {MINUS} ",
}
FUNCTION = {
    "_softmax": "softmax",
    "_log_softmax": "log_softmax",
    "_fft_c2c": "fft",
    "_fft_c2r": "irfft",
    "_fft_r2c": "rfft",
    "convolution": "conv",
    "linalg_vector_norm": "norm",
    "nansum": "Σ",
    "neg": MINUS,
    "prod": "Π",
    "sigmoid": "σ",
    "sqrt": "√",
    "sum": "Σ",
}
AFFINE = {"addmm", "addmv", "baddbmm"}
"""Calls that read as `bias + a @ b`."""

CALL_LENGTH = 34
OPERAND_LENGTH = 13
"""What is left of a name where several do not fit."""

_CONSTANTS: dict[complex, str] = {math.pi: "π", math.e: "e"}
_INTERNAL = re.compile(r"^_+|^(_?unsafe|native|linalg|special|fft)_|_(forward|with_indices|for_cpu)$")
_WHOLE_NUMBER = re.compile(r"−?\d+")


def call_text(op: str, operands: Mapping[int, str], call: OpCall | None) -> str:
    """What a node's function does, in the names of the values that it reads.

    Options go before names do where there is no room for all.

    Args:
        op: the function's name.
        operands: argument position -> name of the value; keys are those of the graph's edges.
        call: the recorded call, for its numbers; None where it is unknown.

    >>> call_text("mul", {0: "a", 1: "b"}, None), call_text("sin", {0: "c"}, None)
    ('a·b', 'sin(c)')
    >>> call_text("addmm", {0: "bias", 1: "x", 2: "w"}, None), call_text("t", {0: "fc.weight"}, None)
    ('bias + x @ w', 'fc.weightᵀ')
    """
    if (special := _SPECIAL.get(op)) and (0 in operands or op == "copy_slices"):  # part of a graph may lack an argument
        for names in (operands, {place: shorten(name, OPERAND_LENGTH) for place, name in operands.items()}):
            text = special(names, call)
            if text and len(text) <= CALL_LENGTH:
                return text
    tensors = [atom_text(operands[position]) for position in sorted(operands)]
    arguments, extra = (tensors, False) if call is None else _argument_texts(operands, _without_defaults(call), call)
    if op == "mul" and call is not None and len(arguments) == 2 and isinstance(call.args[1], (int, float, complex)):
        arguments.reverse()  # torch puts the number last, however it was written; the blackboard puts it first
    short = [shorten(name, OPERAND_LENGTH) for name in tensors]
    for words in (arguments, tensors, short):
        text = _applied(op, words, extra)
        if len(text) <= CALL_LENGTH:
            return text
    return f"{op_symbol(op)}({short[0]}, …)" if short else f"{op_symbol(op)}(…)"


def filling_text(op: str, operands: Mapping[int, str], call: OpCall) -> str:
    """What a call writes into its first argument, which it does not read: `normal(0, 1)`, `copy(x)`.

    Numbers are written even where they are the schema's defaults, which the dispatcher leaves out of a call.

    >>> import torch
    >>> call = OpCall(overload=torch.ops.aten.bernoulli_.float, args=(torch.ones(2),))
    >>> filling_text("bernoulli", {0: "a"}, call)
    'bernoulli(0.5)'
    """
    declared = call.overload._schema.arguments[len(call.args) :]
    defaults = [argument.default_value for argument in declared if not argument.kwarg_only]
    words, extra = _argument_texts(operands, [*call.args, *defaults], call)
    return _applied(op, words[1:], extra)


def op_symbol(op: str) -> str:
    """The sign of a function where mathematics has one, else its name without what is torch's own business.

    >>> op_symbol("mul"), op_symbol("tanh"), op_symbol("_softmax"), op_symbol("native_layer_norm"), op_symbol("sum")
    ('·', 'tanh', 'softmax', 'layer_norm', 'Σ')
    """
    if op in INFIX or op in FUNCTION:
        return FUNCTION.get(op) or INFIX[op].strip()
    return op_word(op)


def op_word(op: str) -> str:
    """The name of a function without what is torch's own business.

    >>> op_word("mul"), op_word("native_layer_norm"), op_word("_scaled_dot_product_flash_attention_for_cpu")
    ('mul', 'layer_norm', 'attention')
    """
    return "attention" if op.startswith("_scaled_dot_product") else _INTERNAL.sub("", _INTERNAL.sub("", op)) or op


def _applied(op: str, words: Sequence[str], extra: bool) -> str:
    """`words` under the function `op`; `extra` says that the call has options which an infix sign would hide."""
    if op == "pow" and len(words) == 2 and _WHOLE_NUMBER.fullmatch(words[1]):
        return f"{words[0]}{words[1].translate(SUPERSCRIPT)}"
    if op in INFIX and len(words) == 2 and not extra:
        return f"{words[0]}{INFIX[op]}{words[1]}"
    if op in AFFINE and len(words) == 3 and not extra:
        return f"{words[0]} + {words[1]} @ {words[2]}"
    if op in ("neg", "sqrt") and len(words) == 1:
        return f"{op_symbol(op)}{words[0]}"
    plain = [_without_parentheses(word) for word in words]
    if op == "abs" and len(words) == 1:
        return f"|{plain[0]}|"
    name = op if op in INFIX else op_symbol(op)
    return f"{name}({', '.join(plain)})"


def _argument_texts(operands: Mapping[int, str], arguments: Iterable[Any], call: OpCall) -> tuple[list[str], bool]:
    """These arguments as text (tensors by name, numbers, lists of ints), and whether options are left out."""
    import torch

    position = 0
    words: list[str] = []
    for argument in arguments:
        items = argument if isinstance(argument, (list, tuple)) else (argument,)
        if any(isinstance(item, torch.Tensor) for item in items):
            for item in items:
                if isinstance(item, torch.Tensor):
                    words.append(atom_text(operands.get(position, "?")))
                    position += 1
        elif isinstance(argument, bool):
            continue
        elif isinstance(argument, (int, float, complex)):
            words.append(_CONSTANTS.get(argument) or _scalar_text(argument))
        elif isinstance(argument, (list, tuple)) and all(isinstance(item, int) for item in argument):
            words.append(shape_text(argument).replace("-", MINUS))
    extra = any(value not in (None, 1, False) for value in call.kwargs.values() if not isinstance(value, torch.Tensor))
    return words, extra


def _without_defaults(call: OpCall) -> Sequence[Any]:
    """The positional arguments; numbers at the end that are what the schema has anyway are not worth their room."""
    import torch

    arguments = list(zip(call.args, call.overload._schema.arguments, strict=False))
    while arguments:
        given, declared = arguments[-1]
        if isinstance(given, torch.Tensor) or not declared.has_default_value() or given != declared.default_value:
            break
        arguments.pop()
    return [given for given, _ in arguments]


def _scalar_text(value: float | complex) -> str:
    """A number as one factor: `2`, `1j`, `(1 + 2j)`."""
    if not isinstance(value, complex):
        return number_text(value)
    return f"({number_text(value)})" if value.real else f"{number_text(value.imag)}j"


def _without_parentheses(word: str) -> str:
    return word[1:-1] if word.startswith("(") and word.endswith(")") else word


# Functions that have a notation of their own. Each writer may return "" to leave a call to the general way.


def _transpose(operands: Mapping[int, str], call: OpCall | None) -> str:
    """`wᵀ` for a transpose of the last two axes."""
    axes = [0, 1] if call is None else [axis % call.args[0].ndim for axis in call.args[1:3]]
    last_two = call is not None and sorted(axes) == [call.args[0].ndim - 2, call.args[0].ndim - 1]
    return f"{atom_text(operands[0])}ᵀ" if last_two else ""


def _permute(operands: Mapping[int, str], call: OpCall | None) -> str:
    """`wᵀ` for a matrix whose axes are swapped."""
    swapped = call is not None and [axis % 2 for axis in call.args[1]] == [1, 0] and call.args[0].ndim == 2
    return f"{atom_text(operands[0])}ᵀ" if swapped else ""


def _matrix_transpose(operands: Mapping[int, str], call: OpCall | None) -> str:
    is_vector = call is not None and call.args[0].ndim < 2
    return "" if is_vector else f"{atom_text(operands[0])}ᵀ"


def _select(operands: Mapping[int, str], call: OpCall | None) -> str:
    """`x[:, 1]`"""
    return "" if call is None else _indexed(operands, call, str(call.args[2]))


def _slice(operands: Mapping[int, str], call: OpCall | None) -> str:
    """`x[:, 1:3]`"""
    if call is None:
        return ""
    given: list[Any] = list(call.args[1:])
    axis, start, end, step = given + [0, None, None, 1][len(given) :]
    size = call.args[0].shape[axis]
    first = str(start) if start else ""
    last = str(end) if end is not None and end < size else ""
    return _indexed(operands, call, f"{first}:{last}" + (f":{step}" if step != 1 else ""))


def _indexed(operands: Mapping[int, str], call: OpCall, index: str) -> str:
    """`x[index]` along the axis that the call names."""
    axis = call.args[1] if len(call.args) > 1 else 0
    before = "..., " if axis == -1 and call.args[0].ndim > 1 else ":, " * (axis % call.args[0].ndim)
    return f"{atom_text(operands[0])}[{before}{index}]".replace("-", MINUS)


def _index(operands: Mapping[int, str], call: OpCall | None) -> str:
    """`x[:, rows]` for an index that is a tensor, or several."""
    return "" if call is None else _picked(operands, call)


def _index_put(operands: Mapping[int, str], call: OpCall | None) -> str:
    """`x[rows] ← y`, or `x[rows] += y` where it is added to what is there."""
    if call is None or not (place := _picked(operands, call)):
        return ""
    written = operands.get(1 + sum(index is not None for index in call.args[1]), "")
    added = len(call.args) > 3 and call.args[3]
    return f"{place} {'+=' if added else '←'} {written}" if written else ""


def _picked(operands: Mapping[int, str], call: OpCall) -> str:
    """`x[:, rows]`, the index tensors of a call that follow its first argument; "" where one is not known by name."""
    places = itertools.count(1)
    words = [":" if index is None else operands.get(next(places), "") for index in call.args[1]]
    return f"{atom_text(operands[0])}[{', '.join(words)}]" if all(words) else ""


def _fourier(operands: Mapping[int, str], call: OpCall | None) -> str:
    """`fft(x)`, with the axes unless it is the last alone; which of torch's functions it was, a flag says."""
    if call is None:
        return ""
    name = FUNCTION[call.op]
    if call.op == "_fft_c2c" and not call.args[3]:
        name = "ifft"
    if call.op == "_fft_r2c" and not call.args[3]:
        name = "fft"
    axes = [axis % call.args[0].ndim for axis in call.args[1]]
    many = "" if len(axes) == 1 else "n"
    last = axes == [call.args[0].ndim - 1]
    return f"{name}{many}({operands[0]})" if last else f"{name}{many}({operands[0]}, {shape_text(axes)})"


def _rsub(operands: Mapping[int, str], call: OpCall | None) -> str:
    """`rsub(x, 1)` is 1 − x."""
    words, extra = ([], True) if call is None else _argument_texts(operands, call.args, call)
    return "" if extra or len(words) != 2 else f"{words[1]} {MINUS} {words[0]}"


def _to_copy(operands: Mapping[int, str], call: OpCall | None) -> str:
    """`float64(x)`, or where the copy went."""
    options: Mapping[str, Any] = {} if call is None else call.kwargs
    name = operands[0]
    if options.get("dtype") is not None and call is not None and options["dtype"] != call.args[0].dtype:
        return f"{str(options['dtype']).removeprefix('torch.')}({name})"
    return f"{name} on {options['device']}" if options.get("device") is not None else f"copy({name})"


def _copy_slices(operands: Mapping[int, str], call: OpCall | None) -> str:
    """A write into a part of `base`: what was written may itself come from several values."""
    written = ", ".join(operands[position] for position in sorted(operands) if position) or "…"
    base = atom_text(operands[0]) if 0 in operands else ""
    return f"{base}[…] ← {written}"


_SPECIAL: dict[str, Callable[[Mapping[int, str], OpCall | None], str]] = {
    "_fft_c2c": _fourier,
    "_fft_c2r": _fourier,
    "_fft_r2c": _fourier,
    "_to_copy": _to_copy,
    "copy_slices": _copy_slices,
    "index": _index,
    "index_put": _index_put,
    "nll_loss_forward": lambda operands, call: f"nll_loss({', '.join(operands[place] for place in sorted(operands))})",
    "numpy_T": _matrix_transpose,
    "permute": _permute,
    "reciprocal": lambda operands, call: f"1 / {atom_text(operands[0])}",
    "rsub": _rsub,
    "select": _select,
    "slice": _slice,
    "square": lambda operands, call: f"{atom_text(operands[0])}²",
    "t": _matrix_transpose,
    "transpose": _transpose,
}
