"""Which nodes are drawn as one: calls of modules and functions, down to a level that fits, and what they say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sample_graphs as samples
import torch
from torch import Tensor, nn

from gradviz import trace
from gradviz.diagnose import Finding
from gradviz.errors import InputError
from gradviz.view import View, ViewGroup, view_of


def names(view: View) -> list[str]:
    """Of the shapes on a picture; groups with their count."""
    counts = {group.id: f"{group.count} × {group.name}" if group.count > 1 else group.name for group in view.groups}
    return sorted([node.name for node in view.nodes] + list(counts.values()))


def group_named(view: View, name: str) -> ViewGroup:
    return next(group for group in view.groups if group.name == name)


def edges(view: View) -> set[tuple[str, str]]:
    called = {shape.id: shape.name for shape in (*view.nodes, *view.groups)}
    return {(called[edge.tail], called[edge.head]) for edge in view.edges}


def test_a_small_graph_is_drawn_node_by_node() -> None:
    assert view_of(samples.network(7)).groups == ()


def test_blocks_that_are_alike_become_one_group_with_a_count() -> None:
    view = view_of(samples.network(20))
    assert names(view) == ["20 × h.0 … 19", "loss", "x"]
    assert edges(view) == {("x", "h.0 … 19"), ("h.0 … 19", "loss")}
    assert view.notes[0] == "100 of 102 nodes are inside groups; option unfold opens one by name, collapse “none” all"
    assert view.title == "computational graph of loss: 2 nodes and 1 group, 2 edges"


def test_an_unfolded_block_is_opened_one_level_and_leaves_the_others_closed() -> None:
    view = view_of(samples.network(20), unfold="h.3")
    assert names(view) == ["16 × h.4 … 19", "3 × h.0 … 2", "h.3.mlp", "loss", "scaled3", "sum3", "x"]
    assert edges(view) >= {("h.0 … 2", "scaled3"), ("scaled3", "h.3.mlp"), ("h.3.mlp", "sum3"), ("h.0 … 2", "sum3")}
    opened = view_of(samples.network(20), unfold=group_named(view, "h.4 … 19").opens)
    assert sum(group.name.endswith("mlp") for group in opened.groups) == 16


def test_a_node_is_unfolded_by_its_name() -> None:
    assert set(names(view_of(samples.network(20), unfold=["product5"]))) >= {"product5", "active5", "h.5.mlp.weight"}


def test_a_block_with_another_structure_stands_apart() -> None:
    graph = samples.network(20)
    graph.nodes[graph_node(graph, "active6")]["op"] = "relu"
    assert names(view_of(graph)) == ["13 × h.7 … 19", "6 × h.0 … 5", "h.6", "loss", "x"]


def test_a_block_of_another_shape_stands_apart() -> None:
    graph = samples.network(20)
    for name in ("product6", "active6"):
        graph.nodes[graph_node(graph, name)]["shape"] = (2,)
    assert "h.6" in names(view_of(graph))


def graph_node(graph: Any, name: str) -> int:
    return next(node for node, called in graph.nodes(data="name") if called == name)


@pytest.mark.parametrize(
    ("collapse", "shown"),
    [
        (1, {"h.0", "h.1", "x", "loss"}),
        (2, {"x", "scaled0", "h.0.mlp", "sum0", "scaled1", "h.1.mlp", "sum1", "loss"}),
        ("h.*", {"h.0", "h.1", "x", "loss"}),
        (["*.mlp"], {"x", "scaled0", "h.0.mlp", "sum0", "scaled1", "h.1.mlp", "sum1", "loss"}),
        ("h.1", {"x", "scaled0", "h.0.mlp.weight", "product0", "active0", "sum0", "h.1", "loss"}),
    ],
)
def test_groups_are_chosen_by_depth_or_by_name(collapse: Any, shown: set[str]) -> None:
    assert set(names(view_of(samples.network(2), collapse=collapse))) == shown


def test_calls_that_are_not_named_are_drawn_as_the_budget_has_them() -> None:
    graph = samples.network(20)
    view = view_of(graph, collapse="h.*.mlp")
    assert {group.name for group in view.groups} == {f"h.{block}.mlp" for block in range(20)}
    closed = view_of(graph, collapse="h.3", max_nodes=30)
    assert {group.name for group in closed.groups} == {f"h.{block}" for block in range(20)}


def test_none_draws_every_node() -> None:
    assert len(view_of(samples.network(20), collapse="none").nodes) == 102


def test_a_larger_budget_gives_a_finer_picture() -> None:
    graph = samples.network(20)
    assert len(view_of(graph, max_nodes=101).groups) == 20  # the parts inside of the blocks
    assert len(view_of(graph, max_nodes=102).groups) == 0
    assert len(view_of(graph, max_nodes=3).groups) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"collapse": 0}, "collapse is 0; accepted: 1 or more levels"),
        ({"collapse": "blocks.*"}, r"collapse names 'blocks.\*', which matches no call in the graph; its calls are h.0, "),
        ({"unfold": "h.77"}, "unfold names 'h.77'"),
    ],
)
def test_a_name_that_the_graph_does_not_have_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        view_of(samples.network(2), **options)


def test_a_graph_without_calls_says_so() -> None:
    with pytest.raises(InputError, match="the graph has no calls of modules or functions inside it"):
        view_of(trace("x*y + sin(pi*x)", x=2.0, y=3.0, device="cpu"), collapse="h.*")


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.register_buffer("shift", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.tanh(self.linear(x) + self.shift)


class Net(nn.Module):
    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Residual(4) for _ in range(blocks))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x.square().mean()


def traced(blocks: int = 9) -> tuple[Any, Tensor]:
    torch.manual_seed(0)
    x = torch.randn(3, 4, requires_grad=True)
    return trace(Net(blocks), x), x


def norm(graph: Any, node: int) -> float:
    return float(graph.cotangent(node).norm())


def test_a_group_says_shapes_parameters_and_the_gain_of_the_cotangent() -> None:
    graph, _ = traced()
    (group,) = (group for group in view_of(graph).groups if group.count == 9)
    assert group.name == "blocks.0 … 8"
    assert group.lines == ("[3, 4] → [3, 4]", "45 ops, 180 parameters")
    last = max(node for node, scope in graph.nodes(data="scope") if scope)
    into, out = norm(graph, graph.leaves["x"]), norm(graph, last)
    assert group.gradient[0] == f"‖cotangent‖ in {into:.3g} ← out {out:.3g}, gain {into / out:.3g}"


def test_the_shapes_of_a_call_are_its_own_and_not_those_of_a_reshape_beside_it() -> None:
    model = nn.Sequential(nn.Linear(8, 4), *(Residual(4) for _ in range(3)), nn.Linear(4, 1))
    graph = trace(model, torch.randn(2, 5, 8), loss=torch.sum)
    groups = view_of(graph, collapse=["1", "2", "3"]).groups
    told = [group.lines for group in groups if group.name in "123"]
    assert told == 3 * [("[2, 5, 4] → [2, 5, 4]", "7 ops, 20 parameters")]


def test_the_gains_of_blocks_that_are_alike_multiply_to_the_gain_of_all() -> None:
    graph, _ = traced(9)
    closed = view_of(graph, collapse=1, max_nodes=20).groups
    gains = [float(group.gradient[0].rpartition("gain ")[2]) for group in closed]
    (alike,) = view_of(graph).groups[:1]
    assert float(alike.gradient[0].rpartition("gain ")[2]) == pytest.approx(torch.tensor(gains).prod().item(), rel=0.03)
    assert alike.gradient[1] == f"each: gain {min(gains):.3g} to {max(gains):.3g}"


def test_a_group_shows_the_worst_that_it_hides() -> None:
    graph = samples.network(20)
    edge = next(edge for edge in graph.edges(keys=True) if edge[1] == graph_node(graph, "active7"))
    number = [one for one in graph.edges(keys=True) if graph.edges[one]["partial"]].index(edge)
    view = view_of(graph, report=samples.report_with(graph, mismatch=number))
    (group,) = view.groups
    assert (group.verdict, group.trouble) == ("mismatch", ("1 mismatch",))
    assert view_of(graph, report=samples.report_with(graph)).groups[0].verdict == "match"


class Found:
    def __init__(self, severity: str, kind: str, node: int | None) -> None:
        self.severity, self.kind, self.node, self.edge, self.source = severity, kind, node, None, ""


def test_a_group_shows_the_findings_inside_worst_first() -> None:
    graph = samples.network(20)
    hints = [Found("hint", "saturation", graph_node(graph, f"active{block}")) for block in range(3)]
    error = Found("error", "not-finite-value", graph_node(graph, "sum4"))
    lost = Found("warning", "no-gradient", None)
    view = view_of(graph, findings=[*hints, error, lost])
    assert view.groups[0].trouble == ("error: not-finite-value", "hint: saturation (3 ×)")
    opened = view_of(graph, findings=[error], unfold="h.4")
    assert [node.trouble for node in opened.nodes if node.name == "sum4"] == [("error: not-finite-value",)]


class Unrolled(nn.Module):
    def __init__(self, steps: int) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(3, 4)
        self.steps = steps

    def forward(self, x: Tensor) -> Tensor:
        h = c = x.new_zeros(2, 4)
        for step in range(self.steps):
            h, c = self.cell(x[step], (h, c))
        return h.square().mean()


def test_the_steps_of_an_unrolled_cell_become_one_group_and_so_do_their_inputs() -> None:
    graph = trace(Unrolled(60), torch.randn(60, 2, 3))
    view = view_of(graph)
    (select,) = (group for group in view.groups if group.name.startswith("select at test_groups.py:"))
    assert (select.count, group_named(view, "cell").count) == (60, 60)
    assert (select.name, "cell") in edges(view)
    assert group_named(view, "cell").lines[1] == "900 ops, 144 parameters"


class OverRows(nn.Module):
    """A cell called once per row of its input: each step reads another output of one `unbind`."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(3, 4)

    def forward(self, rows: Tensor) -> Tensor:
        state = rows.new_zeros(2, 4)
        for row in rows:
            state = self.cell(row, state)
        return state.sum()


