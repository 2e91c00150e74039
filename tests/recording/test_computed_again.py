"""Large tensors that are computed again are, bit for bit, what a trace that keeps all holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import gradviz
from gradviz.graph import GradGraph
from gradviz.recording.again import AGAIN_BYTES, LARGE_BYTES, MAX_DEPTH, WRITTEN_SINCE
from gradviz.recording.derivatives import DERIVATIVES
from gradviz.recording.keeping import BUDGET_BYTES
from gradviz.standin import StandIn, is_kept


class Block(nn.Module):
    """A residual block as people write it, in place where that can be."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.conv2, self.norm2 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.shortcut = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))

    def forward(self, x: Tensor) -> Tensor:
        out = torch.relu_(self.norm1(self.conv1(x)))
        out = self.norm2(self.conv2(out))
        out += self.shortcut(x)
        return torch.relu_(out)


def _image() -> Tensor:
    return torch.randn(2, 4, 256, 256, generator=torch.Generator().manual_seed(0))


def _square() -> Tensor:
    return torch.randn(600, 600, generator=torch.Generator().manual_seed(0), requires_grad=True)


def _net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(Block(), Block(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1))


def _trace(net: nn.Module, values: str | int = BUDGET_BYTES) -> GradGraph:
    return gradviz.trace(net, _image(), loss=torch.sum, device="cpu", values=values)


def _flat(value: Any) -> list[Tensor]:
    values = value if isinstance(value, tuple) else (value,)
    return [one for one in values if one is not None]


def _held(graph: GradGraph) -> dict[object, list[Tensor]]:
    """Every value, cotangent and contribution."""
    found: dict[object, list[Tensor]] = {}
    for node, attributes in graph.nodes(data=True):
        found["value", node], found["cotangent", node] = _flat(attributes["value"]), _flat(attributes["cotangent"])
    for *edge, contribution in graph.edges(keys=True, data="contribution"):
        found["contribution", *edge] = _flat(contribution)
    return found


def _again(graph: GradGraph) -> set[object]:
    """What is computed again when it is read."""
    return {key for key, tensors in _held(graph).items() for one in tensors if isinstance(one, StandIn) and one.again}


def _assert_same(one: GradGraph, other: GradGraph) -> None:
    left, right = _held(one), _held(other)
    assert left.keys() == right.keys()
    for key, tensors in left.items():
        for mine, its in zip(tensors, right[key], strict=True):
            assert torch.equal(mine + 0, its + 0), key


def _of_ops(graph: GradGraph, computed: set[object]) -> set[tuple[str, str]]:
    """(what, op) of what is computed again; of contributions the op of their head."""
    nodes = graph.nodes
    return {(key[0], nodes[key[1] if len(key) == 2 else key[2]]["op"]) for key in computed if isinstance(key, tuple)}


def test_a_residual_net_holds_what_one_that_keeps_all_holds() -> None:
    graph, whole = _trace(_net()), _trace(_net(), "full")
    _assert_same(graph, whole)
    assert not _again(whole)
    assert _of_ops(graph, _again(graph)) >= {
        ("value", "native_batch_norm"),
        ("value", "add"),
        ("contribution", "relu"),
        ("contribution", "add"),
        ("cotangent", "native_batch_norm"),
    }
    assert all(isinstance(graph.nodes[node]["cotangent"], Tensor) for node in graph.leaves.values())


def test_it_stays_so_when_parameters_and_buffers_move_on() -> None:
    net, image = _net(), _image()
    graph, whole = _trace(net), _trace(_net(), "full")
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    for _ in range(2):
        optimizer.zero_grad()
        net(image).sum().backward()
        optimizer.step()
    left, right = _held(graph), _held(whole)
    for key in _again(graph):
        assert all(torch.equal(mine + 0, its + 0) for mine, its in zip(left[key], right[key], strict=True)), key
    assert _again(graph)


def test_buffers_and_random_numbers_are_as_after_one_pass_whoever_reads() -> None:
    net, plain = _net(), _net()
    graph = _trace(net)
    state = torch.get_rng_state()
    assert all(one.clone().isfinite().all() for tensors in _held(graph).values() for one in tensors)
    assert torch.equal(torch.get_rng_state(), state)
    plain(_image())
    assert all(torch.equal(mine, its) for mine, its in zip(net.buffers(), plain.buffers(), strict=True))


