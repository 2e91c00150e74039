"""Attention without 1/√d is told where it does harm, with the numbers; scaled, learned and harmless ones are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gradviz
from gradviz.diagnose import Finding
from gradviz.diagnose.fused_attention import is_causal
from gradviz.opcall import OpCall

FUTURE = torch.ones(12, 12).triu(1).bool()
Scores = Callable[[Tensor, Tensor], Tensor]
"""Queries and keys [4, 12, 128] -> scores [4, 12, 12]."""


def told(scores: Scores, *, size: float, normalise: bool = False) -> list[Finding]:
    """Of queries and keys as large as this."""
    torch.manual_seed(0)
    query, key = nn.Linear(128, 128), nn.Linear(128, 128)
    x, target = size * torch.randn(4, 12, 128), torch.randn(4, 12, 128)

    def loss() -> Tensor:
        q, k = query(x), key(x)
        if normalise:
            q, k = (part / part.norm(dim=-1, keepdim=True) for part in (q, k))
        return F.mse_loss(scores(q, k).softmax(-1) @ x, target)

    return [one for one in gradviz.trace(loss).diagnose() if one.kind == "saturated"]


def plain(q: Tensor, k: Tensor) -> Tensor:
    return q @ k.transpose(1, 2)


def masked(q: Tensor, k: Tensor) -> Tensor:
    return plain(q, k).masked_fill(FUTURE, -torch.inf)


def with_an_added_mask(q: Tensor, k: Tensor) -> Tensor:
    return plain(q, k) + torch.zeros(12, 12).masked_fill(FUTURE, -1e9)


def in_einsum(q: Tensor, k: Tensor) -> Tensor:
    return torch.einsum("btd,bsd->bts", q, k)


@pytest.mark.parametrize("scores", [plain, masked, with_an_added_mask, in_einsum])
def test_half_of_the_rows_saturated_without_a_scale_are_a_hint(scores: Scores) -> None:
    (finding,) = told(scores, size=3.2)
    assert finding.severity == "hint" and "nothing divides the products of queries and keys by √d" in finding.message
    assert finding.numbers["√d"] == pytest.approx(128**0.5)
    assert float(finding.numbers["std of the scores"]) > 20
    flat, of, left = (int(finding.numbers[name]) for name in ("flat", "of", "flat if divided by √d"))
    assert 0.5 * of <= flat < 0.9 * of and left <= 0.05 * of


def test_nearly_all_rows_are_a_warning_with_the_same_numbers() -> None:
    (finding,) = told(plain, size=5.6)
    flat, of, left = (int(finding.numbers[name]) for name in ("flat", "of", "flat if divided by √d"))
    assert finding.severity == "warning" and flat >= 0.9 * of and left <= 0.5 * flat


@pytest.mark.parametrize("root", [lambda scores: scores * 128**0.5, lambda scores: scores / 128**-0.5])
def test_a_root_that_multiplies_in_place_of_dividing_is_told(root: Callable[[Tensor], Tensor]) -> None:
    (finding,) = told(lambda q, k: root(masked(q, k)), size=1.0)
    assert "multiplied by √d, by which they are to be divided" in finding.message and "T5" not in finding.hint
    assert finding.numbers["scores multiplied by"] == pytest.approx(128**0.5)
    assert told(lambda q, k: masked(q, k) / 128**0.5, size=1.0) == []


@pytest.mark.parametrize("factor", [4.0, 20.0])
def test_a_number_above_1_that_multiplies_is_told(factor: float) -> None:
    (finding,) = told(lambda q, k: factor * plain(q, k), size=4 / factor**0.5)
    assert f"are multiplied by {factor:g}, where they are divided by √d as a rule" in finding.message
    assert finding.hint.startswith(f"multiply by 1/√d = 0.08839 in place of {factor:g}, unless each query")
    assert finding.numbers["scores multiplied by"] == factor


def unit(part: Tensor) -> Tensor:
    return F.normalize(part, dim=-1)


SCALE = torch.tensor(20.0, requires_grad=True)


@pytest.mark.parametrize(
    "scores",
    [
        lambda q, k: plain(q, k) / 0.05,
        lambda q, k: plain(unit(q), unit(k)) * 100,
        lambda q, k: 100 * unit(q) @ unit(k).transpose(1, 2),
        lambda q, k: plain(unit(q), unit(k)) * SCALE,
        lambda q, k: plain(unit(q), unit(k)) * SCALE.log().clamp(max=4.6).exp(),
        lambda q, k: plain(F.layer_norm(q, (128,)), F.layer_norm(k, (128,))) * 2,
        lambda q, k: plain(F.rms_norm(q, (128,)), F.rms_norm(k, (128,))) * 2,
        lambda q, k: plain(q, k) * SCALE,
        lambda q, k: -torch.cdist(q, k) * 20,
        lambda q, k: plain(q / 128**0.5, k) * 20,
        lambda q, k: plain(q, k) * 20 / 128**0.5 / 0.7,
        lambda q, k: F.cosine_similarity(q[:, :, None], k[:, None], dim=-1) * 100,
        lambda q, k: plain(torch.tanh(q), torch.tanh(k)) * 20,
    ],
)
def test_a_number_that_multiplies_scores_of_known_size_or_a_temperature_is_meant(scores: Scores) -> None:
    assert [one for one in told(scores, size=1.5) if "divided by √d" in one.message] == []


def test_what_does_no_harm_is_not_told() -> None:
    assert told(plain, size=1.0) == []


@pytest.mark.parametrize(
    "scores",
    [
        lambda q, k: plain(q, k) / 128**0.5 * 11,
        lambda q, k: plain(q * 1.0, k),
        lambda q, k: torch.baddbmm(torch.zeros(4, 12, 12), q, k.transpose(1, 2), alpha=1.0),
    ],
)
def test_scores_that_are_scaled_otherwise_are_meant(scores: Scores) -> None:
    assert told(scores, size=3.2) == []


def test_queries_and_keys_of_length_1_have_no_large_scores() -> None:
    assert told(plain, size=3.2, normalise=True) == []


def test_a_learned_bias_on_the_scores_is_that_of_weights_made_for_it() -> None:
    bias = torch.zeros(12, 12, requires_grad=True)
    assert told(lambda q, k: plain(q, k) + bias, size=3.2) == []


def test_scores_that_are_large_beyond_the_scale_are_no_matter_of_it() -> None:
    (finding,) = told(plain, size=40.0)
    assert finding.severity == "warning" and "√d" not in finding.message


def told_fused(
    size: float, *, heads: int = 4, mask: Tensor | None = None, root: float | None = None, **given: Any
) -> list[Finding]:
    """Of `F.scaled_dot_product_attention` with these arguments."""
    torch.manual_seed(0)
    query, key = nn.Linear(128, 128), nn.Linear(128, 128)
    x, target = size * torch.randn(4, 12, 128), torch.randn(4, 12, 128)

    def split(part: Tensor) -> Tensor:
        return part.view(4, 12, heads, 128 // heads).transpose(1, 2)

    def loss() -> Tensor:
        q, k, v = (split(part) for part in (query(x), key(x), x))
        q, k = (q, k) if root is None else (q * root, k * root)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, **given)
        return F.mse_loss(attended.transpose(1, 2).flatten(2), target)

    return [one for one in gradviz.trace(loss).diagnose() if one.kind == "saturated"]


ADDED = torch.zeros(12, 12).masked_fill(FUTURE, -torch.inf)


@pytest.mark.parametrize(
    "given",
    [{}, {"is_causal": True}, {"mask": ~FUTURE}, {"mask": ADDED}, {"mask": ADDED.expand(4, 1, 12, 12)}, {"dropout_p": 0.1}],
)
def test_a_scale_above_1_of_a_fused_attention_is_told(given: dict[str, Any]) -> None:
    (finding,) = told_fused(1.0, scale=20.0, **given)
    assert "are multiplied by 20, where they are divided by √d as a rule" in finding.message
    assert finding.source.startswith("test_attention_scale.py:")
    assert finding.hint.startswith("multiply by 1/√d = 0.1768 in place of 20")
    assert finding.numbers["scores multiplied by"] == pytest.approx(20)
    assert finding.numbers["flat if divided by √d"] == 0


def test_the_scores_of_a_fused_attention_are_those_that_are_written_out() -> None:
    (written,) = told(lambda q, k: 20.0 * masked(q, k), size=1.0)
    (fused,) = told_fused(1.0, heads=1, scale=20.0, is_causal=True)
    for name in ("flat", "of", "std of the scores", "√d", "flat if divided by √d"):
        assert fused.numbers[name] == pytest.approx(written.numbers[name])


def test_a_fused_attention_without_a_scale_is_told_as_one_that_is_written_out() -> None:
    (finding,) = told_fused(4.5, scale=1.0)
    assert "nothing divides the products of queries and keys by √d" in finding.message


def test_a_fused_attention_of_large_queries_is_told_without_blame_on_the_scale() -> None:
    (finding,) = told_fused(100.0)
    assert finding.severity == "warning" and "√d" not in finding.message
    assert finding.numbers["scores multiplied by"] == pytest.approx(32**-0.5)


@pytest.mark.parametrize("given", [{}, {"is_causal": True}, {"dropout_p": 0.1}, {"scale": 1.0, "root": 32**-0.25}])
def test_a_fused_attention_with_its_usual_scale_is_not_told(given: dict[str, Any]) -> None:
    assert told_fused(1.0, **given) == []


def test_of_a_long_sequence_and_of_few_heads_of_keys_a_share_is_read() -> None:
    torch.manual_seed(0)
    q, k = (nn.Linear(32, 32 * heads) for heads in (4, 2))
    x = torch.randn(1, 1100, 32)

    def loss() -> Tensor:
        query, key = (layer(x).view(1, 1100, -1, 32).transpose(1, 2) for layer in (q, k))
        attended = F.scaled_dot_product_attention(query, key, key, is_causal=True, scale=20.0, enable_gqa=True)
        return attended.square().mean()

    (finding,) = [one for one in gradviz.trace(loss).diagnose() if one.kind == "saturated"]
    assert "multiplied by 20" in finding.message and 0 < int(finding.numbers["of"]) <= 1100


def test_the_causal_mask_of_a_kernel_is_known_among_its_other_arguments() -> None:
    """Those of CUDA have arguments that no CPU kernel has: in training the logarithms of sums are asked for, too."""
    q, bias = torch.randn(1, 2, 3, 4), torch.zeros(1, 2, 3, 3)
    aten = torch.ops.aten
    told: list[tuple[Any, tuple[Any, ...], bool]] = [
        (aten._scaled_dot_product_efficient_attention.default, (q, q, q, bias, True), False),
        (aten._scaled_dot_product_efficient_attention.default, (q, q, q, None, True, 0.0, True), True),
        (aten._scaled_dot_product_cudnn_attention.default, (q, q, q, bias, True, 0.0, False, True), False),
        (aten._scaled_dot_product_flash_attention.default, (q, q, q, 0.0, True), True),
        (aten._scaled_dot_product_flash_attention.default, (q, q, q, 0.0, False, True), False),
        (aten._scaled_dot_product_flash_attention_for_cpu.default, (q, q, q, 0.0, True), True),
        (aten._scaled_dot_product_flash_attention_for_cpu.default, (q, q, q), False),
    ]
    for overload, arguments, expected in told:
        assert is_causal(OpCall(overload=overload, args=arguments)) is expected
