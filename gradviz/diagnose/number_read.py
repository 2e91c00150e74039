"""A value with a gradient that is read as a Python number and computed with: autograd takes the number for a constant."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator

from gradviz.diagnose.data_term import DIGITS, number_terms
from gradviz.diagnose.finding import Finding, found
from gradviz.diagnose.no_gradient import lost_leaves
from gradviz.diagnose.readings import Readings

MOST_READ = 1000
"""Of more numbers that were read nobody asks whether a multiple was used."""


def number_read(readings: Readings) -> Iterator[Finding]:
    """Calls that were given a number which the code had read of a tensor that requires grad; once per number.

    Where that is all that the loss has of the data, `data_term` tells it as an error.
    """
    graph = readings.graph
    read = {number: source for number, source in graph.numbers_read().items() if number != round(number, DIGITS)}
    lost = {finding.source for finding in lost_leaves(readings) if finding.kind == "left-torch"} if read else set()
    told = {term.node for term in number_terms(readings)} if read else set()
    for node in readings.ops if read else ():
        if node in told:
            continue
        call = graph.nodes[node]["call"]
        given = () if call is None else (*call.args, *call.kwargs.values())
        known = (_read(one, read) for one in given if isinstance(one, float))
        number = next((one for one in known if one is not None), None)
        if number is not None:
            source = read.pop(number)
            if source in lost:
                continue  # whose only way that was is told
            where = f" at {source}" if source else ""
            yield found(
                graph,
                "number-read",
                "hint",
                f"{readings.name(node)} = {readings.op(node)}(...) is given a number that was read of a tensor with a "
                f"gradient{where}: the gradient takes it for a constant",
                "compute with the tensor itself where the number's own dependence counts; where it is meant as a constant, "
                "say so with .detach()",
                node=node,
                numbers={"number": number},
            )


def _read(number: float, read: Collection[float]) -> float | None:
    """The number that the code had read which a call was given, or a multiple of it, by a factor of two digits as 0.1."""
    if number in read:
        return number
    if number == round(number, DIGITS) or len(read) > MOST_READ:
        return None
    return next((one for one in read if _has_two_digits(number / one)), None)


def _has_two_digits(factor: float) -> bool:
    """Whether a number is one that people write as a weight.

    >>> _has_two_digits(0.1 * 0.7 / 0.7), _has_two_digits(0.123)
    (True, False)
    """
    return math.isfinite(factor) and math.isclose(factor, float(f"{factor:.2g}"), rel_tol=1e-14, abs_tol=0.0)
