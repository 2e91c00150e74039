"""The divergence of a Gaussian from the standard one with the wrong sign: the loss falls as the codes run away.

Written out it is −½ Σ(1 + s − μ² − exp(s)), with s = log σ²; without its minus ½ Σ(1 + s − μ² − exp(s)) is added, which has
no bound below.
"""

from __future__ import annotations

from collections.abc import Iterator

from gradviz.diagnose.finding import Finding, found
from gradviz.diagnose.missing_minus import TERMS, squares_its_argument, terms_of
from gradviz.diagnose.readings import COPIES, Readings


def negated_divergence(readings: Readings) -> Iterator[Finding]:
    """At most one, where the terms of the loss have s with a plus, and exp(s) and a square each with a minus."""
    graph = readings.graph
    if graph.loss is None or readings.op(graph.loss[0]) not in TERMS:
        return
    terms = terms_of(readings, graph.loss[0])
    for exponential, factor in terms.items():
        if readings.op(exponential) != "exp" or factor >= 0 or graph.cotangent(exponential) is None:
            continue
        logarithm = readings.behind(readings.arguments[exponential][0].edge[0], COPIES)
        squares = [one for one, other in terms.items() if other == factor and squares_its_argument(readings, one)]
        loss = graph.value(*graph.loss)
        if terms.get(logarithm) == -factor and squares and loss is not None:
            yield found(
                graph,
                "missing-minus",
                "warning",
                "the divergence from a standard Gaussian stands in the loss with the wrong sign: "
                f"{readings.name(exponential)}, the variance, and {readings.name(squares[0])}, the squared mean, are "
                "subtracted, and the loss falls without bound as they grow",
                "put a minus before it: -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(); all is well where "
                "the optimizer maximises",
                node=exponential,
                numbers={"loss": float(loss), "factor of the variance": factor},
            )
            return
