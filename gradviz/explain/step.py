"""One step of gradient descent: parameters and loss before and after, beside what the gradient alone predicts.

The loss after the step is computed, not estimated: the recorded calls are run again, in order, with the moved parameters.
What the code decided by other means than torch's calls (a Python `if`, a loop's length) stays as it was recorded, and so do
the random numbers that it drew.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import networkx as nx
import torch
from torch import Tensor

from gradviz.diagnose.ways import cuts_behind
from gradviz.errors import InputError
from gradviz.explain import sentences as say
from gradviz.explain.amounts import shown, shown_of
from gradviz.explain.explanation import Explanation
from gradviz.explain.terms import Derivation, Derivative, Line, Name, Norm, Number, Section, Sentence, product
from gradviz.explain.wanted import limited
from gradviz.graph import GradGraph
from gradviz.opcall import OpCall
from gradviz.rerun import run_call
from gradviz.standin import is_kept, statistics_kept
from gradviz.symbolic import NoRule

_FILLED = ("cauchy", "exponential", "geometric", "log_normal", "normal", "random", "uniform")
_SAMPLED = ("bernoulli", "multinomial", "poisson", "rand", "rand_like", "randint", "randint_like", "randn", "randn_like")
DRAWS = frozenset((*_FILLED, *_SAMPLED, "randperm"))
"""Ops whose outputs are random numbers: they stay as they were drawn."""
HALVINGS = 10
"""How often a step is halved, where the loss does not fall, to see whether it was too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """One parameter and its step: after = before − lr · gradient."""

    name: str
    before: Tensor
    gradient: Tensor
    after: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientStep(Explanation):
    """What one step of gradient descent does. Written as an `Explanation` is.

    Attributes:
        lr: the learning rate.
        parameters: those that moved, in the order of the graph's leaves.
        before, after: the loss.
        predicted: the first-order prediction of its change, −lr · the sum of the squared gradients.
    """

    lr: float
    parameters: tuple[Moved, ...]
    before: float
    after: float
    predicted: float

    @property
    def change(self) -> float:
        """How the loss really changed."""
        return self.after - self.before


def gradient_step(graph: GradGraph, lr: float, only: str | Collection[str] | None) -> GradientStep:
    """One step of gradient descent; see `GradGraph.step`."""
    if isinstance(lr, bool) or not isinstance(lr, (int, float)) or not math.isfinite(lr) or lr <= 0:
        raise InputError(f"lr is {lr!r}; accepted: a finite number above 0")
    only = [only] if isinstance(only, str) else only
    unknown = [name for name in dict.fromkeys(only or ()) if name not in graph.leaves]
    if unknown:
        raise InputError(f"no leaf is called {', '.join(map(str, unknown))}; the leaves are {', '.join(graph.leaves)}")
    node, place = _loss(graph)
    before = graph.value(node, place)
    if before is None:
        raise InputError(f"the loss {graph.output_name(node, place)} is not known: {graph.nodes[node]['value_missing']}")
    with torch.no_grad():
        leaves = [leaf for name, leaf in graph.leaves.items() if only is None or name in only]
        moved = {leaf: _moved(graph, leaf, lr) for leaf in leaves if graph.cotangent(leaf) is not None}
        again = _Again(graph, {leaf: parameter.after for leaf, parameter in moved.items()})
        parameters = tuple(moved.values())
        numbers = {
            "lr": float(lr),
            "before": float(before),
            "after": float(again.value(node, place)),
            "predicted": -lr * math.fsum(_squared_norm(parameter.gradient) for parameter in parameters),
        }
        loss, shorter = graph.output_name(node, place), _fall_of_shorter_step(graph, moved, numbers)
        compared: list[Line] = [
            say.loss_before(loss, Number(numbers["before"])),
            say.loss_after(loss, Number(numbers["after"]), drawn=again.drawn),
            say.compared_change(loss, numbers["after"] - numbers["before"], numbers["predicted"], shorter),
            *limited([*again.cuts(node)], "cut", lambda cut: say.cut_from_slope(loss, *cut)),
        ]
        derivation = _derivation(numbers, loss, parameters, compared)
    return GradientStep(derivation=derivation, parameters=parameters, **numbers)


def _loss(graph: GradGraph) -> tuple[int, int]:
    """Where the backward pass started: at one number, with 1."""
    if graph.is_loaded:
        raise InputError("a loaded graph holds no calls to run again; take the step where it is traced")
    if graph.loss is None:
        raise InputError("a gradient step needs a loss: one output with one element, and no grad_output other than 1")
    return graph.loss


def _fall_of_shorter_step(
    graph: GradGraph, moved: Mapping[int, Moved], step: Mapping[str, float]
) -> tuple[float, float] | None:
    """The largest of the learning rates lr/2, lr/4, ... with which the loss falls, and its change.

    None where it falls with lr itself, or with none of them.
    """
    if step["predicted"] == 0 or not step["after"] >= step["before"]:
        return None
    node, place = _loss(graph)
    for lr in (step["lr"] / 2**halvings for halvings in range(1, HALVINGS + 1)):
        leaves = {leaf: parameter.before - lr * parameter.gradient for leaf, parameter in moved.items()}
        change = float(_Again(graph, leaves).value(node, place)) - step["before"]
        if change < 0:
            return lr, change
    return None


def _moved(graph: GradGraph, leaf: int, lr: float) -> Moved:
    """The step of one leaf."""
    name, before, gradient = str(graph.nodes[leaf]["name"]), graph.value(leaf), graph.cotangent(leaf)
    if before is None or gradient is None:
        raise InputError(f"the value of {name} is not known: {graph.nodes[leaf]['value_missing']}")
    return Moved(name=name, before=before, gradient=gradient, after=before - lr * gradient)


