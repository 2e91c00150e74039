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


def beside_a_mask() -> Tensor:
    h = MODEL(X)
    kept = h.detach()
    return (kept * (h > 0)).mean()  # type: ignore[no-any-return]


def beside_a_statistic() -> Tensor:
    h = MODEL(X)
    whole = h.long().float()
    return (whole / h.detach().std()).mean()  # type: ignore[no-any-return]


def beside_what_is_printed() -> Tensor:
    h = MODEL(X)
    loss = (h.argmax(0).float() - 1).square().sum()
    h.detach().norm()
    return loss  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("function", "cut"),
    [(beside_a_mask, "detach"), (beside_a_statistic, "a cast to int64"), (beside_what_is_printed, "argmax")],
)
def test_of_several_cuts_the_one_by_which_most_numbers_go_on_is_named(function: Callable[[], Tensor], cut: str) -> None:
    with pytest.raises(gradviz.TraceError, match=rf"The way is cut by {cut} at test_last_cut\.py:\d+: compute on"):
        gradviz.trace(function)


def as_a_number() -> Tensor:
    h = MODEL(X)
    loss = torch.tensor(h.square().mean().item())
    (h.detach() > 0).float().mean()
    return loss


def by_numpy() -> Tensor:
    h = MODEL(X)
    loss = torch.from_numpy(h.detach().numpy() ** 2).mean()
    h.argmax(0)
    return loss


def as_a_list() -> Tensor:
    h = MODEL(X)
    loss = torch.tensor(sum(h.square().mean(1).tolist()))
    h.detach().norm()
    return loss


@pytest.mark.parametrize(
    ("function", "cuts"),
    [
        (as_a_number, r"item at test_last_cut\.py:\d+, or by detach at test_last_cut\.py:\d+: "),
        (by_numpy, r"argmax at test_last_cut\.py:\d+, or by detach at test_last_cut\.py:\d+: "),
        (as_a_list, r"detach at test_last_cut\.py:\d+, or by \.tolist\(\) of what mean makes at test_last_cut\.py:\d+: "),
    ],
)
def test_where_it_is_not_known_which_cut_it_was_all_are_named(function: Callable[[], Tensor], cuts: str) -> None:
    with pytest.raises(gradviz.TraceError, match=f"The way is cut by {cuts}"):
        gradviz.trace(function)


def test_without_any_cut_the_refusal_says_what_to_do() -> None:
    with pytest.raises(gradviz.TraceError, match="no input requires grad"):
        gradviz.trace(lambda x: x.sum(), torch.ones(2))
