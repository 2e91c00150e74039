"""Tracing in the background: how far it is, what is kept, and what a failure says."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import gradviz
from gradviz.app import work
from gradviz.check import CheckReport


def graph() -> gradviz.GradGraph:
    return gradviz.trace("x*y + sin(x)", x=3.0, y=2.0, device="cpu")


def until(sign: Callable[[], bool]) -> None:
    last = time.monotonic() + 60
    while not sign() and time.monotonic() < last:
        time.sleep(0.005)


def ended(job: work.Job) -> work.Job:
    until(lambda: job.ended)
    return job


@pytest.fixture(autouse=True)
def no_other_jobs() -> None:
    work._jobs.clear()


def test_a_job_ends_with_the_graph_its_report_and_what_was_found() -> None:
    job = ended(work.job_for("a", graph))
    assert job.refusal is None and job.shown is not None and job.shown.report is not None
    assert job.shown.report.verified and (job.doing, job.share) == ("diagnosing", 1.0)
    assert job.shown.key == "a checked"


def test_the_same_key_is_one_job_until_it_is_forgotten() -> None:
    first = work.job_for("a", graph)
    assert work.job_for("a", graph) is first
    work.forget("a")
    assert work.job_for("a", graph) is not first
    ended(first)


def test_only_the_latest_jobs_are_kept() -> None:
    jobs = [work.job_for(f"{number}", graph) for number in range(work.KEPT_JOBS + 3)]
    assert [ended(job).refusal for job in jobs] == [None] * len(jobs)
    assert list(work._jobs) == [f"{number}" for number in range(3, work.KEPT_JOBS + 3)]


def test_a_job_that_hangs_lets_no_other_wait() -> None:
    free = threading.Event()

    def hanging() -> gradviz.GradGraph:
        free.wait(60)
        return graph()

    stuck = work.job_for("stuck", hanging, at_once=True)
    until(lambda: stuck.doing == "tracing")
    assert ended(work.job_for("other", graph)).shown is not None
    assert not stuck.ended and stuck.doing == "tracing"
    free.set()
    ended(stuck)


def endless() -> gradviz.GradGraph:
    while True:
        time.sleep(0.001)


def stubborn() -> gradviz.GradGraph:
    """Code that lets no exception through, once."""
    try:
        return endless()
    except:  # noqa: E722
        return graph()


@pytest.mark.parametrize("make", [endless, stubborn])
def test_a_stopped_job_ends_at_once_and_so_does_its_thread(make: Callable[[], gradviz.GradGraph]) -> None:
    job = work.job_for("endless", make, at_once=True)
    until(lambda: job.doing == "tracing")
    job.stop("stopped as asked")
    assert job.ended and str(job.refusal) == "stopped as asked"
    assert job._thread is not None
    job._thread.join(60)
    assert not job._thread.is_alive() and job.shown is None and str(job.refusal) == "stopped as asked"


def test_tracing_has_a_limit_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "TRACE_LIMIT_S", 0.02)
    job = ended(work.job_for("endless", endless, at_once=True))
    assert "tracing took longer than 0 s" in str(job.refusal) and job.shown is None


def test_the_limit_of_time_is_that_of_tracing_only(monkeypatch: pytest.MonkeyPatch) -> None:
    timers: list[threading.Timer] = []
    is_over: list[bool] = []
    start, check = threading.Timer.start, gradviz.GradGraph.check

    def started(timer: threading.Timer) -> None:
        timers.append(timer)
        start(timer)

    def checked(own: gradviz.GradGraph, **options: Any) -> CheckReport:
        is_over.extend(timer.finished.is_set() for timer in timers)
        return check(own, **options)

    monkeypatch.setattr(threading.Timer, "start", started)
    monkeypatch.setattr(gradviz.GradGraph, "check", checked)
    assert ended(work.job_for("a", graph)).refusal is None
    assert is_over == [True]


def test_a_job_that_is_stopped_while_it_checks_keeps_its_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradviz.GradGraph, "check", lambda *_, **__: endless())
    job = work.job_for("a", graph)
    until(lambda: job.shown is not None)
    job.stop("stopped as asked")
    assert job.shown is not None and job.shown.report is None and str(job.refusal) == "stopped as asked"
    assert job._thread is not None
    job._thread.join(60)
    assert not job._thread.is_alive()


def test_a_job_that_has_ended_cannot_be_stopped() -> None:
    job = ended(work.job_for("a", graph))
    job.stop("stopped as asked")
    assert job.refusal is None


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: gradviz.trace("x*", x=1.0), "x"),
        (lambda: (_ for _ in ()).throw(RuntimeError("CUDA out of memory")), "RuntimeError: CUDA out of memory"),
    ],
)
def test_a_failure_is_a_sentence(make: Callable[[], gradviz.GradGraph], sentence: str) -> None:
    job = ended(work.job_for("a", make))
    assert job.shown is None and sentence in str(job.refusal)


def test_a_graph_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "MAX_NODES", 4)
    assert "the graph has 5 nodes; accepted here: up to 4" in str(ended(work.job_for("a", graph)).refusal)
