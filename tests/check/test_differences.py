"""Central differences: as accurate as they claim to be, and silent where they are not accurate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

import gradviz
from gradviz.check import heads, local
from gradviz.check.differences import slopes, why_no_differences
from gradviz.check.heads import EdgeUnderCheck, vjps_into
from gradviz.opcall import OpCall
from gradviz.symbolic import RULES, lowering

aten = torch.ops.aten

SMOOTH: dict[str, Callable[[Tensor], Tensor]] = {
    "inverse": lambda x: torch.linalg.inv(x + 3 * torch.eye(3, dtype=x.dtype)),
    "determinant": lambda x: torch.linalg.det(x),
    "cholesky": lambda x: torch.linalg.cholesky(x @ x.T + torch.eye(3, dtype=x.dtype)),
    "eigenvalues": lambda x: torch.linalg.eigvalsh(x + x.T),
    "singular values": lambda x: torch.linalg.svdvals(x),
    "bicubic": lambda x: torch.nn.functional.interpolate(x[None, None], scale_factor=2, mode="bicubic"),
}


def matrix() -> Tensor:
    return torch.rand(3, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize("name", SMOOTH)
def test_ops_without_closed_form_match(name: str) -> None:
    report = gradviz.trace(lambda x: SMOOTH[name](x).sum(), matrix()).check()
    assert report.ok, report
    assert {entry.verdict for entry in report.edges} == {"match"}, report


class WrongInverse(torch.autograd.Function):
    """A kernel without symbolic rule inside a hand-written backward that is wrong by 0.1 %."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        inverse = torch.linalg.inv(x)
        ctx.save_for_backward(inverse)
        return inverse

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        (inverse,) = ctx.saved_tensors
        return -1.001 * inverse.T @ cotangent @ inverse.T


def test_a_wrong_backward_around_an_op_without_rule_is_found_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(RULES, aten.linalg_inv_ex.default)
    graph = gradviz.trace(lambda x: WrongInverse.apply(x).sin().sum(), matrix())
    report = graph.check()
    edge = report.edges[0]
    assert (edge.verdict, edge.method) == ("mismatch", "numeric")
    assert sum(entry.verdict == "mismatch" for entry in report.edges) == 1


