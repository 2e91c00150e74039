"""Why a graph has no calls that could be drawn as one, where that is for how it was traced."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

COMPUTED_BEFORE = (
    "a tensor that was computed before the trace no longer knows the calls that it came from",
    "trace the function or module itself, or run the code within gradviz.record()",
)


def why_no_calls(nodes: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Why nothing can be drawn as one in the graph of a tensor already computed, and what to do; () for any other graph.

    Args:
        nodes: the attributes of all nodes: what was recorded has the line that called it, and math text says what it is of.

    >>> why_no_calls([{"kind": "op", "scope": (), "source": "train.py:3", "expression": ""}])
    ()
    """
    calls = [node for node in nodes if node["kind"] == "op"]
    is_known = any(call["scope"] or call["source"] or call["expression"] for call in calls)
    return () if is_known or not calls else COMPUTED_BEFORE
