"""What a finding, or a refusal, tells to do is what helps there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gradviz
from gradviz.errors import InputError, TraceError


def model_of_two() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1))


def hints(of: Callable[[], Tensor], kind: str) -> list[str]:
    return [finding.hint for finding in gradviz.trace(of).diagnose() if finding.kind == kind]


def test_a_loss_scale_too_large_for_float16_is_told_as_overflow() -> None:
    model, x, y = model_of_two(), torch.randn(8, 4), torch.randn(8, 1)
    found = hints(lambda: F.mse_loss(model(x).half().float(), y) * 1e6, "not-finite-gradient")
    assert found and all(hint.startswith("overflow of float16, whose largest number is 65504") for hint in found)


@pytest.mark.parametrize(("activation", "told"), [(nn.ReLU, False), (nn.Sigmoid, True)])
def test_where_relu_is_used_a_vanishing_gradient_is_no_reason_to_use_it(activation: type[nn.Module], told: bool) -> None:
    torch.manual_seed(0)
    layers = [layer for _ in range(20) for layer in (nn.Linear(16, 16), activation())]
    model, x = nn.Sequential(*layers, nn.Linear(16, 1)), torch.randn(8, 16)
    (hint,) = hints(lambda: model(x).square().mean(), "vanishing-gradient")
    assert ("relu" in hint) == told


def test_comparisons_and_casts_are_named_among_what_cuts_a_gradient() -> None:
    with pytest.raises(TraceError, match=r"a comparison as x > 0, a cast to integers"):
        gradviz.trace(lambda: torch.ones(8, 4).long().float().mean())


def test_of_a_dict_one_of_its_tensors_is_to_be_handed_in() -> None:
    with pytest.raises(InputError, match=r"is a dict, where torch takes a tensor: hand in \w+\['a'\] or \w+\['b'\]; torch"):
        gradviz.trace(model_of_two(), {"a": torch.ones(2, 4), "b": torch.ones(2, 4)}, loss=lambda out: out.mean())
