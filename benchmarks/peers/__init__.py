"""Plain PyTorch, gradviz, and other tools that show what a PyTorch model computes: one adapter each.

An adapter is imported only when its tool is run, so that memory is measured without the others.
"""

from __future__ import annotations

import importlib

from benchmarks.peers.tool import Tool

# Plain PyTorch comes first: all ratios are to it.
OWN = ["plain", "listening", "gradviz_tool"]
MODULES = [*OWN, "torchlens_tool", "torchview_tool", "torchviz_tool", "torchvista_tool"]


def load(module: str) -> list[Tool]:
    """The tools of one adapter.

    Raises:
        ImportError: the tool is not installed.
    """
    tools: list[Tool] = importlib.import_module(f"benchmarks.peers.{module}").TOOLS
    return tools
