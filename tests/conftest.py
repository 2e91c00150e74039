"""What all tests share: text that was looked at once, kept in files and rewritten only when asked for; and a browser."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")
PLAYED = "player/test_in_chromium.py"
collect_ignore = [] if CHROMIUM else [PLAYED]


def pytest_report_header() -> str:
    return f"browser: {CHROMIUM}" if CHROMIUM else f"browser: no Chromium on PATH, so tests/{PLAYED} is left out"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite-golden", action="store_true", help="write the golden files anew; look at the difference")


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's executable."""
    return CHROMIUM


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
