"""A term of the loss that is detached as a whole is told; values that stand in for others and references are not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gradviz
from gradviz.diagnose import Finding


class Model(nn.Module):
    """Parts of which losses are made, with data for them."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.predictor = nn.Sequential(nn.Linear(8, 8), nn.Softplus(), nn.Linear(8, 8))
        self.x, self.other, self.labels = torch.randn(16, 8), torch.randn(16, 8), torch.randint(0, 3, (16,))

    def codes(self) -> Tensor:
        return self.encoder(self.x).tanh()  # type: ignore[no-any-return]

    def scores(self) -> Tensor:
        return F.log_softmax(self.head(self.codes()), -1)

    def named(self) -> Tensor:
        return F.nll_loss(self.scores(), self.labels)

    def rebuilt(self) -> Tensor:
        return F.mse_loss(self.decoder(self.codes()), self.x)

    def compact(self) -> Tensor:
        return self.codes().square().mean()


def told(loss: Callable[[Model], Tensor]) -> list[Finding]:
    """The findings of detached terms; other parts of the model may be out of use."""
    torch.manual_seed(0)
    model = Model()
    return [one for one in gradviz.trace(lambda: loss(model)).diagnose() if "of the loss is detached" in one.message]


@pytest.mark.parametrize(
    "loss",
    [
        lambda model: model.named() + model.compact().detach(),
        lambda model: model.named() + 0.1 * model.compact().data,
        lambda model: 0.5 * (model.compact().detach() / 4 + model.named()),
        lambda model: model.named() + model.rebuilt() + (0.1 * model.compact()).detach(),
        lambda model: model.named() + model.codes().abs().sum(1).mean().detach() * 0.01,
        lambda model: model.rebuilt() + F.mse_loss(model.codes(), model.other).detach(),
        lambda model: sum([model.named(), model.compact().detach(), model.rebuilt()]),
        lambda model: model.named() + divergence(model).detach(),
        lambda model: model.named() + F.kl_div(model.scores(), torch.full((16, 3), 1 / 3), reduction="batchmean").detach(),
        lambda model: model.named() + sum(part.pow(2).sum() for part in model.head.parameters()).detach(),  # type: ignore[attr-defined, union-attr]
        lambda model: model.named() + model.codes().norm().detach(),
        lambda model: torch.stack([model.named(), model.compact().detach(), model.rebuilt()]).sum(),
        lambda model: 2 * torch.stack([model.named(), 0.1 * model.compact().detach()]).mean(),
        lambda model: torch.cat([model.named()[None], model.compact().detach()[None]]).sum(),
        lambda model: torch.hstack([model.named(), model.compact().detach()]).sum(),
        lambda model: (torch.stack([model.named(), model.compact().detach()]) * torch.tensor([1.0, 0.1])).sum(),
        lambda model: torch.stack([model.named(), model.compact().detach()]) @ torch.tensor([1.0, 0.1]),
        lambda model: (model.named() + model.compact().detach()) * torch.tensor(0.5),
    ],
)
def test_a_term_that_is_detached_as_a_whole_is_told(loss: Callable[[Model], Tensor]) -> None:
    (finding,) = told(loss)
    assert (finding.kind, finding.severity) == ("detached", "hint")
    assert finding.source.startswith("test_detached_term.py:") and "the term " in finding.message
    assert float(finding.numbers["added"]) > 0 and "take .detach() out" in finding.hint


def test_leaves_that_get_no_gradient_at_all_are_told_once() -> None:
    torch.manual_seed(0)
    model = Model()
    found = gradviz.trace(lambda: model.named() + model.rebuilt().detach()).diagnose()
    assert [one.message.partition(":")[0] for one in found if one.kind == "detached"] == [
        "no gradient reaches decoder.weight, decoder.bias"
    ]


def divergence(model: Model) -> Tensor:
    """Of Gaussian codes from the standard normal distribution."""
    mean, log_variance = model.codes().chunk(2, 1)
    return -0.5 * (1 + log_variance - mean.pow(2) - log_variance.exp()).sum(1).mean()


