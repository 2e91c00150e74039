"""The app in a browser: one server and one Chromium for all tests of a process, and nothing from anywhere else."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from model_pages import at_rest
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright
from ports import free_port

from gradviz.app import exports, panels, shown

ROOT = Path(__file__).parent.parent.parent
TARGET = ("u*v^2", "--at", "u=4", "--at", "v=3")
READY = "[data-testid=stApp][data-test-connection-state=CONNECTED][data-test-script-state=notRunning]"
START_S = 120

Open = Callable[..., Page]


expect.set_options(timeout=60_000)  # a busy machine


@pytest.fixture(autouse=True)
def what_is_drawn_is_the_same_on_a_busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((shown, "DRAW_LIMIT_S"), (panels, "DRAW_LIMIT_S"), (exports, "TIME_LIMIT_S")):
        monkeypatch.setattr(module, name, 300.0)


@pytest.fixture(autouse=True)
def nothing_goes_on_behind_the_next_test() -> Iterator[None]:
    yield
    at_rest()


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A running app: its address and its process."""
    log = tmp_path_factory.mktemp("app") / "log"
    with free_port() as port, log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "gradviz", "app", *TARGET, "--port", str(port), "--headless"],
            cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_for(address, process, log)
            yield address, process
        finally:
            process.terminate()
            process.wait(60)
    assert "Traceback" not in log.read_text(), log.read_text()


@pytest.fixture(scope="session")
def server(running: tuple[str, subprocess.Popen[bytes]]) -> str:
    """The address of the running app."""
    return running[0]


@pytest.fixture(scope="session")
def server_process(running: tuple[str, subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    return running[1]


def ready(page: Page) -> None:
    """Waits until the page has been drawn, also what stands for a widget of which the browser still loads the script."""
    expect(page.locator(READY)).to_be_attached(timeout=60_000)
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    last = time.monotonic() + START_S
    while time.monotonic() < last:
        if process.poll() is not None:
            pytest.fail(f"the server ended:\n{log.read_text()}")
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=30):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"the server did not start within {START_S} s:\n{log.read_text()}")


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="session")
def open_page(server: str, browser: Browser) -> Iterator[Open]:
    """`open_page(expression=..., at=[...], width=..., dark=...)` opens the app in a tab.

    At the end no page may have written an error to its console, or asked for anything that is not on the server.
    """
    wrong: list[str] = []
    context = browser.new_context()  # one for all: its cache holds Streamlit's own scripts

    def open_it(*, width: int = 1280, dark: bool = False, **link: str | list[str]) -> Page:
        page = context.new_page()
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme="dark" if dark else "light")
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(f"dialog {dialog.message}"))
        page.goto(f"{server}/?{urllib.parse.urlencode(link, doseq=True)}")
        ready(page)
        return page

    def guard(route: Route) -> None:
        if route.request.url.startswith((server, "data:", "blob:")):
            route.continue_()
        else:
            wrong.append(f"asked for {route.request.url}")
            route.abort()

    context.route("**/*", guard)
    context.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    yield open_it
    context.close()
    assert wrong == []
