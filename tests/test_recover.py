"""Recovery against the truth: everything that is recovered is what the call really returned, bit for bit."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from recovery_samples import SAMPLES, Truth, forward_order, leaves, true_value
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.utils.checkpoint import checkpoint

from gradviz.errors import TraceError
from gradviz.recover import Recovery, recover
from gradviz.recover.bits import same_bits
from gradviz.recover.replay import RULES, rule


@pytest.fixture(autouse=True)
def double_precision() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def recovered(out: Tensor) -> Recovery:
    assert out.grad_fn is not None
    return recover(forward_order(out.grad_fn), {(out.grad_fn, out.output_nr): out})


def keys_of(out: Tensor) -> Iterator[tuple[Node, int]]:
    """Every output of every operation, consumers first; leaves are left out."""
    assert out.grad_fn is not None
    for node in reversed(forward_order(out.grad_fn)):
        if not hasattr(node, "variable"):
            yield from ((node, output) for output in range(len(node._input_metadata)))


def assert_true(out: Tensor, recovery: Recovery, truth: Truth) -> None:
    """No value is wrong, every other has a reason, and every call gives its own outputs."""
    for key in keys_of(out):
        assert (key in recovery.values) != (key in recovery.reasons)
        if key in recovery.values:
            expected = true_value(truth, *key)
            assert expected is not None, key
            assert same_bits(recovery.values[key], expected), key
        else:
            assert len(recovery.reasons[key]) > 20
    for node, call in recovery.calls.items():
        again = call.overload(*call.args, **call.kwargs)
        again = again if isinstance(again, (tuple, list)) else (again,)
        assert len(again) == len(call.outputs)
        assert all(same_bits(one, other) for one, other in zip(again, call.outputs, strict=True))
        assert all(call.outputs[place] is recovery.values[node, place] for place in range(len(node._input_metadata)))


@pytest.mark.parametrize("name", SAMPLES)
def test_everything_recovered_is_what_the_call_returned(name: str) -> None:
    with Truth() as truth:
        out = SAMPLES[name](*leaves())
    assert_true(out, recovered(out), truth)


def test_the_share_recovered_of_all_samples_does_not_fall() -> None:
    counts = {"outputs": 0, "values": 0, "calls": 0}
    classes = set()
    for sample in SAMPLES.values():
        out = sample(*leaves())
        recovery = recovered(out)
        keys = list(keys_of(out))
        counts["outputs"] += len(keys)
        counts["values"] += sum(key in recovery.values for key in keys)
        counts["calls"] += sum((key[0] in recovery.calls) for key in keys)
        classes |= {type(node).__name__ for node, _ in keys}
    assert counts["values"] >= 0.96 * counts["outputs"], counts
    assert counts["calls"] >= 0.90 * counts["outputs"], counts
    assert set(RULES) <= classes, "every rule is exercised by a sample"


ROWS, COLUMNS = 6, 40  # enough that the order of a sum changes its rounding
POOL: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: torch.sub(a, b.sin(), alpha=2),
    "mul": lambda a, b: a * b,
    "mul number": lambda a, b: a * 0.7,
    "add number": lambda a, b: a + 0.5,
    "number minus": lambda a, b: 1 - a,
    "square": lambda a, b: a**2,
    "tanh": lambda a, b: a.tanh(),
    "relu": lambda a, b: a.relu(),
    "sigmoid": lambda a, b: b.sigmoid(),
    "where": lambda a, b: torch.where(a > b, a, b.sin()),
    "matmul": lambda a, b: (a @ b.t()) @ b,
    "softmax": lambda a, b: a.softmax(-1),
    "layer_norm": lambda a, b: F.layer_norm(a, (COLUMNS,), b[0]),
    "normalized": lambda a, b: (a - a.mean(0)) / (a.std(-1, keepdim=True) + 1),
    "sums": lambda a, b: a.sum(0) + b.amax(1, keepdim=True),
    "reshape": lambda a, b: a.t().reshape(ROWS, COLUMNS),
    "views": lambda a, b: a.reshape(2, ROWS, COLUMNS // 2).permute(1, 0, 2).flatten(1).view(ROWS, -1),
    "contiguous": lambda a, b: a.t().contiguous().view(ROWS, COLUMNS),
    "copy": lambda a, b: a.clone(),
    "cat": lambda a, b: torch.cat([a[1:], b[:1]]),
    "parts": lambda a, b: torch.stack([part * 2 for part in a.unbind(0)]),
    "gather": lambda a, b: a[torch.tensor([2, 0, 1, 1, 4, 5])],
    "dropout": lambda a, b: F.dropout(a, 0.3),
    "cast": lambda a, b: a.double().float(),
    "constant": lambda a, b: a + b.detach(),
    "in-place add": lambda a, b: (a * 1).add_(b),
    "in-place relu": lambda a, b: (a - b.tanh()).relu_(),
    "slice assignment": lambda a, b: _with_first_row(a * 2, b),
}


def _with_first_row(target: Tensor, source: Tensor) -> Tensor:
    target[0] = source[1]
    return target


STEPS = st.lists(st.tuples(st.sampled_from(sorted(POOL)), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=9)


@settings(max_examples=250, deadline=None)
@given(steps=STEPS, write=st.booleans())
def test_no_composition_of_ops_is_recovered_wrongly(steps: list[tuple[str, int, int]], write: bool) -> None:
    torch.manual_seed(len(steps))
    values = [torch.randn(ROWS, COLUMNS, dtype=torch.float32, requires_grad=True) for _ in range(2)]
    with Truth() as truth:
        for name, first, second in steps:
            values.append(POOL[name](values[-1 - first % len(values)], values[-1 - second % len(values)]))
        out = values[-1].sum()
    leaf = values[0].detach().clone()
    if write:
        (gradient,) = torch.autograd.grad(out, values[0], retain_graph=True, allow_unused=True)
        assume(gradient is None or bool(gradient.any()))  # else the write leaves no trace, as recovery.py says
        with torch.no_grad():
            values[0].add_(torch.randn_like(leaf))
    recovery = recovered(out)
    for node in forward_order(out.grad_fn):
        if getattr(node, "variable", None) is values[0] and write:
            assert (node, 0) not in recovery.values or same_bits(recovery.values[node, 0], leaf), "the leaf moved on"
    assert_true(out, recovery, truth)


def test_what_where_took_nothing_of_is_not_confirmed_by_its_result() -> None:
    x, y = leaves()
    a = x + y
    out = torch.where(torch.zeros_like(a, dtype=torch.bool), a, (a + 0.5).sin()).sum()
    with torch.no_grad():
        x.add_(1)
    reasons = recovered(out).reasons
    assert any(getattr(node, "variable", None) is x for node, _ in reasons)


def test_a_freed_graph_is_refused() -> None:
    out = leaves()[0].exp().sum()
    out.backward()
    with pytest.raises(TraceError, match=r"freed by an earlier backward pass.*retain_graph=True"):
        recovered(out)


def test_a_retained_graph_is_recovered() -> None:
    out = leaves()[0].exp().sum()
    out.backward(retain_graph=True)
    assert not recovered(out).reasons


def test_a_saved_tensor_changed_in_place_is_recomputed_or_says_so() -> None:
    x, _ = leaves()
    product = x * 2
    kept = product.detach().clone()
    rest = 1 - x
    out = product.sin() + rest.cos()
    sine, cosine = (tail for tail, _ in out.grad_fn.next_functions)
    product_node, rest_node = sine.next_functions[0][0], cosine.next_functions[0][0]
    with torch.no_grad():
        product.add_(1)
        rest.add_(1)
    recovery = recovered(out)
    assert same_bits(recovery.values[product_node, 0], kept)
    assert "CosBackward0 used it, but a tensor that it had saved was changed in place" in recovery.reasons[rest_node, 0]
    assert "argument `other` of rsub" in recovery.reasons[rest_node, 0]


def test_a_saved_leaf_that_an_optimizer_moved_on_is_not_shown() -> None:
    x, _ = leaves()
    out = (x * x).sum()
    with torch.no_grad():
        x.sub_(0.1)
    recovery = recovered(out)
    (leaf,) = (node for node in forward_order(out.grad_fn) if hasattr(node, "variable"))
    assert recovery.reasons[leaf, 0] == "the leaf was changed in place after it was used"
    assert not recovery.calls


@pytest.mark.parametrize("through_data", [False, True])
def test_a_leaf_that_moved_on_unnoticed_is_found_out_by_the_output(through_data: bool) -> None:
    x, y = leaves()
    out = (x + y).sum()
    with torch.no_grad():
        (x.data if through_data else x).add_(1)
    recovery = recovered(out)
    assert set(recovery.values) == {(out.grad_fn, 0)}
    assert sum("no longer holds the value" in reason for reason in recovery.reasons.values()) == 2
    assert not recovery.calls


def test_a_sum_over_a_copy_of_unknown_strides_is_left_out_because_its_rounding_depends_on_them() -> None:
    torch.manual_seed(0)
    x, y = (torch.randn(370, 53, dtype=torch.float32, requires_grad=True) for _ in range(2))
    copied = (x + y).t().clone()
    sums = copied.sum(0)
    out = sums.sum()
    assert not same_bits(copied.detach().contiguous().sum(0), sums.detach()), "the premise"
    recovery = recovered(out)
    assert "strides of an argument are not known" in recovery.reasons[sums.grad_fn, 0]
    assert same_bits(recovery.values[copied.grad_fn, 0], copied.detach())


def test_a_write_to_an_intermediate_that_autograd_did_not_see_is_found_out() -> None:
    x, y = leaves()
    total = x + y
    with torch.no_grad():
        total.mul_(3)
    recovery = recovered((total * 2).sum())
    assert len(recovery.values) == 1


def test_what_comes_from_an_initialized_parameter_counts_when_a_kept_value_confirms_it() -> None:
    layer = nn.Linear(6, 3)
    assert layer.bias._version > 0
    out = layer(leaves()[0]).log_softmax(-1).sum()
    assert not recovered(out).reasons


def test_what_comes_from_an_initialized_parameter_is_left_out_when_nothing_confirms_it() -> None:
    bias = torch.empty(6, requires_grad=True)
    nn.init.uniform_(bias)
    out = (1 - (leaves()[0] + bias)).sum()
    addition = out.grad_fn.next_functions[0][0].next_functions[0][0]
    assert "a leaf that was once changed in place" in recovered(out).reasons[addition, 0]


class Blocks(nn.Module):
    """A block that draws random numbers, updates buffers and counts its runs."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(6)
        self.runs = 0

    def forward(self, x: Tensor) -> Tensor:
        self.runs += 1
        return F.dropout(self.norm(x).exp(), 0.5) * 2


