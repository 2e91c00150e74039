"""Tracing, checking and diagnosing in the background, one graph after the other: pages show how far it is, and never wait.

A job belongs to what it traces and not to a visitor: all who look at the same model look at one graph. Only what a visitor
uploaded is their own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import gradviz
from gradviz.app.shown import Shown

CHECK_LIMIT_S = 60.0
MAX_NODES = 20_000
KEPT_JOBS = 10

_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Job:
    """One graph in the making; a background thread changes it, pages read it.

    Attributes:
        key: of what is traced.
        doing: what is being done now.
        share: how much of that is done, between 0 and 1.
        shown: the graph, as soon as it is traced; later with what the check and the diagnosis found.
        refusal: why there is no graph, or no report.
        ended: whether nothing more will come.
        started_s: when it began, by the monotonic clock.
    """

    key: str
    doing: str = "waiting for its turn"
    share: float = 0.0
    shown: Shown | None = None
    refusal: gradviz.GradvizError | None = None
    ended: bool = False
    started_s: float = field(default_factory=time.monotonic)

    @property
    def elapsed_s(self) -> float:
        """Since it was begun."""
        return time.monotonic() - self.started_s

    def run(self, make: Callable[[], gradviz.GradGraph]) -> None:
        """Traces, checks and diagnoses."""
        try:
            self._run(make)
        except gradviz.GradvizError as error:
            self.refusal = error
        except Exception as error:  # of torch: no memory on the device, a kernel that is missing there
            _log.warning("tracing %s failed", self.key, exc_info=True)
            self.refusal = gradviz.TraceError(f"this cannot be traced here: {type(error).__name__}: {error}".splitlines()[0])
        finally:
            self.ended = True

    def _run(self, make: Callable[[], gradviz.GradGraph]) -> None:
        self.doing = "tracing"
        graph = make()
        if len(graph) > MAX_NODES:
            raise gradviz.InputError(
                f"the graph has {len(graph):,} nodes; accepted here: up to {MAX_NODES:,}. "
                "`gradviz trace TARGET -o picture.svg` draws larger ones"
            )
        self.shown = Shown(key=f"{self.key} traced", graph=graph)
        report = None
        if not graph.is_loaded:
            report = graph.check(time_limit_s=CHECK_LIMIT_S, progress=self._checking)
        self.doing, self.share = "diagnosing", 1.0
        findings = tuple(graph.diagnose(report=report))
        self.shown = Shown(key=f"{self.key} checked", graph=graph, report=report, findings=findings)

    def _checking(self, done: int, total: int, what: str) -> None:
        self.doing, self.share = f"checking {done:,} of {total:,}: {what}", min(done / total, 1.0)


_jobs: OrderedDict[str, Job] = OrderedDict()
_guard = threading.Lock()
_turn = threading.Lock()


def job_for(key: str, make: Callable[[], gradviz.GradGraph], *, at_once: bool = False) -> Job:
    """The job for what `key` names, begun where there is none yet; the latest `KEPT_JOBS` are kept.

    Args:
        key: of what is traced.
        make: traces it.
        at_once: whether it waits for no other: code that may hang must not let others wait.
    """
    with _guard:
        job = _jobs.get(key)
        if job is None:
            job = _jobs[key] = begun(key, make, at_once=at_once)
        _jobs.move_to_end(key)
        while len(_jobs) > KEPT_JOBS:
            _jobs.popitem(last=False)
        return job


def begun(key: str, make: Callable[[], gradviz.GradGraph], *, at_once: bool = False) -> Job:
    """A job of one's own, begun in the background."""
    job = Job(key=key)
    run = partial(job.run, make) if at_once else partial(_in_turn, job, make)
    threading.Thread(target=run, name=f"gradviz {key[:40]}", daemon=True).start()
    return job


def forget(key: str) -> None:
    """Lets the next `job_for` begin anew."""
    with _guard:
        _jobs.pop(key, None)


def _in_turn(job: Job, make: Callable[[], gradviz.GradGraph]) -> None:
    with _turn:
        job.run(make)
