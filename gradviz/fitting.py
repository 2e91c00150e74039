"""The cells of a table -> cells that fit into a width, such that what is left can be trusted.

Names that are cut stay distinct. A number is there as a whole or not at all: `norm 8.123e−07` without its beginning and
`0.5` without its end look like other numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

_NUMBER = re.compile(r"\d[\d.]*(?:e[−+-]?\d+)?")
_BETWEEN = re.compile(r", |  | to | x ")
_WORD = re.compile(r"\d[\d.]*(?:e[−+-]?\d+)?|[\w.]+\(?|[^\w\s]")
_SHAPE = re.compile(r"\[[\d, ]*\](?=  | x )|(?<= x )\[[\d, ]*\]|(?<=\w )\[[\d, ]*\]")


def distinct(texts: Sequence[str], length: int, cut: Callable[[str, int], str]) -> list[str]:
    """Each name in at most `length` letters, if need be cut elsewhere than `cut` does, so that none looks like another.

    In names of derivatives, as `∂a/∂x`, what is after the last `/∂` stays distinct by itself. Where no one way of cutting
    tells some names apart they are numbered.

    >>> from gradviz.view.notation import shorten
    >>> distinct(["encoder_attention_weight_layer", "encoder_projection_weight_layer", "bias"], 16, shorten)
    ['encoder_a…_layer', 'encoder_p…_layer', 'bias']
    """
    found = {text: cut(text, length) for text in texts}
    groups: dict[str, list[str]] = {}
    for text, short in found.items():
        groups.setdefault(_tail(short), []).append(text)
    for group in groups.values():
        shorts = [found[text] for text in group]
        if not _tells_apart(group, shorts, set()):
            taken = {*found.values()} - {*shorts}
            shorts = next((way for way in _ways(group, length) if _tells_apart(group, way, taken)), shorts)
        if len({*shorts}) < len(shorts):
            shorts = [f"{text[: max(length - 1 - len(f'{place}'), 0)]}…{place}" for place, text in enumerate(group, 1)]
        found |= dict(zip(group, shorts, strict=True))
    return [found[text] for text in texts]


def _tail(name: str) -> str:
    """Of a derivative what it is by."""
    return name.rpartition("/∂")[2]


def _ways(texts: Sequence[str], length: int) -> Iterator[list[str]]:
    """All cut alike: less and less of the end, then pieces out of the middle."""
    for tail in range(length // 2, -1, -1):
        yield [_without_middle(text, length, tail) for text in texts]
    for start in range(1, max(map(len, texts)) - length + 2):
        yield [_piece(text, length, start) for text in texts]


def _without_middle(text: str, length: int, tail: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1 - tail]}…{text[len(text) - tail :]}"


def _piece(text: str, length: int, start: int) -> str:
    return text if len(text) <= length else f"…{text[start : start + length - 2]}…"


def _tells_apart(texts: Sequence[str], shorts: Sequence[str], taken: set[str]) -> bool:
    pairs = {(_tail(text), _tail(short)) for text, short in zip(texts, shorts, strict=True)}
    is_distinct = len({*shorts}) == len(shorts) and len({short for _, short in pairs}) == len(pairs)
    return is_distinct and not taken & {*shorts}


def cut_numbers(cell: str, length: int) -> str:
    """Numbers, elements or a shape with a range in at most `length` letters, cut between two of them.

    >>> cut_numbers("[1.235, 2.346, 1e−07]", 17), cut_numbers("[48, 16]  −0.306 to 0.41", 21)
    ('[1.235, 2.346, …', '[48, 16]  −0.306 to …')
    >>> cut_numbers("[48, 16]  −0.306 to 0.41", 8), cut_numbers("norm 8.123e−07", 13)
    ('…', '…')
    """
    if len(cell) <= length:
        return cell
    inside = [match.span() for match in _SHAPE.finditer(cell)]
    ends = [match.end() for match in _BETWEEN.finditer(cell)]
    kept = [end for end in ends if end < length and not any(start < end < stop for start, stop in inside)]
    return f"{cell[: kept[-1]]}…" if kept else "…"


def cut_end(text: str, length: int) -> str:
    """A formula in at most `length` letters, without its end and without the number that it would be cut in.

    >>> cut_end("exp(x)·0.125 + y", 11), cut_end("exp(x)·y", 11)
    ('exp(x)·…', 'exp(x)·y')
    """
    return text if len(text) <= length else f"{text[: _outside(text, max(length - 1, 0))[0]]}…"


def cut_middle(text: str, length: int) -> str:
    """A formula in at most `length` letters, without its middle and without the numbers that it would be cut in.

    >>> cut_middle("0.125·exp(x)·tanh(y)·sin(z) + 0.75", 9)
    '…0.75'
    """
    if len(text) <= length:
        return text
    tail = length // 2
    first, last = text[: _outside(text, max(length - 1 - tail, 0))[0]], text[_outside(text, len(text) - tail)[1] :]
    return f"{first.rstrip('…')}…{last.lstrip('…')}"


def _outside(text: str, place: int) -> tuple[int, int]:
    """The place, or the two ends of the number that it lies in."""
    for match in _NUMBER.finditer(text):
        if match.start() < place < match.end():
            return match.span()
    return place, place


def folded(line: str, length: int, indent: str = "") -> list[str]:
    """A line in lines of at most `length` letters, broken beside names, numbers and signs, and never inside one that fits.

    >>> folded("  x: 0.125·exp(x)·tanh(y)", 16, "    ")
    ['  x: 0.125·exp(x', '    )·tanh(y)']
    """
    lines = []
    while len(line) > length:
        head = line[:length]
        start = len(line) - len(line.lstrip())
        ends = [match.end() for match in _WORD.finditer(line) if start < match.end() <= length]
        place = max((end for end in ends if end > len(indent)), default=len(head))
        lines.append(line[:place].rstrip())
        line = f"{indent}{line[place:].lstrip()}"
    return [*lines, line]
