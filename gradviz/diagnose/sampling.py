"""A draw from a distribution whose parameters the code computed, made so that what comes after it tells them nothing."""

from __future__ import annotations

from collections.abc import Iterator

from gradviz.diagnose.data_term import ON_DATA
from gradviz.diagnose.finding import Finding, found
from gradviz.diagnose.readings import Readings


def sampling(readings: Readings) -> Iterator[Finding]:
    """`Normal(mean, std).sample()` of a mean or deviation that gets its gradient from elsewhere, as from a divergence.

    A policy samples so too: there the draw meets its mean again, in the log-probability.
    """
    graph = readings.graph
    for node in readings.ops:
        if readings.op(node) != "normal":
            continue
        behind = {readings.behind(use.edge[0]): use for use in readings.arguments[node]}
        learning = [tail for tail in behind if graph.cotangent(tail) is not None]
        users = set(readings.users(node))
        meets = any(readings.behind(use.edge[0]) in learning for user in users for use in readings.arguments[user])
        if not learning or meets or not any(readings.op(user) in ON_DATA for user in users):
            continue
        names = " and ".join(readings.name(tail) for tail in learning)
        yield found(
            graph,
            "no-grad",
            "warning",
            f"{readings.name(node)} is drawn from {names} under no_grad: what is computed from it sends no gradient to "
            f"{names}; the one that is there comes from other terms",
            "draw with .rsample(), or write mean + std * torch.randn_like(std)",
            edge=behind[learning[0]].edge,
            numbers={f"norm of the cotangent at {readings.name(tail)}": readings.arriving(tail) for tail in learning},
        )
