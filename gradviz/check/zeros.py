"""Which recorded calls torch made in the place of others, because it knew an argument to be nothing but zeros.

Forward-mode differentiation (`torch.func.hessian`, `jacfwd`, `jvp`) makes zeros that have no memory. Of a product with
such, torch makes more of them, and of a sum it copies the other term. Autograd's node is that of the product or sum, while
the recorded call is that of the zeros or the copy.
"""

from __future__ import annotations

from gradviz.check.heads import HeadUnderCheck

_MADE_INSTEAD = frozenset({"_efficientzerotensor", "_to_copy", "mul"})
_OF_ZEROS = frozenset({"add", "sub", "rsub", "mul", "div", "dot", "linalg_cross"})
"""Functions that torch does not run where an argument is nothing but zeros."""


def why_other_call(head: HeadUnderCheck) -> str:
    """Why the recorded call says nothing of the edges into a node; "" where it is what autograd's node was made for."""
    partial = next((edge.use.partial for edge in head.edges if edge.use.partial is not None), None)
    if head.call is None or partial is None or head.call.op not in _MADE_INSTEAD:
        return ""
    made_for = partial.autograd_op
    if made_for == head.call.op or made_for not in _OF_ZEROS:
        return ""
    return f"torch ran {head.call.op} in the place of {made_for}, an argument of which is nothing but zeros (forward mode)"
