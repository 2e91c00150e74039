"""Tracing, checking and diagnosing in the background, one graph after the other: pages show how far it is, and never wait.

A job belongs to what it traces and not to a visitor: all who look at the same model look at one graph. Only what a visitor
uploaded is their own.

Code that a user named on the command line may run for ever. A job of it ends for those who wait when it is stopped or its
time is over; its thread gets an exception at the next line of Python, which a call that never returns never reaches.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import gradviz
from gradviz.app.kept import graph_bytes
from gradviz.app.shown import Shown

TRACE_LIMIT_S = 300.0
CHECK_LIMIT_S = 60.0
MAX_NODES = 20_000
KEPT_JOBS = 10
KEPT_BYTES = 2**30

_log = logging.getLogger(__name__)


class _Stopped(BaseException):
    """Ends the thread of a job; no `except Exception` of the code that it traces may hold it up."""


@dataclass(slots=True, kw_only=True)
class Job:
    """One graph in the making; a background thread changes it, pages read it.

    Attributes:
        key: of what is traced.
        doing: what is being done now.
        share: how much of that is done, between 0 and 1.
        shown: the graph, as soon as it is traced; later with what the check and the diagnosis found.
        refusal: why there is no graph, or no report.
        size_bytes: about how much memory its graph takes.
        ended: whether nothing more will come.
        started_s: when it began, by the monotonic clock.
    """

    key: str
    doing: str = "waiting for its turn"
    share: float = 0.0
    shown: Shown | None = None
    refusal: gradviz.GradvizError | None = None
    size_bytes: int = 0
    ended: bool = False
    started_s: float = field(default_factory=time.monotonic)
    _thread: threading.Thread | None = None
    _may_be_interrupted: bool = False
    _ending: threading.Lock = field(default_factory=threading.Lock)

    @property
    def elapsed_s(self) -> float:
        """Since it was begun."""
        return time.monotonic() - self.started_s

    def run(self, make: Callable[[], gradviz.GradGraph]) -> None:
        """Traces, checks and diagnoses, in the thread that calls it."""
        late = f"stopped: tracing took longer than {TRACE_LIMIT_S:,.0f} s. `gradviz trace` has no limit of time"
        limit = threading.Timer(TRACE_LIMIT_S, self.stop, args=(late,))
        limit.start()
        try:
            refusal = self._refusal_of(make, limit)
        finally:
            limit.cancel()
            limit.join()  # its thread holds this job, and with it the graph
        with self._ending:
            if not self.ended:
                self.refusal, self.ended = refusal, True

    def stop(self, why: str) -> None:
        """Ends it for all who wait, with a sentence; what it has traced so far stays."""
        with self._ending:
            if self.ended:
                return
            self.refusal, self.ended = gradviz.TraceError(why), True
        threading.Thread(target=self._interrupt, name=f"stop {self.key[:40]}", daemon=True).start()

    def _interrupt(self) -> None:
        """Again and again, ever more seldom: an exception that arrives while a destructor runs is lost there."""
        pause = 0.01
        while True:
            with self._ending:
                if self._thread is None or not self._may_be_interrupted:
                    return
                ident = ctypes.c_ulong(self._thread.ident or 0)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(_Stopped))
            time.sleep(pause)
            pause = min(2 * pause, 10)

    def _refusal_of(self, make: Callable[[], gradviz.GradGraph], limit: threading.Timer) -> gradviz.GradvizError | None:
        """Does all there is to do, and says what came in the way; None as well where it was stopped."""
        with contextlib.suppress(_Stopped):
            try:
                with self._ending:
                    self._thread, self._may_be_interrupted = threading.current_thread(), True
                self._run(make, limit)
            except gradviz.GradvizError as error:
                return error
            except Exception as error:  # of torch: no memory on the device, a kernel that is missing there
                _log.warning("tracing %s failed", self.key, exc_info=True)
                return gradviz.TraceError(f"this cannot be traced here: {type(error).__name__}: {error}".splitlines()[0])
            finally:
                with self._ending:
                    self._may_be_interrupted = False
                time.sleep(0)  # an interruption that was on its way arrives here
        return None

    def _run(self, make: Callable[[], gradviz.GradGraph], limit: threading.Timer) -> None:
        self._begin("tracing")
        graph = make()
        limit.cancel()
        if len(graph) > MAX_NODES:
            raise gradviz.InputError(
                f"the graph has {len(graph):,} nodes; accepted here: up to {MAX_NODES:,}. "
                "`gradviz trace TARGET -o picture.svg` draws larger ones"
            )
        self._begin("checking")
        self.size_bytes = graph_bytes(graph)
        self.shown = Shown(key=f"{self.key} traced", graph=graph)
        report = None
        if not graph.is_loaded:
            report = graph.check(time_limit_s=CHECK_LIMIT_S, progress=self._checking)
        self._begin("diagnosing", share=1.0)
        findings = tuple(graph.diagnose(report=report))
        self._begin("diagnosing", share=1.0)
        self.shown = Shown(key=f"{self.key} checked", graph=graph, report=report, findings=findings)

    def _checking(self, done: int, total: int, what: str) -> None:
        self._begin(f"checking {done:,} of {total:,}: {what}", share=min(done / total, 1.0))

    def _begin(self, doing: str, *, share: float = 0.0) -> None:
        """Says what comes next, unless it was stopped, which code with an `except:` of everything does not notice."""
        if self.ended:
            raise _Stopped
        self.doing, self.share = doing, share


_jobs: OrderedDict[str, Job] = OrderedDict()
_guard = threading.Lock()
_turn = threading.Lock()


def job_for(key: str, make: Callable[[], gradviz.GradGraph], *, at_once: bool = False) -> Job:
    """The job for what `key` names, begun where there is none yet; the latest are kept, up to a number and a size.

    Args:
        key: of what is traced.
        make: traces it.
        at_once: whether it waits for no other: code that may hang must not let others wait.
    """
    with _guard:
        sizes = {old: one.size_bytes for old, one in _jobs.items()}  # what begins now takes nothing yet, however fast it is
        job = _jobs.get(key)
        if job is None:
            job = _jobs[key] = begun(key, make, at_once=at_once)
        _jobs.move_to_end(key)
        while len(_jobs) > KEPT_JOBS or (len(_jobs) > 1 and sum(sizes.get(one, 0) for one in _jobs) > KEPT_BYTES):
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
