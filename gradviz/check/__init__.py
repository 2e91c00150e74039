"""Every edge, value and gradient of a graph against sympy: `graph.check()` -> `CheckReport`.

How the parts go together:

    options.py       what is asked for, looked at before anything is computed
    run.py           goes through the nodes, asks the others, writes the report; progress.py tells how far it is,
                     failures.py what one broken rule costs, late.py what is said of what was not reached in time
    hooks.py         which hooks change what flows back
    heads.py         one node, its used outputs, and autograd's side of each edge into it
    local.py         edges into one recorded call: elementwise, data movement, rows of a Jacobian
    rows.py          one row of a Jacobian beside the true one
    custom/          edges into a custom autograd.Function: its forward's own calls, composed, and what its backward ran
    draws.py         random cotangents and tangents
    probe.py         a whole large Jacobian in one number, beside its sampled rows
    differences.py   central differences: beside samples, and where there is no symbolic rule
    kinks.py         one-sided derivatives, between which torch may choose
    places.py        images read at places that rounding takes across the edge between two pixels
    values.py, sums.py, leaves.py    forward values; contributions; whole gradients of small graphs
    not_finite.py    which gradients are NaN or infinite
    nested.py        which nodes have to do with nested tensors, or tensors that hold others, which are left unverified
    changed.py       which nodes read memory that was changed in place since the trace
    other_calls.py   which calls say nothing of a node: those made in the place of others, and writes to lists
    second.py        what a second derivative loses, where backward() reads a value that forward() made
    composed.py, closed_formula.py   a small graph as one function; its derivatives as formulas; custom_formula.py those of a
                     custom forward
    judge.py, wording.py   a number of torch's beside the true one: ULP, bound, verdict; what is said of it
    range_ends.py    what kernels do with numbers at the ends of a dtype's range
    arrays.py        tensors as arrays, units in the last place
    ratios.py        whether wrong numbers are one and the same multiple of the true ones
    clues.py         what is told beside a verdict, from slips.py (which slip makes such numbers) and cancellation.py
                     (where digits were lost)
    report.py, table.py, formulas.py    what is handed back, and how it reads

    >>> import gradviz
    >>> report = gradviz.trace("x*y + sin(pi*x)", x=2.0, y=3.0, device="cpu").check()
    >>> report.ok, report.summary
    (True, '6 edges: 6 match (symbolic). 4 values match. 2 gradients match. 5 sums match.')
"""

from gradviz.check.closed_formula import closed_form
from gradviz.check.failures import FAILURES
from gradviz.check.options import Intended
from gradviz.check.report import Checked, CheckReport, EdgeCheck, LeafCheck, NodeCheck, SumCheck
from gradviz.check.run import check, check_edges, is_flat_when_run

__all__ = [
    "FAILURES",
    "CheckReport",
    "Checked",
    "EdgeCheck",
    "Intended",
    "LeafCheck",
    "NodeCheck",
    "SumCheck",
    "check",
    "check_edges",
    "closed_form",
    "is_flat_when_run",
]
