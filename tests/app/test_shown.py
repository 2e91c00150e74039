"""What the app chooses about a picture where a visitor does not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

import gradviz
from gradviz.app.examples import EXAMPLES
from gradviz.app.shown import CANVAS, Look, Shown, is_long, picture
from gradviz.expression import typed_value
from gradviz.models import MODELS
from gradviz.view import Gap
from gradviz.view.fit import estimated

LONG = ["tanh(ln(1 + z·2x / sin y))", "(y − tanh(wx + b))²", "‖σ(Ax + b)‖", "two-layer ReLU net"]


@pytest.mark.parametrize("title", EXAMPLES)
def test_what_is_too_wide_for_a_canvas_stands_upright_unless_it_is_to_lie(title: str) -> None:
    text, typed = EXAMPLES[title]
    values = {name: typed_value(written) for name, written in typed.items()}
    shown = Shown(key=f"as it fits: {title}", graph=gradviz.trace(text, at=values, device="cpu"))
    assert picture(shown, Look()).view.direction == ("BT" if title in LONG else "LR")
    assert picture(shown, Look(direction="LR")).view.direction == "LR"


def stepped(steps: int) -> gradviz.GradGraph:
    def loop(weight: torch.Tensor) -> torch.Tensor:
        h = torch.ones(6)
        for _ in range(steps):
            h = torch.tanh(weight @ h)
        return h.square().sum().log()

    return gradviz.trace(loop, torch.randn(6, 6, requires_grad=True))


def test_steps_of_a_loop_that_lead_round_in_a_circle_stand_upright() -> None:
    shown = Shown(key="a loop", graph=stepped(30))
    view = picture(shown, Look()).view
    arrows = {(edge.tail, edge.head) for edge in view.edges}
    assert any((head, tail) in arrows for tail, head in arrows)
    assert view.direction == "BT"


def test_on_a_narrow_canvas_what_is_short_stands_upright_unless_it_is_asked_to_lie() -> None:
    shown = Shown(key="short", graph=gradviz.trace("x*y + sin(pi*x)", x=2.0, y=3.0))
    assert picture(shown, Look()).view.direction == "LR"
    assert picture(shown, Look(narrow=True)).view.direction == "BT"
    assert picture(shown, Look(narrow=True, direction="LR")).view.direction == "LR"


def test_what_is_left_out_between_counts_as_long() -> None:
    view = stepped(4).view(collapse="none", direction="LR")
    ends, arrows = (view.nodes[0], view.nodes[-1]), (view.edges[0], view.edges[-1])
    gap = Gap(id="gap_2", nodes=5, leaves=0, tails=(arrows[0].head,), heads=(arrows[1].tail,))
    shapes = {shape for arrow in arrows for shape in (arrow.tail, arrow.head)}
    assert shapes >= {end.id for end in ends}
    few = replace(view, nodes=tuple(node for node in view.nodes if node.id in shapes), edges=arrows, gaps=(gap,))
    assert is_long(few) and not is_long(replace(few, gaps=()))


def test_a_long_model_stands_in_columns_that_fit_beside_each_other_on_a_wide_canvas() -> None:
    layers = [layer for _ in range(8) for layer in (nn.Linear(16, 16), nn.ReLU())]
    graph = gradviz.trace(nn.Sequential(*layers, nn.Linear(16, 1)), torch.ones(4, 16), loss=torch.sum, device="cpu")
    shown = Shown(key="eight layers", graph=graph)
    view = picture(shown, Look(in_columns=True)).view
    assert (len(view.columns), view.direction) == (2, "BT")
    assert estimated(view).width <= CANVAS.width
    assert not picture(shown, Look()).view.columns
    assert not picture(shown, Look(in_columns=True, direction="BT")).view.columns


def test_what_fits_on_the_canvas_or_would_be_too_wide_in_columns_stays_in_one() -> None:
    for title in ("perceptron", "two-layer ReLU net"):
        model, inputs, loss = MODELS[title]()
        shown = Shown(key=f"one column: {title}", graph=gradviz.trace(model, *inputs, loss=loss, device="cpu"))
        assert not picture(shown, Look(in_columns=True)).view.columns
