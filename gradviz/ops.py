"""Every aten overload with the method by which the check verifies it: torch's and gradviz's registries -> records, texts.

Whether torch differentiates an overload is read from `derivatives.yaml`, the table that torch's autograd is generated from
and that comes with torch. How it is verified is asked of `symbolic.method_of` and of `check.differences`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import torch
from torch._ops import OpOverload

from gradviz.check.differences import why_no_differences
from gradviz.opcall import op_name
from gradviz.symbolic import NoGradient, find_rule, functional_overload, method_of

Verification = Literal["symbolic", "lowered", "numeric", "unverified", "no gradient", "composite", "not differentiable"]

MEANINGS: dict[Verification, str] = {
    "symbolic": "a rule states the function to sympy: derivatives are exact, compared to 50 digits",
    "lowered": "no rule, but torch's own decomposition: where it ends in overloads with rules, as symbolic; else as numeric",
    "numeric": "no rule: central differences of the op itself in float64, where they are accurate; else unverified",
    "unverified": "no rule, and no differences: edges into it are listed as unverified, never as passed",
    "no gradient": "registered as having no derivative; where torch gives zeros for one, differences verify them",
    "composite": "torch runs it as other overloads, which are recorded and verified instead",
    "not differentiable": "torch has no derivative of it: no gradient flows through it",
}
CARRYING: tuple[Verification, ...] = ("symbolic", "lowered", "numeric", "unverified")
COMMAND = "gradviz ops --markdown > docs/ops.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overload:
    """One aten overload.

    Attributes:
        name: as in `torch.ops.aten`, without ".default": "add.Tensor", "relu".
        method: how the check verifies edges into it; see `MEANINGS`.
        detail: the kind of rule, or why there is no gradient or no verdict; "" where `MEANINGS` says all.
    """

    name: str
    method: Verification
    detail: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON knows them."""
        return asdict(self)


def overloads() -> list[Overload]:
    """Every aten overload that torch's dispatcher knows, by name."""
    names = (name for name in torch._C._dispatch_get_all_op_names() if name.startswith("aten::"))
    return [_described(name.removeprefix("aten::")) for name in sorted(names)]


def is_differentiable(overload: OpOverload) -> bool:
    """Whether torch has a derivative of an overload, so that a call of it can make an autograd node.

    >>> aten = torch.ops.aten
    >>> [is_differentiable(one) for one in (aten.mul.Tensor, aten.mul_.Tensor, aten.unbind_copy.int, aten.copy_.default)]
    [True, True, True, True]
    >>> [is_differentiable(one) for one in (aten.mul.out, aten.argmax.default, aten.linalg_inv.default)]
    [False, False, False]
    """
    if _writes_out(overload):
        return False
    functional = functional_overload(overload)
    names = {_short(one) for one in (overload, functional) if one is not None}
    names |= {name.replace("_copy", "", 1) for name in names}  # of a view's copy torch has the view's derivative
    op = op_name(overload)
    if op.startswith("_foreach_"):  # and of a map over a list that of the op that is mapped
        packed = op in _WITH_PACKED_NUMBERS and overload._overloadname == "Tensor"
        return op.removeprefix("_foreach_") in _ops_with_formulas() and not packed
    return op == "copy" or bool(names & _formulas())  # `copy_` is differentiated by hand, beside the table


def overloads_text(listed: Sequence[Overload], everything: Sequence[Overload]) -> str:
    """The summary of `everything`, then the listed overloads as a table for the terminal."""
    width = max((len(one.name) for one in listed), default=0)
    rows = [f"{one.name:<{width}}  {one.method:<{_METHOD_WIDTH}}  {one.detail}".rstrip() for one in listed]
    return "\n".join([*_counts(everything), "", *(rows or ["no overload has such a name and method"])])


