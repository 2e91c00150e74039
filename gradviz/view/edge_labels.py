"""What is written on an arrow: derivative, formula, number or the kind of its Jacobian, gain, contribution."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from gradviz.moves import moved_as
from gradviz.view.jacobian import KEEPING, flow_text, jacobian_kind
from gradviz.view.labels import (
    Attributes,
    derivative_of,
    partial_formula,
    partial_number,
    partial_shapes,
    short_formula,
)
from gradviz.view.model import ViewEdge
from gradviz.view.summary import cotangent_text
from gradviz.view.verdicts import CheckedEdge


def labelled(
    edge: ViewEdge, data: Attributes, tail: Attributes, head: Attributes, checked: CheckedEdge | None, show: Collection[str]
) -> ViewEdge:
    """The edge with its derivative, formula, number and contribution, as far as they are asked for and known.

    Args:
        edge: as it is drawn bare.
        data: the attributes of the edge, which has a partial.
        tail, head: those of its ends.
        checked: what a check found of it, whose formula is taken where there is one and the number matches it.
        show: what is asked for.
    """
    partial, contribution = data["partial"], data["contribution"]
    formula = ""
    if "formula" in show:
        is_right = checked is not None and checked.verdict == "match"  # else the number is not what the formula gives
        formula = short_formula(checked.formula) if checked and checked.formula and is_right else partial_formula(partial)
    with_number = "number" in show
    shapes = partial_shapes(partial)
    moved = moved_as(head["op"]) if "formula" in show and shapes else ""
    moved = moved if formula in ("", "1", moved) else ""  # a report has the word for a formula
    with_contribution = contribution is not None and "contribution" in show
    return replace(
        edge,
        derivative=derivative_of(head, tail, data["output"]),
        formula="" if moved else formula,
        number=partial_number(partial) if with_number else "",
        jacobian=moved or (shapes if with_number and not formula else ""),
        flow=_flow(data, head, moved) if "gain" in show and shapes else "",
        contribution=cotangent_text(contribution, "contribution") if with_contribution else "",
    )


def _flow(data: Attributes, head: Attributes, moved: str) -> str:
    """The kind of Jacobian, where the label does not say it already, its gain and its zeros; "" where all is kept."""
    if moved in KEEPING:
        return ""
    partial = data["partial"]
    kind = "" if moved else jacobian_kind(head, data["argument"], partial.in_shape, partial.out_shape)
    return ", ".join(part for part in (kind, flow_text(data["contribution"], head["cotangent"])) if part)
