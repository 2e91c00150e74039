"""A draw from a distribution whose parameters the code computed, made so that what comes after it tells them nothing."""

from __future__ import annotations

from collections.abc import Iterator

from gradviz.diagnose.data_term import ON_DATA
from gradviz.diagnose.finding import Finding, found
from gradviz.diagnose.readings import Readings
from gradviz.graph import Use

NOISE = frozenset({"normal", "rand", "rand_like", "randn", "randn_like"})
LOSSES_BESIDE_TARGETS = frozenset({"sub", "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"})


def sampling(readings: Readings) -> Iterator[Finding]:
    """Told of draws that no gradient comes back from, while what they were drawn from gets one from elsewhere."""
    yield from _drawn_without_gradient(readings)
    yield from _cut_after_the_draw(readings)


def _drawn_without_gradient(readings: Readings) -> Iterator[Finding]:
    """`Normal(mean, std).sample()` of a mean or deviation that gets its gradient from elsewhere, as from a divergence.

    A policy samples so too: there the draw meets its mean again, in the log-probability.
    """
    for node in readings.ops:
        if readings.op(node) != "normal":
            continue
        behind = {readings.behind(use.edge[0]): use for use in readings.arguments[node]}
        learning = [tail for tail in behind if readings.graph.cotangent(tail) is not None]
        users = set(readings.users(node))
        if learning and not _meets(readings, users, learning) and any(readings.op(user) in ON_DATA for user in users):
            drawn = f"{readings.name(node)} is drawn from {_names(readings, learning)} under no_grad"
            hint = "draw with .rsample(), or write mean + std * torch.randn_like(std)"
            yield _finding(readings, "no-grad", drawn, hint, behind[learning[0]], learning)


def _cut_after_the_draw(readings: Readings) -> Iterator[Finding]:
    """`(mean + std * noise).detach()` that a network reads, where nothing but a regulariser reads mean and deviation."""
    for node in readings.ops:
        cut = next((use for use in readings.arguments[node] if use.cut == "detach"), None)
        learning = [] if cut is None else _mean_and_deviation(readings, cut)
        if cut is None or not learning:
            continue
        users = set(readings.users(node))
        is_read = any(readings.op(user) in ON_DATA and readings.graph.cotangent(user) is not None for user in users)
        on_data = any(_is_on_data(readings, head) for tail in learning for head in readings.ahead_of(tail))
        if is_read and not on_data and not _meets(readings, users, learning):
            drawn = f"{readings.name(cut.edge[0])} is drawn from {_names(readings, learning)} and then cut off"
            hint = "take out .detach() or .data, so that the gradient goes back through the draw"
            yield _finding(readings, "detached", drawn, hint, cut, learning)


def _meets(readings: Readings, users: set[int], learning: list[int]) -> bool:
    """Whether what reads a draw reads what it was drawn from, too."""
    return any(readings.behind(use.edge[0]) in learning for user in users for use in readings.arguments[user])


def _names(readings: Readings, learning: list[int]) -> str:
    return " and ".join(readings.name(tail) for tail in learning)


def _finding(readings: Readings, kind: str, drawn: str, hint: str, use: Use, learning: list[int]) -> Finding:
    return found(
        readings.graph,
        kind,
        "warning",
        f"{drawn}: what is computed from it sends no gradient to {_names(readings, learning)}; the one that is there comes "
        "from other terms",
        hint,
        edge=use.edge,
        numbers={f"norm of the cotangent at {readings.name(tail)}": readings.arriving(tail) for tail in learning},
    )


def _is_on_data(readings: Readings, head: int) -> bool:
    """Whether a call brings what is learned together with data: a network does, and a loss beside targets."""
    if readings.op(head) not in LOSSES_BESIDE_TARGETS:
        return readings.op(head) in ON_DATA
    value = next((readings.value_of(use) for use in readings.arguments[head] if use.partial is None), None)
    if value is None or value.ndim < 2 or not value.is_floating_point() or not value.numel():
        return False
    return readings.has_elements(value) and float(value.min()) < float(value.max())


def _mean_and_deviation(readings: Readings, cut: Use) -> list[int]:
    """What gets a gradient among that which a draw, which gets none, was made of; empty of what is no draw."""
    graph, draw = readings.graph, readings.behind(cut.edge[0])
    if readings.op(draw) not in ("add", "addcmul") or graph.cotangent(draw) is not None:
        return []
    factors = [readings.behind(use.edge[0]) for use in readings.arguments[draw]]
    products = [use.edge[0] for node in factors if readings.op(node) == "mul" for use in readings.arguments[node]]
    if not any(_is_noise(readings, readings.behind(node)) for node in products + factors):
        return []
    return [node for node in factors if graph.cotangent(node) is not None]


def _is_noise(readings: Readings, node: int) -> bool:
    """Whether numbers were drawn, or made in the code with both signs, as by `torch.randn`."""
    attributes = readings.graph.nodes[node]
    if attributes["kind"] != "constant" or not attributes["source"]:
        return readings.op(node) in NOISE
    value = readings.graph.value(node)
    if value is None or not value.is_floating_point() or not value.numel() or not readings.has_elements(value):
        return False
    return float(value.min()) < 0 < float(value.max())
