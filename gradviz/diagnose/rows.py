"""A table of which a lookup uses next to no rows: embedding, gather, index."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from gradviz.diagnose.finding import Finding, found
from gradviz.diagnose.readings import Readings

INDEXED = {"embedding": "indices", "index_select": "index"}
MIN_ROWS = 20
"""Small tables, such as up to 16 token types of which one is used, are often used in part."""
MIN_LOOKUPS = 32
USED_SHARE = 0.02
LOOKUPS_PER_ROW = 16
"""So often is each row that is used looked up, on average, before it is told: in a text, words differ."""


def rows(readings: Readings) -> Iterator[Finding]:
    """Lookups of many places that hit a handful of rows of a large parameter."""
    graph = readings.graph
    for node in readings.ops:
        name = INDEXED.get(readings.op(node))
        index = None if name is None else readings.argument(node, name)
        table = readings.arguments[node][0] if index is not None else None
        if index is None or table is None or table.contribution is None:
            continue
        places, values = readings.value_of(index), readings.value_of(table)
        if places is None or values is None or not values.ndim or values.shape[0] < MIN_ROWS or places.numel() < MIN_LOOKUPS:
            continue
        used = torch.unique(places).numel()
        if used > max(1, USED_SHARE * values.shape[0]) or places.numel() < LOOKUPS_PER_ROW * used:
            continue
        yield found(
            graph,
            "few-rows",
            "hint",
            f"only {used} of {values.shape[0]} rows of {readings.name(table.edge[0])} are looked up, {places.numel()} times "
            "altogether: no other row gets a gradient",
            "look at the indices: padding, a constant, a clamp or an integer division may have made them alike",
            edge=table.edge,
            numbers={"rows used": used, "rows": values.shape[0], "lookups": places.numel()},
        )