@pytest.mark.parametrize("preserve_rng_state", [False, True])
def test_a_checkpoint_is_not_run_again(preserve_rng_state: bool) -> None:
    blocks = Blocks()
    x, y = leaves()
    out = (checkpoint(blocks, x * y, use_reentrant=False, preserve_rng_state=preserve_rng_state) + x).sum()
    buffers, state = copy.deepcopy(blocks.norm.state_dict()), torch.get_rng_state()
    recovery = recovered(out)
    assert blocks.runs == 1
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(buffers[name], buffer) for name, buffer in blocks.norm.state_dict().items())
    assert any("inside a checkpoint" in reason for reason in recovery.reasons.values())
    out.backward()
    assert x.grad is not None and blocks.runs == 2


def test_a_reentrant_checkpoint_is_one_custom_function() -> None:
    x, y = leaves()
    out = checkpoint(lambda product: product.sin().exp(), x * y, use_reentrant=True).sum()
    recovery = recovered(out)
    function = out.grad_fn.next_functions[0][0]
    assert "custom autograd.Function" in recovery.reasons[function, 0]
    assert same_bits(recovery.values[function.next_functions[0][0], 0], (x * y).detach())


def test_tensors_saved_on_the_cpu_are_read() -> None:
    with Truth() as truth, torch.autograd.graph.save_on_cpu():
        x, y = leaves()
        out = ((x - 3 + y).sin() @ y.t()).exp().sum()
    recovery = recovered(out)
    assert_true(out, recovery, truth)
    assert any(type(node).__name__ == "SinBackward0" for node, _ in recovery.values)


