"""What all tests share: text that was looked at once, kept in files and rewritten only when asked for; and a browser.

Examples that Hypothesis draws are the same on every run, and none is refused for its time, which on a busy machine says
nothing. `--hypothesis-profile=default --hypothesis-seed=N` draws others.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings

settings.register_profile("same-everywhere", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("same-everywhere")

collect_ignore = ["conftest.py", "app/conftest.py"]  # they hold no doctests, and as test modules their names clash
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite-golden", action="store_true", help="write the golden files anew; look at the difference")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Every test draws the same numbers, whatever ran before it in its process."""
    torch.manual_seed(0)
    np.random.seed(0)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's executable. Without one the tests that need it fail: what it shows is part of what is promised."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.fail(f"no browser on PATH ({', '.join(BROWSERS)}); Debian and Ubuntu have it as the package chromium")
    return found


@pytest.fixture(autouse=True)
def width_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Printed reports are as wide as they are by themselves, whatever the terminal or pytest-xdist says."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """`golden(name, text)` compares text with the file `golden/<name>` beside the test."""
    folder = Path(request.path).parent / "golden"

    def compare(name: str, text: str) -> None:
        path = folder / name
        if request.config.getoption("--rewrite-golden"):
            folder.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.read_text(encoding="utf-8") == text, f"{path.name} differs; --rewrite-golden writes it anew"

    return compare