def _image_like_square(x: Tensor) -> Tensor:
    return x.reshape(4, 10, 100, 90)


def _cross_entropy(x: Tensor, **options: Any) -> Tensor:
    return F.cross_entropy(x, torch.arange(600) % 7, **options)


def _nll2d(x: Tensor) -> Tensor:
    return F.cross_entropy(_image_like_square(x), (torch.arange(4 * 9000) % 10).reshape(4, 100, 90), ignore_index=3)


def _eval_norm(x: Tensor) -> Tensor:
    norm = nn.BatchNorm2d(10)
    norm(_image_like_square(x.detach() + 1))
    return norm.eval()(_image_like_square(x))


CHEAP: dict[str, Callable[[Tensor], Tensor]] = {
    "ReluBackward0": nn.ReLU(),
    "in place": nn.ReLU(inplace=True),
    "HardtanhBackward0 6": nn.ReLU6(),
    "HardtanhBackward0": nn.Hardtanh(-0.5, 2.0),
    "SiluBackward0": nn.SiLU(),
    "GeluBackward0": nn.GELU(),
    "GeluBackward0 tanh": nn.GELU("tanh"),
    "TanhBackward0": torch.tanh,
    "SigmoidBackward0": torch.sigmoid,
    "MulBackward0 number": lambda x: x * 0.3,
    "MulBackward0": lambda x: x * torch.tanh(x),
    "DivBackward0": lambda x: x / (2 + x.tanh()),
    "DivBackward0 number": lambda x: x / 3,
    "SoftmaxBackward0": lambda x: x.softmax(-1),
    "SoftmaxBackward0 wide": lambda x: x.half().softmax(0, dtype=torch.float32),
    "SafeSoftmaxBackward0": lambda x: torch._safe_softmax(x, -1),
    "LogSoftmaxBackward0": lambda x: x.log_softmax(0),
    "NllLossBackward0": _cross_entropy,
    "NllLossBackward0 weighted": lambda x: _cross_entropy(x, weight=torch.arange(600.0), label_smoothing=0.1),
    "NllLoss2DBackward0": _nll2d,
    "EmbeddingBackward0": lambda x: F.embedding(torch.arange(900) % 450, x, padding_idx=7),
    "EmbeddingBackward0 by frequency": lambda x: F.embedding(torch.arange(900) % 450, x, scale_grad_by_freq=True),
    "NativeBatchNormBackward0": lambda x: nn.BatchNorm2d(10)(_image_like_square(x)),
    "NativeBatchNormBackward0 last": lambda x: nn.BatchNorm2d(10)(
        _image_like_square(x).to(memory_format=torch.channels_last)
    ),
    "NativeBatchNormBackward0 eval": _eval_norm,
    "NativeLayerNormBackward0": nn.LayerNorm(600),
    "NativeLayerNormBackward0 bare": nn.LayerNorm([600], elementwise_affine=False),
    "NativeGroupNormBackward0": lambda x: nn.GroupNorm(5, 10)(_image_like_square(x)),
}


@pytest.mark.parametrize("cheap", CHEAP.values(), ids=CHEAP.keys())
def test_a_cheap_node_hands_on_what_it_handed_on(cheap: Callable[[Tensor], Tensor]) -> None:
    def run(x: Tensor) -> Tensor:
        y = cheap(x * 3)
        return (y * y.detach().cos()).sum()

    graph, whole = gradviz.trace(run, _square()), gradviz.trace(run, _square(), values="full")
    _assert_same(graph, whole)
    assert "contribution" in {key[0] for key in _again(graph) if isinstance(key, tuple)}


COMPLEX: dict[str, Callable[[Tensor], Tensor]] = {
    "product": lambda z: (z * z.tanh()) * (z * 2).sigmoid(),
    "quotient": lambda z: z / (3 + z.tanh()),
    "with a number": lambda z: z * (0.5 + 2j) / 3j,
    "with real numbers": lambda z: z * z.real.tanh(),
    "sum of conjugates": lambda z: (z.conj() + z.tanh()).tanh() + z.conj().imag,
}