def test_hooks_that_need_not_give_back_the_same_value_are_not_asked() -> None:
    def forbidden(packed: Any) -> Tensor:
        raise AssertionError("a hook of the user was called")

    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor.half(), forbidden), Truth() as truth:
        x, y = leaves()
        out = ((1 - x).exp() * y).sum()
    recovery = recovered(out)
    assert_true(out, recovery, truth)
    assert any("saved-tensors hook" in reason for reason in recovery.reasons.values())


class Cube(torch.autograd.Function):
    """Saves its argument and its result."""

    runs = 0

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        Cube.runs += 1
        result = x**3
        ctx.save_for_backward(x, result)
        return result

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        x, _ = ctx.saved_tensors
        return 3 * x**2 * cotangent


def test_what_a_custom_function_saved_is_read_and_its_forward_is_not_run() -> None:
    x, _ = leaves()
    rest = 1 - x
    out = Cube.apply(rest).sum()
    runs = Cube.runs
    recovery = recovered(out)
    cube = out.grad_fn.next_functions[0][0]
    assert same_bits(recovery.values[cube, 0], Cube.apply(rest).detach())
    assert same_bits(recovery.values[cube.next_functions[0][0], 0], rest.detach())
    assert cube not in recovery.calls
    assert Cube.runs == runs + 1
    with torch.no_grad():
        rest.add_(1)
    assert "custom autograd.Function" in recovered(out).reasons[cube, 0]


