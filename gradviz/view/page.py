"""A graph drawn in ever fewer shapes -> the first picture that can be read on a screen, or the best of them.

Forty shapes fit on a page where they are small, or follow each other. Where many stand side by side, or each shows a matrix
and a heat map, the letters of forty are too small, and calls of modules or functions are drawn as one, as in a large graph.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from gradviz.view.drawn import PAGE_NODES
from gradviz.view.fit import LEGIBLE, reading_scale
from gradviz.view.model import View

Draw = Callable[[int, Collection[str], Collection[str]], View]
"""How many shapes fit on a page, what is unfolded, what is folded -> the picture."""
PAGES = (PAGE_NODES, 30, 22, 16)
COMFORTABLE = 0.72
"""Letters of a smaller share of their size are made larger, though legible, where that leaves most of a picture as it is."""
MUCH = 1.15
"""How much larger they must become for that."""
MOST_SHAPES = 0.6
"""What share of the shapes must be left."""


def paged(draw: Draw, unfold: Collection[str], fold: Collection[str]) -> View:
    """The picture with as many shapes as can be read; what is unfolded and folded by name comes on top.

    What a reader opens must not close anything else, so the page is chosen for the picture on which nothing is opened.
    """
    best, most = PAGE_NODES, 0.0
    closed: dict[int, View] = {}
    for page in PAGES:
        closed[page] = draw(page, (), ())
        scale = reading_scale(closed[page])
        if scale > most and (most < LEGIBLE or _is_worth_it(closed[best], closed[page])):
            best, most = page, scale
        if scale >= COMFORTABLE or closed[page].gaps:  # what has no groups that fit forty has none for fewer
            break
    return draw(best, unfold, fold) if unfold or fold else closed[best]


def _is_worth_it(legible: View, larger: View) -> bool:
    """Whether a picture that can be read just so is better with more calls drawn as one."""
    is_larger = reading_scale(larger) >= MUCH * reading_scale(legible)
    return is_larger and len(larger.shapes) >= MOST_SHAPES * len(legible.shapes)
