"""Local partials against Jacobians that torch computes by another way, and their refusals."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import batch_norm

import gradviz
from gradviz import LocalPartial, PartialError, trace
from gradviz.standin import StandIn


def only_partial(graph: gradviz.GradGraph, op: str, position: int = 0) -> LocalPartial:
    (head,) = [node for node, attributes in graph.nodes(data=True) if attributes["op"] == op]
    return {use.edge[2]: use.partial for use in graph.arguments_of(head)}[position]


MATRIX = torch.arange(6, dtype=torch.float64).reshape(2, 3) / 7
FUNCTIONS: list[tuple[str, Callable[[Tensor], Tensor], Tensor]] = [
    ("tanh", torch.tanh, MATRIX),
    ("mm", lambda x: x @ MATRIX.T, MATRIX),
    ("sum", lambda x: x.sum(1), MATRIX),
    ("_softmax", lambda x: torch.softmax(x, 1), MATRIX),
    ("t", lambda x: x.t(), MATRIX),
    ("add", lambda x: x + torch.zeros(4, 3, dtype=torch.float64), MATRIX[:1]),
    ("cumsum", lambda x: x.cumsum(0), MATRIX),
]


@pytest.mark.parametrize("op, function, at", FUNCTIONS, ids=[op for op, _, _ in FUNCTIONS])
def test_jacobian_vjp_and_jvp_equal_torchs_own(op: str, function: Callable[[Tensor], Tensor], at: Tensor) -> None:
    x = at.clone().requires_grad_()
    output = function(x)
    partial = only_partial(trace(function, x, grad_output=torch.ones_like(output)), op)
    expected = torch.autograd.functional.jacobian(function, at)
    assert partial.in_shape == tuple(at.shape) and partial.out_shape == tuple(output.shape)
    torch.testing.assert_close(partial.jacobian(), expected)
    cotangent, tangent = torch.randn_like(output), torch.randn_like(at)
    torch.testing.assert_close(partial.vjp(cotangent), torch.tensordot(cotangent, expected, dims=output.ndim))
    torch.testing.assert_close(partial.jvp(tangent), torch.tensordot(expected, tangent, dims=at.ndim))


def test_jvp_of_a_large_tensor_transposes_the_nodes_own_map() -> None:
    x = torch.randn(100, 100, dtype=torch.float64, requires_grad=True)
    partial = only_partial(trace(lambda v: torch.sin(v).sum(), x), "sin")
    tangent = torch.randn_like(x)
    torch.testing.assert_close(partial.jvp(tangent), torch.cos(x.detach()) * tangent)


def test_diagonal_of_an_elementwise_function_is_its_derivative() -> None:
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    partial = only_partial(trace(lambda v: torch.exp(v).sum(), x), "exp")
    torch.testing.assert_close(partial.diagonal(), torch.exp(x.detach()))


def test_number_formula_and_latex_of_a_scalar_partial() -> None:
    graph = trace("a*z + sin(z)", a=2.0, z=3.0, device="cpu")
    partial = only_partial(graph, "mul")
    assert float(partial) == 3.0 and str(partial.formula) == "z" and partial.latex == "z"
    assert "cos" in only_partial(graph, "sin").latex


def test_two_uses_of_one_tensor_have_their_own_partials() -> None:
    graph = trace(lambda x, y: x * y, torch.tensor(2.0, requires_grad=True), torch.tensor(5.0, requires_grad=True))
    assert (float(only_partial(graph, "mul", 0)), float(only_partial(graph, "mul", 1))) == (5.0, 2.0)


def test_partial_shows_a_wrong_backward_as_it_is() -> None:
    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, factor):
            return x * factor

        @staticmethod
        def backward(ctx, cotangent):
            return cotangent * 100, None

    graph = trace(lambda x: Wrong.apply(x, 2.0), 1.0)
    assert float(only_partial(graph, "Wrong")) == 100.0


def test_outputs_of_one_call_have_their_own_partials() -> None:
    x = torch.arange(4.0, requires_grad=True)
    graph = trace(lambda v: (v.split(2)[0] * v.split(2)[1]).sum(), x)
    head = next(node for node, attributes in graph.nodes(data=True) if attributes["op"] == "split")
    partial = graph.arguments_of(head)[0].partial
    assert partial.of_output(1).jacobian().tolist() == [[0, 0, 1, 0], [0, 0, 0, 1]]
    with pytest.raises(PartialError, match="has no output 2: its head has 2"):
        partial.of_output(2)


def test_partial_of_a_float64_chain_multiplies_to_the_gradient() -> None:
    graph = trace("tanh(ln(1 + z*2x/sin y))", x=1.0, y=2.0, z=3.0, device="cpu")
    node, product = graph.leaves["z"], 1.0
    while node != graph.output:
        (use,) = graph.uses_of(node)
        product *= float(use.partial)
        node = use.edge[1]
    assert product == pytest.approx(float(graph.gradients()["z"]), rel=1e-14)


@pytest.mark.parametrize(
    "ask, message",
    [
        (lambda partial: partial.vjp(torch.ones(3)), r"the cotangent has shape \(3,\); edge v → a \(0, 1, 0\) needs \(2,\)"),
        (lambda partial: partial.jvp(torch.ones(3)), r"the tangent has shape \(3,\); edge v → a \(0, 1, 0\) needs \(2, 2\)"),
        (lambda partial: partial.diagonal(), r"edge v → a .* maps shape \(2, 2\) to \(2,\): no diagonal; use jacobian"),
        (lambda partial: float(partial), r"edge v → a .* not one number; use jacobian"),
    ],
)
def test_what_a_partial_cannot_say_it_refuses(ask: Callable[[LocalPartial], object], message: str) -> None:
    x = torch.ones(2, 2, requires_grad=True)
    partial = only_partial(trace(lambda v: v.sum(1), x, grad_output=torch.ones(2)), "sum")
    with pytest.raises(PartialError, match=message):
        ask(partial)


def test_buffers_freed_after_the_trace_are_named() -> None:
    x = torch.tensor(2.0, requires_grad=True)
    y = torch.sin(x)
    partial = only_partial(trace(y), "sin")
    y.backward()
    with pytest.raises(PartialError, match="freed by a backward pass after the trace; trace again"):
        float(partial)


def test_saved_value_changed_after_the_trace_is_named() -> None:
    weight = torch.tensor([2.0, 3.0], requires_grad=True)
    partial = only_partial(trace(lambda: (weight * torch.ones(2) * weight).sum()), "sum")
    product = only_partial(trace(lambda: torch.sin(weight).sum()), "sin")
    with torch.no_grad():
        weight.add_(1)
    assert partial.vjp(torch.tensor(1.0)).tolist() == [1.0, 1.0]
    with pytest.raises(PartialError, match="changed in place after the trace; trace again"):
        product.diagonal()


def test_a_jacobian_that_torch_batches_wrongly_is_asked_row_by_row() -> None:
    """torch's vmap of the backward of cdist, and of a mask broadcast over a vector, is wrong or refuses."""
    x, y = torch.rand(3, 2, dtype=torch.float64, requires_grad=True), torch.rand(4, 2, dtype=torch.float64)
    graph = gradviz.trace(lambda x: torch.cdist(x, y, p=1.0).square().sum(), x)
    (partial,) = [use.partial for use in graph.arguments_of(graph.node("a")) if use.partial is not None]
    expected = (x[:, None] - y).sign()[:, :, None] * torch.eye(3, dtype=torch.float64)[:, None, :, None]
    torch.testing.assert_close(partial.jacobian(), expected.detach())

    mask = torch.tensor([[True, False, True], [True, True, False]])
    graph = gradviz.trace(lambda x: x.masked_select(mask).square().sum(), torch.rand(3, requires_grad=True))
    (partial,) = [use.partial for use in graph.arguments_of(graph.node("a")) if use.partial is not None]
    torch.testing.assert_close(partial.jacobian(), torch.eye(3)[[0, 2, 0, 1]])


