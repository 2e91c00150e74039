"""The list of overloads says of each what torch and the check really do with it, and the page is what the list says."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from test_opinfo import PARTS, op_infos
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._pytree import tree_leaves

import gradviz
from gradviz.cli.command import main
from gradviz.ops import CARRYING, COMMAND, MEANINGS, Overload, is_differentiable, overloads, overloads_page
from gradviz.symbolic import method_of
from gradviz.testing import assert_gradients

aten = torch.ops.aten
PAGE = Path(__file__).parent.parent / "docs" / "ops.md"
RECORDED = {*CARRYING, "no gradient"}

LOWERED_ELSEWHERE = {"as_strided_scatter", "special_bessel_j0", "special_bessel_j1"}
"""Their decompositions end in primitives without a rule: differences verify them, or nothing."""

of_the_release_of_the_page = pytest.mark.skipif(
    f"with torch {torch.__version__.partition('+')[0]};" not in PAGE.read_text(encoding="utf-8"),
    reason="docs/ops.md was written with another torch",
)


@pytest.fixture(scope="module")
def everything() -> list[Overload]:
    return overloads()


@pytest.fixture(scope="module")
def known(everything: list[Overload]) -> dict[str, Overload]:
    return {one.name: one for one in everything}


def short(overload: OpOverload) -> str:
    return str(overload.name()).removeprefix("aten::")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["ops", *arguments], catch_exceptions=False)


def graphs(part: int) -> Iterator[gradviz.GradGraph]:
    """The first differentiable OpInfo sample of a part of the differentiable ops, where torch has a backward pass for it."""
    for op in op_infos(part):
        for sample in op.sample_inputs("cpu", torch.float64, requires_grad=True):
            leaves = tree_leaves((sample.input, sample.args, sample.kwargs))
            if any(isinstance(leaf, Tensor) and leaf.requires_grad for leaf in leaves):
                run = partial(op, sample.input, *sample.args, **sample.kwargs)
                with suppress(gradviz.TraceError, NotImplementedError):  # eigenvectors have phases, sparse tensors no ones
                    yield gradviz.trace(run, grad_output=torch.ones_like)
                break


# What the list says


def test_every_overload_of_the_dispatcher_is_listed_once(everything: list[Overload]) -> None:
    names = [one.name for one in everything]
    assert len(set(names)) == len(names) > 3000
    assert {one.method for one in everything} == set(MEANINGS)


@pytest.mark.parametrize(
    ("name", "method", "detail"),
    [
        ("mul.Tensor", "symbolic", "pointwise"),
        ("mul_.Tensor", "symbolic", "pointwise"),
        ("mm", "symbolic", "tensor"),
        ("linalg_matrix_exp", "symbolic", "tensor"),
        ("_foreach_abs", "lowered", ""),
        ("view_as_real", "symbolic", "tensor"),
        ("_sparse_softmax", "unverified", "differences of sparse and nested tensors are not taken"),
        ("argmax", "no gradient", "its result is a whole number"),
        ("einsum", "composite", ""),
        ("mul.out", "not differentiable", "it writes into out="),
        ("frexp.Tensor_out", "not differentiable", "it writes into out="),
        ("_foreach_powsum.Scalar", "not differentiable", ""),
    ],
)
def test_an_overload_is_listed_with_its_method(
    known: dict[str, Overload], name: str, method: str, detail: str | None
) -> None:
    assert known[name].method == method
    assert detail is None or known[name].detail == detail


def maps_over_lists() -> Iterator[OpOverload]:
    """The functional `_foreach` overloads that take lists of tensors of any shape, and numbers."""
    for name in sorted(torch._C._dispatch_get_all_op_names()):
        packet, _, which = name.removeprefix("aten::").partition(".")
        if packet.startswith("_foreach_") and packet not in ("_foreach_copy", "_foreach_mm", "_foreach_zero"):
            overload = getattr(getattr(aten, packet), which or "default")
            if not overload._schema.is_mutable:
                yield overload


def filled(overload: OpOverload) -> list[Any]:
    """Arguments that a map over lists takes; `addcmul` and `addcdiv` want their numbers packed into a vector."""
    packed = (1,) if "_addc" in overload.name() else ()
    lists = iter(([0.3, 0.25], [0.375, 0.75], [0.625, 0.125]))  # neither ties nor jumps
    makers: dict[str, Callable[[], Any]] = {
        "List[Tensor]": lambda: [torch.tensor(next(lists), dtype=torch.float64, requires_grad=True)],
        "Tensor": lambda: torch.full(packed, 0.4, dtype=torch.float64),
        "number": lambda: 0.4,
        "List[number]": lambda: [0.4],
    }
    return [makers[str(argument.type)]() for argument in overload._schema.arguments if not argument.has_default_value()]


@pytest.mark.parametrize("overload", list(maps_over_lists()), ids=str)
def test_a_map_over_lists_is_verified_where_torch_makes_a_node_of_its_own(overload: OpOverload) -> None:
    arguments = filled(overload)
    (result,) = overload(*arguments)
    made = result.grad_fn is not None and not result.grad_fn.name().endswith("::NotImplemented")
    assert is_differentiable(overload) == made
    if made:
        lists = sum(isinstance(argument, list) and isinstance(argument[0], Tensor) for argument in arguments)
        report = assert_gradients(lambda: overload(*arguments))
        assert [edge.method for edge in report.edges] == ["symbolic"] * lists


@pytest.mark.filterwarnings("ignore")  # torch warns about its own prototypes
@pytest.mark.parametrize("part", range(PARTS))
def test_the_list_says_what_a_check_does(known: dict[str, Overload], part: int) -> None:
    found: dict[str, set[str]] = defaultdict(set)
    for graph in graphs(part):
        calls = {edge: graph.nodes[edge[1]]["call"] for edge in graph.differentiable_edges()}
        calls = {edge: call for edge, call in calls.items() if call is not None and call.overload.namespace == "aten"}
        assert [call.overload for call in calls.values() if known[short(call.overload)].method not in RECORDED] == []
        without = [edge for edge, call in calls.items() if method_of(call.overload) in ("none", "lowered")]
        for entry in graph.check(edges=without).edges if without else ():
            found[short(calls[entry.edge].overload)].add(f"{entry.method} {entry.verdict}".strip())
    numeric = {name: verdicts for name, verdicts in found.items() if known[name].method == "numeric"}
    unverified = {name: verdicts for name, verdicts in found.items() if known[name].method == "unverified"}
    lowered = {name: verdicts for name, verdicts in found.items() if known[name].method == "lowered"}
    assert found
    assert len(numeric) + len(lowered) + len(unverified) == len(found)
    unmatched = {name for name, verdicts in lowered.items() if "symbolic match" not in verdicts}
    assert unmatched == LOWERED_ELSEWHERE & set(lowered)
    assert {name for name, verdicts in numeric.items() if "numeric match" not in verdicts} == set()
    assert {name: verdicts for name, verdicts in unverified.items() if verdicts != {"unverified"}} == {}


# The page and the command


@of_the_release_of_the_page
def test_the_page_is_up_to_date(everything: list[Overload]) -> None:
    same = PAGE.read_text(encoding="utf-8") == overloads_page(everything)
    assert same, f"docs/ops.md is out of date; write it anew: {COMMAND}"


@of_the_release_of_the_page
def test_the_command_that_the_page_names_prints_the_page() -> None:
    assert COMMAND == "gradviz ops --markdown > docs/ops.md"
    assert COMMAND in PAGE.read_text(encoding="utf-8")
    assert run("--markdown").stdout == PAGE.read_text(encoding="utf-8")


def test_the_page_names_every_overload_but_those_that_write_into_out(everything: list[Overload]) -> None:
    page = overloads_page(everything)
    missing = [one for one in everything if f"`{one.name}`" not in page]
    assert {one.detail for one in missing} == {"it writes into out="}


def test_the_counts_at_the_top_add_up(everything: list[Overload]) -> None:
    first, *methods = run().stdout.partition("\n\n")[0].splitlines()
    counts = {line.split(":")[0].split(" (")[0].partition(" ")[2]: int(line.split()[0]) for line in methods}
    assert list(counts) == list(MEANINGS)
    assert int(first.split()[0]) == sum(counts.values()) == len(everything)
    assert f"{sum(counts[method] for method in CARRYING)} can carry a gradient" in first


def test_a_name_chooses_overloads() -> None:
    rows = run("addcm").stdout.partition("\n\n")[2].splitlines()
    assert ["addcmul", "symbolic", "pointwise"] in [row.split() for row in rows]
    assert all("addcm" in row for row in rows)
    assert "out=" in run("addcmul.out", "--all").stdout
    assert "no overload has such a name" in run("addcmul.out").stdout


def test_a_method_chooses_overloads() -> None:
    document = json.loads(run("--method", "unverified", "--json").stdout)
    assert {one["method"] for one in document["overloads"]} == {"unverified"}
    assert all(one["detail"] for one in document["overloads"])
    assert document["counts"]["unverified"] == len(document["overloads"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--method", "magic"], "methods are: symbolic, lowered, numeric"), (["mul", "--markdown"], "prints the whole page")],
)
def test_wrong_usage_exits_with_2(arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
