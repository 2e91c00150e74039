"""What the app chooses about a picture where a visitor does not."""

from __future__ import annotations

import pytest

import gradviz
from gradviz.app.examples import EXAMPLES
from gradviz.app.shown import Look, Shown, picture
from gradviz.expression import typed_value

LONG = ["tanh(ln(1 + z·2x / sin y))", "(y − tanh(wx + b))²", "‖σ(Ax + b)‖", "two-layer ReLU net"]


@pytest.mark.parametrize("title", EXAMPLES)
def test_what_is_too_wide_for_a_canvas_stands_upright_unless_it_is_to_lie(title: str) -> None:
    text, typed = EXAMPLES[title]
    values = {name: typed_value(written) for name, written in typed.items()}
    shown = Shown(key=f"as it fits: {title}", graph=gradviz.trace(text, at=values, device="cpu"))
    assert picture(shown, Look()).view.direction == ("BT" if title in LONG else "LR")
    assert picture(shown, Look(direction="LR")).view.direction == "LR"
