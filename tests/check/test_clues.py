"""What is told beside a verdict, and when nothing is."""

from __future__ import annotations

import pytest
import torch

from gradviz.check.clues import add_clues
from gradviz.check.heads import EdgeUnderCheck, HeadUnderCheck
from gradviz.check.judge import Comparison
from gradviz.graph import GradGraph, Use


@pytest.mark.parametrize(
    ("true", "slip"), [(0.0, "a gradient where there is none"), (2.0, ""), (None, "")], ids=["zero", "number", "kink"]
)
def test_a_gradient_where_there_is_none_is_told_only_where_the_true_slope_is_zero(true: float | None, slip: str) -> None:
    comparison = Comparison(torch.float64)
    if true is not None:
        comparison.element(None, 1.0, true, 1e-9, of="slope")
    else:  # chosen on a kink: there is no true slope
        comparison.quantity = "slope"
        comparison.on_kink(None, 1.0, ["abs at 0"])
        comparison.wrong("the output has another shape")
    assert comparison.is_wrong and comparison.reference == true
    use = Use(edge=(0, 1, 0), argument="self", output=0, partial=None, contribution=None, cut="")
    edge = EdgeUnderCheck(use=use, partials={}, comparison=comparison)
    add_clues(GradGraph(), HeadUnderCheck(node=1, attributes={}, outputs={}), edge)
    assert comparison.slip == slip
