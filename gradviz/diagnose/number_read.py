"""A value with a gradient that is read as a Python number and computed with: autograd takes the number for a constant."""

from __future__ import annotations

from collections.abc import Iterator

from gradviz.diagnose.finding import Finding, found
from gradviz.diagnose.readings import Readings

DIGITS = 3
"""A number of so few decimal places may have been written by hand."""


def number_read(readings: Readings) -> Iterator[Finding]:
    """Calls that were given a number which the code had read of a tensor that requires grad; once per number."""
    graph = readings.graph
    read = {number: source for number, source in graph.numbers_read().items() if number != round(number, DIGITS)}
    for node in readings.ops if read else ():
        call = graph.nodes[node]["call"]
        given = () if call is None else (*call.args, *call.kwargs.values())
        number = next((one for one in given if isinstance(one, float) and one in read), None)
        if number is not None:
            source = read.pop(number)
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