def quantised(model: Model) -> Tensor:
    """As in a VQ-VAE."""
    codes, encoded = nn.Embedding(12, 8), model.codes()
    chosen = codes(torch.cdist(encoded, codes.weight).argmin(1))
    straight = encoded + (chosen - encoded).detach()
    moved = F.mse_loss(chosen, encoded.detach()) + 0.25 * F.mse_loss(encoded, chosen.detach())
    return F.mse_loss(model.decoder(straight), model.x) + moved


def siamese(model: Model) -> Tensor:
    """As in SimSiam."""
    one, other = model.encoder(model.x), model.encoder(model.x + 0.1 * model.other)
    pairs = ((model.predictor(one), other.detach()), (model.predictor(other), one.detach()))
    return -torch.stack([F.cosine_similarity(*pair).mean() for pair in pairs]).mean()


def target_network(model: Model) -> Tensor:
    """As in BYOL."""
    slow = nn.Linear(8, 8).requires_grad_(False)
    return 2 - 2 * F.cosine_similarity(model.predictor(model.codes()), slow(model.x).detach()).mean()


def bootstrapped(model: Model) -> Tensor:
    values = model.head(model.encoder(model.other)).amax(1).detach()
    return F.smooth_l1_loss(model.head(model.codes()).gather(1, model.labels[:, None])[:, 0], 1 + 0.9 * values)


def logged(model: Model) -> Tensor:
    named, rebuilt = model.named(), model.rebuilt()
    shown = {"named": named.detach(), "sum": (named + rebuilt).detach(), "rebuilt": rebuilt.item()}
    return named + rebuilt if shown else named


def value_of_another(model: Model) -> Tensor:
    surrogate, value = model.compact(), model.named()
    return surrogate + (value - surrogate).detach()


def value_of_another_added(model: Model) -> Tensor:
    surrogate, value = model.compact(), model.named()
    return value - value.detach() + (surrogate - surrogate.detach()) + value.detach()


def value_of_another_in_three(model: Model) -> Tensor:
    surrogate, value = model.compact(), model.named()
    return surrogate - surrogate.detach() + value.detach()


def value_of_another_minus_first(model: Model) -> Tensor:
    surrogate, value = model.compact(), model.named()
    return -surrogate.detach() + surrogate + value.detach()


def log_of_mean_exponential(model: Model) -> Tensor:
    errors = (model.decoder(model.codes()) - model.x).square().mean(1)
    middle = errors.mean().detach()
    return middle + (errors - middle).exp().mean().log() + model.named()


def computed_twice(model: Model) -> Tensor:
    return model.named() + (model.compact() - model.compact().detach())


def value_put_back(model: Model) -> Tensor:
    compact = model.compact()
    return compact / compact.detach() + compact.detach()


def in_equal_parts(model: Model) -> Tensor:
    named, rebuilt = model.named(), model.rebuilt()
    return named / named.detach() + rebuilt * (named / rebuilt).detach()


def above_the_largest(model: Model) -> Tensor:
    codes = model.encoder(model.x)
    return (codes - codes.max().detach()).exp().sum().log() + codes.max().detach()


def above_the_mean(model: Model) -> Tensor:
    errors = (model.codes() - model.other).square().mean(1)
    return (errors - errors.mean().detach()).square().mean()


def policy(model: Model) -> Tensor:
    drawn = torch.distributions.Categorical(logits=model.scores())
    actions, rewards, values = drawn.sample(), torch.randn(16), model.decoder(model.codes()).mean(1)
    return F.mse_loss(values, rewards) - (drawn.log_prob(actions) * (rewards - values.detach())).mean()


def clipped_ratio(model: Model) -> Tensor:
    chosen, gain = model.scores().gather(1, model.labels[:, None]), torch.randn(16, 1)
    ratio = (chosen - chosen.detach()).exp()
    return -torch.minimum(ratio * gain, ratio.clamp(0.8, 1.2) * gain).mean()


def temperature(model: Model) -> Tensor:
    """As in soft actor-critic: each factor learns from one product alone."""
    log_factor, scores = torch.zeros((), requires_grad=True), model.scores()
    entropy = -(scores.exp() * scores).sum(1).mean()
    return log_factor * (entropy.detach() - 0.5) - log_factor.exp().detach() * entropy


