"""A mean of log-probabilities as the loss, its minus forgotten: it falls without bound as what is observed gets unlikely.

Log-probabilities are those of chosen classes, of yes and no written out, y log p + (1 − y) log(1 − p), and Gaussian
log-densities, known by their constant, a multiple of log(2π)/2, which is added, or stands in a logarithm: log(2π σ²).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

from torch import Tensor

from gradviz.diagnose.finding import Finding, found
from gradviz.diagnose.likelihood import normalised_over
from gradviz.diagnose.log_constants import factors_of_log
from gradviz.diagnose.readings import COPIES, Readings
from gradviz.graph import Use
from gradviz.statistics import is_readable

HALF_LOG_TAU = math.log(2 * math.pi) / 2
MOST_DIMENSIONS = 10_000
WITHIN = 1e-2
"""How far two probabilities may be from 1 together: each may be clamped, or have something small added to it."""
SUMS = frozenset({"add", "sub", "rsub"})
MEANS = COPIES - {"index", "cat", "stack"} | {"mean", "sum", "logsumexp"}
TERMS = MEANS - {"logsumexp"} | SUMS | {"neg", "mul", "div"}


def missing_minus(readings: Readings) -> Iterator[Finding]:
    """A loss made of log-probabilities, none of which is subtracted.

    What else has a plus before a log-probability is multiplied: an advantage, a cost, a probability of the model itself.
    """
    graph = readings.graph
    if graph.loss is None:
        return
    picked = list(_picks(readings, graph.loss[0]))
    if not picked or any(factor < 0 for _, factor, _ in picked):
        return
    node, factor, values = picked[0]
    if all(other == factor for _, other, _ in picked):  # others are rewards, as of the steps of an episode
        values = sum(count for _, _, count in picked)
    loss = graph.value(*graph.loss)
    if values < 2 or loss is None:
        return
    is_density = readings.op(node) in SUMS | {"log"} and not _yes_and_no(readings, node)
    of_what = "Gaussian log-densities" if is_density else "log-probabilities of the chosen classes"
    yield found(
        graph,
        "missing-minus",
        "warning",
        f"the loss grows with the {of_what}, {readings.name(node)}: to make it smaller is to "
        f"make {'what was observed' if is_density else 'the right classes'} unlikely, without bound",
        "put a minus before it: "
        f"-{'log_prob' if is_density else 'log_probabilities'}.mean(); all is well where the optimizer maximises",
        node=node,
        numbers={"loss": float(loss), "log-probabilities": values},
    )


def _picks(readings: Readings, loss: int) -> Iterator[tuple[int, float, int]]:
    """(call, factor before it, how many) for the terms of a loss that pick from log-probabilities."""
    pending = [(loss, 1.0, loss, loss)]
    seen: set[tuple[int, bool]] = set()
    while pending:
        # `whole`: the sum that a node is a term of, or itself; `scaled`: the same, where the term may be multiplied
        node, factor, whole, scaled = pending.pop()
        if (node, factor < 0) in seen:
            continue
        seen.add((node, factor < 0))
        op, tails = readings.op(node), [use.edge[0] for use in readings.arguments[node]]
        if (count := _picked(readings, node)) or op == "nll_loss_forward":
            yield node, factor * (-1 if op == "nll_loss_forward" else 1), count
        elif count := _yes_and_no(readings, node):
            yield node, factor, count
        elif sign := _density(readings, node, whole):
            value = readings.graph.value(whole)
            yield node, factor * sign, 0 if value is None else value.numel()
        elif op == "log" and (sign := _written_out(readings, node, scaled)):
            value = readings.graph.value(node)
            yield node, factor * sign, 0 if value is None else value.numel()
        elif op in SUMS:
            signs = [-1 if op == "rsub" or (op == "sub" and place) else 1 for place in range(len(tails))]
            sums = scaled if readings.op(scaled) in SUMS else node
            pending += [(tail, factor * sign, whole, sums) for tail, sign in zip(tails, signs, strict=True)]
        elif tails and (op in MEANS or op == "neg" or (op in ("mul", "div") and len(tails) == 1)):
            further = tails[0] if op in MEANS else scaled
            pending.append((tails[0], factor * _factor(readings, node), tails[0], further))


def _density(readings: Readings, node: int, whole: int) -> int:
    """1 where a call makes Gaussian log-densities, −1 where it makes their negatives, 0 elsewhere.

    What was drawn of the same Gaussian is no observation: its log-density is an entropy, as a policy raises it. Nor is there
    one where nothing learns but the place at which a density is asked, as for its score.

    Args:
        node: the call that may add the constant.
        whole: the sum that it is a term of, of which another term may hold the squares.
    """
    number = _constant(readings, node)
    if not number or readings.graph.cotangent(node) is None:
        return 0
    if not _is_of_densities(number) or not (squares := list(_squares(readings, node)) or list(_squares(readings, whole))):
        return 0
    if any(map(partial(_is_drawn, readings), squares)):
        return 0
    if set(readings.graph.leaves.values()) <= _asked_at(readings, squares):
        return 0
    return -1 if number > 0 else 1


def _written_out(readings: Readings, log: int, scaled: int) -> int:
    """As `_density`, of a logarithm that has the constant within it: log(2π σ²), or log(exp(−½ z²) / √(2π σ²)).

    Args:
        log: the logarithm.
        scaled: the sum that it is a term of, whose other terms may hold the squares.
    """
    factors = factors_of_log(readings, log)
    if readings.graph.cotangent(log) is None or not _is_of_densities(factors.log_constant):
        return 0
    is_found = False
    near = [node for node in factors.exponentials if any(_squares(readings, node))]  # exp(s) of a logarithm s has none
    for node in near or ([scaled] if readings.op(scaled) in SUMS else []):
        terms = terms_of(readings, node)
        of_log = -1.0 if near else terms.get(log, -1.0) * factors.log_constant  # below 0 where densities are summed
        for square in filter(partial(squares_its_argument, readings), terms):
            pair = _difference(readings, square)
            if pair is None:
                continue  # the square of a deviation
            if all(readings.graph.cotangent(one) is not None for one in pair) or terms[square] * of_log < 0:
                return 0  # of two numbers that learn none was observed; and a density has both of one sign
            is_found = True
    if not is_found:
        return 0
    return -1 if factors.log_constant > 0 else 1


def _is_of_densities(number: float) -> bool:
    """Whether a number is a multiple of log(2π)/2, as densities of some dimensions have it."""
    dimensions = number / HALF_LOG_TAU if math.isfinite(number) else 0.0
    return 1 <= abs(round(dimensions)) <= MOST_DIMENSIONS and math.isclose(dimensions, round(dimensions), abs_tol=1e-6)


def _constant(readings: Readings, node: int) -> float:
    """The one number that a call adds, below 0 where it subtracts it; 0 where it adds none."""
    call, uses, op = readings.graph.nodes[node]["call"], readings.arguments[node], readings.op(node)
    if op not in SUMS or call is None:
        return 0.0
    if len(uses) == 1:
        number = next((argument for argument in call.args[:2] if isinstance(argument, (int, float))), 0.0)
        return -number if op == "sub" else float(number)
    for place, use in enumerate(uses):
        value = readings.value_of(use) if use.partial is None else None
        if value is not None and value.numel() == 1 and value.is_floating_point() and is_readable(value):
            return float(value) if op == "add" or place == 0 else -float(value)
    return 0.0


def _squares(readings: Readings, node: int) -> Iterator[int]:
    """The calls that square their argument among the terms of a sum, whatever these are multiplied by."""
    yield from (term for term in terms_of(readings, node) if squares_its_argument(readings, term))


def squares_its_argument(readings: Readings, node: int) -> bool:
    call = readings.graph.nodes[node]["call"]
    return readings.op(node) in ("pow", "square") and call is not None and call.args[1:2] in ((2,), ())


def terms_of(readings: Readings, node: int) -> dict[int, float]:
    """The terms of a sum that are none of a further one, with the numbers that multiply them; of tensors the sign."""
    pending, found = [(node, 1.0)], dict[int, float]()
    seen = {node}
    while pending:
        node, factor = pending.pop()
        for place, use in enumerate(readings.arguments[node]):
            tail, op = use.edge[0], readings.op(node)
            if use.partial is None or tail in seen:
                continue
            seen.add(tail)
            is_less = op == "rsub" or (op == "sub" and place > 0)
            scaled = factor * (-1 if is_less else 1) * _weight(readings, node, place)
            if readings.op(tail) in TERMS:
                pending.append((tail, scaled))
            else:
                found[tail] = scaled
    return found


def _weight(readings: Readings, node: int, place: int) -> float:
    """What a call multiplies an argument by: a number, `alpha`, or the sign of another factor; NaN where that has two."""
    call, uses, op = readings.graph.nodes[node]["call"], readings.arguments[node], readings.op(node)
    if op in ("add", "sub") and place > 0:
        return 1.0 if call is None else float(call.kwargs.get("alpha", 1.0))
    if len(uses) == 1 or op not in ("mul", "div"):
        return _factor(readings, node) if len(uses) == 1 else 1.0
    value = readings.value_of(uses[1 - place])
    if value is None or not value.numel() or not readings.has_elements(value):
        return math.nan
    signs = value.sign()
    return float(signs.reshape(-1)[0]) if bool(signs.min() == signs.max()) else math.nan


def _is_drawn(readings: Readings, square: int) -> bool:
    """Whether what is squared is the difference of a draw from its own mean, or was made of a draw in another way."""
    difference = _difference(readings, square)
    if difference is None:
        node = readings.arguments[square][0].edge[0]
        return any(readings.op(one) == "normal" for one in (node, *readings.made_of(node)))
    at, mean = difference
    return readings.graph.cotangent(mean) is not None and mean in readings.made_of(at)


def _asked_at(readings: Readings, squares: list[int]) -> set[int]:
    """What the densities are asked at: in each square that from which the mean is subtracted."""
    differences = (_difference(readings, square) for square in squares)
    return {difference[0] for difference in differences if difference is not None}


def _difference(readings: Readings, square: int) -> tuple[int, int] | None:
    """What is subtracted from what, in what is squared, before it may be divided by a deviation."""
    node = readings.behind(readings.arguments[square][0].edge[0], COPIES | {"div"})
    uses = readings.arguments[node]
    if readings.op(node) != "sub" or len(uses) != 2:
        return None
    at, mean = (readings.behind(use.edge[0], COPIES) for use in uses)
    return at, mean


def _factor(readings: Readings, node: int) -> float:
    """The number that a call multiplies with or divides by; −1 of a negation, 1 of all others."""
    call, op = readings.graph.nodes[node]["call"], readings.op(node)
    if op not in ("mul", "div"):
        return -1.0 if op == "neg" else 1.0
    numbers = [] if call is None else [argument for argument in call.args[:2] if isinstance(argument, (int, float))]
    number = float(numbers[0]) if numbers else 1.0
    return 1 / number if op == "div" and number else number


def _picked(readings: Readings, node: int) -> int:
    """How many log-probabilities a call picks: by an index, or by a product with one-hot rows; 0 where it does not."""
    uses, value = readings.arguments[node], readings.graph.value(node)
    if value is None or not uses:
        return 0
    if readings.op(node) in ("gather", "index") and _is_log_probability(readings, uses[0]):
        return value.numel()
    if readings.op(node) == "mul" and len(uses) == 2:
        for own, other in ((uses[0], uses[1]), (uses[1], uses[0])):
            target = readings.value_of(other)
            is_target = other.partial is None and target is not None and target.shape == value.shape
            if is_target and _is_log_probability(readings, own) and (dims := normalised_over(target)):
                return value.numel() // value.shape[dims[-1]]
    return 0


def _yes_and_no(readings: Readings, node: int) -> int:
    """How many log-probabilities y log p + (1 − y) log(1 − p) are, of labels y that are data; 0 of any other sum.

    Logarithms of what is no probability and its complement are another's, as of the ratios in a divergence. Labels that are
    all alike are those of a generator, which makes the right ones unlikely; as does what has several models.
    """
    value = readings.graph.value(node)
    if readings.op(node) != "add" or value is None or len(readings.arguments[node]) != 2:
        return 0
    terms = [_weighted_log(readings, use.edge[0]) for use in readings.arguments[node]]
    known = [term for term in terms if term is not None]
    if len(known) < 2 or len(_models(readings)) > 1:
        return 0
    (yes, likely), (no, unlikely) = known
    if yes.shape != no.shape or likely.shape != unlikely.shape or not bool((yes != yes.reshape(-1)[:1]).any()):
        return 0
    are_labels = bool(((yes >= 0) & (no >= 0) & ((yes + no - 1).abs() < 1e-6)).all())
    are_complements = bool(((likely + unlikely - 1).abs() < WITHIN).all())
    return value.numel() if are_labels and are_complements else 0


def _weighted_log(readings: Readings, node: int) -> tuple[Tensor, Tensor] | None:
    """(data, argument) of data times the logarithm of what learns; None of any other call."""
    factors = readings.arguments[node] if readings.op(node) == "mul" else []
    data = [factor for factor in factors if factor.partial is None]
    logs = [factor for factor in factors if factor.partial is not None]
    if len(data) != 1 or len(logs) != 1:
        return None
    log, weights = readings.behind(logs[0].edge[0], COPIES), readings.value_of(data[0])
    argument = readings.value_of(readings.arguments[log][0]) if readings.op(log) == "log" else None
    if weights is None or argument is None or not readings.has_elements(weights) or not readings.has_elements(argument):
        return None
    return weights, argument


def _models(readings: Readings) -> set[str]:
    """The modules whose parameters are read."""
    return {data["root"] for _, data in readings.graph.nodes(data=True) if data["root"]}


def _is_log_probability(readings: Readings, use: Use) -> bool:
    """log_softmax(x), log(softmax(x)), or x − logsumexp(x)."""
    node = readings.behind(use.edge[0], COPIES)
    op, uses = readings.op(node), readings.arguments[node]
    if op == "log":
        node = readings.behind(uses[0].edge[0], COPIES | {"clamp", "clamp_min"})
        if readings.op(node) == "add" and len(readings.arguments[node]) == 1:  # something small, that none is 0
            node = readings.behind(readings.arguments[node][0].edge[0], COPIES)
        return readings.op(node) == "_softmax"
    return op == "_log_softmax" or (op == "sub" and len(uses) == 2 and readings.op(uses[1].edge[0]) == "logsumexp")