@pytest.mark.parametrize("cheap", COMPLEX.values(), ids=COMPLEX.keys())
def test_what_complex_numbers_hand_on_is_computed_again_as_well(cheap: Callable[[Tensor], Tensor]) -> None:
    def run(x: Tensor) -> Tensor:
        y = cheap(torch.complex(x, x.t()) * 0.25)
        return (y * y.detach().cos()).abs().square().sum()

    graph, whole = gradviz.trace(run, _square()), gradviz.trace(run, _square(), values="full")
    _assert_same(graph, whole)
    assert any(isinstance(one, StandIn) and one.is_complex() for tensors in _held(graph).values() for one in tensors)


def test_what_a_norm_first_makes_contiguous_is_kept() -> None:
    def run(x: Tensor) -> Tensor:
        return (nn.GroupNorm(5, 10)(_image_like_square(x).to(memory_format=torch.channels_last)) ** 2).sum()

    graph, whole = gradviz.trace(run, _square()), gradviz.trace(run, _square(), values="full")
    _assert_same(graph, whole)
    assert ("contribution", "native_group_norm") not in _of_ops(graph, _again(graph))


def test_every_node_that_is_computed_again_is_tried() -> None:
    tried = {name.split()[0] for name in CHEAP}
    assert tried >= set(DERIVATIVES)


class Tied(nn.Module):
    """A language model whose head is its embedding, as most have it."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(1000, 100)
        self.head = nn.Linear(100, 1000, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        scores = self.head(self.embedding(tokens).tanh())
        return F.cross_entropy(scores[:-1], tokens[1:])


def test_the_rows_of_a_tied_embedding_are_computed_again_and_its_gradient_is_held() -> None:
    torch.manual_seed(0)
    net, tokens = Tied(), torch.arange(600) * 7 % 1000
    graph, whole = gradviz.trace(net, tokens, device="cpu"), gradviz.trace(net, tokens, device="cpu", values="full")
    _assert_same(graph, whole)
    assert ("contribution", "embedding") in _of_ops(graph, _again(graph))
    assert type(graph.gradients()["embedding.weight"]) is Tensor


SUMS: dict[str, Callable[[Tensor], Tensor]] = {
    "two": lambda y: y @ y.t(),
    "one twice": lambda y: y * y,
    "four": lambda y: y.cos() + y.exp() * y.sqrt() - y,
    "a residual": lambda y: (y + torch.relu(y) @ y.detach()) @ y.detach(),
}


@pytest.mark.parametrize("use", SUMS.values(), ids=SUMS.keys())
def test_a_sum_is_added_in_the_order_in_which_its_parts_arrived(use: Callable[[Tensor], Tensor]) -> None:
    def run(x: Tensor) -> Tensor:
        y = x.square() + 1
        return use(y).cos().sum()

    graph, whole = gradviz.trace(run, _square()), gradviz.trace(run, _square(), values="full")
    _assert_same(graph, whole)
    assert "cotangent" in {key[0] for key in _again(graph) if isinstance(key, tuple)}


def test_what_the_pass_starts_from_is_part_of_no_sum() -> None:
    def run(x: Tensor) -> tuple[Tensor, Tensor]:
        y = x.square()
        return y, y.exp() * y.cos()

    traces = [
        gradviz.trace(run, _square(), grad_output=torch.ones_like, values=values) for values in (BUDGET_BYTES, "full")
    ]
    _assert_same(*traces)


def _hooked(x: Tensor) -> Tensor:
    y = x.square()
    y.register_hook(lambda cotangent: cotangent * 7)
    return (y.exp() * y.cos()).sum()


def _hooked_and_rewritten(x: Tensor) -> Tensor:
    y = x.square()
    y.register_hook(lambda cotangent: cotangent * 7)
    z = y * 2 + y * 3
    y.mul_(2)  # from here on the tensor stands for another node than the one with the hook
    return (z + y).sum()


def _hooked_at_its_node(x: Tensor) -> Tensor:
    y = x.square()
    assert y.grad_fn is not None
    y.grad_fn.register_prehook(lambda cotangents: (cotangents[0] * 7,))
    return (y.exp() * y.cos()).sum()


@pytest.mark.parametrize("run", [_hooked, _hooked_and_rewritten, _hooked_at_its_node])
def test_a_hook_that_changes_a_sum_is_no_part_of_it(run: Callable[[Tensor], Tensor]) -> None:
    _assert_same(gradviz.trace(run, _square()), gradviz.trace(run, _square(), values="full"))


class WrittenByNumpy(torch.autograd.Function):
    """Twice its argument; its backward() writes to what it is handed, and torch does not see it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:  # type: ignore[override]
        seen = cotangent.numpy()
        seen *= 2
        return cotangent


