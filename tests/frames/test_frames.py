"""Frames: every number against torch's own autograd, the order against the engine's, what is pending and what settled."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

import framed_graphs
import pytest
import torch
from torch import Tensor

import gradviz
from gradviz import GradGraph, InputError
from gradviz.explain.terms import numbers_in
from gradviz.frames import Frame, Frames

NUMBER = r"(−?[\d.]+(?:e[+−]\d+)?)"
FLOW = re.compile(
    rf"∂\w+/∂(?P<head>\w+) = {NUMBER} flows on to (?P<tail>\w+): times ∂\w+/∂\w+ = (?:.* = )?{NUMBER} gives {NUMBER}; .*"
)
ALL = [pytest.param(make, id=name) for name, make in framed_graphs.ALL.items()]


def number(text: str) -> float:
    return float(text.replace("−", "-"))


def close(found: float, true: float) -> bool:
    """Whether a number that is written with four digits is this one."""
    return math.isclose(found, true, rel_tol=5.1e-4, abs_tol=1e-12)


def lecture_values() -> dict[str, Tensor]:
    x, y = (torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (2.0, 3.0))
    a, b = x * y, math.pi * x
    c = torch.sin(b)
    return {"x": x, "y": y, "a": a, "b": b, "c": c, "d": a + c}


def chain_values() -> dict[str, Tensor]:
    x, y, z = (torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (1.0, 2.0, 3.0))
    a = 2 * z
    b, c = a * x, torch.sin(y)
    d = b / c
    e = d + 1
    f = torch.log(e)
    return {"x": x, "y": y, "z": z, "a": a, "b": b, "c": c, "d": d, "e": e, "f": f, "g": torch.tanh(f)}


def shared_values() -> dict[str, Tensor]:
    z = torch.tensor(1.25, dtype=torch.float64, requires_grad=True)
    a, b = torch.log(z), torch.exp(z)
    return {"z": z, "a": a, "b": b, "c": a + b}


BY_HAND: list[tuple[Callable[[], GradGraph], Callable[[], dict[str, Tensor]]]] = [
    (framed_graphs.lecture, lecture_values),
    (framed_graphs.chain, chain_values),
    (lambda: gradviz.trace("log(z) + exp(z)", z=1.25, device="cpu"), shared_values),
]


def derivative(head: Tensor, tail: Tensor) -> float:
    if head is tail:
        return 1.0
    (found,) = torch.autograd.grad(head, tail, retain_graph=True)
    return float(found)


@pytest.mark.parametrize(("make", "values"), BY_HAND, ids=["lecture", "chain", "shared"])
def test_each_flow_multiplies_the_numbers_that_autograd_has(
    make: Callable[[], GradGraph], values: Callable[[], dict[str, Tensor]]
) -> None:
    by_hand = values()
    output = list(by_hand.values())[-1]
    flows = [match for frame in make().frames() if (match := FLOW.fullmatch(frame.text))]
    assert len(flows) == sum(1 for frame in make().frames() if "flows on" in frame.text) > 3
    for flow in flows:
        head, tail = by_hand[flow["head"]], by_hand[flow["tail"]]
        cotangent, factor, product = (number(text) for text in flow.group(2, 4, 5))
        assert close(cotangent, derivative(output, head))
        assert close(factor, derivative(head, tail))
        assert close(product, derivative(output, head) * derivative(head, tail))


@pytest.mark.parametrize(("make", "values"), BY_HAND, ids=["lecture", "chain", "shared"])
def test_each_value_and_each_gradient_is_the_one_that_torch_computes(
    make: Callable[[], GradGraph], values: Callable[[], dict[str, Tensor]]
) -> None:
    by_hand = values()
    output = list(by_hand.values())[-1]
    frames = make().frames()
    inputs = re.findall(rf"(\w+) = {NUMBER}", frames[0].text)
    sentences = [frame.text.split(" = ") for frame in frames if frame.phase == "forward"][1:]
    computed = [(sides[0], sides[-1].removesuffix(" (zero up to rounding)")) for sides in sentences]
    assert {name for name, _ in inputs + computed} == set(by_hand)
    assert all(close(number(text), by_hand[name].item()) for name, text in inputs + computed)
    gradients = re.findall(rf"∂\w+/∂(\w+) = {NUMBER}", frames[-1].text)
    assert {name for name, _ in gradients} == {name for name, value in by_hand.items() if value.is_leaf}
    assert all(close(number(text), derivative(output, by_hand[name])) for name, text in gradients)


@pytest.mark.parametrize("make", ALL)
def test_each_flow_ends_with_what_arrived_or_its_norm(make: Callable[[], GradGraph]) -> None:
    graph = make()
    flows = [frame for frame in graph.frames() if frame.edge is not None]
    for frame in flows:
        assert frame.edge is not None
        contribution = graph.edges[frame.edge]["contribution"]
        found = re.search(rf"(?:of norm|gives) (\[.*?\]|{NUMBER})", frame.text)
        assert found is not None
        if found[1].startswith("["):
            assert all(map(close, map(number, found[1][1:-1].split(", ")), contribution.tolist()))
        else:
            size = float(contribution) if contribution.numel() == 1 else float(contribution.norm())
            assert close(number(found[1]), size)


def _note(ran: list[str], name: str, _: object) -> None:
    ran.append(name)


def test_contributions_arrive_in_the_order_in_which_the_engine_runs() -> None:
    x, y = (torch.tensor(value, requires_grad=True) for value in (2.0, 3.0))
    product = x * y
    out = product.sin() + product.exp() * x
    ran: list[str] = []
    found = [out.grad_fn]
    for node in found:
        following = [after for after, _ in node.next_functions if after is not None and after not in found]
        found += [after for after in following if after.name() != "torch::autograd::AccumulateGrad"]
        node.register_prehook(partial(_note, ran, node.name()))
    graph = gradviz.trace(out)
    ran.clear()
    out.backward(retain_graph=True)
    heads = [frame.edge[1] for frame in graph.frames() if frame.edge is not None]
    ops = [graph.nodes[head]["op"] for place, head in enumerate(heads) if head not in heads[:place]]
    assert [f"{op.capitalize()}Backward0" for op in ops] == ran
    assert len(ran) == 5


@pytest.mark.parametrize("make", ALL)
def test_a_cotangent_is_pending_until_its_last_contribution_and_settled_from_then_on(make: Callable[[], GradGraph]) -> None:
    graph = make()
    carrying = [use for node in graph for use in graph.uses_of(node) if use.contribution is not None]
    expected = Counter([*graph.starting_cotangents(), *((use.edge[0], use.output) for use in carrying)])
    frames = [frame for frame in graph.frames() if frame.phase == "backward"]
    for before, frame in pairwise(frames):
        assert before.settled <= frame.settled
        assert before.passed <= frame.passed
    for frame in frames:
        arrived = [use for use in carrying if use.edge in frame.passed]
        counts = Counter([*graph.starting_cotangents(), *((use.edge[0], use.output) for use in arrived)])
        assert frame.settled == {place for place in counts if counts[place] == expected[place]}
        assert set(frame.pending) == set(counts) - frame.settled
        for (node, output), so_far in frame.pending.items():
            parts = [use.contribution for use in arrived if (use.edge[0], use.output) == (node, output)]
            starting = graph.starting_cotangents().get((node, output))
            assert torch.allclose(so_far, sum([*parts, *([] if starting is None else [starting])]))
    assert not frames[-1].pending
    assert frames[-1].passed == {use.edge for use in carrying}


@pytest.mark.parametrize("make", ALL)
def test_values_appear_one_by_one_and_only_after_what_they_are_made_of(make: Callable[[], GradGraph]) -> None:
    graph = make()
    forward = [frame for frame in graph.frames() if frame.phase == "forward"]
    shown = {node.node for node in graph.frames().views[0].nodes}
    for before, frame in pairwise(forward):
        assert frame.values - before.values == {frame.node}
        assert frame.node is not None
        assert set(graph.predecessors(frame.node)) & shown <= before.values
    assert forward[-1].values == shown


def test_what_has_arrived_and_what_is_to_come_is_said() -> None:
    texts = [frame.text for frame in framed_graphs.lecture().frames()]
    assert texts[9].endswith("gives 3.142; 1 more contribution to come")
    assert texts[10].endswith("gives 3; ∂d/∂x = 3.142 + 3 = 6.142")
    assert texts[11].endswith("gives 2; that is all of ∂d/∂y")


def test_a_hook_that_changes_a_cotangent_is_said() -> None:
    x = torch.tensor(2.0, requires_grad=True)
    squared = x * x
    squared.register_hook(lambda cotangent: cotangent * 10)
    frames = gradviz.trace(squared.exp(), names={"squared": squared}).frames()
    changed = [frame.text for frame in frames if frame.text.endswith("; a hook then changes ∂a/∂squared")]
    assert len(changed) == 1


def test_cotangents_that_are_not_finite_are_shown_as_they_are() -> None:
    texts = [frame.text for frame in gradviz.trace("sqrt(x)*y + x", x=0.0, y=0.0, device="cpu").frames()]
    assert "times ∂a/∂x = 1/(2·a) = ∞ gives NaN" in "\n".join(texts)
    assert texts[-1] == "The gradients: ∂c/∂x = NaN, ∂c/∂y = 0"


def test_a_complex_number_flows_as_a_product() -> None:
    z = torch.tensor(1 + 2j, requires_grad=True)
    graph = gradviz.trace(lambda z: (z * z.conj()).real, z)
    assert graph.frames()[-1].text == "The gradients: ∂d/∂z = 2 + 4j"
    assert not [edge.number for edge in graph.view().edges if edge.number.endswith("j")]


def test_a_leaf_without_gradient_is_named_at_the_end() -> None:
    assert framed_graphs.cut().frames()[-1].text == "The gradients: ∂f/∂x = 9; no gradient reaches unused"


def test_the_terms_of_a_sentence_hold_the_numbers_of_its_text() -> None:
    frame = framed_graphs.lecture().frames()[10]
    assert [round(float(value.real), 3) for value in numbers_in(frame.sentence)] == [1, 3, 3, 3.142, 3, 6.142]


def training_frames() -> Frames:
    first, *later = framed_graphs.training()
    return first.frames(following=later)


def test_steps_of_training_show_what_torch_computes() -> None:
    w, texts = 0.5, [frame.text for frame in training_frames()]
    for step in range(3):
        loss, gradient = (2 * w - 3) ** 2, 4 * (2 * w - 3)
        found = re.search(rf"loss = {NUMBER}", texts[2 * step])
        assert found is not None
        assert close(number(found[1]), loss)
        assert close(number(texts[2 * step + 1].rpartition(" = ")[2]), gradient)
        if step:
            assert f"w = {w:.4g} (was " in texts[2 * step]
        w -= 0.05 * gradient


def test_steps_of_training_can_be_shown_value_by_value() -> None:
    first, *later = framed_graphs.training()
    frames = first.frames(following=later, detail="values")
    assert len(frames) == 3 * len(first.frames())
    assert [frame.step for frame in frames] == sorted(frame.step for frame in frames)
    assert frames[len(first.frames())].text.startswith("Step 2. The inputs: w = 0.9")


def test_a_loaded_graph_has_the_frames_of_the_saved_one(tmp_path: Path) -> None:
    for make in (framed_graphs.chain, framed_graphs.relu_net):
        graph = make()
        graph.save(tmp_path / "run.gradviz")
        assert str(gradviz.load(tmp_path / "run.gradviz").frames()) == str(graph.frames())


def test_frames_can_be_counted_iterated_and_printed() -> None:
    frames = framed_graphs.lecture().frames()
    assert len(frames) == len(list(frames)) == len(str(frames).splitlines()) == 13
    assert isinstance(frames[0], Frame)
    assert repr(frames) == "<13 frames of 'd = x·y + sin(π·x)'>"
    assert framed_graphs.lecture().frames(title="Backpropagation").title == "Backpropagation"
    difference = gradviz.trace("(y - x)^2", x=1.0, y=3.0, device="cpu")
    assert difference.frames().title == "b = (y − x)²"


def test_what_cannot_be_shown_is_refused_with_its_reason() -> None:
    graph = framed_graphs.lecture()
    with pytest.raises(InputError, match="the picture has 6 nodes, frames are made of at most 5"):
        graph.frames(max_nodes=5)
    with pytest.raises(InputError, match="graph 2 has another structure than the first: 6 and 10 nodes"):
        graph.frames(following=[framed_graphs.chain()])
    with pytest.raises(InputError, match="graph 2 has another structure than the first: 'c' and 'c'"):
        graph.frames(following=[gradviz.trace("x*y + cos(pi*x)", x=2.0, y=3.0, device="cpu")])
    with pytest.raises(InputError, match="following takes the graphs of later steps, in a list, not int"):
        graph.player(following=3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="in a list, not GradGraph"):
        graph.frames(following=graph)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="in a list; one of these is a str"):
        graph.frames(following=["x"])  # type: ignore[list-item]
    with pytest.raises(InputError, match="unknown detail 'all'; accepted: values, passes"):
        graph.frames(detail="all")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="unknown language 'tlh'; accepted: en"):
        graph.frames(language="tlh")  # type: ignore[arg-type]


def test_a_sentence_writes_out_the_few_numbers_of_a_tensor_beside_its_shape() -> None:
    rows, wide = torch.tensor([[0.25], [0.5], [1.0], [1.234567]], requires_grad=True), torch.ones(2, 4)
    frames = gradviz.trace(lambda a, b: torch.sin(a @ b[:1]).sum() + (-a).sum(), rows, wide, device="cpu").frames()
    assert frames[0].text == "The inputs: a: float32 [4, 1] = [[0.25], [0.5], [1], [1.235]], b: float32 [2, 4]"
    assert any(frame.text.endswith("= −a: float32 [4, 1] = [[−0.25], [−0.5], [−1], [−1.235]]") for frame in frames)
    assert any("float32 [4, 4], mean " in frame.text for frame in frames)


def test_what_rounding_alone_made_is_said_to_be_zero() -> None:
    texts = [frame.text for frame in gradviz.trace("x*y + sin(pi*x)", x=2.0, y=3.0).frames()]
    assert texts[3] == "c = sin(b) = sin(6.283) = \u22122.449e\u221216 (zero up to rounding)"
    assert not any("rounding" in text for text in texts[:3] + texts[4:])
