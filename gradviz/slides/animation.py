"""Clicks -> the timing part of a slide: what each click hides and shows, by PowerPoint's own effects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

from gradviz.slides.drawingml import NAMESPACES, Mark

_EFFECTS = {"entr": ("visible", 0), "exit": ("hidden", 1)}
"""Kind of an effect -> what becomes of the element, and in which group of effects of an element it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Click:
    """The elements, by their numbers, that a click hides and shows."""

    hidden: tuple[tuple[int, Mark], ...]
    shown: tuple[tuple[int, Mark], ...]


def timing_xml(clicks: Sequence[Click]) -> str:
    """The `<p:timing>` of a slide."""
    numbers = count(3)
    steps = "".join(_step(click, numbers) for click in clicks)
    builds = "".join(_builds(clicks))
    return (
        f'<p:timing {NAMESPACES}><p:tnLst><p:par><p:cTn id="1" dur="indefinite" restart="never" nodeType="tmRoot">'
        '<p:childTnLst><p:seq concurrent="1" nextAc="seek"><p:cTn id="2" dur="indefinite" nodeType="mainSeq">'
        f"<p:childTnLst>{steps}</p:childTnLst></p:cTn>"
        '<p:prevCondLst><p:cond evt="onPrev" delay="0"><p:tgtEl><p:sldTgt/></p:tgtEl></p:cond></p:prevCondLst>'
        '<p:nextCondLst><p:cond evt="onNext" delay="0"><p:tgtEl><p:sldTgt/></p:tgtEl></p:cond></p:nextCondLst>'
        f"</p:seq></p:childTnLst></p:cTn></p:par></p:tnLst>{f'<p:bldLst>{builds}</p:bldLst>' if builds else ''}</p:timing>"
    )


def _step(click: Click, numbers: Iterator[int]) -> str:
    """One click: the first effect waits for it, all others come with the first."""
    outer, inner = next(numbers), next(numbers)
    effects = ""
    changes = [*(("exit", *one) for one in click.hidden), *(("entr", *one) for one in click.shown)]
    for place, (kind, element, mark) in enumerate(changes):
        effects += _effect(kind, element, mark, numbers, "withEffect" if place else "clickEffect")
    wait, at_once = '<p:cond delay="indefinite"/>', '<p:cond delay="0"/>'
    return (
        f'<p:par><p:cTn id="{outer}" fill="hold"><p:stCondLst>{wait}</p:stCondLst><p:childTnLst>'
        f'<p:par><p:cTn id="{inner}" fill="hold"><p:stCondLst>{at_once}</p:stCondLst><p:childTnLst>{effects}'
        "</p:childTnLst></p:cTn></p:par></p:childTnLst></p:cTn></p:par>"
    )


def _effect(kind: str, element: int, mark: Mark, numbers: Iterator[int], node_type: str) -> str:
    becomes, group = _EFFECTS[kind]
    in_group = f' grpId="{group}"' if mark.glued is None else ""
    now = '<p:stCondLst><p:cond delay="0"/></p:stCondLst>'
    return (
        f'<p:par><p:cTn id="{next(numbers)}" presetID="1" presetClass="{kind}" presetSubtype="0" fill="hold"{in_group} '
        f'nodeType="{node_type}">{now}<p:childTnLst>'
        f'<p:set><p:cBhvr><p:cTn id="{next(numbers)}" dur="1" fill="hold">{now}</p:cTn>'
        f'<p:tgtEl><p:spTgt spid="{element}"/></p:tgtEl><p:attrNameLst><p:attrName>style.visibility</p:attrName>'
        f'</p:attrNameLst></p:cBhvr><p:to><p:strVal val="{becomes}"/></p:to></p:set></p:childTnLst></p:cTn></p:par>'
    )


def _builds(clicks: Sequence[Click]) -> Iterator[str]:
    """What PowerPoint wants to be told of each shape that has effects: that its text comes and goes with it."""
    for kind, changes in (("entr", [click.shown for click in clicks]), ("exit", [click.hidden for click in clicks])):
        for element, mark in (one for change in changes for one in change):
            if mark.glued is None:
                yield f'<p:bldP spid="{element}" grpId="{_EFFECTS[kind][1]}" animBg="1"/>'
