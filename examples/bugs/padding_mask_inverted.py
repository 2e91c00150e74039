"""A padding mask that is True for words, where nn.TransformerEncoder takes True for padding: only padding is read."""

import torch
from torch import nn

FINDING = "inverted-mask"


def step(*, invert):
    torch.manual_seed(0)
    embedding = nn.Embedding(50, 24, padding_idx=0)
    layer = nn.TransformerEncoderLayer(24, 4, 48, batch_first=True)
    head = nn.Linear(24, 3)
    tokens, labels = torch.randint(1, 50, (4, 9)), torch.tensor([0, 1, 2, 1])
    for sample, words in enumerate((5, 8, 6, 7)):
        tokens[sample, words:] = 0
    is_word = tokens != 0
    hidden = layer(embedding(tokens), src_key_padding_mask=is_word if invert else ~is_word)
    pooled = (hidden * is_word[..., None]).sum(1) / is_word.sum(1, keepdim=True)
    return nn.functional.cross_entropy(head(pooled), labels)


def broken():
    return step(invert=True)


def healthy():
    return step(invert=False)