def _written_by_a_hook(x: Tensor) -> Tensor:
    y = x * 2
    y.register_hook(lambda cotangent: (cotangent.data.clamp_(-0.5, 0.5), None)[1])
    return y


def _written_by_a_hook_of_its_node(x: Tensor) -> Tensor:
    y = x * 2
    assert y.grad_fn is not None
    y.grad_fn.register_prehook(lambda cotangents: (cotangents[0].data.mul_(3), None)[1])
    return y


@pytest.mark.parametrize("double", [WrittenByNumpy.apply, _written_by_a_hook, _written_by_a_hook_of_its_node])
def test_what_is_written_to_on_its_way_is_held_as_it_arrives(double: Callable[[Tensor], Tensor]) -> None:
    def run(x: Tensor) -> Tensor:
        return (torch.relu(double(torch.tanh(x))) * x.detach()).sum()

    graph, whole = gradviz.trace(run, _square()), gradviz.trace(run, _square(), values="full")
    for node, its in whole.nodes(data="cotangent"):
        if its is not None:
            assert torch.equal(graph.nodes[node]["cotangent"] + 0, its)


def test_a_hook_on_a_tensor_that_is_out_of_sight_may_change_a_sum() -> None:
    def run() -> Tensor:
        return _hooked(_square())

    _assert_same(gradviz.trace(run()), gradviz.trace(run(), values="full"))


def test_sums_are_computed_again_where_hooks_lie_elsewhere() -> None:
    other = torch.ones(2, requires_grad=True)
    other.register_hook(torch.neg)
    graph = gradviz.trace(lambda x: SUMS["two"](x.square()).cos().sum(), _square())
    assert "cotangent" in {key[0] for key in _again(graph) if isinstance(key, tuple)}


def test_what_is_summed_and_written_to_since_is_told() -> None:
    graph = gradviz.trace(lambda x: SUMS["two"](x.square()).cos().sum(), _square())
    again = [one for tensors in _held(graph).values() for one in tensors if isinstance(one, StandIn)]
    assert again and all(map(is_kept, again))
    for *_, contribution in graph.edges(data="contribution"):
        if type(contribution) is Tensor:
            contribution.zero_()
    assert not all(map(is_kept, again)) and WRITTEN_SINCE in graph.not_kept


def _loop(x: Tensor, step: Callable[[Tensor, int], Tensor], times: int) -> Tensor:
    y = x * 1.5
    for place in range(times):
        y = step(y, place)
    return y.sum()


STEPS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "in place": lambda y, place: y.add_(place),
    "a row of activations": lambda y, place: torch.relu(y),
    "each overwritten after it was read": lambda y, place: (y + 1, y.mul_(0.5))[0],
    "an earlier one overwritten": lambda y, place: torch.relu_(torch.sigmoid(y) + y),
    "through a view": lambda y, place: y[:2].zero_() is None or y * 2,
    "values that are no numbers": lambda y, place: (y / 0).relu_(),
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
def test_long_chains_are_computed_in_a_few_calls(step: Callable[[Tensor, int], Tensor]) -> None:
    def run(x: Tensor) -> Tensor:
        return _loop(x, step, 3 * MAX_DEPTH)

    graph, whole = gradviz.trace(run, _square()), gradviz.trace(run, _square(), values="full")
    left, right = _held(graph), _held(whole)
    for key, tensors in left.items():
        for mine, its in zip(tensors, right[key], strict=True):
            torch.testing.assert_close(mine + 0, its + 0, rtol=0, atol=0, equal_nan=True)
    depths = [getattr(one.again, "depth", 0) for tensors in left.values() for one in tensors if isinstance(one, StandIn)]
    assert max(depths, default=0) <= 2 * MAX_DEPTH


def test_a_hook_of_the_users_is_no_part_of_the_activation() -> None:
    def run(x: Tensor) -> Tensor:
        y = torch.relu(x * 2)
        assert y.grad_fn is not None
        y.grad_fn.register_hook(lambda handed_on, handed: tuple(one * 7 for one in handed_on))
        return (y * x).sum()

    _assert_same(gradviz.trace(run, _square()), gradviz.trace(run, _square(), values="full"))


