"""`Run` -> one HTML page that loads nothing: findings first, then how gradients, gains and dead units moved."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence

from gradviz.diagnose import Diagnosis, Finding
from gradviz.render.theme import DARK, FONTS, LIGHT, ORANGE, VERMILION, Theme
from gradviz.runs.curves import curves
from gradviz.runs.heat import Shade, gain_shade, heat_map, norm_shade, share_shade
from gradviz.runs.run import Run
from gradviz.runs.series import Series, dead_shares, gradient_norms, loss_values, module_gains, parameter_gradients
from gradviz.runs.svg import NARROW, WIDE
from gradviz.runs.text import most_moved, title

ROWS = 60
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_SEVERITIES = {"error": VERMILION, "warning": ORANGE, "hint": "var(--faint)"}


def page(run: Run) -> str:
    """The page; a plot that would have nothing on it is left out."""
    heading = html.escape(title(run))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{heading}</title>\n<style>\n{_style()}</style>\n</head>\n<body>\n<main>\n<h1>{heading}</h1>\n"
        + _findings(run.diagnose())
        + "".join(_plots(run))
        + "</main>\n</body>\n</html>\n"
    )


def _plots(run: Run) -> list[str]:
    many = len(run.headers) > 1
    gradients = parameter_gradients(run)
    dead = [one for one in dead_shares(run) if max(one.known, default=0.0) > 0]
    return [
        _curves(
            "Loss",
            "What backward() was called on, at each line that calls it: scaled or divided where the loop does so.",
            loss_values(run),
            ranks=many,
        ),
        _curves(
            "Norm of the gradient",
            "As the optimizer got it: after clipping, where there is any. ✗ is not finite.",
            gradient_norms(run),
            ranks=many,
        ),
        _heat_map(
            "Gain of each module",
            "‖cotangent that leaves through its inputs‖ / ‖cotangent that comes back to its output‖: blue where a gradient "
            "shrinks on its way back, red where it grows, full at a factor of 16.",
            module_gains(run),
            gain_shade,
            ranks=many,
        ),
        _heat_map(
            "Norm of each parameter's gradient",
            "The stronger the colour, the larger, on a logarithmic scale.",
            gradients,
            norm_shade(most_moved(gradients, ROWS)),
            ranks=False,
        ),
        _heat_map(
            "Dead units",
            "The share of the units of each ReLU that are zero for every sample of the step.",
            dead,
            share_shade,
            ranks=many,
        ),
    ]


def _findings(diagnosis: Diagnosis) -> str:
    items = f"<ul>\n{''.join(map(_finding, diagnosis))}</ul>\n" if diagnosis else ""
    return f"<section>\n<h2>Findings</h2>\n{items}<p>{diagnosis.summary}</p>\n</section>\n"


def _finding(finding: Finding) -> str:
    title = f"<b>{finding.severity} {html.escape(finding.kind)}</b>{html.escape(finding.where)}"
    return (
        f'<li class="{finding.severity}"><p>{title}: {html.escape(finding.message)}</p>\n'
        f'<p class="words">{html.escape(finding.numbers_text)}</p>\n<p>{html.escape(finding.hint)}</p></li>\n'
    )


def _curves(heading: str, words: str, series: Sequence[Series], *, ranks: bool) -> str:
    return _section(heading, words, lambda width: curves(series, f"{heading} over the steps", ranks=ranks, width=width))


def _heat_map(heading: str, words: str, series: Sequence[Series], shade: Shade, *, ranks: bool) -> str:
    shown = most_moved(series, ROWS)
    more = len(series) - len(shown)
    words = f"{words} {more} more rows, which moved less, are not shown." if more else words
    title = f"{heading} over the steps"
    return _section(heading, words, lambda width: heat_map(shown, title, shade, ranks=ranks, width=width))


def _section(heading: str, words: str, draw: Callable[[float], str]) -> str:
    """`draw`: width of the plot -> the plot, "" where there is nothing on it."""
    plots = "\n".join(plot for width in (WIDE, NARROW) if (plot := draw(width)))
    if not plots:
        return ""
    return f'<section>\n<h2>{html.escape(heading)}</h2>\n<p class="words">{html.escape(words)}</p>\n{plots}\n</section>\n'


def _style() -> str:
    severities = "".join(f"li.{name} {{ border-color: {colour} }}\n" for name, colour in _SEVERITIES.items())
    return (
        f":root {{ {_variables(LIGHT)} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ {_variables(DARK)} }} }}\n"
        f"body {{ margin: 0; background: var(--background); color: var(--text); font: 15px/1.45 {FONTS} }}\n"
        "main { max-width: 1000px; margin: 0 auto; padding: 1rem }\n"
        "h1 { font-size: 1.15rem } h2 { font-size: 1rem; margin: 1.6rem 0 0.2rem }\n"
        "ul { list-style: none; padding: 0 } li { border-left: 4px solid; padding-left: 0.8rem; margin: 0.8rem 0 }\n"
        f"{severities}"
        "li p { margin: 0.2rem 0 } .words { color: var(--faint); margin: 0.2rem 0 0.5rem; font-size: 13px }\n"
        "main > h1, section > p, section > ul { max-width: 50rem }\n"
        "svg { display: block; width: 100%; overflow: visible } svg.narrow { display: none }\n"
        "@media (max-width: 700px) { svg.wide { display: none } svg.narrow { display: block } }\n"
        "svg text { font-size: 12px; fill: var(--text) } svg .faint { fill: var(--faint) }\n"
        ".grid { stroke: var(--faint); stroke-opacity: 0.3 } .cell { stroke: var(--faint); stroke-opacity: 0.25 }\n"
        ".broken { fill: var(--text) } svg .broken-mark { fill: var(--background) }\n"
    )


def _variables(theme: Theme) -> str:
    return f"--background: {theme.background}; --text: {theme.text}; --faint: {theme.faint}"
