"""What visitors share is bounded by its size in memory, and what is a visitor's own goes with them."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from model_pages import at_rest, finished, page
from test_saved_traces import saved
from test_work import ended

import gradviz
from gradviz.app import panels, shown, tracing, work
from gradviz.app.kept import BYTES_PER_NODE, Kept, graph_bytes
from gradviz.app.shown import Look, Picture, picture_bytes
from gradviz.player import Player

SUM = " + ".join(["sin(x)"] * 4)


def test_what_was_not_asked_for_the_longest_goes_first_and_all_is_within_the_bound() -> None:
    kept = Kept[bytes](1_000, len)
    for number in range(50):
        kept.get("first", lambda: bytes(300))
        kept.get(number, lambda number=number: bytes(100 + number))  # type: ignore[misc]
        assert kept.size_bytes <= 1_000 and "first" in kept.keys
    assert kept.keys == [46, 47, 48, "first", 49]


def test_what_is_larger_than_the_bound_is_handed_out_and_not_kept() -> None:
    kept = Kept[bytes](1_000, len)
    kept.get("small", lambda: b"made")
    assert len(kept.get("large", lambda: bytes(2_000))) == 2_000 and kept.keys == ["small"]


def test_what_failed_is_tried_again() -> None:
    kept, answers = Kept[bytes](1_000, len), iter([None, b"made"])

    def make() -> bytes:
        if (answer := next(answers)) is None:
            raise gradviz.InputError("no")
        return answer

    with pytest.raises(gradviz.InputError):
        kept.get("key", make)
    assert kept.get("key", make) == b"made"


def in_memory(make: Callable[[int], Any]) -> tuple[Any, int]:
    """Something, and how much Python memory another of it takes."""
    found = [make(0)]
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        found.append(make(1))
        gc.collect()
        return found[1], tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def test_sizes_are_no_smaller_than_what_is_measured_and_not_ten_times_as_large() -> None:
    def traced(number: int) -> tracing.Traced:
        return tracing._traced(f"{SUM} + {number}", (("x", "1"),))

    def drawn(number: int) -> Picture:
        return shown._drawn(own, Look())

    def player(number: int) -> Player:
        return own.graph.player(theme="light", max_nodes=panels.MOST_NODES)

    own = traced(2)
    for make, size_of in (
        (traced, lambda found: graph_bytes(found.graph)),
        (drawn, picture_bytes),
        (player, panels._players._size_of),
    ):
        found, measured = in_memory(make)
        assert measured <= size_of(found) <= 10 * measured, make.__name__


def test_a_tensor_counts_once_however_many_share_it_and_a_stand_in_only_what_it_keeps() -> None:
    def tensors(**options: Any) -> float:
        graph = gradviz.trace(lambda x: (x.view(100, 100).T.reshape(-1) * 2).sum(), x, device="cpu", **options)
        return (graph_bytes(graph) - BYTES_PER_NODE * len(graph)) / x.nbytes

    x = torch.ones(10_000, requires_grad=True)
    whole, statistics = tensors(values="full"), tensors(values="statistics")
    assert 4 <= whole <= 7 and statistics <= whole / 2 + 0.01


def test_an_expression_whose_values_are_too_large_is_refused() -> None:
    values = (("x", str([[number] for number in range(200)])), ("y", str([list(range(200))])))
    assert graph_bytes(tracing.traced("sum(x @ y)", values).graph) > 200 * 200 * 8
    with pytest.raises(gradviz.InputError, match=r"the values of this expression take \d\d MiB; accepted here: up to 32"):
        tracing.traced("sum(" + " + ".join(["sin(x @ y)"] * 50) + ")", values)


@pytest.mark.parametrize("is_fast", [False, True], ids=["slow", "fast"])
def test_old_jobs_go_where_all_are_too_large_together_but_never_the_latest(
    is_fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = work.begun

    def job(key: str) -> work.Job:
        return ended(work.job_for(key, lambda: gradviz.trace("x*y", x=2.0, y=3.0, device="cpu")))

    def begun_and_ended(*given: Any, **options: Any) -> work.Job:
        return ended(begun(*given, **options))

    if is_fast:
        monkeypatch.setattr(work, "begun", begun_and_ended)
    work._jobs.clear()
    size = job("a").size_bytes
    assert size == graph_bytes(job("a").shown.graph) > 0  # type: ignore[union-attr]
    monkeypatch.setattr(work, "KEPT_BYTES", 2 * size)
    for key in "bcd":
        job(key)
    assert list(work._jobs) == ["b", "c", "d"]
    assert (job("d"), list(work._jobs))[1] == ["c", "d"]
    monkeypatch.setattr(work, "KEPT_BYTES", 0)
    assert (job("d"), list(work._jobs))[1] == ["d"]
    work._jobs.clear()


def test_what_a_visitor_opened_is_released_when_the_session_ends(tmp_path: Path) -> None:
    app = page()
    app.file_uploader[0].set_value(("run.gradviz", saved(tmp_path), "")).run()
    finished(app)
    graph = weakref.ref(app.session_state["model opened"][1].shown.graph)
    assert graph() is not None and not app.exception
    del app
    at_rest()
    gc.collect()
    assert graph() is None