def test_the_gradient_of_a_leaf_is_held() -> None:
    graph = gradviz.trace(lambda x: torch.relu(x).sum(), _square())
    assert not any(isinstance(one, StandIn) for one in _held(graph)["cotangent", graph.leaves["x"]])


def test_what_a_variable_holds_is_kept_and_left_alone() -> None:
    x = _square()
    with gradviz.record() as tape:
        z = x * 2 + 1
        y = torch.relu(z)
        loss = (y * 3).sum()
    before = z.detach().clone()
    graph = tape.trace(loss)
    assert torch.equal(z, before) and z.untyped_storage().nbytes() == before.untyped_storage().nbytes()
    loss.backward()
    assert x.grad is not None and torch.equal(graph.gradients()["x"], x.grad)
    handed_on = next(value for *_, value in graph.edges(data="contribution") if isinstance(value, StandIn))
    assert torch.equal(handed_on + 0, 3.0 * (before > 0))


def test_a_tape_is_traced_twice() -> None:
    with gradviz.record() as tape:
        x = _square()
        loss = torch.relu_(torch.sigmoid(x * 2) + x).mul(2).sum()
    _assert_same(tape.trace(loss), tape.trace(loss))


def _reads_views_of_a_leaf(w: Tensor, kept: list[Tensor]) -> Tensor:
    return torch.relu_(w.t() * 2 + 1).mul(3).sum()


