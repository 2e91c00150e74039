"""A causal language model whose labels are its tokens, not shifted: at each position it learns to repeat what it reads."""

import torch
from torch import nn

FINDING = "unshifted-labels"


class LanguageModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.positions = nn.Embedding(50, 24), nn.Embedding(16, 24)
        self.blocks = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(24, 4, 48, batch_first=True), 2, enable_nested_tensor=False
        )
        self.head = nn.Linear(24, 50)

    def forward(self, tokens):
        time = tokens.shape[1]
        x = self.embedding(tokens) + self.positions(torch.arange(time))
        return self.head(self.blocks(x, mask=nn.Transformer.generate_square_subsequent_mask(time), is_causal=True))


def step(*, shift):
    torch.manual_seed(0)
    model, tokens = LanguageModel(), torch.randint(0, 50, (4, 12))
    logits, labels = model(tokens), tokens
    if shift:
        logits, labels = logits[:, :-1], labels[:, 1:]
    return nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())


def broken():
    return step(shift=False)


def healthy():
    return step(shift=True)