def test_steps_that_read_outputs_of_one_call_are_alike() -> None:
    view = view_of(trace(OverRows(), torch.randn(60, 2, 3), device="cpu"))
    assert group_named(view, "cell").count == 60
    assert len(view.nodes) + len(view.groups) < 8


def loop(x: Tensor) -> Tensor:
    for _ in range(50):
        x = torch.sin(x) * 1.5
    return x


def test_the_calls_of_a_loop_are_one_group_each_and_say_the_gains_of_its_steps() -> None:
    graph = trace(loop, torch.tensor(0.5, dtype=torch.float64, requires_grad=True))
    groups = graph.view().groups
    assert [(group.count, group.name.partition(" ")[0]) for group in groups] == [(49, "mul"), (50, "sin")]
    (line,) = groups[0].gradient
    assert line == "each: gain 1.5"
    sines = [node for node, op in graph.nodes(data="op") if op == "sin"]
    slopes = [abs(float(graph.arguments_of(node)[0].partial)) for node in sines]  # type: ignore[arg-type]
    assert groups[1].gradient == (f"each: gain {min(slopes):.3g} to {max(slopes):.3g}",)


def shared(x: Tensor, mask: Tensor, w: Tensor) -> Tensor:
    allowed = ((mask.cumsum(0) > 2).float() * 3).neg()
    return (x * w + allowed).sum()