def _reads_what_a_function_returns_of_a_leaf(w: Tensor, kept: list[Tensor]) -> Tensor:
    class Same(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.detach()

        @staticmethod
        def backward(ctx: Any, *cotangents: Any) -> Tensor:
            return cast("Tensor", cotangents[0])

    return (cast("Tensor", Same.apply(w)) + 1).mul(3).sum()  # type: ignore[no-untyped-call]


def _reads_what_a_variable_holds(w: Tensor, kept: list[Tensor]) -> Tensor:
    kept.append(w * w)
    return (kept[0] + 1).mul(3).sum()


def _reads_what_a_variable_holds_a_view_of(w: Tensor, kept: list[Tensor]) -> Tensor:
    h = w * w
    kept.append(h.detach()[1:])
    return (h + 1).mul(3).sum()


@pytest.mark.parametrize("write", [lambda one: one.mul_(3), lambda one: one.data.mul_(3)], ids=["in place", "to .data"])
@pytest.mark.parametrize(
    "run",
    [
        _reads_views_of_a_leaf,
        _reads_what_a_function_returns_of_a_leaf,
        _reads_what_a_variable_holds,
        _reads_what_a_variable_holds_a_view_of,
    ],
)
def test_it_stays_so_when_memory_is_written_to_that_others_hold(
    run: Callable[[Tensor, list[Tensor]], Tensor], write: Callable[[Tensor], object]
) -> None:
    kept: list[Tensor] = []
    w = _square()
    graph, whole = gradviz.trace(lambda: run(w, kept)), gradviz.trace(lambda: run(_square(), []), values="full")
    with torch.no_grad():
        for one in kept or [w]:
            write(one)
    for node, attributes in graph.nodes(data=True):
        if attributes["op"] in {"add", "relu"} or attributes["name"] == "b":  # not what was written to
            assert torch.equal(attributes["value"] + 0, whole.nodes[node]["value"]), attributes["name"]
    assert _again(graph)


def test_what_an_activation_of_a_view_of_a_leaf_handed_on_stays_when_the_leaf_is_stepped() -> None:
    def run(w: Tensor) -> Tensor:
        return (torch.nn.functional.silu(w.t()) * 2).mul(3).sum()

    w = _square()
    graph, whole = gradviz.trace(lambda: run(w)), gradviz.trace(lambda: run(_square()), values="full")
    with torch.no_grad():
        w.mul_(3)
    left, right = _held(graph), _held(whole)
    for key in left:
        if key[0] != "value":  # type: ignore[index]
            assert all(torch.equal(mine + 0, its + 0) for mine, its in zip(left[key], right[key], strict=True)), key


def test_what_the_pass_started_from_may_be_written_to_afterwards() -> None:
    def run(x: Tensor) -> Tensor:
        return torch.relu(x.tanh()) * x.detach()

    starts = np.random.default_rng(0).normal(size=(600, 600)).astype(np.float32)
    traces = [gradviz.trace(run, _square(), grad_output=starts, values=values) for values in (BUDGET_BYTES, "full")]
    before = {key: [one + 0 for one in tensors] for key, tensors in _held(traces[1]).items()}
    starts *= 2  # torch does not see it
    assert _again(traces[0])
    for graph in traces:
        for key, tensors in _held(graph).items():
            assert all(map(torch.equal, [one + 0 for one in tensors], before[key])), key


def test_what_was_written_to_since_is_told_and_never_read() -> None:
    with gradviz.record() as tape:
        z = _square() * 2 + 1
        y = torch.relu(z)
        loss = (y * 3).sum()
    graph = tape.trace(loss)
    handed_on = next(value for *_, value in graph.edges(data="contribution") if isinstance(value, StandIn))
    assert is_kept(handed_on) and not graph.not_kept
    with torch.no_grad():
        y.zero_()
    assert not is_kept(handed_on)
    with pytest.raises(gradviz.NotKeptError, match="was written to after the trace"):
        handed_on + 0
    assert WRITTEN_SINCE in graph.not_kept
    assert graph.to_dot() and graph.diagnose() is not None and graph.check() is not None
    assert not is_kept(handed_on.copy())


def test_what_a_checkpoint_unpacks_is_not_unpacked_for_the_trace() -> None:
    runs = 0

    def inner(x: Tensor) -> Tensor:
        nonlocal runs
        runs += 1
        return torch.relu(torch.sigmoid(x) * 2) * x

    def run(x: Tensor) -> Tensor:
        return checkpoint(inner, x, use_reentrant=False).sum()  # type: ignore[no-any-return]

    graph = gradviz.trace(run, _square())
    assert runs == 2, "once forward, once in the backward pass"
    assert torch.isfinite(graph.gradients()["x"]).all()


def test_it_is_saved_with_its_elements(tmp_path: Path) -> None:
    graph = _trace(_net())
    graph.save(tmp_path / "run.gradviz")
    _assert_same(graph, gradviz.load(tmp_path / "run.gradviz"))


@pytest.mark.parametrize("budget", ["2MiB", "6MiB", "10MiB"])
def test_a_budget_that_runs_out_leaves_elements_or_statistics(budget: str) -> None:
    def run(x: Tensor) -> Tensor:
        y = x * 1.5
        for _ in range(3):
            y = torch.relu_(torch.sigmoid(y) + y)
            y = (torch.nn.functional.silu(y) * x).add_(1)
        return (y + 1).mul(2).sum()

    graph, whole = gradviz.trace(run, _square(), values=budget), gradviz.trace(run, _square(), values="full")
    right = _held(whole)
    assert _again(graph) and graph.not_kept
    for key, tensors in _held(graph).items():
        for mine, its in zip(tensors, right[key], strict=True):
            if is_kept(mine):
                assert torch.equal(mine + 0, its), key
            else:
                assert isinstance(mine, StandIn) and mine.statistics is not None, key


def test_a_budget_that_is_spent_computes_nothing_again() -> None:
    graph = _trace(_net(), "statistics")
    assert not _again(graph)


def test_the_samples_are_large_enough() -> None:
    assert AGAIN_BYTES <= LARGE_BYTES <= min(_square().nbytes, _image().nbytes)


def test_sparse_tensors_are_traced() -> None:
    x = torch.tensor([[0.5, 0.0], [0.0, -2.0]], requires_grad=True)
    graph = gradviz.trace(lambda x: torch.relu(torch.sparse.mm(x.to_sparse(), torch.ones(2, 3)) * 2).sum(), x, device="cpu")
    torch.testing.assert_close(graph.gradients()["x"], torch.tensor([[6.0, 0.0], [0.0, 0.0]]))


def test_an_activation_of_a_sparse_tensor_is_traced() -> None:
    x = torch.tensor([[0.5, 0.0], [0.0, -2.0]], requires_grad=True)
    graph = gradviz.trace(lambda x: torch.relu(x.to_sparse()).to_dense().sum(), x, device="cpu")
    assert graph.gradients()["x"] is not None
