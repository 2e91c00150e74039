"""What a lecturer writes of softmax and cross entropy: ∂s_i/∂x_j = s_i (δ_ij − s_j), and p − y.

All is written in the softmax's own results, as they stand in the forward pass: the exponentials below are what nobody wants
to see twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product as places

import sympy as sp
import torch

from gradviz.explain.terms import Applied, Derivative, Equation, Formula, Name, Negative, Product, Sum, Term, product
from gradviz.graph import GradGraph, Use
from gradviz.opcall import OpCall
from gradviz.view.summary import is_opaque

SOFTMAX, LOG_SOFTMAX = "_softmax", "_log_softmax"
BATCH = "nmlk"
"""The letters of the axes over which no softmax runs."""
DELTA = "δ"
MAX_RULES = 3
Index = tuple[int, ...]


def general_rules(graph: GradGraph, between: Sequence[int]) -> Iterator[Equation]:
    """Of each softmax on the way, up to a few, its local partial in indices: ∂a[i]/∂x[j] = a[i]·(δ[i, j] − a[j])."""
    heads = [node for node in between if _is_softmax(graph, node)]
    uses = [use for head in heads for use in graph.arguments_of(head) if use.edge[0] in between]
    for use in uses[:MAX_RULES]:
        tail, head, _ = use.edge
        shape = graph.nodes[head]["shape"]
        if not 0 < len(shape) <= len(BATCH):
            continue
        letters = [*BATCH[: len(shape)]]
        at_i, at_j = (tuple(_with(letters, _axis(graph, head), letter)) for letter in "ij")
        result, argument = graph.nodes[head]["name"], graph.output_name(tail, use.output)
        delta = Name(DELTA, ("i", "j"))
        sign = Derivative(Name(result, at_i), Name(argument, at_j))
        if graph.nodes[head]["op"] == SOFTMAX:
            yield Equation((sign, Product((Name(result, at_i), Sum((delta, Negative(Name(result, at_j))))))))
        else:
            yield Equation((sign, Sum((delta, Negative(Applied("exp", (Name(result, at_j),)))))))


def element_partial(graph: GradGraph, head: int, reached: Index, index: Index) -> sp.Expr | None:
    """∂head[reached]/∂tail[index] where the head is a softmax or its logarithm; None of any other."""
    if not _is_softmax(graph, head) or not reached:
        return None
    name = graph.nodes[head]["name"]
    own, other = (sp.Symbol(f"{name}[{', '.join(map(str, at))}]") for at in (reached, index))
    if graph.nodes[head]["op"] == LOG_SOFTMAX:
        return int(reached == index) - sp.exp(other)
    return own * (1 - own) if reached == index else -own * other


def in_results(formula: sp.Expr, graph: GradGraph) -> sp.Expr:
    """A formula in elements of leaves, `x_0_1`, with what softmax made of them in its place: exp(x_0)/(...) as a[0]."""
    for node in graph:
        if _is_softmax(graph, node):
            (use,) = graph.arguments_of(node)
            if graph.nodes[use.edge[0]]["kind"] == "leaf" and graph.nodes[node]["shape"]:
                formula = _in_result(formula, graph, use)
    return formula


def cross_entropy(graph: GradGraph, use: Use, loss: str) -> Term | None:
    """d(loss)/d(logits) of a cross entropy of classes in one piece, (p − y)/N; None where the use is none.

    Args:
        graph: where the use is.
        use: of logits by a logarithm of softmax that nothing reads but a loss of classes.
        loss: the name of what is differentiated; the cotangent of another loss is a factor.
    """
    _, head, _ = use.edge
    readers = [(one, one.partial) for one in graph.uses_of(head) if one.partial is not None]
    if graph.nodes[head]["op"] != LOG_SOFTMAX or len(readers) != 1:
        return None
    ((reader, partial),) = readers
    one_hot, back = partial.formula, graph.cotangent(head)
    if graph.nodes[reader.edge[1]]["op"] != "nll_loss_forward" or not isinstance(one_hot, sp.Expr) or back is None:
        return None
    scale, bracket = one_hot.as_coeff_Mul()
    handed = graph.cotangent(reader.edge[1])
    if is_opaque(back) or handed is None or handed.numel() != 1 or not bracket.is_Piecewise:
        return None
    rows = back.sum(_axis(graph, head)).double()
    if not torch.allclose(rows, rows.new_full((), float(scale) * float(handed)), rtol=1e-5, atol=0):
        return None  # a row that is left out has no p either
    probability = sp.exp(sp.Symbol(graph.nodes[head]["name"], real=True))
    joined = sp.Mul(-scale, probability - bracket, evaluate=False) if scale != -1 else probability - bracket
    name = graph.output_name(reader.edge[1], graph.nodes[reader.edge[1]]["outputs"][0])
    return product([*([] if name == loss else [Derivative(Name(loss), Name(name))]), Formula(joined)])


def _is_softmax(graph: GradGraph, node: int) -> bool:
    return graph.nodes[node]["op"] in (SOFTMAX, LOG_SOFTMAX) and graph.nodes[node]["call"] is not None


def _axis(graph: GradGraph, node: int) -> int:
    call: OpCall = graph.nodes[node]["call"]
    dim: int = call.kwargs.get("dim", call.args[1] if len(call.args) > 1 else -1)
    return dim % max(len(graph.nodes[node]["shape"]), 1)


def _with(letters: Sequence[str], axis: int, letter: str) -> list[str]:
    """`n, m` with another letter on the axis of the softmax; the axes of the batch keep the first letters.

    >>> _with("nm", 1, "i"), _with("nm", 0, "i"), _with("n", 0, "j")
    (['n', 'i'], ['i', 'n'], ['j'])
    """
    others = iter(letters)
    return [letter if place == axis else next(others) for place in range(len(letters))]


def _in_result(formula: sp.Expr, graph: GradGraph, use: Use) -> sp.Expr:
    """The same for one softmax of a leaf."""
    tail, node, _ = use.edge
    leaf, result = graph.nodes[tail]["name"], graph.nodes[node]["name"]
    shape, axis = graph.nodes[node]["shape"], _axis(graph, node)
    is_log = graph.nodes[node]["op"] == LOG_SOFTMAX
    written = formula
    for batch in places(*(range(size) for place, size in enumerate(shape) if place != axis)):
        row = [(*batch[:axis], at, *batch[axis:]) for at in range(shape[axis])]
        powers = [sp.exp(sp.Symbol("_".join([leaf, *map(str, at)]), real=True)) for at in row]
        if len(powers) < 2 or not written.has(sp.Add(*powers)):
            continue
        below = sp.Dummy(positive=True)
        names = [sp.Symbol(f"{result}[{', '.join(map(str, at))}]", real=True) for at in row]
        parts = [sp.exp(name) if is_log else name for name in names]
        replaced = written.xreplace({sp.Add(*powers): below})
        replaced = replaced.xreplace({power: part * below for power, part in zip(powers, parts, strict=True)})
        for candidate in (replaced, sp.expand(replaced)):
            if not candidate.has(below):
                written = _gathered(candidate, parts)
                break
    return written


def _gathered(formula: sp.Expr, parts: Sequence[sp.Expr]) -> sp.Expr:
    """The shortest of what it is multiplied out, with common factors taken out, and gathered by each part."""
    multiplied = sp.expand(formula)
    candidates = [formula, sp.factor_terms(formula), sp.factor_terms(multiplied), sp.collect(multiplied, parts)]
    return min(candidates, key=lambda one: (sp.count_ops(one), candidates.index(one)))