def test_a_chain_of_twenty_thousand_ops_is_recovered_and_freed() -> None:
    x = torch.tensor(1.0, requires_grad=True)
    out = x
    for _ in range(10_000):
        out = (out * 0.999).sin()
    recovery = recovered(out)
    assert len(recovery.calls) == 20_000
    del out, x
    assert next(iter(recovery.values))[0].name() == "SinBackward0"


def test_nothing_else_is_touched() -> None:
    x, y = leaves()
    seen: list[Tensor] = []
    x.register_hook(seen.append)
    product = x * y
    product.register_hook(seen.append)
    out = F.dropout(product.sum(0), 0.5).sum()
    x.grad = torch.ones_like(x)
    versions, state = (x._version, y._version), torch.get_rng_state()
    with torch.autocast("cpu", dtype=torch.bfloat16), Truth() as recorder:
        recovery = recovered(out)
    assert not recovery.reasons and not seen and not recorder.results
    assert torch.equal(x.grad, torch.ones_like(x)) and y.grad is None
    assert (x._version, y._version) == versions and torch.equal(state, torch.get_rng_state())
    assert torch.is_grad_enabled() and not any(value.requires_grad for value in recovery.values.values())
    out.backward()
    assert len(seen) == 2


def test_slots_are_the_positions_of_the_arguments() -> None:
    x, y = leaves()
    out = torch.where(x > y, x, (y * 2).exp()).sum()
    where = out.grad_fn.next_functions[0][0]
    product = where.next_functions[1][0].next_functions[0][0]
    recovery = recovered(out)
    assert recovery.slots[where] == (1, 2)
    assert recovery.slots[product] == (0, None)
    assert recovery.calls[product].args[1] == 2


def test_data_flow_between_calls_is_object_identity() -> None:
    x, y = leaves()
    out = ((x + y) * y).sum()
    recovery = recovered(out)
    product = out.grad_fn.next_functions[0][0]
    addition = product.next_functions[0][0]
    assert recovery.calls[product].args[0] is recovery.calls[addition].outputs[0]
    assert recovery.calls[product].args[1] is recovery.calls[addition].args[1]


def test_known_values_are_taken_as_they_are() -> None:
    x, _ = leaves()
    rest = 1 - x
    out = (rest + rest).sum()
    nodes = forward_order(out.grad_fn)
    without, with_known = recover(nodes, {}), recover(nodes, {(rest.grad_fn, 0): rest})
    assert len(without.values) == 1
    assert not with_known.reasons
    assert same_bits(with_known.values[out.grad_fn, 0], out.detach())


def test_a_class_has_one_rule_and_its_names_are_checked() -> None:
    with pytest.raises(ValueError, match="AddBackward0 has a rule already"):
        rule("AddBackward0", torch.ops.aten.add.Tensor)
    with pytest.raises(ValueError, match=r"has no argument \['mat'\]"):
        rule("NoBackward0", torch.ops.aten.add.Tensor, "self mat")
