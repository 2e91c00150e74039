"""Results -> lines of text, or one JSON object."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from benchmarks.cases import Case
from benchmarks.drawing import FirstPicture
from benchmarks.memory import Memory
from benchmarks.parts import CHAIN_TARGET, IMPORT_TARGET, Growth, Imports, Part
from benchmarks.peers.tool import Tool
from benchmarks.timing import Timing

SCHEMA = 1


@dataclass(slots=True, kw_only=True)
class Results:
    """All that one run measured; a part that was not asked for is empty."""

    tools: list[Tool]
    times: dict[str, dict[str, Timing]] = field(default_factory=dict)
    times_as_started: dict[str, dict[str, Timing]] = field(default_factory=dict)
    peaks: dict[str, dict[str, Memory]] = field(default_factory=dict)
    pictures: dict[str, dict[str, FirstPicture]] = field(default_factory=dict)
    parts: list[Part] = field(default_factory=list)
    growth: list[Growth] = field(default_factory=list)
    imports: Imports | None = None


def verdict(measured: float, target: float | None) -> str:
    """`ok` or `over` beside the target, or nothing where there is none."""
    if target is None:
        return ""
    return f"target {target:g}: {'ok' if measured <= target else 'over'}"


def tools_text(tools: Iterable[Tool]) -> str:
    """What each tool shows for its time."""
    rows = [(tool.name, version_of(tool.package), tool.sees, tool.misses) for tool in tools]
    return table(("tool", "version", "shows", "does not show"), rows)


def time_text(case: Case, times: dict[str, Timing], how: str) -> str:
    """One case: a line per tool. `how` says with what memory."""
    plain_ms = times["plain"].median_ms or float("nan")
    rows = []
    for name, timing in times.items():
        if timing.median_ms is None:
            rows.append((name, "-", "-", "", f"failed: {timing.failure[:90]}"))
            continue
        ratio = timing.median_ms / plain_ms
        target = case.time_target if name == "gradviz" else None
        rows.append((name, number(timing.median_ms), f"{ratio:.2f}", str(timing.rounds), verdict(ratio, target)))
    return f"{case.title}: time, {how}\n" + table(("tool", "median ms", "x plain", "rounds", ""), rows)


def memory_text(case: Case, peaks: dict[str, Memory]) -> str:
    """One case: a line per tool."""
    plain_mb = peaks["plain"].peak_mb or float("nan")
    rows = []
    for name, memory in peaks.items():
        if memory.peak_mb is None:
            rows.append((name, "-", "-", f"failed: {memory.failure[:90]}"))
            continue
        ratio = memory.peak_mb / plain_mb
        target = case.memory_target if name == "gradviz" else None
        rows.append((name, f"{memory.peak_mb:.0f}", f"{ratio:.2f}", verdict(ratio, target)))
    return f"{case.title}: peak memory of a fresh process\n" + table(("tool", "peak MB", "x plain", ""), rows)


def picture_text(case: Case, pictures: dict[str, FirstPicture]) -> str:
    """One case: a line per tool that draws."""
    rows = []
    for name, picture in pictures.items():
        if picture.total_s is None:
            rows.append((name, "-", "-", f"failed: {picture.failure[:90]}"))
            continue
        rows.append((name, f"{picture.total_s:.2f}", f"{picture.size_bytes / 1000:.0f}", ""))
    return f"{case.title}: from the model to the first picture, in a fresh process\n" + table(("tool", "s", "kB", ""), rows)


def parts_text(parts: Sequence[Part]) -> str:
    rows = [(part.name, f"{part.time_ms:.2f}", verdict(part.time_ms, part.target_ms)) for part in parts]
    return "text to checked SVG, warm\n" + table(("step", "median ms", ""), rows)


def growth_text(growth: Sequence[Growth]) -> str:
    short, long = growth[0].lengths
    rows = [
        (
            one.tool,
            *(f"{cost:.1f}" for cost in one.per_op_us),
            f"{one.ratio:.2f}",
            verdict(one.ratio, CHAIN_TARGET if one.tool == "gradviz" else None),
        )
        for one in growth
    ]
    header = ("tool", f"us/op, {short:,} ops", f"us/op, {long:,} ops", "growth", "")
    return "chain of ops\n" + table(header, rows)


def imports_text(imports: Imports) -> str:
    rows = [
        ("import torch", f"{imports.torch_ms:.0f}", "1.00", ""),
        ("import gradviz", f"{imports.gradviz_ms:.0f}", f"{imports.ratio:.2f}", verdict(imports.ratio, IMPORT_TARGET)),
    ]
    return "import in a fresh process\n" + table(("", "median ms", "x torch", ""), rows)


def as_json(results: Results) -> dict[str, Any]:
    """Everything measured, as plain values."""
    imports = results.imports
    return {
        "schema": SCHEMA,
        "machine": machine(),
        "tools": {
            tool.name: {"version": version_of(tool.package), "sees": tool.sees, "misses": tool.misses}
            for tool in results.tools
        },
        "time": {case: {tool: asdict(one) for tool, one in row.items()} for case, row in results.times.items()},
        "time_as_started": {
            case: {tool: asdict(one) for tool, one in row.items()} for case, row in results.times_as_started.items()
        },
        "memory": {case: {tool: asdict(one) for tool, one in row.items()} for case, row in results.peaks.items()},
        "picture": {case: {tool: asdict(one) for tool, one in row.items()} for case, row in results.pictures.items()},
        "text_to_svg": [asdict(part) for part in results.parts],
        "chain": [asdict(one) | {"ratio": one.ratio} for one in results.growth],
        "import": None if imports is None else asdict(imports) | {"ratio": imports.ratio},
    }


def machine() -> dict[str, Any]:
    """What the numbers depend on. With other work running (a load above 0.5 or so) no ratio is worth much."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "load before": round(os.getloadavg()[0], 1),
    }


def version_of(package: str) -> str:
    """The installed version, or "-"."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "-"


def number(value: float) -> str:
    """Three significant digits for small numbers, whole ones for large."""
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns under a header; columns of numbers stand right."""
    lines = [list(header), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    numeric = [
        all(row[place].replace(".", "", 1).isdigit() or row[place] in ("", "-") for row in lines[1:])
        for place in range(len(header))
    ]
    return "\n".join(
        "  "
        + "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in lines
    )
