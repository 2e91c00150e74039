"""Which recorded calls say nothing of the edges into a node: those that torch made in the place of others, because it knew
an argument to be nothing but zeros, and writes to lists of tensors.

Forward-mode differentiation (`torch.func.hessian`, `jacfwd`, `jvp`) makes zeros that have no memory. Of a product with
such, torch makes more of them, and of a sum it copies the other term. Autograd's node is that of the product or sum, while
the recorded call is that of the zeros or the copy. Of a write such as `torch._foreach_mul_` each tensor of the list has a
node of its own.
"""

from __future__ import annotations

from gradviz.check.heads import HeadUnderCheck

_MADE_INSTEAD = frozenset({"_efficientzerotensor", "_to_copy", "mul"})
_OF_ZEROS = frozenset({"add", "sub", "rsub", "mul", "div", "dot", "linalg_cross"})
"""Functions that torch does not run where an argument is nothing but zeros."""


def why_other_call(head: HeadUnderCheck) -> str:
    """Why the recorded call says nothing of the edges into a node; "" where it is what autograd's node was made for."""
    partial = next((edge.use.partial for edge in head.edges if edge.use.partial is not None), None)
    if head.call is None or partial is None:
        return ""
    if head.call.op.startswith("_foreach_") and head.call.overload._schema.is_mutable:
        return f"{head.call.overload} writes to tensors of a list, each of which has an autograd node of its own"
    if head.call.op not in _MADE_INSTEAD:
        return ""
    made_for = partial.autograd_op
    if made_for == head.call.op or made_for not in _OF_ZEROS:
        return ""
    return f"torch ran {head.call.op} in the place of {made_for}, an argument of which is nothing but zeros (forward mode)"
