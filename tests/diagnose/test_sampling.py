"""What is told of draws that are cut off from what they were drawn from, and of those that are meant to be."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

import gradviz

X = torch.randn(16, 6, generator=torch.Generator().manual_seed(0))
Cut = Callable[[Tensor], Tensor]


def autoencoder(cut: Cut) -> Tensor:
    code = Normal(*((part.exp() if place else part) for place, part in enumerate(nn.Linear(6, 4)(X).chunk(2, 1))))
    return nn.Linear(2, 6)(cut(code.rsample())).sub(X).square().mean() + kl_divergence(code, Normal(0.0, 1.0)).mean()


def written_out(cut: Cut) -> Tensor:
    mean, log_std = nn.Linear(6, 2)(X), nn.Parameter(torch.zeros(2))
    code = cut(mean + torch.randn(16, 2) * log_std.exp())
    return nn.Linear(2, 6)(code).sub(X).square().mean() + (mean.square() + log_std.exp() - log_std).mean()


@pytest.mark.parametrize("loss", [autoencoder, written_out])
def test_a_draw_that_is_cut_off_in_front_of_a_network_is_told(loss: Callable[[Cut], Tensor]) -> None:
    assert gradviz.trace(lambda: loss(lambda code: code)).diagnose() == []
    for cut in (lambda code: code.detach(), lambda code: code.data):
        (finding,) = gradviz.trace(lambda cut=cut: loss(cut)).diagnose()
        assert finding.kind == "detached" and "and then cut off" in finding.message
        assert finding.source.startswith("test_sampling.py")


def critic_of_explored_actions() -> Tensor:
    action, critic = nn.Linear(6, 2)(X).tanh(), nn.Linear(8, 1)
    explored = (action + 0.1 * torch.randn(16, 2)).detach()
    fitted = (critic(torch.cat([X, explored], 1)) - 1).square().mean()
    return fitted - critic(torch.cat([X, action], 1)).mean()


def judge_of_codes() -> Tensor:
    mean, judge = nn.Linear(6, 2)(X), nn.Linear(2, 1)
    code = mean + torch.randn(16, 2)
    fooled = nn.functional.softplus(-judge(code)).mean()
    return nn.functional.softplus(judge(code.detach())).mean() + fooled + mean.square().mean()


def policy_by_likelihood_ratios() -> Tensor:
    mean, value = nn.Linear(6, 2)(X), nn.Linear(2, 1)
    action = (mean + torch.randn(16, 2)).detach()
    advantage = value(action)
    return ((mean - action).square().sum(1, keepdim=True) * advantage.detach()).mean() + (advantage - 1).square().mean()


def denoiser_of_regressed_codes() -> Tensor:
    code, noise = nn.Linear(6, 2)(X), torch.randn(16, 2)
    noisy = (code + noise).detach()
    return (code - X[:, :2]).square().mean() + (nn.Linear(2, 2)(noisy) - noise).square().mean()


def probe_of_noisy_features() -> Tensor:
    features = nn.Linear(6, 2)(X)
    noisy = (features + 0.1 * torch.randn(16, 2)).detach()
    return nn.functional.mse_loss(features, X[:, 2:4]) + nn.Linear(2, 3)(noisy).square().mean()


DIRECT = [denoiser_of_regressed_codes, probe_of_noisy_features]


@pytest.mark.parametrize("loss", [*DIRECT, critic_of_explored_actions, judge_of_codes, policy_by_likelihood_ratios])
def test_a_draw_that_is_cut_off_on_purpose_is_not_told(loss: Callable[[], Tensor]) -> None:
    assert gradviz.trace(loss).diagnose() == []
