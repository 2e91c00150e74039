"""The constant in a logarithm, as 2π in log(2π σ²), by which hand-written Gaussian densities are known."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from gradviz.diagnose.readings import COPIES, Readings
from gradviz.statistics import is_readable

POWERS = {"sqrt": 0.5, "rsqrt": -0.5, "reciprocal": -1.0, "square": 2.0}
PASSED = COPIES | {"clamp", "clamp_min", "mean", "sum"}
SMALL = 1e-3
"""What is added to a density before its logarithm, that it be no 0, is no more."""


@dataclass(slots=True)
class Factors:
    """What a call takes the logarithm of.

    Attributes:
        log_constant: the logarithm of its constant factors; NaN where one of them has none.
        exponentials: the calls of `exp` among its other factors, those below a fraction bar left out.
    """

    log_constant: float = 0.0
    exponentials: list[int] = field(default_factory=list)


def factors_of_log(readings: Readings, log: int) -> Factors:
    """The factors of the argument of a logarithm, through powers, roots and fractions."""
    found = Factors()
    pending = [(use.edge[0], 1.0) for use in readings.arguments[log]]
    while pending:
        node, power = pending.pop()
        op, tails = readings.op(node), [use.edge[0] for use in readings.arguments[node]]
        value, number = readings.graph.value(node), _number(readings, node)
        if readings.graph.cotangent(node) is None:
            if value is not None and value.numel() == 1 and is_readable(value):
                found.log_constant += power * _log(float(value))
        elif op == "exp":
            found.exponentials += [node] if power > 0 else []
        elif op in ("mul", "div"):
            below = -1 if op == "div" else 1
            pending += [(tail, power * below if place else power) for place, tail in enumerate(tails)]
            found.log_constant += power * below * _log(number) if len(tails) == 1 else 0.0
        elif op in POWERS or op == "pow":
            pending += [(tail, power * POWERS.get(op, number)) for tail in tails if len(tails) == 1]
        elif tails and (op in PASSED or (op == "add" and len(tails) == 1 and abs(number) <= SMALL)):
            pending.append((tails[0], power))
    return found


def _number(readings: Readings, node: int) -> float:
    """The number among the arguments of a call, beside its tensor; 1 where it has none."""
    call = readings.graph.nodes[node]["call"]
    numbers = () if call is None else (one for one in call.args[:2] if isinstance(one, (int, float)))
    return float(next(iter(numbers), 1.0))


def _log(number: float) -> float:
    return math.log(number) if 0 < number < math.inf else math.nan