@pytest.mark.parametrize("op", ["relu", "abs"])
def test_a_kink_is_not_called_wrong(op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(RULES, getattr(aten, op).default)
    monkeypatch.setattr(lowering, "decomposition_table", {})
    x = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    edge = gradviz.trace(lambda x: getattr(torch, op)(x).sum(), x).check().edges[0]
    assert edge.verdict == "unverified"
    assert "not accurate" in edge.reason


def test_a_staircase_is_not_called_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(RULES, aten.round.default)
    x = torch.linspace(100.0, 104.0, 9, dtype=torch.float64).requires_grad_()
    edge = gradviz.trace(lambda x: torch.round(x * 1000).sum(), x).check().edges[1]
    assert edge.verdict == "unverified"


def test_a_function_of_symmetric_matrices_is_changed_symmetrically(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(RULES, aten.linalg_cholesky_ex.default)
    x = matrix().detach()
    x = (x @ x.T + torch.eye(3, dtype=x.dtype)).requires_grad_()
    edge = gradviz.trace(lambda x: torch.linalg.cholesky(x).sum(), x).check().edges[0]
    assert (edge.verdict, edge.method) == ("match", "numeric")
    assert "random directions" in edge.how


@pytest.mark.parametrize(
    ("overload", "reason"),
    [
        (aten._cdist_forward.default, ""),
        (aten.native_dropout.default, "draws random numbers"),
        (aten._ctc_loss.default, "normalized log-probabilities only"),
        (aten.mul.out, "writes into a given tensor"),
        (aten.miopen_batch_norm.default, "no kernel for dense tensors of the CPU"),
        (aten._linalg_eigvals.default, ""),
        (aten._to_sparse.default, "sparse"),
    ],
    ids=str,
)
def test_an_overload_tells_why_its_differences_are_not_taken(overload: torch._ops.OpOverload, reason: str) -> None:
    told = why_no_differences(overload)
    assert reason in told and bool(told) == bool(reason)


@pytest.mark.parametrize("masked", [torch.finfo(torch.float32).min, -1e30, -1e9])
def test_the_map_of_a_softmax_is_probed_at_the_size_of_the_scores_that_no_mask_covers(masked: float) -> None:
    torch.manual_seed(0)
    scores, mask = torch.randn(2, 4, 12, 12, requires_grad=True), torch.full((12, 12), masked).triu(1)
    graph = gradviz.trace(lambda: (torch.softmax(scores + mask, -1)).square().sum())
    report = graph.check()
    assert report.ok, report
    (softmax,) = [entry for entry in report.edges if graph.nodes[entry.edge[1]]["op"] == "_softmax"]
    assert "whole map probed" in softmax.reason or "whole map probed" in str(softmax), softmax


@pytest.mark.parametrize("other", [1.0, -math.inf])
def test_rows_that_a_mask_covers_whole_are_not_taken_to_stand_still(other: float) -> None:
    """Padded queries of −3e38 alone: steps sized as the others do not move them, though their softmax slopes."""
    torch.manual_seed(0)
    scores, weights = torch.randn(2, 3, 12, 12), torch.randn(2, 3, 12, 12)
    scores[1, :, 9:] = torch.finfo(torch.float32).min
    scores[0, 0, 0, 1] = other
    graph = gradviz.trace(lambda x, w: (x.softmax(-1) * w).sum(), scores.requires_grad_(), weights)
    reports = [graph.check(seed=seed) for seed in (5, 7, 11, 12)]  # none of whose sampled rows is a covered one
    assert {edge.verdict for report in reports for edge in report.edges} == {"match"}


@pytest.mark.parametrize("has_rule", [True, False])
def test_what_no_step_moves_is_not_told_to_be_probed(has_rule: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """In rows that a mask covers, of which none is sampled, the answer that is probed is wrong by 0.1 %."""

    def answers(edges: Sequence[EdgeUnderCheck], place: int, cotangent: Tensor) -> list[Tensor]:
        found = vjps_into(edges, place, cotangent)
        for answer in found:
            if tuple(answer.shape) == (2, 3, 12, 12):
                answer[1, :, 9:] *= 1.001
        return found

    monkeypatch.setattr(local, "vjps_into", answers)
    monkeypatch.setattr(heads, "vjps_into", answers)
    if not has_rule:
        monkeypatch.delitem(RULES, aten._softmax.default)
        monkeypatch.setattr(lowering, "decomposition_table", {})
    torch.manual_seed(0)
    scores = torch.randn(2, 3, 12, 12)
    scores[1, :, 9:] = torch.finfo(torch.float32).min
    report = gradviz.trace(lambda x: x.softmax(-1).sum(), scores.requires_grad_()).check(seed=5)
    softmax = report.edges[0]
    assert softmax.verdict == "match" and ", but for 108 elements too large to be moved" in softmax.how
    assert softmax.noticed == math.inf and "1 without a probe of all the others" in str(report)


def test_a_function_of_tiny_numbers_is_differentiated_at_their_size() -> None:
    """All that steps of a millionth do to numbers of 1e-18 is to take their place."""
    x, tangent = (torch.randn(3, 8, generator=torch.Generator().manual_seed(at), dtype=torch.float64) for at in (0, 1))
    x = 1e-18 * x
    call = OpCall(overload=aten.native_layer_norm.default, args=(x, [8], None, None, 0.0), outputs=(x, None, None))
    slope, error = slopes(call, {0: tangent}, 0)
    _, true = torch.autograd.functional.jvp(lambda x: torch.nn.functional.layer_norm(x, (8,), eps=0.0), x, tangent)
    apart = (torch.from_numpy(slope) - true).abs().max()
    assert apart <= error.max() <= 1e-6 * true.abs().max()


def test_quotients_that_grow_as_steps_shrink_say_nothing_of_the_slope() -> None:
    """Where two scores of 1e18 tie the softmax slopes by 1/4, and no step that moves them in float64 is below 100."""
    x, tangent = (torch.tensor(numbers, dtype=torch.float64) for numbers in ([1e18, 1e18, -1e18], [1.0, -0.5, 0.7]))
    call = OpCall(overload=aten._softmax.default, args=(x, 0, False), outputs=(x.softmax(0),))
    slope, error = slopes(call, {0: tangent}, 0)
    assert abs(slope[0] - 0.375) > 0.1 and math.isinf(error[0])


@pytest.mark.parametrize("decomposed", [torch.linalg.svd, torch.linalg.eigh])
def test_vectors_that_come_out_with_the_other_sign_in_float64_are_not_compared(decomposed: Callable[..., Any]) -> None:
    """Which sign they have is up to the kernel, whose decisions are others in float32: either is right."""
    matrices = torch.randn(3, 5, 5, generator=torch.Generator().manual_seed(0))
    x = (matrices + matrices.mT + torch.diag(torch.arange(5.0) * 8)).requires_grad_()
    graph = gradviz.trace(lambda x: sum((one**3).sum() for one in decomposed(x)), x, device="cpu")
    assert not graph.check().mismatches


def test_rounding_alone_is_no_slope_of_one_hot_weights() -> None:
    """Of scores of a thousand: in the rows that are not sampled torch's 1 - 1 is 7e-8, where the true slope is 2e-14."""
    scores = torch.randn(24, 40, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    x = (1e3 * scores).bfloat16().requires_grad_()
    edge, *_ = gradviz.trace(lambda: x.softmax(-1).double().sum(), device="cpu").check().edges
    assert (edge.verdict, edge.finding) == ("unverified", "cancellation")
    assert "a right formula and a wrong one could give this" in edge.reason
