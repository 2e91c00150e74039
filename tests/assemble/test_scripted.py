"""What torch.jit has compiled into one node is refused in words; the same code before it is scripted can be traced."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

import gradviz


def test_a_scripted_module_is_refused_once_it_is_compiled_and_traced_before() -> None:
    model, x = nn.Sequential(nn.Linear(3, 2), nn.Tanh()), torch.ones(4, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted = torch.jit.script(model)
    for _ in range(3):
        scripted(x).sum().backward()
    with pytest.raises(gradviz.TraceError, match=r"has compiled a part .*: trace the module or function before"):
        gradviz.trace(scripted, x, loss=torch.sum)
    assert gradviz.trace(model, x, loss=torch.sum).check().verified
