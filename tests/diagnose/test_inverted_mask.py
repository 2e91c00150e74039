"""Attention masks the wrong way round are told, however they are written; right ones and other patterns are not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gradviz

FUTURE = torch.ones(6, 6).triu(1).bool()
Masked = Callable[[Tensor, Tensor], Tensor]
"""Hidden states [2, 6, 16] and what must not be read, which broadcasts to [2, 1, 6, 6] -> other states."""


def parts_of(x: Tensor) -> list[Tensor]:
    return [part.view(2, 6, 4, 4).transpose(1, 2) for part in nn.Linear(16, 48)(x).chunk(3, -1)]


def by_hand(fill: float) -> Masked:
    def attend(x: Tensor, barred: Tensor) -> Tensor:
        q, k, v = parts_of(x)
        return ((q @ k.transpose(2, 3) / 2).masked_fill(barred, fill).softmax(-1) @ v).transpose(1, 2).reshape(2, 6, 16)

    return attend


def added(x: Tensor, barred: Tensor) -> Tensor:
    q, k, v = parts_of(x)
    return ((q @ k.transpose(2, 3) / 2 + barred * -1e4).softmax(-1) @ v).transpose(1, 2).reshape(2, 6, 16)


def fused(x: Tensor, barred: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(*parts_of(x), attn_mask=~barred).transpose(1, 2).reshape(2, 6, 16)


def of_torch(need_weights: bool) -> Masked:
    def attend(x: Tensor, barred: Tensor) -> Tensor:
        layer = nn.MultiheadAttention(16, 4, batch_first=True)
        masks = {"attn_mask": barred} if barred.ndim == 2 else {"key_padding_mask": barred[:, 0, 0]}
        return layer(x, x, x, **masks, need_weights=need_weights)[0]  # type: ignore[no-any-return]

    return attend


def in_a_layer(x: Tensor, barred: Tensor) -> Tensor:
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    masks = {"src_mask": barred} if barred.ndim == 2 else {"src_key_padding_mask": barred[:, 0, 0]}
    return layer(x, **masks)  # type: ignore[no-any-return]


WAYS = [by_hand(-1e9), added, fused, of_torch(False), in_a_layer]


def told(attend: Masked, barred: Callable[[Tensor], Tensor], *, padded: bool = False) -> list[tuple[str, str]]:
    """Of an attention behind an embedding, with what it must not read of the tokens."""
    torch.manual_seed(0)
    embedding, tokens = nn.Embedding(20, 16, padding_idx=0), torch.randint(1, 20, (2, 6))
    if padded:
        tokens[0, 4:] = 0
    target = torch.randn(2, 6, 16)
    graph = gradviz.trace(lambda: F.mse_loss(attend(embedding(tokens), barred(tokens)), target))
    return [(one.kind, one.severity) for one in graph.diagnose() if one.kind in ("inverted-mask", "not-finite-value")]


@pytest.mark.parametrize("attend", WAYS)
def test_a_causal_mask_the_wrong_way_round_is_told(attend: Masked) -> None:
    assert told(attend, lambda tokens: ~FUTURE) == [("inverted-mask", "warning")]
    assert told(attend, lambda tokens: FUTURE) == []


@pytest.mark.parametrize("attend", [by_hand(-torch.inf), of_torch(True)])
def test_nan_is_told_as_that_alone(attend: Masked) -> None:
    assert told(attend, lambda tokens: ~FUTURE) == [("not-finite-value", "error")]


@pytest.mark.parametrize("attend", [*WAYS, of_torch(True)])
def test_a_padding_mask_the_wrong_way_round_is_told(attend: Masked) -> None:
    def padding(tokens: Tensor) -> Tensor:
        barred = (tokens == 0)[:, None, None]
        return barred & torch.tensor([True, False])[:, None, None, None]  # the second sample is whole: nothing is barred

    def words(tokens: Tensor) -> Tensor:
        return ~padding(tokens) & torch.tensor([True, False])[:, None, None, None]

    assert told(attend, words, padded=True) == [("inverted-mask", "error")]
    assert told(attend, padding, padded=True) == []


def test_a_sample_without_padding_reads_nothing() -> None:
    assert told(fused, lambda tokens: (tokens != 0)[:, None, None], padded=True) == [("inverted-mask", "error")]


PATTERNS = {
    "from right to left": FUTURE.T,
    "all but itself": torch.eye(6).bool(),
    "the past without itself": ~torch.ones(6, 6).tril(-1).bool(),
    "the next alone": ~(torch.ones(6, 6).triu(1) * torch.ones(6, 6).tril(1)).bool(),
    "a window": (torch.ones(6, 6).triu(2) + torch.ones(6, 6).tril(-2)).bool(),
    "nothing": torch.zeros(6, 6).bool(),
}


@pytest.mark.parametrize("barred", PATTERNS.values(), ids=PATTERNS)
@pytest.mark.parametrize("attend", [by_hand(-1e9), fused])
def test_other_patterns_are_fine(attend: Masked, barred: Tensor) -> None:
    assert told(attend, lambda tokens: barred, padded=True) == []


def test_two_ways_that_leave_out_what_they_predict_are_fine() -> None:
    """A cloze model reads what comes before a word, and what comes behind it, in two towers."""

    def both(x: Tensor, barred: Tensor) -> Tensor:
        return fused(x, ~FUTURE.T) + fused(x, ~FUTURE)

    assert told(both, lambda tokens: FUTURE) == []


def test_several_layers_are_one_finding() -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    model, x = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False), torch.randn(2, 6, 16)
    (finding,) = gradviz.trace(lambda: model(x, mask=~FUTURE).square().mean()).diagnose()
    assert (finding.kind, finding.numbers["attentions"], finding.module) == ("inverted-mask", 3, "layers.0.self_attn")


def test_where_only_statistics_are_kept_it_says_that_masks_were_not_looked_at() -> None:
    torch.manual_seed(0)
    embedding, tokens = nn.Embedding(20, 16), torch.randint(1, 20, (2, 6))
    attend = by_hand(-1e9)
    graph = gradviz.trace(lambda: attend(embedding(tokens), ~FUTURE).square().mean(), values="statistics")
    diagnosis = graph.diagnose()
    assert "inverted mask" in diagnosis.unread and "inverted-mask" not in [one.kind for one in diagnosis]
