"""An output without any gradient is refused with the call that cut it off, and its line."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import gradviz

MODEL, X = nn.Linear(4, 1), torch.ones(3, 4)


def under_no_grad() -> Tensor:
    with torch.no_grad():
        h = MODEL(X)
    return h.square().sum()  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("function", "cut"),
    [
        (lambda: torch.tensor(MODEL(X).sum().item()), "item"),
        (lambda: (MODEL(X).argmax(0).float() - 1).sum(), "argmax"),
        (lambda: MODEL(X).detach().square().sum(), "detach"),
        (lambda: torch.from_numpy(MODEL(X).detach().numpy()).sum(), "detach"),
        (lambda: (MODEL(X) > 0).float().mean(), "the comparison gt"),
        (lambda: MODEL(X).long().float().mean(), "a cast to int64"),
        (under_no_grad, "addmm under no_grad"),
    ],
)
def test_the_refusal_names_the_call_and_its_line(function: Callable[[], Tensor], cut: str) -> None:
    with pytest.raises(gradviz.TraceError, match=rf"The way is cut by {cut} at test_last_cut\.py:\d+"):
        gradviz.trace(function)


def test_without_any_cut_the_refusal_says_what_to_do() -> None:
    with pytest.raises(gradviz.TraceError, match="no input requires grad"):
        gradviz.trace(lambda x: x.sum(), torch.ones(2))
