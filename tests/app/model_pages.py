"""The model page, run by Streamlit's own test runner until all is traced and checked. No browser."""

from __future__ import annotations

import threading
import time

from streamlit.testing.v1 import AppTest

from gradviz.app import work
from gradviz.app.exploring import Exploring


def page(*opened_with: str, patience_s: float = 60, **link: str | list[str]) -> AppTest:
    """The page when all is traced and checked."""

    def run() -> None:
        from gradviz.app.model import model_page

        model_page()

    app = AppTest.from_function(run, default_timeout=60)
    app.session_state["opened with"] = opened_with
    for name, value in link.items():
        app.query_params[name] = value
    return finished(app.run(), patience_s)


def finished(app: AppTest, patience_s: float = 60) -> AppTest:
    """Waits for the background."""
    last = time.monotonic() + patience_s
    while any(not job.ended for job in jobs(app)) and time.monotonic() < last:
        time.sleep(0.02)
    return app.run()


def at_rest() -> None:
    """Waits until no thread of a job is left: it holds the graph, and warnings and the collector are all threads' own."""
    for thread in threading.enumerate():
        if thread.name.startswith(("gradviz ", "stop ")):
            thread.join(60)
            assert not thread.is_alive(), thread.name


def jobs(app: AppTest) -> list[work.Job]:
    opened = [app.session_state["model opened"][1]] if "model opened" in app.session_state else []
    return [*work._jobs.values(), *opened]


def exploring(app: AppTest) -> Exploring:
    found: Exploring = app.session_state["model exploring"]
    return found
