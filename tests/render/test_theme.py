"""The colours of pictures: what is written in them can be read, by the rule of the Web Content Accessibility Guidelines."""

from __future__ import annotations

from itertools import product

import pytest

from gradviz.render.theme import THEMES

READABLE = 4.5


def contrast(one: str, other: str) -> float:
    """As WCAG 2 defines it, 1 to 21."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("name", THEMES)
def test_every_text_can_be_read_on_every_ground_that_it_stands_on(name: str) -> None:
    theme = THEMES[name]
    grounds = {theme.background, theme.group.fill, *(paint.fill for paint in theme.paints.values())}
    texts = {theme.text, theme.faint, theme.backward, *theme.verdicts.values()}
    faint = {(text, ground): contrast(text, ground) for text, ground in product(texts, grounds)}
    assert {pair: ratio for pair, ratio in faint.items() if ratio < READABLE} == {}


def test_black_on_white_has_the_greatest_contrast() -> None:
    assert contrast("#000000", "#ffffff") == contrast("#ffffff", "#000000") == pytest.approx(21)
