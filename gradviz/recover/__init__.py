"""A graph that autograd built earlier -> the values and the aten calls behind its nodes, as far as they can be known.

    harvest.py    nodes -> what autograd kept: leaves, saved arguments, saved results
    moved.py      the values before a view, a transposition, a concatenation from the values after it
    replay.py     one node and the values known so far -> the aten call that it stands for
    rules.py      the table: node class -> aten overload
    recovery.py   the three together, and the cross-examination of every result
    bits.py       equality bit for bit

What cannot be known for certain is left out, with the reason.
"""

from __future__ import annotations

from gradviz.recover.recovery import Recovery, recover

__all__ = ["Recovery", "recover"]