class _Again:
    """The values of a graph with other leaves: its calls, run again in forward order.

    Attributes:
        drawn: whether random numbers on the way stay as they were drawn.
    """

    def __init__(self, graph: GradGraph, leaves: Mapping[int, Tensor]) -> None:
        self.drawn = False
        self._graph = graph
        self._leaves = tuple(leaves)
        self._changed = {(leaf, 0): value for leaf, value in leaves.items()}
        for node in graph:
            arguments = {use.edge[2]: (use.edge[0], use.output) for use in graph.arguments_of(node)}
            moved = {position: self._changed[place] for position, place in arguments.items() if place in self._changed}
            if moved and graph.nodes[node]["kind"] == "op":
                self._changed |= {(node, output): value for output, value in self._outputs(node, moved).items()}

    def cuts(self, loss: int) -> Iterator[tuple[str, str, str]]:
        """Tail, head and reason of each cut way along which what changed leads on to the loss."""
        changed = {node for node, output in self._changed if self._has_changed(node, output)}
        cuts = {use.edge: use for leaf in self._leaves for use in cuts_behind(self._graph, leaf)}
        leading_on = changed & (nx.ancestors(self._graph, loss) | {loss})
        for (tail, head, _), use in sorted(cuts.items()):
            if tail in changed and head in leading_on:
                yield self._graph.output_name(tail, use.output), str(self._graph.nodes[head]["name"]), use.cut

    def _has_changed(self, node: int, output: int) -> bool:
        recorded, now = self._graph.value(node, output), self._changed[node, output]
        if recorded is None:
            return False
        return not torch.equal(now, recorded) if is_kept(recorded) else statistics_kept(now) != statistics_kept(recorded)

    def value(self, node: int, output: int) -> Tensor:
        """The value of one output of a node."""
        recorded = self._graph.value(node, output)
        assert recorded is not None
        return self._changed.get((node, output), recorded)

    def _outputs(self, node: int, moved: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """Output -> its value, where the arguments at some positions have changed."""
        attributes = self._graph.nodes[node]
        name, call, inner = attributes["name"], attributes["call"], attributes["inner_calls"]
        if inner:
            return self._outputs_of_inner(node, moved)
        if call is None:
            raise InputError(f"{name} cannot be computed again: its call was not recorded")
        if call.op in DRAWS:
            self.drawn = True
            return {}
        results = _results(call, [moved.get(argument.position, argument.tensor) for argument in call.tensor_arguments()])
        return {output: result for output, result in enumerate(results) if result is not None}

    def _outputs_of_inner(self, node: int, moved: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """The same for a node of several calls; data flow between them is identity of the snapshots."""
        attributes = self._graph.nodes[node]
        known = {id(attributes["inner_inputs"][position]): value for position, value in moved.items()}
        for call in attributes["inner_calls"]:
            read = [argument.tensor for argument in call.tensor_arguments()]
            if call.op in DRAWS:
                self.drawn = True
            elif any(id(tensor) in known for tensor in read):
                results = _results(call, [known.get(id(tensor), tensor) for tensor in read])
                known |= {id(made): result for made, result in zip(call.outputs, results, strict=True) if result is not None}
        unmoved = {id(made): made for call in attributes["inner_calls"] for made in call.outputs if id(made) not in known}
        values = {output: id(self._graph.value(node, output)) for output in attributes["outputs"]}
        found = {output: known.get(value, unmoved.get(value)) for output, value in values.items()}
        if None in found.values():
            raise InputError(f"{attributes['name']} cannot be computed again: what made its value was not recorded")
        return {output: value for output, value in found.items() if value is not None}


def _results(call: OpCall, tensors: list[Tensor]) -> tuple[Tensor | None, ...]:
    if call.overload is torch.ops.aten.native_dropout.default:  # with the mask that was drawn
        mask = call.outputs[1]
        assert mask is not None
        return tensors[0] * mask / (1 - call.args[1]), mask
    try:
        return run_call(call, tensors, widen=False)
    except NoRule as refusal:
        raise InputError(f"the loss after the step cannot be computed: {refusal}") from refusal


def _squared_norm(tensor: Tensor) -> float:
    norm = torch.linalg.vector_norm(tensor.to(torch.complex128 if tensor.is_complex() else torch.float64))
    return float(norm) ** 2


def _derivation(step: Mapping[str, float], loss: str, parameters: Sequence[Moved], compared: list[Line]) -> Derivation:
    """The step in words; `step` holds lr, before, after and predicted."""
    lr, predicted = step["lr"], step["predicted"]
    squares = Number(-predicted / lr)
    moved = limited(parameters, "parameter", lambda parameter: _moved_line(parameter, loss, lr))
    return Derivation(
        title=say.step_title(loss, Number(lr)),
        sections=(
            Section(heading=say.PARAMETERS, lines=moved),
            Section(heading=say.PREDICTION, lines=(say.first_order(loss, Number(lr), squares, Number(predicted)),)),
            Section(heading=say.LOSS, lines=tuple(compared)),
        ),
    )


def _moved_line(parameter: Moved, loss: str, lr: float) -> Sentence:
    """A parameter's step, written out where it is short, else how far it goes."""
    name, gradient = parameter.name, shown(parameter.gradient)
    sign = Derivative(Name(loss), Name(name))
    if shown_of(sign, parameter.gradient)[0] != sign:
        length = lr * float(torch.linalg.vector_norm(parameter.gradient))
        return say.moves_by(name, parameter.before.shape, product([Number(lr), Norm(sign)]), Number(length))
    return say.becomes(name, shown(parameter.before), product([Number(lr), gradient]), shown(parameter.after))
