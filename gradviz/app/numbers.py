"""A tensor -> HTML: its elements, coloured as on pictures, or what sums them up, a heat map and a histogram."""

from __future__ import annotations

import base64
import html

import torch
from torch import Tensor

from gradviz.render.heat import cell_colour, heat_png
from gradviz.view import value_lines
from gradviz.view.histogram import Histogram, histogram
from gradviz.view.notation import digits_text, number_text
from gradviz.view.summary import head_line, heat_map, is_opaque

CELLS = 8
"""A matrix with at most this many rows and columns is written out."""
HEAT_PX, BAR_PX, BARS_PX = 220, 9, 64

STYLE = """<style>
.gradviz-numbers table {border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.85rem; margin: 0.2rem 0}
.gradviz-numbers td {border: 1px solid rgba(128, 128, 128, 0.4); padding: 0.1rem 0.4rem; text-align: right; color: #000}
.gradviz-numbers .one {font-size: 1.1rem; font-variant-numeric: tabular-nums; overflow-wrap: anywhere}
.gradviz-numbers .scroll {overflow-x: auto}
.gradviz-numbers img {image-rendering: pixelated; border: 1px solid rgba(128, 128, 128, 0.5); display: block;
    margin: 0.3rem 0; max-width: 100%}
.gradviz-numbers small, .gradviz-numbers figcaption {opacity: 0.75; font-size: 0.8rem}
.gradviz-numbers figure {margin: 0.3rem 0}
</style>"""


def tensor_html(value: Tensor, what: str) -> str:
    """The numbers of a tensor as HTML that brings its own style.

    Args:
        value: any tensor.
        what: its name, for screen readers.
    """
    parts = []
    if value.numel() == 1 and not is_opaque(value):
        parts.append(f'<span class="one">{html.escape(digits_text(value.detach().item()))}</span>')
        parts += [_small(head_line(value))] if value.ndim else []
    elif _is_small(value):
        parts.append(_table(value))
        parts.append(_small(head_line(value)))
    else:
        parts += [_small(line) for line in value_lines(value)]
        parts.append(_heat(value, what))
    spread = histogram(value)
    if spread is not None:
        parts.append(_bars(spread, what))
    return f'{STYLE}<div class="gradviz-numbers">{"".join(parts)}</div>'


def _is_small(value: Tensor) -> bool:
    sides = [size for size in value.shape if size != 1]
    return not is_opaque(value) and value.numel() > 1 and len(sides) <= 2 and all(side <= CELLS for side in sides)


def _table(value: Tensor) -> str:
    """The elements; the ground of each has the colour that it has in a heat map."""
    heat = heat_map(value)
    sides = [size for size in value.shape if size != 1]
    rows = value.detach().reshape(sides if len(sides) == 2 else (1, *sides)).tolist()
    grounds = heat.values if heat else ()
    limit = 2.2 * heat.limit if heat else 0.0  # pale enough for black digits
    lines = []
    for place, row in enumerate(rows):
        cells = ""
        for column, element in enumerate(row):
            colour = cell_colour(grounds[place][column], limit) if heat and _is_finite(element) else "#ffffff"
            cells += f"<td style='background: {colour}'>{html.escape(number_text(element))}</td>"
        lines.append(f"<tr>{cells}</tr>")
    return f'<div class="scroll"><table>{"".join(lines)}</table></div>'


def _is_finite(element: complex) -> bool:
    return bool(torch.isfinite(torch.tensor(element)))


def _heat(value: Tensor, what: str) -> str:
    heat = heat_map(value)
    if heat is None:
        return ""
    source = base64.b64encode(heat_png(heat)).decode()
    width = min(HEAT_PX, 24 * heat.columns)
    note = f"vermilion > 0, white = 0, blue < 0; the strongest colours at ±{number_text(heat.limit)}"
    picture = f'<img src="data:image/png;base64,{source}" width="{width}" alt="heat map of {html.escape(what)}">'
    return f"<figure>{picture}<figcaption>{note}</figcaption></figure>"


def _bars(spread: Histogram, what: str) -> str:
    most, width = max(spread.counts), BAR_PX * len(spread.counts)
    bars = "".join(
        f'<rect x="{place * BAR_PX}" y="{BARS_PX * (1 - count / most):.1f}" width="{BAR_PX - 1}" '
        f'height="{BARS_PX * count / most:.1f}" fill="#56b4e9"></rect>'
        for place, count in enumerate(spread.counts)
    )
    ends = f"{number_text(spread.low)} to {number_text(spread.high)}, at most {most:,} in a bin"
    label = html.escape(f"histogram of {what}: {ends}")
    drawn = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {BARS_PX}">{bars}</svg>'
    picture = svg_image(drawn, label, style=f"width: {width}px; border: none")
    return f"<figure>{picture}<figcaption>{html.escape(ends)}</figcaption></figure>"


def svg_image(svg: str, label: str, *, style: str) -> str:
    """An SVG as an image with a text for screen readers: of what is HTML, Streamlit lets no SVG through."""
    source = base64.b64encode(svg.encode()).decode()
    return f'<img src="data:image/svg+xml;base64,{source}" alt="{label}" style="{style}; max-width: 100%">'


def _small(line: str) -> str:
    return f"<div><small>{html.escape(line)}</small></div>"