def multiplier(model: Model) -> Tensor:
    price, excess = torch.tensor(0.3, requires_grad=True), model.rebuilt() - 0.1
    return model.named() + price.detach() * excess - price * excess.detach()


def moving_denominator(model: Model) -> Tensor:
    """As in MINE."""
    mean = model.predictor(model.x).exp().mean()
    return mean / (0.99 + 0.01 * mean.detach()) - model.predictor(model.other).mean()


def teacher(model: Model) -> Tensor:
    other = nn.Linear(8, 3)
    return model.named() + F.kl_div(model.scores(), other(model.x).softmax(-1).detach(), reduction="batchmean")


def consistent(model: Model) -> Tensor:
    other = model.head(model.encoder(model.x + 0.1).tanh()).softmax(-1)
    return model.named() + F.mse_loss(other, model.scores().exp().detach())


def discriminator(model: Model) -> Tensor:
    made = model.decoder(model.other).detach()
    return F.softplus(model.encoder(made)).mean() + F.softplus(-model.encoder(model.x)).mean()


def anchored(model: Model) -> Tensor:
    anchor = model.encoder.weight.detach().clone() + 0.01
    return model.named() + model.rebuilt() + (model.encoder.weight - anchor).square().sum()


def contrast(model: Model) -> Tensor:
    """As in CLIP, with a learned temperature."""
    factor = torch.tensor(2.6, requires_grad=True)
    one, other = (F.normalize(part, dim=-1) for part in (model.encoder(model.x), model.decoder(model.other)))
    scores, pairs = factor.exp() * one @ other.T, torch.arange(16)
    return (F.cross_entropy(scores, pairs) + F.cross_entropy(scores.T, pairs)) / 2


def balanced(model: Model) -> Tensor:
    """As the learned weights of several tasks."""
    logs = torch.zeros(2, requires_grad=True)
    return (torch.stack([model.named(), model.rebuilt()]) * (-logs).exp() + logs).sum()


HEALTHY: list[Callable[[Model], Tensor]] = [
    *(quantised, siamese, target_network, bootstrapped, logged, value_of_another, value_of_another_added),
    *(value_of_another_in_three, value_of_another_minus_first, log_of_mean_exponential),
    *(computed_twice, value_put_back, in_equal_parts, above_the_largest, above_the_mean, policy, clipped_ratio),
    *(temperature, multiplier, moving_denominator, teacher, consistent, discriminator, anchored, contrast),
    lambda model: model.named() + 0.0 * model.rebuilt() + 0 * model.compact().detach(),
    lambda model: model.named() + model.rebuilt() - model.compact().detach(),
    lambda model: model.named() + 0.01 * model.encoder.weight.numel(),
    lambda model: (model.named() - 0.1).abs() + 0.1,
    lambda model: model.named() + model.other.square().mean().detach(),
    lambda model: model.named() + torch.maximum(model.compact(), torch.tensor(0.1)),
    lambda model: model.compact() / model.other.std().detach() + model.named(),
    lambda model: F.mse_loss(model.decoder(model.codes() + model.codes().detach()), model.x),
    balanced,
    lambda model: torch.stack([model.named(), model.compact().detach()])[0],
    lambda model: (torch.stack([model.named(), model.compact().detach()]) * torch.tensor([1.0, 0.0])).sum(),
    lambda model: model.named() + 1 / torch.stack([model.rebuilt(), model.compact().detach()]).sum(),
    lambda model: model.other.mean() / (model.rebuilt() + model.compact().detach()) + model.named(),
    lambda model: torch.cat([model.rebuilt()[None], model.compact().detach()[None]]).softmax(0)[0] + model.named(),
    lambda model: torch.stack([model.rebuilt(), model.other.square().mean().detach()]).sum() + model.named(),
]


@pytest.mark.parametrize("loss", HEALTHY)
def test_terms_that_are_meant_are_not_told(loss: Callable[[Model], Tensor]) -> None:
    assert told(loss) == []
