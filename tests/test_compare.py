"""Two traces of the same code: where their numbers part, and where their structure does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gradviz
from gradviz.compare import Comparison


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))


def traced(network: nn.Module, dtype: torch.dtype = torch.float64) -> gradviz.GradGraph:
    batch = torch.linspace(-1, 1, 6, dtype=dtype).reshape(2, 3)
    return gradviz.trace(network.to(dtype), batch, loss=lambda out: out.square().sum(), device="cpu")


def test_the_same_trace_has_no_difference() -> None:
    found = traced(model()).compare(traced(model()))
    assert found.differences == ()
    assert found.compared > 20
    assert str(found).endswith("no difference")


def test_memory_that_nobody_has_written_to_yet_is_not_compared() -> None:
    def dropped(x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.dropout(x, 0.5).sum()

    graphs = []
    for soil in (1.0, 2.0):
        soiled = [torch.full((8,), soil) for _ in range(8)]
        del soiled  # as a rule the mask's memory held these
        torch.manual_seed(0)
        graphs.append(gradviz.trace(dropped, torch.ones(8, requires_grad=True)))
    assert graphs[0].compare(graphs[1]).differences == ()


def test_a_changed_weight_is_the_first_value_that_differs() -> None:
    changed = model()
    with torch.no_grad():
        changed[2].weight[0, 1] += 0.01
    found = traced(model()).compare(traced(changed))
    assert found.first_value is not None
    assert found.first_value.name == "2.weight"
    assert found.first_cotangent is not None


def test_two_dtypes_agree_to_rounding_of_the_coarser() -> None:
    found = traced(model()).compare(traced(model(), torch.float32))
    assert found.differences == ()
    assert traced(model()).compare(traced(model(), torch.float32), rtol=0.0).differences


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_hides_rounding_and_no_other_weight(dtype: torch.dtype) -> None:
    changed = model()
    with torch.no_grad():
        changed[2].weight *= 1.5
    assert traced(model()).compare(traced(model(), dtype)).differences == ()
    found = traced(model()).compare(traced(changed, dtype)).first_value
    assert found is not None and found.name == "2.weight" and found.relative == pytest.approx(1 / 3, rel=0.01)


def test_a_wrong_backward_is_the_first_cotangent_that_differs() -> None:
    class Square(torch.autograd.Function):
        factor = 2.0

        @staticmethod
        def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx: torch.autograd.function.FunctionCtx, *cotangents: Tensor) -> Tensor:
            (x,) = ctx.saved_tensors  # type: ignore[attr-defined]
            return Square.factor * x * cotangents[0]

    def computed(x: Tensor) -> Tensor:
        h = x.sin()
        y: Tensor = Square.apply(h)
        return y.exp()

    x = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    right = gradviz.trace(computed, x)
    Square.factor = 2.01
    found = right.compare(gradviz.trace(computed, x))
    assert found.first_value is None
    assert found.first_cotangent is not None
    assert found.first_cotangent.name == "h"
    assert found.first_cotangent.relative == pytest.approx(0.005, rel=0.01)


def test_a_call_in_the_place_of_another_is_told_and_what_follows_is_compared() -> None:
    x = torch.tensor(1.0, requires_grad=True)
    found = gradviz.trace(lambda x: x.sin().exp(), x).compare(gradviz.trace(lambda x: x.cos().exp(), x))
    assert structural(found) == ["the first has a = sin where the second has a = cos behind x"]
    assert found.first_value is not None and found.first_value.name == "b"
    assert found.first_cotangent is not None


class Ordered(nn.Module):
    """Layers in an order of one's own."""

    def __init__(self, *order: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        layers = {"norm": nn.LayerNorm(6), "linear": nn.Linear(6, 6), "relu": nn.ReLU(), "tanh": nn.Tanh()}
        self.parts = nn.ModuleDict(layers)
        self.first, self.last, self.order = nn.Linear(6, 6), nn.Linear(6, 2), order

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for name in self.order:
            x = self.parts[name](x)
        return self.last(x).square().mean()  # type: ignore[no-any-return]

    def trace(self) -> gradviz.GradGraph:
        return gradviz.trace(self, torch.linspace(-1, 1, 24).reshape(4, 6), device="cpu")


@pytest.mark.parametrize(
    ("here", "there"),
    [
        (("relu", "norm"), ("norm", "relu")),
        (("linear", "norm"), ("norm", "linear")),
        (("relu", "linear", "norm"), ("norm", "linear", "relu")),
    ],
)
def test_layers_that_are_swapped_are_told_and_what_follows_is_compared(
    here: tuple[str, ...], there: tuple[str, ...]
) -> None:
    first, second = Ordered(*here).trace(), Ordered(*there).trace()
    found = first.compare(second)
    told = " ".join(structural(found))
    assert "relu" in told or "layer_norm" in told
    assert "the graphs part" not in str(found) and found.first_cotangent is not None
    last = first.node("out") if "out" in first.graph["names"] else first.outputs[0]
    assert found.first_value is not None and found.first_value.node is not None and found.first_value.node < last
    assert last in {one.node for one in found.differences}


def test_differences_of_structure_are_in_forward_order() -> None:
    found = Ordered("tanh", "linear", "norm", "relu").trace().compare(Ordered("relu", "linear", "tanh", "norm").trace())
    nodes = [one.node for one in found.differences if one.what == "structure" and one.node is not None]
    assert nodes == sorted(nodes) and len(nodes) > 1


class Halved(nn.Module):
    """A network into which a dropout, a copy, a cast and another activation can be put."""

    def __init__(self, *put: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(nn.Linear(6, 6) for _ in range(3))
        self.dropout, self.put = nn.Dropout(0.5), put

    def forward(self, x: Tensor) -> Tensor:
        h = self.layers[0](x).tanh()
        h = self.dropout(h) if "dropout" in self.put else h
        h = self.layers[1](h)
        h = h.sin() if "sine" in self.put else h.tanh()
        h = h.half().float() if "cast" in self.put else h
        h = h.T.contiguous().T if "copy" in self.put else h
        return self.layers[2](h).square().mean()  # type: ignore[no-any-return]

    def trace(self) -> gradviz.GradGraph:
        return gradviz.trace(self, torch.linspace(-1, 1, 24).reshape(4, 6), device="cpu")


def structural(found: Comparison) -> list[str]:
    return [one.message.partition(" (")[0] for one in found.differences if one.what == "structure"]


def test_a_copy_put_in_between_changes_nothing_else() -> None:
    plain, copied = Halved().trace(), Halved("copy").trace()
    found = plain.compare(copied)
    assert structural(found) == ["only the second has d = permute, e = clone, h_4 = permute behind h_3"]
    assert found.structure is not None and found.structure.node is None and not found.same
    assert [one.what for one in found.differences] == ["structure"]
    assert found.compared == plain.compare(plain).compared
    back = copied.compare(plain)
    assert structural(back) == ["only the first has d = permute, e = clone, h_4 = permute behind h_3"]
    assert back.structure is not None and copied.nodes[back.structure.node]["op"] == "permute"


def test_numbers_that_part_behind_what_was_put_in_between_are_told() -> None:
    found = Halved().trace().compare(Halved("dropout").trace())
    assert found.first_value is not None and found.first_value.relative > 0.1
    assert Halved().trace().nodes[found.first_value.node]["op"] == "addmm"
    assert found.first_cotangent is not None
    (told,) = structural(found)
    assert told.startswith("only the second has ") and told.endswith(" behind h")


def test_what_a_cast_rounds_is_a_difference() -> None:
    found = Halved().trace().compare(Halved("cast").trace())
    assert found.first_value is not None and 1e-4 < found.first_value.relative < 1e-2
    assert found.rtol < 1e-3
    assert len(structural(found)) == 1


def test_several_calls_put_in_between_are_told_each() -> None:
    found = Halved("cast").trace().compare(Halved("dropout").trace())
    assert [told.split(" has ")[0] for told in structural(found)] == ["only the second", "only the first"]
    assert all(told in str(found) for told in structural(found))


def test_behind_what_was_put_in_between_other_calls_may_follow() -> None:
    found = Halved().trace().compare(Halved("dropout", "sine").trace())
    assert [told.split(" has ")[0] for told in structural(found)] == ["only the second", "the first"]
    assert "= tanh where the second has" in str(found) and "= sin behind" in str(found)
    assert found.first_value is not None and found.first_cotangent is not None


def test_calls_that_read_other_values_are_not_lined_up_with_a_call_in_between() -> None:
    def loss(w: Tensor, b: Tensor) -> Tensor:
        return (w.sin() * 2 + b.sin()).sum()

    def other(w: Tensor, b: Tensor) -> Tensor:
        return (b.sin().clone() * 2 + w.sin()).sum()

    w, b = torch.ones(2, requires_grad=True), torch.zeros(2, requires_grad=True)
    found = gradviz.trace(loss, w, b).compare(gradviz.trace(other, w, b))
    assert found.first_value is None  # w.sin() is not b.sin()
    assert found.structure is not None and "the graphs part at" in found.structure.message


def test_a_call_that_runs_earlier_is_no_call_more() -> None:
    def late(x: Tensor) -> Tensor:
        y = x.sin().exp()
        return (y * x.detach().cos()).sum()

    def early(x: Tensor) -> Tensor:
        z = x.detach().cos()
        return (x.sin().exp() * z).sum()

    x = torch.linspace(0, 1, 3).requires_grad_()
    (told,) = structural(gradviz.trace(late, x).compare(gradviz.trace(early, x)))
    assert told.startswith("the graphs part at ")


def test_nan_equals_nan_and_differs_from_a_number() -> None:
    def logarithm(x: Tensor) -> Tensor:
        return x.log()

    nan = gradviz.trace(logarithm, torch.tensor(-1.0, requires_grad=True))
    assert nan.compare(nan).differences == ()
    number = gradviz.trace(logarithm, torch.tensor(1.0, requires_grad=True))
    first = nan.compare(number).first_value
    assert first is not None
    assert first.relative > 1


def test_a_saved_trace_is_compared_with_a_live_one(tmp_path: Path) -> None:
    traced(model()).save(tmp_path / "run.gradviz")
    assert traced(model()).compare(gradviz.load(tmp_path / "run.gradviz")).differences == ()


def test_a_gradient_that_only_one_side_has_is_a_difference(tmp_path: Path) -> None:
    def whole(w: Tensor, x: Tensor) -> Tensor:
        return (torch.tanh(w * x) * w).sum()

    def cut(w: Tensor, x: Tensor) -> Tensor:
        with torch.no_grad():
            h = torch.tanh(w * x)
        return (h * w).sum()

    w, x = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([0.3, 0.4])
    one, other = gradviz.trace(whole, w, x), gradviz.trace(cut, w, x)
    other.save(tmp_path / "cut.gradviz")
    for first, second, where in ((one, other, "in the other"), (other, one, "here")):
        found = first.compare(second).first_cotangent
        assert found is not None
        assert found.message.startswith("no gradient comes back to ") and f" {where}: " in found.message
    assert one.compare(gradviz.load(tmp_path / "cut.gradviz")).first_cotangent is not None


def test_a_gradient_of_zeros_is_no_other_than_none() -> None:
    class Silent(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
            return 2 * x

        @staticmethod
        def backward(ctx, cotangent: Tensor) -> Tensor | None:  # type: ignore[no-untyped-def]
            return zeros(cotangent)

    def loss(w: Tensor) -> Tensor:
        return (Silent.apply(w) + w).sum()

    w = torch.ones(2, requires_grad=True)
    zeros: Callable[[Tensor], Tensor | None] = torch.zeros_like
    with_zeros = gradviz.trace(loss, w)
    zeros = lambda _: None  # noqa: E731
    assert with_zeros.compare(gradviz.trace(loss, w)).same


def test_calls_that_look_alike_and_read_other_values_are_not_compared() -> None:
    def both(w: Tensor, b: Tensor) -> Tensor:
        return (w * 2).sum() + (b * 3).sum()

    def constant(w: Tensor, b: Tensor) -> Tensor:
        with torch.no_grad():
            c = b * 3
        return (w * 2).sum() + c.sum()

    w, b = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    found = gradviz.trace(both, w, b).compare(gradviz.trace(constant, w, b))
    assert found.first_value is None  # w * 2 is not b * 3
    assert found.structure is not None
    assert "it reads w here, and its counterpart b in the other" in found.structure.message


@pytest.mark.parametrize("rtol", [-1, "0.1", float("nan")])
def test_a_tolerance_that_is_none_is_refused(rtol: Any) -> None:
    with pytest.raises(gradviz.InputError, match=f"rtol is {rtol!r}; accepted: 0 or more"):
        traced(model()).compare(traced(model()), rtol=rtol)


def test_leaves_are_compared_by_name() -> None:
    found = gradviz.trace("x*y + y", x=2.0, y=3.0, device="cpu").compare(
        gradviz.trace("y*x + x", x=2.0, y=3.0, device="cpu")
    )
    assert found.first_value is not None
    assert found.first_value.name == "b"


def test_graphs_without_a_leaf_in_common_are_not_compared() -> None:
    one, other = (gradviz.trace("sum(v)", v=[1, 2], device="cpu"), gradviz.trace("sum(w)", w=[1, 2, 3], device="cpu"))
    found = one.compare(other)
    assert found.compared == 0
    assert "different leaves: only the first has 'v', and only the second has 'w'; nothing else" in str(found)
    assert str(found).splitlines()[0] == "0 tensors compared to a relative 2.22e-13"


def test_leaves_of_other_names_are_told_and_compared() -> None:
    found = gradviz.trace("x*y", x=2.0, y=3.0, device="cpu").compare(gradviz.trace("x*z", x=2.0, z=3.5, device="cpu"))
    assert [one.message for one in found.differences if one.what == "structure"] == [
        "leaves have other names in the second: y is z"
    ]
    assert found.first_value is not None and found.first_value.name == "y"


def test_leaves_that_one_graph_alone_has_are_passed_over() -> None:
    smaller = gradviz.trace("x", x=2.0, device="cpu")
    larger = gradviz.trace("a + b + c + f + h + w + x", **dict.fromkeys("abcfhwx", 1.0), device="cpu")
    found = str(smaller.compare(larger))
    assert "only the second has 'a', 'b', 'c', 'f', 'h' and 1 more: passed over" in found
    assert "the value of x differs by a relative 0.5" in found


class Named(nn.Module):
    """Layers of one shape, called and ordered as one likes, with one more or not."""

    def __init__(self, *order: str, names: str = "ab", more: str = "") -> None:
        super().__init__()
        torch.manual_seed(0)
        layers = [nn.Linear(4, 4) for _ in names]
        self.layers, self.last = nn.ModuleDict(zip(names, layers, strict=True)), nn.Linear(4, 1)
        self.layers.update({more: nn.Linear(4, 4)} if more else {})
        self.order = order

    def forward(self, x: Tensor) -> Tensor:
        for name in self.order:
            x = self.layers[name](x).tanh()
        return self.last(x).square().mean()  # type: ignore[no-any-return]

    def trace(self) -> gradviz.GradGraph:
        return gradviz.trace(self, torch.linspace(-1, 1, 12).reshape(3, 4), device="cpu")


def test_swapped_layers_of_one_shape_are_told_to_read_other_weights() -> None:
    found = Named("a", "b").trace().compare(Named("b", "a").trace())
    first, second = ([f"layers.{name}.{own}" for own in ("weight", "bias")] for name in "ab")
    told = [one.message.partition(") ")[2] for one in found.differences if one.what == "structure"]
    assert told == [
        f"reads {', '.join(first)} here, {', '.join(second)} there",
        f"reads {', '.join(second)} here, {', '.join(first)} there",
    ]
    assert all(line in str(found) for line in told)
    assert found.first_value is not None and found.first_cotangent is not None


def test_layers_of_other_names_and_the_same_weights_do_not_differ() -> None:
    found = Named("a", "b").trace().compare(Named("c", "d", names="cd").trace())
    (told,) = found.differences
    assert "names in the second: layers.a.weight is layers.c.weight, layers.a.bias is layers.c.bias, lay" in told.message
    assert found.compared == Named("a", "b").trace().compare(Named("a", "b").trace()).compared


@pytest.mark.parametrize("order", ["eab", "aeb", "abe"])
def test_one_layer_more_with_weights_is_told_and_the_others_are_compared(order: str) -> None:
    plain, longer = Named("a", "b").trace(), Named(*order, more="e").trace()
    for first, second, which in ((plain, longer, "second"), (longer, plain, "first")):
        found = first.compare(second)
        only = [one.message for one in found.differences if one.what == "structure"]
        assert only[0] == f"only the {which} has 'layers.e.weight', 'layers.e.bias': passed over"
        assert len(only) == 2 and only[1].startswith(f"only the {which} has ") and " = addmm, " in only[1]
        assert found.compared == plain.compare(plain).compared
        assert found.first_value is not None and found.first_cotangent is not None


@pytest.mark.parametrize("at", [0, 2, 4])
def test_a_layer_of_the_same_shape_put_into_a_sequential_is_known_by_its_weights(at: int) -> None:
    torch.manual_seed(0)
    layers = [nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh()]
    plain = gradviz.trace(nn.Sequential(*layers), torch.ones(2, 4), loss=torch.sum, device="cpu")
    layers[at:at] = [nn.Linear(4, 4), nn.Tanh()]
    longer = gradviz.trace(nn.Sequential(*layers), torch.ones(2, 4), loss=torch.sum, device="cpu")
    found = plain.compare(longer)
    assert f"only the second has '{at}.weight', '{at}.bias': passed over" in str(found)
    assert not any(name in plain.leaves for name in (one.name for one in found.differences if one.what == "value"))
    assert found.compared == plain.compare(plain).compared


def test_factors_in_another_order_are_no_difference() -> None:
    one, other = (gradviz.trace(text, x=2.0, y=3.0, device="cpu") for text in ("x*y", "y*x"))
    assert one.compare(other).same
    one, other = (gradviz.trace(text, x=2.0, y=3.0, device="cpu") for text in ("x/y", "y/x"))
    assert "reads x, y here, y, x there" in str(one.compare(other))


@pytest.mark.parametrize("saved", [False, True])
def test_a_layer_more_that_renumbers_those_behind_it_is_told_and_the_others_are_compared(
    saved: bool, tmp_path: Path
) -> None:
    first, tanh, last = model()
    longer = traced(nn.Sequential(first, nn.Dropout(0.0), nn.Softplus(), tanh, last))
    if saved:
        longer.save(tmp_path / "longer.gradviz")
        longer = gradviz.load(tmp_path / "longer.gradviz")
    found = traced(model()).compare(longer)
    assert not found.same
    assert [one.message for one in found.differences if one.what == "structure"] == [
        "layers have other numbers in the second: 2.weight is 4.weight, 2.bias is 4.bias",
        "only the second has c = softplus behind b (test_compare.py:24)",
    ]
    assert found.first_value is not None
    assert found.first_value.name == "c"  # tanh reads what softplus made
    assert found.compared == traced(model()).compare(traced(model())).compared


def test_layers_with_other_numbers_alone_compute_the_same() -> None:
    first, tanh, last = model()
    found = traced(model()).compare(traced(nn.Sequential(nn.Identity(), first, nn.Identity(), tanh, last)))
    assert [one.what for one in found.differences] == ["structure"]
    assert str(found).splitlines()[1].endswith(", 0.bias is 1.bias, 2.weight is 4.weight, 2.bias is 4.bias")


def test_a_path_is_refused_with_the_way_to_read_it() -> None:
    graph = gradviz.trace("x * y", x=1.0, y=2.0)
    with pytest.raises(gradviz.InputError, match=r"not a str; a file is read by gradviz\.load"):
        graph.compare("run.gradviz")  # type: ignore[arg-type]


def test_what_has_no_roundings_and_memory_that_is_not_filled_yet_are_passed_over() -> None:
    def chosen(x: Tensor) -> Tensor:  # which holds the positions of maxima, and a detached copy of empty memory
        return (torch.nn.functional.gumbel_softmax(x, hard=True) * torch.arange(3.0)).sum()

    def graph(soil: float) -> gradviz.GradGraph:
        x = torch.ones(2, 3, requires_grad=True)
        soiled = [torch.full((2, 3), soil) for _ in range(8)]
        del soiled  # as a rule the memory that is drawn into held these
        torch.manual_seed(0)
        return gradviz.trace(chosen, x)

    assert graph(1.0).compare(graph(2.0)).differences == ()


class Block(nn.Module):
    """A residual block; the numbers of its norm are those of any other's."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.layer = nn.LayerNorm(3), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layer(self.norm(x)).tanh()  # type: ignore[no-any-return]


@pytest.mark.parametrize("dropped", range(4))
def test_a_block_that_is_left_out_takes_its_own_norm_along(dropped: int) -> None:
    torch.manual_seed(0)
    blocks = [Block() for _ in range(4)]
    fewer = [block for place, block in enumerate(blocks) if place != dropped]
    found = traced(nn.Sequential(*blocks)).compare(traced(nn.Sequential(*fewer)))
    names = [f"'{dropped}.{name}'" for name, _ in blocks[0].named_parameters()]
    assert f"only the first has {', '.join(names)}: passed over" in structural(found)
    assert sum("native_layer_norm" in told for told in structural(found)) == 1
    values = [one for one in found.differences if one.what == "value"]
    assert found.compared > 50 and not any(one.name.endswith(("weight", "bias")) for one in values)


@pytest.mark.parametrize("dropped", range(3))
def test_a_layer_that_is_left_out_takes_its_own_buffers_along(dropped: int) -> None:
    torch.manual_seed(0)
    layers = [nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)) for _ in range(3)]
    fewer = [layer for place, layer in enumerate(layers) if place != dropped]
    found = traced(nn.Sequential(*layers)).compare(traced(nn.Sequential(*fewer)))
    (told,) = (one for one in structural(found) if "constant" in one)
    mean, variance = (f"{dropped}.1.running_{which} = constant" for which in ("mean", "var"))
    assert told.startswith(f"only the first has {mean}, {variance}") and found.compared > 30


def test_shapes_that_differ_are_told_as_shapes() -> None:
    torch.manual_seed(0)
    wider = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1))
    found = traced(model()).compare(traced(wider))
    assert found.first_value is not None
    assert found.first_value.message == "the value of 0.weight has shape (4, 3) here and (5, 3) in the other"
    assert "inf" not in str(found)
    assert "a = t (3, 4), b = addmm (2, 4)" in str(found) and "a = t (3, 5), b = addmm (2, 5)" in str(found)


@pytest.mark.parametrize("frozen", ["2.weight", "0.", "2."])
def test_parameters_that_are_frozen_in_one_copy_are_named_and_their_values_compared(frozen: str) -> None:
    torch.manual_seed(0)
    layers = [[nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 1)] for _ in range(2)]
    model, copied = (nn.Sequential(*own) for own in layers)
    copied.load_state_dict(model.state_dict())
    x = torch.randn(5, 4)
    names = [name for name, _ in copied.named_parameters() if name.startswith(frozen)]
    for name in names:
        copied.get_parameter(name).requires_grad_(False)
    first, second = (gradviz.trace(one, x, loss=lambda out: out.square().mean()) for one in (model, copied))
    several = len(names) > 1
    here = "learn here, and are constants in the other" if several else "learns here, and is a constant in the other"
    there = "are constants here, and learn in the other" if several else "is a constant here, and learns in the other"
    for one, other, said in ((first, second, here), (second, first, there)):
        found = one.compare(other)
        assert [place.message for place in found.differences if place.what == "structure"] == [f"{', '.join(names)} {said}"]
        assert not [place for place in found.differences if place.what == "value" or place.name in names]
    with torch.no_grad():
        copied.get_parameter(names[0]).mul_(1.5)
    changed = gradviz.trace(copied, x, loss=lambda out: out.square().mean())
    told = first.compare(changed).first_value
    assert told is not None and told.name == names[0] and told.relative == pytest.approx(1 / 3, rel=1e-3)


def test_a_frozen_layer_is_told_beside_a_layer_more() -> None:
    torch.manual_seed(0)
    layers, x = [nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)], torch.randn(5, 4)
    frozen = nn.Linear(4, 8).requires_grad_(False)
    frozen.load_state_dict(layers[0].state_dict())
    longer = nn.Sequential(frozen, *layers[1:], nn.Linear(1, 1))
    first, second = (gradviz.trace(one, x, loss=lambda out: out.square().mean()) for one in (nn.Sequential(*layers), longer))
    told = str(first.compare(second))
    assert "0.weight, 0.bias learn here, and are constants in the other" in told
    assert "only the second has '3.weight', '3.bias': passed over" in told
