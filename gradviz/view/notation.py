"""Numbers, names and calls -> the short text that stands on a picture.

A picture has room for about four digits and one line. Everything that prints a number on a picture goes through
here, so that the same value never looks different in two places. Formulas come from `gradviz.symbolic`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from gradviz.opcall import OpCall

INFIX = {
    "add": "+",
    "bmm": "@",
    "div": "/",
    "dot": "·",
    "eq": "=",
    "ge": "≥",
    "gt": ">",
    "le": "≤",
    "lt": "<",
    "matmul": "@",
    "mm": "@",
    "mul": "×",
    "mv": "@",
    "ne": "≠",
    "pow": "^",
    "sub": "−",
}
FUNCTION = {
    "nansum": "Σ",
    "neg": "−",
    "prod": "Π",
    "sigmoid": "σ",
    "sqrt": "√",
    "sum": "Σ",
}
AFFINE = {"addmm", "addmv", "baddbmm"}
"""Calls that read as `bias + a @ b`."""

MINUS = "−"
SUPERSCRIPT = str.maketrans("-−0123456789", "⁻⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
CALL_LENGTH = 30
NAME_LENGTH = 28
FORMULA_LENGTH = 44

_CONSTANTS: dict[complex, str] = {math.pi: "π", math.e: "e"}
_ATOM = re.compile(r"[\w.]+(\[\d+\])?")


def number_text(value: bool | int | float | complex, digits: int = 4) -> str:
    """A number with at most `digits` significant digits, an int or a bool in full.

    >>> [number_text(value) for value in (3.14159265, 1.234e-05, -2.0, 1240, True, float("-inf"), float("nan"))]
    ['3.142', '1.234e−05', '−2', '1240', 'True', '−∞', 'NaN']
    >>> number_text(1.5 - 2j)
    '1.5 − 2j'
    """
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int):
        return str(value).replace("-", MINUS) if abs(value) < 10**12 else _real_text(_as_float(value), digits)
    if isinstance(value, complex):
        sign = MINUS if math.copysign(1.0, value.imag) < 0 else "+"
        return f"{_real_text(value.real, digits)} {sign} {_real_text(abs(value.imag), digits)}j"
    return _real_text(value, digits)


def with_minus_signs(formula: str) -> str:
    """A formula's hyphens as minus signs, as `number_text` has them; a hyphen inside a name stays.

    >>> with_minus_signs("-b/c² - exp(-a)·my-name")
    '−b/c² − exp(−a)·my-name'
    """
    return re.sub(r"(?<![\w.])-", MINUS, formula)


def derivative_text(head: str, tail: str) -> str:
    """The sign for a derivative.

    >>> derivative_text("c", "a"), derivative_text("d", "x*y")
    ('∂c/∂a', '∂d/∂(x*y)')
    """
    return f"∂{atom_text(shorten(head, 20))}/∂{atom_text(shorten(tail, 20))}"


def atom_text(name: str) -> str:
    """A name that can stand inside a formula: in parentheses unless it is one word.

    >>> atom_text("fc.bias"), atom_text("x + y")
    ('fc.bias', '(x + y)')
    """
    return name if _ATOM.fullmatch(name) else f"({name})"


def shorten(text: str, length: int) -> str:
    """At most `length` characters; the middle goes, because the ends of a dotted path say most.

    >>> shorten("transformer.h.11.attn.c_attn.weight", 20)
    'transform…ttn.weight'
    """
    if len(text) <= length:
        return text
    tail = length // 2
    return f"{text[: length - tail - 1]}…{text[-tail:]}"


def shape_text(shape: Sequence[int]) -> str:
    """A shape as torch users write it.

    >>> shape_text((2, 50)), shape_text(())
    ('[2, 50]', '[]')
    """
    return f"[{', '.join(str(size) for size in shape)}]"


def call_text(op: str, operands: Mapping[int, str], call: OpCall | None) -> str:
    """What a node's function does, in the names of the values that it reads.

    Args:
        op: the function's name.
        operands: argument position -> name of the value; keys are those of the graph's edges.
        call: the recorded call, for its numbers; None where it is unknown.

    >>> call_text("mul", {0: "a", 1: "b"}, None), call_text("sin", {0: "c"}, None)
    ('a × b', 'sin(c)')
    >>> call_text("addmm", {0: "bias", 1: "x", 2: "w"}, None), call_text("sum", {0: "h"}, None)
    ('bias + x @ w', 'Σ(h)')
    """
    tensors = [atom_text(operands[position]) for position in sorted(operands)]
    arguments, extra = (tensors, False) if call is None else _argument_texts(operands, call)
    for words in (arguments, tensors):
        text = _applied(op, words, extra)
        if len(text) <= CALL_LENGTH:
            return text
    return f"{op_symbol(op)}(…)" if op not in INFIX else f"… {INFIX[op]} …"


def op_symbol(op: str) -> str:
    """The sign of a function where mathematics has one, else its name without leading underscores.

    >>> op_symbol("mul"), op_symbol("tanh"), op_symbol("_softmax"), op_symbol("sum")
    ('×', 'tanh', 'softmax', 'Σ')
    """
    return INFIX.get(op) or FUNCTION.get(op) or op.lstrip("_").removeprefix("native_").removeprefix("linalg_")


def _applied(op: str, words: Sequence[str], extra: bool) -> str:
    """`words` under the function `op`; `extra` says that the call has options which an infix sign would hide."""
    if op == "pow" and len(words) == 2 and re.fullmatch(r"−?\d+", words[1]):
        return f"{words[0]}{words[1].translate(SUPERSCRIPT)}"
    if op in INFIX and len(words) == 2 and not extra:
        return f"{words[0]} {INFIX[op]} {words[1]}"
    if op in AFFINE and len(words) == 3 and not extra:
        return f"{words[0]} + {words[1]} @ {words[2]}"
    if op == "neg" and len(words) == 1:
        return f"{MINUS}{words[0]}"
    plain = [word[1:-1] if word.startswith("(") and word.endswith(")") else word for word in words]
    return f"{op_symbol(op)}({', '.join(plain)})"


def _argument_texts(operands: Mapping[int, str], call: OpCall) -> tuple[list[str], bool]:
    """The positional arguments as text (tensors by name, numbers, lists of ints), and whether options are left out."""
    import torch

    position = 0
    words: list[str] = []
    for argument in call.args:
        items = argument if isinstance(argument, (list, tuple)) else (argument,)
        if any(isinstance(item, torch.Tensor) for item in items):
            for item in items:
                if isinstance(item, torch.Tensor):
                    words.append(atom_text(operands.get(position, "?")))
                    position += 1
        elif isinstance(argument, bool):
            continue
        elif isinstance(argument, (int, float, complex)):
            words.append(_CONSTANTS.get(argument) or number_text(argument))
        elif isinstance(argument, (list, tuple)) and all(isinstance(item, int) for item in argument):
            words.append(shape_text(argument))
    extra = any(value not in (None, 1, False) for value in call.kwargs.values() if not isinstance(value, torch.Tensor))
    return words, extra


def _as_float(value: int) -> float:
    """An int of any size as a float."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _real_text(value: float, digits: int) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    return f"{value:.{digits}g}".replace("-", MINUS)
