"""Math texts that Hypothesis makes, and points at which they are finite for the most part."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import assume, reject
from hypothesis import strategies as st

import gradviz
from gradviz.expression import parse

VARIABLES = ("x", "y", "z")
SMOOTH = ("sin", "cos", "tanh", "exp", "sigmoid", "atan", "softplus", "erf", "silu", "asinh")
POSITIVE = ("log", "sqrt")


def expressions() -> st.SearchStrategy[str]:
    """Texts whose value and derivatives are finite at the points below, for the most part."""
    atoms = st.sampled_from([*VARIABLES, "2", "0.5", "pi"])

    def grown(smaller: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.one_of(
            st.builds("{}({})".format, st.sampled_from(SMOOTH), smaller),
            st.builds("{}(1 + ({})^2)".format, st.sampled_from(POSITIVE), smaller),
            st.builds("({}) {} ({})".format, smaller, st.sampled_from(["+", "-", "*"]), smaller),
            st.builds("({}) / (2 + cos({}))".format, smaller, smaller),
            st.builds("({})^{}".format, smaller, st.sampled_from(["2", "3"])),
        )

    return st.recursive(atoms, grown, max_leaves=8)


def points() -> st.SearchStrategy[float]:
    return st.floats(-1.5, 1.5).map(lambda value: round(value, 3)).filter(lambda value: abs(value) > 1e-2)


def at_point(text: str, point: Sequence[float]) -> dict[str, float]:
    """The values of a text's variables; passed over is one without any, or with constants too large to read: exp(exp(9))."""
    try:
        names = parse(text, variables=VARIABLES).variables
    except gradviz.ExpressionError as error:
        assert "too large" in str(error) or "exponent" in str(error), str(error)
        reject()
    assume(names)
    return {name: value for name, value in zip(VARIABLES, point, strict=True) if name in names}


def traced(text: str, point: Sequence[float]) -> gradviz.GradGraph:
    """The graph of a text at a point."""
    return gradviz.trace(text, at=at_point(text, point), device="cpu")
