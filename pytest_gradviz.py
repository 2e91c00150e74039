"""The pytest plugin: the fixture `assert_gradients`, which is `gradviz.testing.assert_gradients`.

It is a module of its own beside the package, since pytest imports every plugin that is installed at its start: this file
loads neither torch nor sympy, nor anything else of gradviz, until a test asks for the fixture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from gradviz.check import CheckReport


@pytest.fixture(scope="session")
def assert_gradients() -> Callable[..., CheckReport]:
    """gradviz.testing.assert_gradients(fn, *inputs): fails where autograd's derivative is wrong, naming edge and line."""
    from gradviz import testing

    return testing.assert_gradients
