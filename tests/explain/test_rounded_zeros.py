"""A number that rounding alone may have made is told as a zero up to rounding; one that is small by itself is not."""

from __future__ import annotations

import pytest

import gradviz
from gradviz.explain.sentences import ROUNDED


def lines_of(text: str, level: str = "full", **at: float) -> list[str]:
    graph = gradviz.trace(text, at=at, device="cpu")
    return [line for line in str(graph.explain("x", level=level)).splitlines() if ROUNDED in line]


@pytest.mark.parametrize(
    ("text", "x", "said"),
    [
        ("x + sin(pi*x)", 2.0, "c = sin(a) = −2.449e−16"),
        ("x*(0.1*x - 0.3)", 3.0, "b = a − 0.3 = 5.551e−17"),
        ("sin(pi*x/2)", 1.0, "∂c/∂b = cos(b) = 6.123e−17"),
    ],
)
def test_a_zero_but_for_rounding_is_told(text: str, x: float, said: str) -> None:
    lines = lines_of(text, x=x)
    assert any(said.partition(" = ")[2] in line for line in lines), lines


SMALL = [("1e-20*x", 1.0), ("exp(-40*x)", 1.0), ("x - 1", 1.0 + 2.0**-52), ("x^9", 1e-9)]
INFINITE = [("1/x", 0.0), ("log(x)", 0.0), ("exp(x)", 1e4)]
EXACT = [("2*x - 2", 1.0 + 2.0**-52), ("x/4 - 1", 4.0 + 2.0**-50)]  # by a power of two nothing is rounded


@pytest.mark.parametrize(("text", "x"), SMALL + EXACT + INFINITE)
def test_a_number_that_is_small_or_infinite_is_itself(text: str, x: float) -> None:
    assert not lines_of(text, x=x)


def test_a_quiz_tells_it_with_the_answers_only() -> None:
    lines = lines_of("x + sin(pi*x)", level="quiz", x=2.0)
    assert lines and all(line.startswith("  (") and "−2.449e−16" in line for line in lines), lines


@pytest.mark.parametrize("name", ["markdown", "latex", "html"])
def test_every_format_tells_it(name: str) -> None:
    graph = gradviz.trace("x + sin(pi*x)", x=2.0, device="cpu")
    assert ROUNDED in graph.explain("x").as_format(name)


def test_numbers_are_written_alike_in_pictures_explanations_frames_and_tables() -> None:
    from gradviz.cli.listing import listing

    graph = gradviz.trace("-1000*x + sin(pi*x)", x=2.0, device="cpu")
    texts = [str(graph.explain("x")), str(graph.frames()), graph.to_dot(), listing(graph), graph.render(format="svg")]
    for text in texts:
        assert "−2.449e−16" in (text if isinstance(text, str) else text.decode()), text
    assert "−1000" in str(graph.check()) and "-1000" not in str(graph.check())
