"""The modules of a graph and the findings in it, as lists beside the canvas that lead to what they name."""

from __future__ import annotations

from collections.abc import Iterator

import streamlit as st

from gradviz.app.exploring import Exploring
from gradviz.app.inspector import NOT_DRAWN, is_hidden
from gradviz.app.rows import Row, rows
from gradviz.app.shown import Shown
from gradviz.diagnose import Diagnosis, Finding
from gradviz.outline import Call, outline
from gradviz.render.theme import MARKS
from gradviz.view import View
from gradviz.view.verdicts import place_of

MOST_ROWS = 400


def modules_list(shown: Shown, view: View, exploring: Exploring) -> None:
    """The calls, as far as they are open on the canvas: a click selects one, its arrow opens or closes it."""
    calls = outline(shown.graph, report=shown.report, findings=shown.findings or ())
    if not calls:
        st.caption("There are no calls of modules or functions inside this graph.")
        return
    visible = list(_visible(calls, view))
    listed = [_call_row(call, is_open, has_more) for call, is_open, has_more in visible[:MOST_ROWS]]
    selected = next((call.name for call, _, _ in visible if _place(call, view) == exploring.selected), "")

    def chosen(name: str) -> None:
        call = next((call for call in calls if call.name == name), None)
        if call is not None:
            exploring.select(_place(call, view))

    def toggled(name: str) -> None:
        found = next((entry for entry in visible if entry[0].name == name), None)
        if found is not None and found[1]:
            exploring.close(name, shown.graph)
        elif found is not None:
            exploring.open(name)

    rows(listed, selected=selected, label="Modules and functions", chosen=chosen, toggled=toggled, key="modules")
    if len(visible) > MOST_ROWS:
        st.caption(f"and {len(visible) - MOST_ROWS:,} more")


def findings_list(shown: Shown, view: View, exploring: Exploring) -> None:
    """What a diagnosis found, worst first; a click leads to where it is."""
    if shown.findings is None:
        st.caption("There is no diagnosis of this graph, or not yet.")
        return
    if not shown.findings:
        st.caption("Nothing found: no lost, vanishing or exploding gradient, no dead unit, no slip in the loss.")
        return
    found = shown.findings
    st.caption(Diagnosis(list(found)).summary)
    listed = [_finding_row(place, finding) for place, finding in enumerate(found[:MOST_ROWS])]

    def chosen(name: str) -> None:
        finding = next((finding for place, finding in enumerate(found) if str(place) == name), None)
        if finding is not None and (node := place_of(finding)) is not None:
            exploring.go_to(node, view, shown.graph)

    places = [f"node_{place_of(finding)}" for finding in found]
    selected = str(places.index(exploring.selected)) if exploring.selected in places else ""
    rows(listed, selected=selected, label="Findings", chosen=chosen, key="findings")
    if selected and is_hidden(exploring.selected, view, shown.graph):
        st.caption(f"{NOT_DRAWN} “Selected” tells what is known of it.")


def _visible(calls: tuple[Call, ...], view: View) -> Iterator[tuple[Call, bool, bool]]:
    """The calls that are in no closed one; whether each is open, and whether there is something to open."""
    closed = {name for group in view.groups for name in group.opens}
    hidden_below: int | None = None
    for call in calls:
        if hidden_below is not None and call.depth > hidden_below:
            continue
        hidden_below = call.depth if call.name in closed else None
        yield call, call.name not in closed, len(call.nodes) > 1


def _place(call: Call, view: View) -> str:
    """What stands for a call on the canvas: its box, its group, or its last node."""
    boxes = (box.id for box in view.boxes if box.name == call.name)
    groups = (group.id for group in view.groups if call.name in group.opens)
    return next(boxes, next(groups, f"node_{call.nodes[-1]}"))


def _call_row(call: Call, is_open: bool, has_more: bool) -> Row:
    size = f"{len(call.nodes):,} {'op' if len(call.nodes) == 1 else 'ops'}"
    parameters = f"{call.parameters:,} parameters" if call.parameters else ""
    found = f"{call.findings} {'finding' if call.findings == 1 else 'findings'}" if call.findings else ""
    mark = MARKS[call.verdict] if call.verdict else ""
    return Row(
        id=call.name,
        text=call.label,
        remark=", ".join(part for part in (size, parameters, found) if part),
        mark=mark,
        kind="error" if call.verdict == "mismatch" or call.findings else "",
        depth=call.depth,
        expanded=is_open if has_more else None,
    )


def _finding_row(place: int, finding: Finding) -> Row:
    where = " in ".join(part for part in (finding.source, finding.module) if part)
    lines = [f"{finding.severity} {where}".strip(), f"do: {finding.hint}"]
    return Row(id=str(place), text=f"{finding.kind}: {finding.message}", remark="\n".join(lines), kind=finding.severity)
