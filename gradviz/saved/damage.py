"""A file that safetensors cannot read -> a sentence: what is wrong with it, where, and what is accepted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

LENGTH_BYTES = 8
"""A safetensors file begins with the length of its header, a little-endian number, and goes on with it, as JSON."""
MAX_HEADER_BYTES = 100_000_000
"""What safetensors accepts."""
REMEDY = "accepted: a file as graph.save(path) writes it"


def damage_of(file: Path) -> str:
    """Why this file cannot be read as the tensors of a saved graph.

    Raises:
        OSError: it cannot be read at all.
    """
    name, size = repr(str(file)), file.stat().st_size
    if not size:
        return f"{name} is empty; {REMEDY}"
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(LENGTH_BYTES), "little")
        first = opened.read(1)
        if first != b"{" or length > MAX_HEADER_BYTES:
            return f"{name} is not a graph that gradviz saved: it does not begin as such a file does; {REMEDY}"
        header = first + opened.read(length - 1)
    again = "copy it again, or trace and graph.save(path) once more"
    if len(header) < length:
        return f"{name} is cut off: it has {size:,} bytes, and its header alone takes {LENGTH_BYTES + length:,}; {again}"
    try:
        needed = LENGTH_BYTES + length + _tensor_bytes(json.loads(header))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        return f"{name} is damaged in its header, the first {LENGTH_BYTES + length:,} bytes: {str(error)[:200]}; {again}"
    if size < needed:
        return f"{name} is cut off: it has {size:,} bytes of the {needed:,} that its header tells of; {again}"
    if size > needed:
        return f"{name} is damaged: it has {size:,} bytes, more than the {needed:,} that its header tells of; {again}"
    return f"{name} is damaged: its header does not describe the tensors that follow it; {again}"


def _tensor_bytes(header: dict[str, Any]) -> int:
    ends = (int(tensor["data_offsets"][1]) for name, tensor in header.items() if name != "__metadata__")
    return max(ends, default=0)