def test_dense_jacobian_above_the_limit_is_refused() -> None:
    x = torch.ones(20_000, requires_grad=True)
    partial = only_partial(trace(lambda v: torch.sin(v).sum(), x), "sin")
    with pytest.raises(PartialError, match=r"20000 x 20000 elements.*use vjp or jvp"):
        partial.jacobian()


def test_a_node_is_asked_for_the_formula_that_the_engine_takes() -> None:
    """Where gradients are on, group_norm's node takes another, which overflows in half precision."""
    numbers = torch.randn((1, 2, 3), generator=torch.Generator().manual_seed(0)) * 1e-2
    graph = gradviz.trace(lambda x: torch.nn.functional.group_norm(x, 1).sum(), numbers.half().requires_grad_())
    (edge,) = (
        (tail, head, key) for tail, head, key in graph.edges(keys=True) if graph.nodes[head]["op"] == "native_group_norm"
    )
    cotangent = graph.cotangent(edge[1])
    assert torch.equal(graph.edges[edge]["partial"].vjp(cotangent), graph.edges[edge]["contribution"])


def test_a_node_is_asked_with_cotangents_that_lie_in_memory_as_those_of_the_backward_pass_did() -> None:
    """torch's kernel of batch_norm reads a contiguous one wrongly here, where the input is contiguous in both ways."""
    weight = torch.rand(4, requires_grad=True)
    x = torch.randn(2, 1, 6, 4).transpose(1, 3)
    graph = gradviz.trace(lambda: batch_norm(x, None, None, weight, None, True).transpose(1, 3).square().mean())
    (use,) = [use for use in graph.uses_of(graph.node("weight")) if use.partial is not None]
    cotangent = graph.cotangent(use.edge[1])
    assert cotangent is not None and use.partial is not None and use.contribution is not None
    assert not cotangent.is_contiguous()
    assert torch.equal(use.partial.vjp(cotangent.contiguous()), use.contribution)
    assert graph.check().ok


def test_they_lie_so_where_only_statistics_of_the_cotangent_were_kept() -> None:
    weight = torch.rand(4, requires_grad=True)
    x = torch.randn(2, 1, 60, 4).transpose(1, 3)

    def loss() -> Tensor:
        return batch_norm(x, None, None, weight, None, True).transpose(1, 3).square().mean()

    full, bare = (gradviz.trace(loss, values=values) for values in ("full", "statistics"))
    (use,) = [use for use in bare.uses_of(bare.node("weight")) if use.partial is not None]
    cotangent, kept = full.cotangent(use.edge[1]), bare.cotangent(use.edge[1])
    assert cotangent is not None and use.partial is not None and isinstance(kept, StandIn)
    assert not cotangent.is_contiguous() and cotangent.stride() == kept.stride()
    torch.testing.assert_close(use.partial.vjp(cotangent.contiguous()), use.contribution)
