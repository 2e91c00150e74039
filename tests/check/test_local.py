"""Large calls: sampled rows are checked in full as one sum, the whole map for all edges at once; slips are found."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

import gradviz
from gradviz.check import CheckReport, heads, local
from gradviz.check.heads import EdgeUnderCheck, vjps_into

SAMPLES = 8
ELEMENTS = 60 * 90 * 100 * 90
"""Of the Jacobian of a linear layer with respect to its weight."""


def _checked() -> CheckReport:
    torch.manual_seed(0)
    return gradviz.trace(nn.Linear(100, 90), torch.randn(60, 100), loss=lambda out: out.square().mean()).check()


def _slipping(monkeypatch: pytest.MonkeyPatch, slip: Callable[[Tensor, Tensor], None]) -> None:
    """Autograd's answers along the edge of the weight, an argument of addmm, as if its formula had this slip."""

    def answers(edges: Sequence[EdgeUnderCheck], place: int, cotangent: Tensor) -> list[Tensor]:
        found = vjps_into(edges, place, cotangent)
        for edge, answer in zip(edges, found, strict=True):
            if edge.in_shape == (100, 90):
                slip(answer, cotangent)
        return found

    monkeypatch.setattr(local, "vjps_into", answers)
    monkeypatch.setattr(heads, "vjps_into", answers)  # which asks row by row


def test_sampled_rows_are_checked_in_full() -> None:
    report = _checked()
    (weight,) = (edge for edge in report.edges if edge.total == ELEMENTS)
    assert (weight.verdict, weight.checked) == ("match", SAMPLES * 100 * 90)
    assert weight.how == "8 rows as one random sum; whole map probed by differences"


def test_a_derivative_that_is_wrong_by_a_thousandth_is_found_at_its_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    _slipping(monkeypatch, lambda answer, cotangent: answer.mul_(1.001))
    report = _checked()
    assert [edge.total for edge in report.mismatches] == [ELEMENTS]


def test_an_element_that_should_be_zero_is_found_in_sampled_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    def slip(answer: Tensor, cotangent: Tensor) -> None:
        unused = (cotangent.abs().sum(0) == 0).nonzero()
        if len(unused):
            answer[0, unused[0]] = 1e-6

    _slipping(monkeypatch, slip)
    assert [edge.total for edge in _checked().mismatches] == [ELEMENTS]


def test_what_is_wrong_in_one_element_of_a_hundred_is_found_by_the_probe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def slip(answer: Tensor, cotangent: Tensor) -> None:
        if cotangent.count_nonzero() == cotangent.numel():
            answer[3] *= -1

    _slipping(monkeypatch, slip)
    (found,) = _checked().mismatches
    assert found.total == ELEMENTS
    assert "along a random direction" in found.reason


def test_a_number_made_of_many_is_checked_like_any_other_output() -> None:
    report = gradviz.trace(lambda x: x.mean(), torch.randn(70, 70, requires_grad=True)).check()
    assert [(edge.verdict, edge.checked, edge.total) for edge in report.edges] == [("match", 4900, 4900)]


def test_a_slip_in_one_element_of_nine_thousand_is_found_by_the_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    def slip(answer: Tensor, cotangent: Tensor) -> None:
        if cotangent.count_nonzero() == cotangent.numel():
            answer[3, 5] *= -1

    _slipping(monkeypatch, slip)
    (found,) = _checked().mismatches
    assert found.total == ELEMENTS
    assert "along a random direction" in found.reason


def test_what_the_probe_says_it_would_notice_it_notices(monkeypatch: pytest.MonkeyPatch) -> None:
    (weight,) = (edge for edge in _checked().edges if edge.total == ELEMENTS)
    assert weight.noticed is not None
    least = weight.noticed
    assert least < 0.1
    for times, is_found in ((8.0, True), (1 / 64, False)):  # an element's own size and share of the tangent vary

        def slip(answer: Tensor, cotangent: Tensor, times: float = times) -> None:
            if cotangent.count_nonzero() == cotangent.numel():
                answer[3, 5] += times * least * answer.square().mean().sqrt()

        with monkeypatch.context() as patched:
            _slipping(patched, slip)
            assert bool(_checked().mismatches) == is_found


def test_what_was_sampled_and_what_could_hide_is_told() -> None:
    report = _checked()
    (weight,) = (edge for edge in report.edges if edge.total == ELEMENTS)
    assert weight.to_dict()["noticed"] == weight.noticed
    assert "2 edges were sampled: 0.15 % of the elements one by one" in report.summary
    assert "in the others a slip in one element shows from" in report.summary
    whole = gradviz.trace(lambda x: x.exp().sum(), torch.randn(5, requires_grad=True)).check()
    assert [edge.noticed for edge in whole.edges] == [None, None]
    assert "sampled" not in whole.summary


@pytest.mark.parametrize("padding", [0, 1])
def test_rows_of_zeros_say_nothing_of_the_rounding_of_others(padding: int) -> None:
    """Most places lie outside of the volume: all sampled rows may be zero, and the others are rounded all the same."""
    random = torch.Generator().manual_seed(0)
    volume = torch.randn(2, 3, 5, 20, 20, generator=random).requires_grad_()
    grid = (4 * torch.randn(2, 12, 11, 10, 3, generator=random)).requires_grad_()
    report = gradviz.trace(lambda: torch.ops.aten.grid_sampler_3d(volume, grid, 0, padding, False).square().sum()).check()
    assert not report.mismatches and report.verified


@pytest.mark.parametrize("read", [[0], [1], [2], [0, 1], [0, 2], [1, 2], [0, 1, 2]])
def test_group_norm_is_wrong_where_torch_loses_the_gradient_of_one_statistic(read: list[int]) -> None:
    """As it does unless something comes back to both of them (seen on 2.13)."""
    x = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()

    def loss(outputs: Sequence[Tensor]) -> Tensor:
        return torch.stack([(outputs[place] ** 3).sum() for place in read]).sum()

    def normed(x: Tensor) -> tuple[Tensor, ...]:
        groups = x.reshape(2, 2, 12)
        rstd = 1 / (groups.var(-1, correction=0) + 1e-5).sqrt()
        return ((groups - groups.mean(-1, keepdim=True)) * rstd[..., None]).reshape(x.shape), groups.mean(-1), rstd

    (true,) = torch.autograd.grad(loss(normed(x)), x)
    graph = gradviz.trace(lambda x: loss(torch.native_group_norm(x, None, None, 2, 6, 4, 2, 1e-5)), x)
    gradient = graph.gradients()["x"]
    is_lost = gradient is None or not torch.allclose(gradient, true)
    (edge,) = (edge for edge in graph.check().edges if edge.edge[0] == 0)
    assert edge.verdict == ("mismatch" if is_lost else "match"), edge.reason