def test_calls_that_compute_a_constant_are_one_group_which_opens() -> None:
    graph = trace(shared, torch.ones(4, requires_grad=True), torch.ones(4), torch.ones(4, requires_grad=True))
    view = graph.view()
    (group,) = view.groups
    assert (group.name, group.differentiable, group.gradient) == ("allowed", False, ())
    assert group.lines == ("[4] → [4]", "5 ops")
    assert graph.view(unfold="allowed").groups == graph.view(collapse="none").groups == ()


def moved(x: Tensor) -> Tensor:
    for _ in range(25):
        x = torch.sin(x).reshape(2, 3).t().reshape(6)
    return x.sum()


def test_calls_in_a_row_that_only_move_elements_are_one_group_in_a_large_graph() -> None:
    graph = trace(moved, torch.ones(6, requires_grad=True))
    view = graph.view(max_nodes=60)
    moves = [group for group in view.groups if group.lines[0] == "[6] → [6]"]
    assert (len(moves), moves[0].lines[1]) == (25, "4 ops")
    assert all(group.gradient == () for group in moves)


def test_no_output_is_hidden_and_every_edge_joins_two_shapes() -> None:
    for view in (view_of(samples.network(20)), traced()[0].view(), trace(Unrolled(60), torch.randn(60, 2, 3)).view()):
        ids = [shape.id for shape in (*view.nodes, *view.groups)]
        assert len(ids) == len(set(ids))
        assert {edge.tail for edge in view.edges} | {edge.head for edge in view.edges} <= set(ids)
        assert sum(node.role == "output" for node in view.nodes) == 1
        hidden = [node for group in view.groups for node in group.nodes]
        assert len(hidden) == len(set(hidden))


