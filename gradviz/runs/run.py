"""`Run`: what was recorded of a training run, of one rank or of several put together."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gradviz.errors import InputError
from gradviz.runs.file import MERGED, files_of, line_of, read_lines
from gradviz.runs.notes import End, Header, Step

if TYPE_CHECKING:
    from gradviz.diagnose import Diagnosis

PAGES = ("", ".html", ".htm")
"""What a file may end in that holds a page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A training run. `str()` of it is the report for the terminal.

    Attributes:
        headers: one for each rank that is here, in their order.
        steps: the recorded steps, by number, and by rank within each.
        ends: one for each rank whose watcher was left.
    """

    headers: tuple[Header, ...]
    steps: tuple[Step, ...]
    ends: tuple[End, ...] = ()

    @property
    def ranks(self) -> tuple[int, ...]:
        return tuple(header.rank for header in self.headers)

    def told(self, rank: int | None) -> int | None:
        """The rank, where a finding is to tell it: None where there is one only."""
        return rank if len(self.headers) > 1 else None

    def diagnose(self) -> Diagnosis:
        """What went wrong, with step and rank, or why nothing could be looked at; gradviz/runs/findings.py lists the kinds.

        NaN, ranks that disagree, updates that do nothing, too much or use old gradients, a model in eval mode, ReLUs that
        died, gradients that vanish or jump, and losses that take probabilities for logits.
        """
        from gradviz.runs.findings import diagnose_run

        return diagnose_run(self)

    def save_report(self, path: str | os.PathLike[str]) -> None:
        """Writes the report as one HTML page that loads nothing: findings, plots of all steps, tables.

        Raises:
            InputError: the file cannot be written, or its ending says that it is no page.
        """
        from gradviz.runs.page import page

        if Path(path).suffix.lower() not in PAGES:
            raise InputError(f"a report is a page, and {str(path)!r} names none; accepted: a file that ends in .html")
        try:
            Path(path).write_text(page(self), encoding="utf-8")
        except OSError as error:
            raise InputError(f"cannot write {str(path)!r}: {error.strerror or error}") from error

    def __str__(self) -> str:
        from gradviz.runs.text import report_text

        return report_text(self)


def load_run(path: str | os.PathLike[str]) -> Run:
    """Reads what `watch` wrote, or `merge`.

    Args:
        path: a directory, for all ranks in it, or one file. They may come from anywhere.

    Raises:
        InputError: it cannot be read, is no such file, or holds ranks of different runs.
    """
    headers: dict[int, Header] = {}
    steps: list[Step] = []
    ends: dict[int, End] = {}
    for file in files_of(path):
        for note in read_lines(file):
            if not isinstance(note, Header) and note.rank not in headers:
                what = "a step" if isinstance(note, Step) else "the end"
                raise InputError(f"{str(file)!r} has {what} of rank {note.rank}, but no header of that rank")
            if isinstance(note, Step):
                steps.append(note)
            elif isinstance(note, End):
                ends[note.rank] = note
            elif note.rank in headers:
                raise InputError(f"{str(file)!r} has a second header of rank {note.rank}")
            else:
                headers[note.rank] = note
    found = [headers[rank] for rank in sorted(headers)]
    if not found:
        raise InputError(f"{str(path)!r} is empty; accepted: what gradviz.watch wrote")
    if len({(header.world_size, header.model, header.every) for header in found}) > 1:
        told = ", ".join(f"rank {one.rank} of {one.world_size} ({one.model}, every {one.every})" for one in found)
        raise InputError(f"{str(path)!r} holds ranks of different runs: {told}; remove the files of the older one")
    # A step that was skipped and made again comes twice; the order of the file, which sorting keeps, tells which is which.
    ordered = sorted(steps, key=lambda step: (step.step, step.rank))
    return Run(headers=tuple(found), steps=tuple(ordered), ends=tuple(ends[rank] for rank in sorted(ends)))


def merge(directory: str | os.PathLike[str], to: str | os.PathLike[str] | None = None) -> Path:
    """Puts the files of all ranks together into one.

    Args:
        directory: what `watch` wrote to.
        to: the new file; `run.jsonl` in the directory unless given.

    Returns:
        The file, which `load_run` reads.

    Raises:
        InputError: the directory holds no run, a rank is missing, or the file cannot be written.
    """
    run = load_run(directory)
    missing = sorted(set(range(run.headers[0].world_size)) - set(run.ranks))
    if missing:
        raise InputError(
            f"{str(directory)!r} lacks rank {', '.join(map(str, missing))} of {run.headers[0].world_size}: copy the files "
            "of all machines into it"
        )
    file = Path(directory) / MERGED if to is None else Path(to)
    notes: list[Header | Step | End] = [*run.headers, *run.steps, *run.ends]
    try:
        file.write_text("".join(f"{line_of(note)}\n" for note in notes), encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {str(file)!r}: {error.strerror or error}") from error
    return file


def gradient_norm(steps: Iterable[Step], name: str | None = None) -> float | None:
    """The norm of the gradient at one step, on one rank or, where it is split over several, on all of them.

    Args:
        steps: of the ranks that are to be taken together. What several of them hold counts once.
        name: of a parameter; of all of them unless given.

    Returns:
        NaN where a gradient has NaN, infinity where it has infinity, None where there is none.
    """
    held = [note for step in steps for note in step.parameters if name in (None, note.name) and note.gradient is not None]
    pieces = {(note.name, note.shard): note.gradient for note in held}
    norms = [norm for norm in pieces.values() if norm is not None]
    return math.nan if any(map(math.isnan, norms)) else math.hypot(*norms) if norms else None
