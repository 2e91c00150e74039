"""Every written vector-Jacobian product, computed as it is written, is the contribution that autograd made."""

from __future__ import annotations

import pytest
import sympy as sp
import torch
from explained_graphs import ALL
from torch import Tensor
from torch.nn import functional

import gradviz
from gradviz import GradGraph
from gradviz.explain.terms import (
    Applied,
    Derivative,
    Formula,
    Name,
    Negative,
    Number,
    Product,
    Sum,
    Term,
    Transposed,
)
from gradviz.explain.vjp import contribution
from gradviz.graph import Use

LOSS = "L"
WITHOUT_FORM = {
    *("convolution", "native_batch_norm", "native_layer_norm", "max_pool2d_with_indices"),
    *("transpose", "permute", "select", "split", "nll_loss_forward", "_scaled_dot_product_flash_attention_for_cpu"),
}
"""Written as a Jacobian, or in words that say where numbers go."""


class Unwritten(Exception):
    """The term names a whole Jacobian, or says in words where numbers go: there is nothing to compute."""


class Computed:
    """A term as the tensor that it stands for."""

    def __init__(self, graph: GradGraph, use: Use) -> None:
        self.values = {}
        for node in graph:
            for place in graph.nodes[node]["outputs"]:
                value = graph.value(node, place)
                if value is not None:
                    self.values[graph.output_name(node, place)] = value.double()
        head = use.edge[1]
        self.cotangents = {}
        for place in graph.nodes[head]["outputs"]:
            cotangent = graph.cotangent(head, place)
            self.cotangents[graph.output_name(head, place)] = None if cotangent is None else cotangent.double()
        tail = graph.value(use.edge[0], use.output)
        assert tail is not None
        self.shape = tuple(tail.shape)

    def of(self, term: Term) -> Tensor:
        match term:
            case Name(text):
                return self.values[text]
            case Number(value):
                return torch.tensor(value, dtype=torch.float64)
            case Formula(expression):
                return self._formula(expression)
            case Derivative(head, tail):
                cotangent = self.cotangents.get(tail.text) if head.text == LOSS else None
                if cotangent is None:
                    raise Unwritten
                return cotangent
            case Product(factors, how):
                found = self.of(factors[0])
                for factor in factors[1:]:
                    found = _matrix_product(found, self.of(factor)) if how == "matrix" else found * self.of(factor)
                return found
            case Sum(terms):
                return sum((self.of(part) for part in terms[1:]), self.of(terms[0]))
            case Negative(inner):
                return -self.of(inner)
            case Transposed(inner):
                found = self.of(inner)
                return found.reshape(1, -1) if found.ndim == 1 else found.mT
            case Applied(function, arguments, below):
                return self._applied(function, self.of(arguments[0]), below)
        raise Unwritten

    def _formula(self, expression: sp.Basic) -> Tensor:
        symbols = sorted(expression.free_symbols, key=str)
        names = [sp.Symbol(f"v{place}") for place in range(len(symbols))]
        plain = expression.xreplace(dict(zip(symbols, names, strict=True)))
        if any(symbol.name not in self.values for symbol in symbols):
            raise Unwritten
        function = sp.lambdify(names, plain, modules="numpy")
        return torch.as_tensor(function(*(self.values[symbol.name].numpy() for symbol in symbols)), dtype=torch.float64)

    def _applied(self, function: str, argument: Tensor, below: str) -> Tensor:
        if function == "sum" and below.startswith("axis"):
            return argument.sum(int(below.removeprefix("axis ")), keepdim=True)
        if function == "sum":
            return argument.sum_to_size(self.shape)
        if function == "exp":
            return argument.exp()
        if function == "reshape":
            return argument.reshape(self.shape)
        if function == "expand" and (argument.ndim == 0 or argument.numel() == 1):
            return argument.reshape(()).expand(self.shape)
        raise Unwritten


def _matrix_product(left: Tensor, right: Tensor) -> Tensor:
    """A vector is a column: `g xᵀ` is an outer product, `Aᵀ g` a vector."""
    if left.ndim == 1:
        return left.reshape(-1, 1) @ right
    return left @ right


def functions() -> GradGraph:
    torch.manual_seed(1)
    shapes = {"x": (3, 4), "w": (4, 2), "b": (4,), "c": (2,), "d": (1, 2, 3)}
    leaves = {name: torch.randn(shape, dtype=torch.float64, requires_grad=True) for name, shape in shapes.items()}

    def computed(x: Tensor, w: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
        h = torch.addmm(c, x + b, w, beta=0.5, alpha=2.0)
        p = functional.softmax(h, dim=0) * functional.log_softmax(h, dim=1)
        q = torch.bmm(p.reshape(1, 3, 2), d).reshape(9)
        s = torch.dot(q, q.exp()) + q.norm() + torch.logsumexp(q, 0) + functional.mse_loss(q, q.detach() + 1)
        return s - x.mean() / (2 - w.square().sum())

    return gradviz.trace(computed, **leaves)


@pytest.mark.parametrize("make", [*ALL.values(), functions], ids=lambda make: make.__name__)
def test_what_is_written_is_what_autograd_added(make: object) -> None:
    graph: GradGraph = make()  # type: ignore[operator]
    written, unwritten = 0, []
    for head in graph:
        for use in graph.arguments_of(head):
            partials = graph.partials_of(use.edge)
            if len(partials) != 1 or use.contribution is None:
                continue
            (place,) = partials
            sign = Derivative(Name(LOSS), Name(graph.output_name(head, place)))
            term = contribution(graph, use, place, sign).term
            try:
                found = Computed(graph, use).of(term)
            except Unwritten:
                unwritten.append(graph.nodes[head]["op"])
                continue
            written += 1
            expected = use.contribution.double()
            assert found.numel() == expected.numel(), graph.nodes[head]["op"]
            scale = max(float(expected.abs().max()), 1e-3) if expected.numel() else 1.0
            rough = 1e-9 if use.contribution.dtype == torch.float64 else 1e-4
            torch.testing.assert_close(found.reshape(expected.shape), expected, rtol=rough, atol=rough * scale)
    assert written > 0
    assert set(unwritten) <= WITHOUT_FORM
