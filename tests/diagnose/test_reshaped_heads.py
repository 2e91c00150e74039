"""Heads that a reshape alone splits off or merges are told; those with their transpose, and what looks alike, are not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gradviz

KIND = ("reshaped-heads", "error")


def attend(form: str, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    if form == "fused":
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    if form == "matmul":
        return F.dropout((q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1), 0.1) @ v
    if form == "einsum":
        return torch.einsum("bhts,bhsd->bhtd", torch.einsum("bhtd,bhsd->bhts", q, k).softmax(-1), v)
    shape, (q, k, v) = q.shape, (part.flatten(0, 1) for part in (q, k, v))
    return torch.bmm((torch.bmm(q, k.transpose(1, 2)) / shape[-1] ** 0.5).softmax(-1), v).view(shape)


def told(shape: tuple[int, int, int, int], form: str, *, split: str = "", merge: str = "") -> list[tuple[str, str]]:
    """Of samples, positions, heads and features of each, where a reshape alone does what is named."""
    batch, time, heads, features = shape
    width = heads * features
    torch.manual_seed(0)
    layer, out, last = nn.Linear(width, 3 * width), nn.Linear(width, width), nn.Linear(width, 7)
    x, labels = torch.randn(batch, time, width), torch.randint(0, 7, (batch * time,))

    def loss() -> Tensor:
        parts = layer(x).chunk(3, -1)
        if split:
            q, k, v = (part.reshape(batch, heads, time, features) for part in parts)
        else:
            q, k, v = (part.view(batch, time, heads, features).transpose(1, 2) for part in parts)
        y = attend(form, q, k, v)
        y = y if merge else y.transpose(1, 2)
        y = y.contiguous().view(batch, time, width) if merge == "view" else y.reshape(batch, time, width)
        y = x + y if merge == "residual" else out(y)
        return F.cross_entropy(last(y).flatten(0, 1), labels)

    return [(finding.kind, finding.severity) for finding in gradviz.trace(loss).diagnose()]


FORMS = ["fused", "matmul", "einsum", "bmm"]
SHAPES = [(3, 5, 4, 6), (1, 9, 2, 3), (4, 4, 4, 4), (1, 4, 4, 6), (2, 2, 2, 2)]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", SHAPES)
def test_heads_merged_by_a_reshape_are_told_of_any_size(shape: tuple[int, int, int, int], form: str) -> None:
    for merge in ("reshape", "view", "residual"):
        assert told(shape, form, merge=merge) == [KIND]
    assert told(shape, form) == []


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", [(3, 5, 4, 6), (1, 9, 2, 3), (2, 3, 4, 2)])
def test_heads_split_by_a_view_are_told_once(shape: tuple[int, int, int, int], form: str) -> None:
    assert told(shape, form, split="view") == [KIND]
    assert told(shape, form, split="view", merge="reshape") == [KIND]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", [(3, 4, 4, 6), (1, 3, 3, 2), (4, 4, 4, 4)])
def test_heads_split_by_a_view_are_told_where_they_are_as_many_as_positions(
    shape: tuple[int, int, int, int], form: str
) -> None:
    assert told(shape, form, split="view") == [KIND]
    assert told(shape, form) == []
    # with as many heads as positions that is number by number an attention among the parts of each row, causal or not
    hint = [("reshaped-heads", "hint")] if form == "fused" else []
    assert told(shape, form, split="view", merge="reshape") == hint


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", [(3, 1, 4, 6), (3, 5, 1, 6), (1, 1, 2, 2)])
def test_one_position_or_one_head_cannot_be_mixed(shape: tuple[int, int, int, int], form: str) -> None:
    assert KIND not in told(shape, form, split="view", merge="reshape")


def grouped(right: bool) -> Tensor:
    """Four heads of queries, two of keys and values."""
    torch.manual_seed(0)
    query, key, value, out = nn.Linear(24, 24), nn.Linear(24, 12), nn.Linear(24, 12), nn.Linear(24, 24)
    x = torch.randn(2, 5, 24)
    q = query(x).view(2, 5, 4, 6).transpose(1, 2)
    k, v = (layer(x).view(2, 5, 2, 6).transpose(1, 2).repeat_interleave(2, 1) for layer in (key, value))
    y = F.scaled_dot_product_attention(q, k, v)
    return out((y.transpose(1, 2) if right else y).reshape(2, 5, 24)).square().mean()


@pytest.mark.parametrize(("split", "merge"), [(True, False), (False, True), (False, False)])
def test_time_may_be_the_first_dimension(split: bool, merge: bool) -> None:
    """As in a sequence-first attention: (T, B, H * D) -> (B * H, T, D) -> (T, B, H * D)."""
    torch.manual_seed(0)
    layer, out, x = nn.Linear(24, 72), nn.Linear(24, 24), torch.randn(7, 3, 24)

    def loss() -> Tensor:
        parts = layer(x).chunk(3, -1)
        parts = [part.reshape(12, 7, 6) if split else part.reshape(7, 12, 6).transpose(0, 1) for part in parts]
        y = F.scaled_dot_product_attention(*parts)
        return out((y if merge else y.transpose(0, 1)).reshape(7, 3, 24)).square().mean()

    assert [finding.kind for finding in gradviz.trace(loss).diagnose()] == ["reshaped-heads"] * (split or merge)


def test_heads_that_share_values_are_told() -> None:
    assert [finding.kind for finding in gradviz.trace(lambda: grouped(False)).diagnose()] == ["reshaped-heads"]
    assert gradviz.trace(lambda: grouped(True)).diagnose() == []


@pytest.mark.parametrize("fused", [True, False])
def test_a_cache_that_is_still_empty_hides_nothing(fused: bool) -> None:
    torch.manual_seed(0)
    layer, out, x = nn.Linear(24, 72), nn.Linear(24, 24), torch.randn(2, 5, 24)

    def loss(right: bool) -> Tensor:
        q, k, v = (part.view(2, 5, 4, 6).transpose(1, 2) for part in layer(x).chunk(3, -1))
        k, v = (torch.cat([torch.tensor([]), part], -2) for part in (k, v))
        y = F.scaled_dot_product_attention(q, k, v) if fused else (q @ k.transpose(2, 3) / 6**0.5).softmax(-1) @ v
        return out((y.transpose(1, 2) if right else y).reshape(2, 5, 24)).square().mean()

    assert [finding.kind for finding in gradviz.trace(lambda: loss(False)).diagnose()] == ["reshaped-heads"]
    assert gradviz.trace(lambda: loss(True)).diagnose() == []


def channels() -> Tensor:
    """Attention between channels (XCA): the rows of a head are units, its columns positions."""
    layer, out = nn.Linear(24, 72), nn.Linear(24, 24)
    q, k, v = (part.view(2, 6, 4, 6).permute(0, 2, 3, 1) for part in layer(torch.randn(2, 6, 24)).chunk(3, -1))
    weights = (F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(2, 3)).softmax(-1)
    return out((weights @ v).permute(0, 3, 1, 2).reshape(2, 6, 24)).square().mean()


def tokens_of_one_row() -> Tensor:
    """A layer that makes several tokens of each sample, or of each position."""
    layer, out = nn.Linear(24, 24), nn.Linear(6, 6)
    y = layer(torch.randn(3, 5, 24)).view(3, 20, 6)
    return out(F.scaled_dot_product_attention(y, y, y)).square().mean()


def parts_of_each_position() -> Tensor:
    """Attention among the four parts of each of four positions."""
    layer, out = nn.Linear(24, 72), nn.Linear(24, 24)
    q, k, v = (part.view(2, 4, 4, 6) for part in layer(torch.randn(2, 4, 24)).chunk(3, -1))
    return out(F.scaled_dot_product_attention(q, k, v).reshape(2, 4, 24)).square().mean()


def parts_of_each_position_in_their_order() -> Tensor:
    """The same with a causal mask among the parts, in a model whose positions read each other elsewhere."""
    layer, out, mixing = nn.Linear(24, 72), nn.Linear(24, 24), nn.Linear(24, 72)
    x = torch.randn(2, 4, 24)
    q, k, v = (part.view(2, 4, 3, 8).transpose(1, 2) for part in mixing(x).chunk(3, -1))
    x = x + F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(2, 4, 24)
    q, k, v = (part.view(2, 4, 4, 6) for part in layer(x).chunk(3, -1))
    return out(F.scaled_dot_product_attention(q, k, v, is_causal=True).reshape(2, 4, 24)).square().mean()


def as_many_tokens_of_each_sample_as_samples() -> Tensor:
    layer, out = nn.Linear(24, 24), nn.Linear(6, 6)
    y = layer(torch.randn(20, 5, 24)).view(20, 20, 6)
    return out(F.scaled_dot_product_attention(y, y, y)).square().mean()


def one_vector_of_all() -> Tensor:
    """All positions are features of the layer behind: of (2, 4, 4, 6), where there are as many of these as of heads."""
    layer, out = nn.Linear(24, 72), nn.Linear(96, 3)
    q, k, v = (part.view(2, 4, 4, 6).transpose(1, 2) for part in layer(torch.randn(2, 4, 24)).chunk(3, -1))
    return out(F.scaled_dot_product_attention(q, k, v).flatten(1)).square().mean()


def pairs_of_positions() -> Tensor:
    """Neighbours are joined behind an attention of one head, as in pyramids."""
    layer, out = nn.Linear(12, 36), nn.Linear(24, 3)
    y = F.scaled_dot_product_attention(*layer(torch.randn(2, 6, 12)).chunk(3, -1))
    return out(y.reshape(2, 3, 24)).square().mean()


def windows() -> Tensor:
    """Attention in windows, put back in order behind it."""
    layer, out = nn.Linear(12, 36), nn.Linear(12, 12)
    x = torch.randn(2, 2, 3, 2, 3, 12).permute(0, 1, 3, 2, 4, 5).reshape(8, 9, 12)
    q, k, v = layer(x).reshape(8, 9, 3, 2, 6).permute(2, 0, 3, 1, 4)
    y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(8, 9, 12)
    return out(y.view(2, 2, 2, 3, 3, 12).permute(0, 1, 3, 2, 4, 5).reshape(2, 36, 12)).square().mean()


def images() -> Tensor:
    """Attention over the pixels of a convolution, as in SAGAN."""
    layers = [nn.Conv2d(8, 8, 1) for _ in range(3)]
    q, k, v = (layer(torch.randn(2, 8, 3, 3)).flatten(2) for layer in layers)
    return ((v @ (q.transpose(1, 2) @ k).softmax(-1).transpose(1, 2)).view(2, 8, 3, 3)).square().mean()


def torchs_own() -> Tensor:
    model = nn.TransformerDecoderLayer(24, 4, 32, batch_first=True)
    return model(torch.randn(2, 4, 24), torch.randn(2, 5, 24)).square().mean()  # type: ignore[no-any-return]


ALIKE = [channels, tokens_of_one_row, parts_of_each_position, as_many_tokens_of_each_sample_as_samples, one_vector_of_all]
OTHERS = [parts_of_each_position_in_their_order, pairs_of_positions, windows, images, torchs_own]


@pytest.mark.parametrize("step", [*ALIKE, *OTHERS], ids=lambda step: step.__name__)
def test_what_looks_alike_is_not_told(step: object) -> None:
    torch.manual_seed(0)
    assert [finding.kind for finding in gradviz.trace(step).diagnose() if finding.kind == "reshaped-heads"] == []
