"""How the derivative of an overload is known: by which kind of rule, by torch's decomposition, or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch._ops import OpOverload

from gradviz.symbolic.lowering import is_lowered
from gradviz.symbolic.registry import MovementRule, NoGradient, PointwiseRule, TensorRule, find_rule, has_rule

Method = Literal["pointwise", "tensor", "movement", "lowered", "no gradient", "none"]
_METHODS: Mapping[type, Method] = {
    PointwiseRule: "pointwise",
    TensorRule: "tensor",
    MovementRule: "movement",
    NoGradient: "no gradient",
}


def method_of(overload: OpOverload) -> Method:
    """How the derivative of an overload is known.

    "lowered" says that torch has a decomposition; whether it ends in overloads with rules shows when it is run.

    >>> import torch
    >>> aten = torch.ops.aten
    >>> method_of(aten.tanh_.default), method_of(aten.argmax.default), method_of(aten.grid_sampler_2d.default)
    ('pointwise', 'no gradient', 'lowered')
    """
    if has_rule(overload):
        return _METHODS[type(find_rule(overload))]
    return "lowered" if is_lowered(overload) else "none"