def overloads_page(everything: Sequence[Overload]) -> str:
    """The page docs/ops.md, in Markdown."""
    of = {method: [one for one in everything if one.method == method] for method in MEANINGS}
    parts = [
        "# How each aten overload is verified",
        f"Written by `{COMMAND}` with torch {torch.__version__.partition('+')[0]}; a test fails when it is out of date.",
        "\n".join(f"- {line}" for line in _counts(everything)),
        "An in-place overload has the method of its functional form. A call that a rule refuses (erf of a complex "
        "number, say) is verified as one without a rule.",
    ]
    for method in (*CARRYING, "no gradient"):
        rows = [f"| `{one.name}` | {one.detail} |" for one in of[method]]
        parts += [f"## {method.capitalize()}", MEANINGS[method].capitalize() + ".", "\n".join(_HEAD + rows)]
    for method in ("composite", "not differentiable"):
        names = ", ".join(f"`{one.name}`" for one in of[method] if not one.detail)
        parts += [f"## {method.capitalize()}", f"{MEANINGS[method].capitalize()}.", names + "."]
    out = sum(one.detail == _INTO_OUT for one in everything)
    parts.append(f"And the {out} overloads that write into a tensor given as `out=`.")
    return "\n\n".join(parts) + "\n"


_METHOD_WIDTH = max(map(len, MEANINGS))
_HEAD = ["| overload | |", "| --- | --- |"]
_WITH_PACKED_NUMBERS = {"_foreach_addcdiv", "_foreach_addcmul"}
_INTO_OUT = "it writes into out="
_FORMULA = re.compile(
    r"^ +(?!result|output_differentiability|dispatch|Default|Autograd)[\w, ]+: (?!non_differentiable|not_implemented)",
    re.MULTILINE,
)
_NO_OUTPUT = re.compile(r"output_differentiability: \[False(, False)*\]")


def _described(name: str) -> Overload:
    packet, _, which = name.partition(".")
    overload: OpOverload = getattr(getattr(torch.ops.aten, packet), which or "default")
    if _writes_out(overload):
        return Overload(name=name, method="not differentiable", detail=_INTO_OUT)
    rule = method_of(overload)
    if rule == "no gradient":
        found = find_rule(overload)
        assert isinstance(found, NoGradient)
        return Overload(name=name, method="no gradient", detail=found.reason)
    if rule not in ("none", "lowered"):
        return Overload(name=name, method="symbolic", detail=rule)
    if is_differentiable(overload):
        if rule == "lowered":
            return Overload(name=name, method="lowered")
        reason = why_no_differences(overload)
        return Overload(name=name, method="unverified" if reason else "numeric", detail=reason)
    composite = torch._C._dispatch_has_kernel_for_dispatch_key(f"aten::{name}", "CompositeImplicitAutograd")
    return Overload(name=name, method="composite" if composite else "not differentiable")


def _counts(everything: Sequence[Overload]) -> list[str]:
    """How many overloads have which method, one line per method."""
    lines = []
    for method, meaning in MEANINGS.items():
        those = [one for one in everything if one.method == method]
        kinds = Counter(one.detail for one in those) if method == "symbolic" else Counter()
        told = ", ".join(f"{times} {kind}" for kind, times in sorted(kinds.items()))
        lines.append(f"{len(those)} {method}{f' ({told})' if told else ''}: {meaning}.")
    carrying = sum(one.method in CARRYING for one in everything)
    return [
        f"{len(everything)} aten overloads, of which {carrying} can carry a gradient.",
        *lines,
    ]


def _writes_out(overload: OpOverload) -> bool:
    return any(argument.is_out for argument in overload._schema.arguments)


def _short(overload: OpOverload) -> str:
    return str(overload.name()).removeprefix("aten::")


@cache
def _formulas() -> frozenset[str]:
    """The overloads that torch has a formula of a derivative of."""
    text = (files("torchgen") / "packaged" / "autograd" / "derivatives.yaml").read_text(encoding="utf-8")
    blocks = re.split(r"^- name: +", text, flags=re.MULTILINE)[1:]
    return frozenset(block.partition("(")[0] for block in blocks if _FORMULA.search(block) and not _NO_OUTPUT.search(block))


@cache
def _ops_with_formulas() -> frozenset[str]:
    return frozenset(name.partition(".")[0] for name in _formulas())
