"""A contrastive loss that compares each sample with itself is told however it is written; a masked or other one is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gradviz

PARTNERS = torch.arange(12).roll(6)
ITSELF = torch.eye(12, dtype=torch.bool)
PAIRS = ITSELF.roll(6, 0)

Loss = Callable[[Tensor], Tensor]


def kinds_of(loss: Loss) -> list[str]:
    torch.manual_seed(0)
    encoder, x = nn.Linear(10, 8), torch.randn(12, 10)
    return [finding.kind for finding in gradviz.trace(lambda: loss(encoder(x))).diagnose()]


def similarity(z: Tensor) -> Tensor:
    return F.normalize(z, dim=1) @ F.normalize(z, dim=1).T / 0.5


def as_supervised(z: Tensor) -> Tensor:
    alike = similarity(z)
    alike = alike - alike.max(1, keepdim=True).values.detach()
    return -(PAIRS * (alike - alike.exp().sum(1, keepdim=True).log())).sum(1).mean()


UNMASKED: list[Loss] = [
    lambda z: F.cross_entropy(similarity(z), PARTNERS),
    lambda z: F.cross_entropy(F.cosine_similarity(z[:, None], z[None], dim=2) / 0.1, PARTNERS),
    lambda z: F.cross_entropy(-torch.cdist(z, z), PARTNERS),
    lambda z: -(similarity(z).log_softmax(1)[PAIRS]).mean(),
    lambda z: -(similarity(z).softmax(1)[PAIRS]).log().mean(),
    as_supervised,
    lambda z: (lambda alike: (alike.logsumexp(1) - alike[PAIRS]).mean())(similarity(z)),
]
MASKED: list[Loss] = [
    lambda z: F.cross_entropy(similarity(z).masked_fill(ITSELF, -1e9), PARTNERS),
    lambda z: F.cross_entropy(similarity(z) - 1e9 * ITSELF, PARTNERS),
    lambda z: F.cross_entropy(similarity(z)[~ITSELF].view(12, 11), PARTNERS % 11),
    lambda z: F.cross_entropy(z @ z.flip(0).T, PARTNERS),  # two other sets of samples
    lambda z: F.cross_entropy(similarity(z), torch.arange(12)),  # each is to be most like itself, which is another loss
    lambda z: (similarity(z).softmax(1) @ z).square().mean(),  # attention
    lambda z: similarity(z).logsumexp(1).mean(),  # an entropy, which has no targets
]


@pytest.mark.parametrize("loss", UNMASKED)
def test_a_diagonal_in_the_softmax_that_is_never_the_target_is_told(loss: Loss) -> None:
    assert "self-similarity" in kinds_of(loss)


@pytest.mark.parametrize("loss", MASKED)
def test_a_masked_diagonal_and_other_uses_of_all_pairs_are_not(loss: Loss) -> None:
    assert "self-similarity" not in kinds_of(loss)


def test_the_share_that_is_told_is_that_of_the_softmax() -> None:
    torch.manual_seed(0)
    z = torch.randn(12, 8, requires_grad=True)
    (finding,) = gradviz.trace(lambda: F.cross_entropy(similarity(z), PARTNERS)).diagnose()
    share = similarity(z).softmax(1).diagonal().mean().item()
    assert finding.numbers["mean probability on the diagonal"] == pytest.approx(share)
    assert finding.numbers["mean on the diagonal"] == pytest.approx(2.0) and f"{share:.0%}" in finding.message
