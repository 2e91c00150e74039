"""The pytest plugin, as it is installed: found by its entry point, loaded without torch, a fixture that names the edge."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PLUGIN = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]["gradviz"]

USES_NOTHING = """
import sys

def test_nothing_heavy_is_loaded():
    assert not {"gradviz", "numpy", "sympy", "torch"} & set(sys.modules)
"""
USES_THE_FIXTURE = """
import torch

class Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, cotangent):
        return 3 * cotangent

def test_right(assert_gradients):
    assert_gradients(torch.tanh, torch.tensor([0.5], requires_grad=True))

def test_wrong(assert_gradients):
    assert_gradients(lambda x: Double.apply(x).exp(), torch.tensor([0.5], requires_grad=True))
"""


def run_pytest(folder: Path, test: str, *options: str, installed: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Runs pytest on one test file in a folder of its own: with the plugins installed there, else with none but options'."""
    (folder / "test_it.py").write_text(test)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, "test_it.py"]
    environment = os.environ | {"PYTHONPATH": str(installed or ROOT)}
    if installed is None:
        environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # pytest refuses a plugin that comes under two names
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def test_the_plugin_loads_nothing_before_its_fixture_is_asked_for(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, USES_NOTHING, "-p", PLUGIN)
    assert done.returncode == pytest.ExitCode.OK, done.stdout


def test_the_fixture_passes_what_is_right_and_names_the_wrong_edge(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, USES_THE_FIXTURE, "-p", PLUGIN)
    assert "1 failed, 1 passed" in done.stdout
    line = 1 + USES_THE_FIXTURE.splitlines().index(
        "    assert_gradients(lambda x: Double.apply(x).exp(), torch.tensor([0.5], requires_grad=True))"
    )
    assert f"✗ ∂a/∂x at test_it.py:{line}, through x of Double" in done.stdout
    assert "testing.py" not in done.stdout


def test_an_installed_gradviz_is_found_by_pytest(tmp_path: Path) -> None:
    source, installed = tmp_path / "source", tmp_path / "installed"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "pytest_gradviz.py"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "gradviz", source / "gradviz", ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--no-build-isolation", "--target", str(installed), str(source)], check=True, timeout=300)
    done = run_pytest(tmp_path, USES_THE_FIXTURE, installed=installed)
    assert "1 failed, 1 passed" in done.stdout