Ways = list[Callable[[Tensor], Tensor]]


class Masked(nn.Module):
    """Blocks of which no two in a row are alike, each of which reads the same mask."""

    def __init__(self) -> None:
        super().__init__()
        ways: tuple[Ways, ...] = ([torch.tanh], [torch.sigmoid, torch.tanh], [torch.exp, torch.tanh, torch.sin])
        self.stages = nn.ModuleList(MaskedStage([ways[(place + stage) % 3] for place in range(5)]) for stage in range(5))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        for stage in self.stages:
            x = stage(x, mask)
        return x.sum()


class MaskedStage(nn.Module):
    def __init__(self, ways: list[Ways]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(MaskedBlock(way) for way in ways)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x, mask)
        return x


class MaskedBlock(nn.Module):
    def __init__(self, ways: Ways) -> None:
        super().__init__()
        self.ways = ways
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        for way in self.ways:
            x = way(x * self.scale)
        return x * mask


def test_a_constant_that_is_drawn_for_each_use_counts_as_often() -> None:
    view = trace(Masked(), torch.ones(3, requires_grad=True), torch.ones(3)).view()
    assert 2 < len(view.nodes) + len(view.groups) <= 40


class Loop(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.Linear(4, 4)

    def forward(self, h: Tensor) -> Tensor:
        for _ in range(12):
            h = torch.tanh(self.cell(h))
        return h.square().mean()


def test_parameters_that_every_step_of_a_loop_reads_are_written_in_its_groups() -> None:
    graph = trace(Loop(), torch.randn(2, 4), device="cpu")
    view = view_of(graph, collapse="cell")
    assert not any(node.name.startswith("cell.") for node in view.nodes)
    assert len(view.groups) == 12 and all("with cell.weight, cell.bias" in group.lines for group in view.groups)
    assert "written in the groups that share them: cell.weight, cell.bias" in view.notes


def test_parameters_whose_groups_are_beyond_the_budget_are_not_said_to_be_written() -> None:
    view = view_of(trace(Loop(), torch.randn(2, 4), device="cpu"), collapse="none", fold="cell", max_nodes=3)
    assert view.groups == () and not any("cell.weight" in note for note in view.notes)


class Scaled(nn.Module):
    """The blocks of `Masked`, all of which multiply by one and the same parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = Masked()
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.blocks(x, self.scale)
        return y


def test_parameters_that_are_written_in_groups_take_no_place_from_them() -> None:
    graph = trace(Scaled(), torch.ones(3, requires_grad=True), device="cpu")
    view = graph.view()
    assert len(view.groups) == 25 and all("with scale" in group.lines for group in view.groups)
    finding = Finding(kind="k", severity="warning", message="m", hint="h", node=graph.node("scale"))
    marked = graph.view(findings=[finding])  # it is drawn with each of its uses, for which there is room at fewer of them
    assert len(marked.nodes) + len(marked.groups) <= 40 and len(marked.groups) < 25


def test_a_shared_parameter_of_which_there_is_something_to_tell_is_drawn() -> None:
    graph = trace(Loop(), torch.randn(2, 4), device="cpu")
    finding = Finding(kind="k", severity="warning", message="m", hint="h", node=graph.node("cell.bias"))
    view = view_of(graph, collapse="cell", findings=[finding])
    assert sum(node.name == "cell.bias" for node in view.nodes) == 12
    assert not any(node.name == "cell.weight" for node in view.nodes)
    assert all("with cell.weight" in group.lines for group in view.groups)


def test_a_group_that_makes_a_constant_for_many_is_drawn_once_per_use() -> None:
    start = torch.randn(4, 4, requires_grad=True)

    def masked() -> torch.Tensor:
        mask = (torch.ones(4, 4).tril().logical_not().float() * 2 + 1).exp()
        x = start
        for _ in range(10):
            x = torch.sin(x @ start) * mask
        return x.sum()

    view = trace(masked).view(collapse=1)
    assert len(trace(masked).frames(collapse=1, max_nodes=100)) > 20
    copies = [group for group in view.groups if group.id.startswith(view.groups[0].id)]
    assert len(copies) == 10 and len({group.nodes for group in copies}) == 1
    assert set(sum(view.arrows, ())) <= set(view.shapes)


def stacked(count: int, *, marked: str = "") -> View:
    leaves = [torch.tensor(place / 10, requires_grad=True) for place in range(count)]
    graph = trace(lambda: torch.stack(leaves).square().sum())
    return graph.view(unfold=marked) if marked else graph.view()


def test_many_inputs_of_one_call_are_one_shape_that_says_how_many_there_are() -> None:
    (group,) = stacked(60).groups
    assert (group.count, len(group.nodes), group.lines) == (60, 60, ("60 × []", "60 leaves"))
    norm = 2 * sum((place / 10) ** 2 for place in range(60)) ** 0.5
    assert group.gradient == (f"‖cotangent‖ out {norm:.3g}",)
    assert len(stacked(60).nodes) == 3 and not stacked(20).groups


def test_one_of_many_inputs_is_opened_by_its_name() -> None:
    name = stacked(60).groups[0].opens[1]
    view = stacked(60, marked=name)
    assert [group.count for group in view.groups] == [59] and name in {node.name for node in view.nodes}


def test_frames_tell_a_group_of_inputs() -> None:
    leaves = [torch.tensor(place / 10, requires_grad=True) for place in range(60)]
    frames = trace(lambda: torch.stack(leaves).sum()).frames(collapse="auto")
    assert frames[1].text.endswith(": 60 leaves, 60 × []")


def test_the_first_of_modules_that_are_counted_is_with_the_others() -> None:
    layers = [nn.Linear(3, 2) for _ in range(12)]
    x = torch.randn(4, 3)
    view = trace(lambda: torch.cat([torch.tanh(layer(x)) for layer in layers]).square().sum()).view()
    assert [(group.count, group.name) for group in view.groups if "layer" in group.name] == [(12, "layer … layer_12")]


class Attention(nn.Module):
    """Two heads, written out."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(8, 8) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        def heads(h: Tensor) -> Tensor:
            return h.view(2, 5, 2, 4).transpose(1, 2)

        weights = (heads(self.q(x)) @ heads(self.k(x)).transpose(-1, -2) / 2).softmax(-1)
        return self.o((weights @ heads(self.v(x))).transpose(1, 2).reshape(2, 5, 8))


def test_calls_in_a_row_that_only_move_elements_are_told_from_modules() -> None:
    view = view_of(trace(Attention(), torch.randn(2, 5, 8), loss=torch.sum), max_nodes=30)
    assert sorted(group.name for group in view.groups if not group.bare) == ["k", "o", "q", "v"]
    assert [group.lines[-1] for group in view.groups if group.bare] == ["expand, view"]
    assert len(set(names(view)) - {"x"}) == len([name for name in names(view) if name != "x"])
