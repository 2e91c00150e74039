"""Causal language models that learn the token they read are told; shifted labels and models that are not causal are not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gradviz

WORDS, WIDTH = 40, 16


class Language(nn.Module):
    """Tokens [B, T] -> scores [B, T, WORDS]; `mix` is what happens between places."""

    def __init__(self, mix: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(WORDS, WIDTH), nn.Linear(WIDTH, WORDS)
        self.mix = mix

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.mix(self.embedding(tokens)))  # type: ignore[no-any-return]


def fused(x: Tensor) -> Tensor:
    return x + F.scaled_dot_product_attention(x, x, x, is_causal=True)


def attention(*, causal: bool) -> Callable[[Tensor], Tensor]:
    layer = nn.TransformerEncoder(nn.TransformerEncoderLayer(WIDTH, 4, 32, batch_first=True), 2, enable_nested_tensor=False)
    return lambda x: layer(x, mask=nn.Transformer.generate_square_subsequent_mask(x.shape[1]) if causal else None)  # type: ignore[no-any-return]


def recurrence(*, bidirectional: bool = False) -> Callable[[Tensor], Tensor]:
    layer = nn.GRU(WIDTH, WIDTH // 2 if bidirectional else WIDTH, batch_first=True, bidirectional=bidirectional)
    return lambda x: layer(x)[0]  # type: ignore[no-any-return]


def convolution() -> Callable[[Tensor], Tensor]:
    layer = nn.Conv1d(WIDTH, WIDTH, 3)
    return lambda x: layer(F.pad(x.transpose(1, 2), (2, 0))).transpose(1, 2)  # type: ignore[no-any-return]


CAUSAL = {
    "fused": lambda: fused,
    "masked": lambda: attention(causal=True),
    "recurrence": recurrence,
    "convolution": convolution,
}
Labels = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def told(mix: Callable[[Tensor], Tensor], labels: Labels, *, shape: tuple[int, ...] = (3, 7)) -> list[str]:
    torch.manual_seed(0)
    model, tokens = Language(mix), torch.randint(1, WORDS, shape)

    def loss() -> Tensor:
        scores, targets = labels(model(tokens), tokens)
        return F.cross_entropy(scores.reshape(-1, WORDS), targets.reshape(-1))

    return [one.kind for one in gradviz.trace(loss).diagnose() if one.kind == "unshifted-labels"]


def same(scores: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    return scores, tokens


def cut_alike(scores: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    return scores[:, :-1], tokens[:, :-1]


def cut_alike_at_the_front(scores: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    return scores[:, 1:], tokens[:, 1:]


def some_ignored(scores: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    return scores, tokens.masked_fill(torch.arange(7) < 2, -100)


def shifted(scores: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    return scores[:, :-1], tokens[:, 1:]


def shifted_inside(scores: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    return scores, F.pad(tokens[:, 1:], (0, 1), value=-100)


@pytest.mark.parametrize("mix", CAUSAL.values(), ids=CAUSAL)
@pytest.mark.parametrize("labels", [same, cut_alike, cut_alike_at_the_front, some_ignored])
def test_labels_that_are_the_tokens_read_are_told(mix: Callable[..., Callable[[Tensor], Tensor]], labels: Labels) -> None:
    torch.manual_seed(1)
    assert told(mix(), labels) == ["unshifted-labels"]


@pytest.mark.parametrize("mix", CAUSAL.values(), ids=CAUSAL)
@pytest.mark.parametrize("labels", [shifted, shifted_inside])
def test_labels_that_come_next_are_fine(mix: Callable[..., Callable[[Tensor], Tensor]], labels: Labels) -> None:
    torch.manual_seed(1)
    assert told(mix(), labels) == []


def test_classes_may_be_in_dimension_1() -> None:
    torch.manual_seed(0)
    model, tokens = Language(fused), torch.randint(1, WORDS, (3, 7))
    (finding,) = gradviz.trace(lambda: F.cross_entropy(model(tokens).transpose(1, 2), tokens)).diagnose()
    assert (finding.kind, finding.severity, finding.numbers["targets"]) == ("unshifted-labels", "warning", 21)


def test_time_may_be_first() -> None:
    torch.manual_seed(0)
    layer = nn.LSTM(WIDTH, WIDTH)
    assert told(lambda x: layer(x)[0], same, shape=(9, 2)) == ["unshifted-labels"]


def test_one_sequence_without_a_batch_is_told() -> None:
    assert told(fused, same, shape=(9,)) == ["unshifted-labels"]


def test_models_that_read_ahead_are_autoencoders() -> None:
    torch.manual_seed(0)
    for mix in (attention(causal=False), recurrence(bidirectional=True)):
        assert told(mix, same) == []


@pytest.mark.parametrize("padded", [1, 3, 4])
def test_an_autoencoder_of_padded_texts_reads_ahead_as_far_as_there_are_words(padded: int) -> None:
    torch.manual_seed(0)
    is_padding = torch.arange(7).expand(3, 7) >= 7 - padded
    layer = nn.TransformerEncoderLayer(WIDTH, 4, 32, batch_first=True)
    model = Language(lambda x: layer(x, src_key_padding_mask=is_padding))
    tokens = torch.randint(1, WORDS, (3, 7)).masked_fill(is_padding, 0)
    graph = gradviz.trace(lambda: F.cross_entropy(model(tokens).transpose(1, 2), tokens, ignore_index=0))
    assert "unshifted-labels" not in [one.kind for one in graph.diagnose()]


def test_models_that_read_one_token_are_autoencoders() -> None:
    assert told(nn.Tanh(), same) == []


def test_the_scores_of_an_earlier_token_are_not_of_this_one() -> None:
    """Tokens that are shifted on their way in, as a decoder does it."""
    assert told(lambda x: fused(F.pad(x, (0, 0, 1, 0))[:, :-1]), same) == []


def test_an_encoder_whose_last_state_a_decoder_unrolls_is_an_autoencoder() -> None:
    torch.manual_seed(0)
    encoder, decoder = nn.GRU(WIDTH, WIDTH, batch_first=True), nn.GRU(WIDTH, WIDTH, batch_first=True)
    assert told(lambda x: decoder(torch.zeros_like(x), encoder(x)[1])[0], same) == []


def test_masked_tokens_are_not_what_is_read() -> None:
    torch.manual_seed(0)
    model, tokens = Language(fused), torch.randint(1, WORDS, (3, 7))
    is_masked = torch.arange(7) % 3 == 1
    read, asked = tokens.masked_fill(is_masked, 0), tokens.masked_fill(~is_masked, -100)
    assert gradviz.trace(lambda: F.cross_entropy(model(read).transpose(1, 2), asked)).diagnose() == []


@pytest.mark.parametrize("period", [2, 3])
def test_targets_some_places_ahead_in_a_text_that_repeats_itself_are_the_same_tokens(period: int) -> None:
    torch.manual_seed(0)
    model, tokens = Language(fused), torch.randint(1, WORDS, (3, period)).repeat(1, 4)
    graph = gradviz.trace(lambda: F.cross_entropy(model(tokens[:, :-period]).transpose(1, 2), tokens[:, period:]))
    assert "unshifted-labels" not in [one.kind for one in graph.diagnose()]


def test_a_text_of_one_word_tells_nothing() -> None:
    torch.manual_seed(0)
    model, tokens = Language(fused), torch.full((3, 7), 5)
    graph = gradviz.trace(lambda: F.cross_entropy(model(tokens).transpose(1, 2), tokens))
    assert "unshifted-labels" not in [one.kind for one in graph.diagnose()]
