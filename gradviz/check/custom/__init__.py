"""Edges into a custom `autograd.Function`, or a write through a view: functions of several recorded calls, and of others.

How the parts go together:

    edges.py         every edge into such a node, asked of the others; edges that carry the same value share a verdict
    samples.py       rows of forward's own calls, composed, against sympy
    elements.py      all elements of the VJPs against torch's own formulas in float64
    forwards.py      a forward that left torch, run again at moved inputs
    asking.py        a custom node as it can be asked
    backward_calls.py    what a hand-written backward() ran, in terms of the values of its forward
    own_formula.py   its formula without rounding: right or wrong, and what rounding then may do
    replay.py        recorded calls run again in float64, with rounding bounded by trial
    noise.py, lengths.py   the random errors of such trials; how long the sums are that they are for; fused.py calls with
                     steps of their own
    ties.py          a hand-written backward on a kink, between whose derivatives it may choose
    threads.py       small passes in one thread
"""

from __future__ import annotations

from gradviz.check.custom.asking import AT_ONCE, ONE_BY_ONE
from gradviz.check.custom.edges import check_custom
from gradviz.check.custom.forwards import ForwardAgain, check_value_by_forward
from gradviz.check.custom.replay import Replay

__all__ = ["AT_ONCE", "ONE_BY_ONE", "ForwardAgain", "Replay", "check_custom", "check_value_by_forward"]
