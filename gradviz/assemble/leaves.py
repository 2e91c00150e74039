"""What a leaf brings with it from before the step that is traced."""

from __future__ import annotations

import torch
from torch import Tensor

_READ_AT_LEAST = 2**16


def earlier_gradient(leaf: Tensor | None) -> Tensor | None:
    """What the norm of a leaf's `.grad` is at least, to which `.backward()` would add; None where there is nothing.

    In main memory the norm of its first rows, of about 65,536 elements, or of as many as it takes to find one that is not
    zero: reading all gradients of a model takes a tenth of the time of its step there. Elsewhere looking at a number means
    to wait for it, and the norm is that of all.

    >>> w = torch.ones(2, requires_grad=True)
    >>> earlier_gradient(w)
    >>> (w * torch.tensor([3.0, 4.0])).sum().backward()
    >>> earlier_gradient(w)
    tensor(5.)
    """
    if leaf is None or leaf.grad is None or leaf.device.type == "meta":
        return None
    gradient = leaf.grad.detach()
    if gradient.numel() <= _READ_AT_LEAST or gradient.layout is not torch.strided or gradient.device.type != "cpu":
        return gradient.norm()  # type: ignore[no-any-return]
    rows = max(1, len(gradient) * _READ_AT_LEAST // gradient.numel())
    while not (norm := gradient[:rows].norm()) and rows < len(gradient):
        rows *= 2
    return norm  # type: ignore[no-any-return]
