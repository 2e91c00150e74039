"""The libraries that only slides need: imported when they are used, and asked for by name where they are missing."""

from __future__ import annotations

import importlib
from typing import Any

from gradviz.errors import RenderError


def extra(module: str, purpose: str) -> Any:
    """The module.

    Raises:
        RenderError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise RenderError(
            f"{purpose} needs {module.partition('.')[0]}, which is not installed: pip install 'gradviz-explorer[slides]'"
        ) from error
