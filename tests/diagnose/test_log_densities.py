"""What is told of a loss of Gaussian log-densities: a forgotten minus, and nothing of entropies and differences of them."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, LowRankMultivariateNormal, MultivariateNormal, Normal, kl_divergence

import gradviz

STATES, ACTIONS = torch.randn(32, 4), torch.randn(32, 2)


class Gaussian(nn.Linear):
    """States (N, 4) -> a Normal over (N, 2)."""

    def __init__(self) -> None:
        super().__init__(4, 4)

    def forward(self, x: Tensor) -> Normal:
        mean, log_std = super().forward(x).chunk(2, dim=1)
        return Normal(mean, log_std.exp())


def regression(sign: float) -> Tensor:
    return sign * Gaussian()(STATES).log_prob(ACTIONS).mean()


def mixture(sign: float) -> Tensor:
    weights, means = nn.Linear(4, 2)(STATES).log_softmax(1), Gaussian()(STATES)
    return sign * torch.logsumexp(weights + means.log_prob(ACTIONS[:, :1]), 1).mean()


def flow(sign: float) -> Tensor:
    layer, log_scale = nn.Linear(2, 2), nn.Parameter(torch.zeros(2))
    prior = MultivariateNormal(torch.zeros(2), torch.eye(2))
    return sign * (prior.log_prob(layer(ACTIONS) * log_scale.exp()) + log_scale.sum()).mean()


def written_out(sign: float) -> Tensor:
    mean, log_variance = nn.Linear(4, 4)(STATES).chunk(2, dim=1)
    square = (ACTIONS - mean) ** 2 / log_variance.exp()
    return sign * -0.5 * (log_variance + square + math.log(2 * math.pi)).sum(1).mean()


def reconstruction(sign: float) -> Tensor:
    code, decoder = Gaussian()(STATES), nn.Linear(2, 4)
    divergence = kl_divergence(code, Normal(0.0, 1.0)).sum(1)
    return (sign * Normal(decoder(code.rsample()), 1.0).log_prob(STATES).sum(1) + divergence).mean()


def constant_first(sign: float) -> Tensor:
    mean, log_std = nn.Linear(4, 4)(STATES).chunk(2, dim=1)
    return sign * (-0.5 * math.log(2 * math.pi) - log_std - 0.5 * ((ACTIONS - mean) / log_std.exp()) ** 2).sum(1).mean()


def constant_tensor(sign: float) -> Tensor:
    mean, log_std = nn.Linear(4, 4)(STATES).chunk(2, dim=1)
    half = 0.5 * torch.log(torch.tensor(2 * math.pi))
    return sign * (-half - log_std - 0.5 * ((ACTIONS - mean) / log_std.exp()) ** 2).sum(1).mean()


def covariance_of_low_rank(sign: float) -> Tensor:
    mean, factor = nn.Linear(4, 2)(STATES), nn.Parameter(0.1 * torch.ones(2, 1))
    return sign * LowRankMultivariateNormal(mean, factor, torch.ones(2)).log_prob(ACTIONS).mean()


def one_step_after_another(sign: float) -> Tensor:
    transition, state, total = nn.Linear(2, 2), torch.zeros(2), torch.zeros(())
    for seen in ACTIONS[:5]:
        state = transition(state)
        total = total + MultivariateNormal(state, torch.eye(2)).log_prob(seen)
    return sign * total


def mean_and_deviation() -> tuple[Tensor, Tensor]:
    mean, raw = nn.Linear(4, 4)(STATES).chunk(2, dim=1)
    return mean, raw.tanh() + 1.5


def constant_in_the_logarithm(sign: float) -> Tensor:
    mean, std = mean_and_deviation()
    return sign * (-0.5 * torch.log(2 * torch.pi * std**2) - (ACTIONS - mean) ** 2 / (2 * std**2)).mean()


def exponential_in_the_logarithm(sign: float) -> Tensor:
    mean, log_std = nn.Linear(4, 4)(STATES).chunk(2, dim=1)
    variance = (2 * log_std).exp()
    return sign * (-0.5 * torch.log(2 * math.pi * variance) - 0.5 * (ACTIONS - mean) ** 2 / variance).mean()


def root_in_the_logarithm(sign: float) -> Tensor:
    mean, std = mean_and_deviation()
    return sign * (-torch.log(std * math.sqrt(2 * math.pi)) - 0.5 * ((ACTIONS - mean) / std) ** 2).sum(1).mean()


def fraction_in_the_logarithm(sign: float) -> Tensor:
    mean, std = mean_and_deviation()
    return sign * (torch.log(1 / (std * math.sqrt(2 * math.pi))) - 0.5 * ((ACTIONS - mean) / std) ** 2).mean()


def half_of_a_sum(sign: float) -> Tensor:
    mean, std = mean_and_deviation()
    variance = std**2 + 1e-6
    return -sign * 0.5 * (torch.log(2 * math.pi * variance) + (ACTIONS - mean).pow(2) / variance).sum() / 32


def tensor_in_the_logarithm(sign: float) -> Tensor:
    mean, std = nn.Linear(4, 2)(STATES), nn.Parameter(torch.ones(2))
    return sign * (-0.5 * torch.log(torch.tensor(2 * torch.pi) * std**2) - (ACTIONS - mean) ** 2 / (2 * std**2)).mean()


def logarithm_of_a_density(sign: float) -> Tensor:
    mean, std = mean_and_deviation()
    density = 1 / torch.sqrt(2 * math.pi * std.pow(2)) * torch.exp(-((ACTIONS - mean).pow(2)) / (2 * std.pow(2)))
    return sign * torch.log(density + 1e-9).mean()


def logarithm_of_a_mixture(sign: float) -> Tensor:
    mean, std = mean_and_deviation()
    weights = nn.Linear(4, 2)(STATES).softmax(1)
    densities = torch.exp(-0.5 * ((ACTIONS[:, :1] - mean) / std) ** 2) / (std * math.sqrt(2 * math.pi))
    return sign * torch.log((weights * densities).sum(1) + 1e-8).mean()


def mixture_in_logarithms(sign: float) -> Tensor:
    mean, std = mean_and_deviation()
    weights = nn.Linear(4, 2)(STATES).log_softmax(1)
    densities = -0.5 * torch.log(2 * math.pi * std**2) - (ACTIONS[:, :1] - mean) ** 2 / (2 * std**2)
    return sign * torch.logsumexp(weights + densities, 1).mean()


WITHIN = [
    *(constant_in_the_logarithm, root_in_the_logarithm, fraction_in_the_logarithm, half_of_a_sum, tensor_in_the_logarithm),
    *(logarithm_of_a_density, logarithm_of_a_mixture, mixture_in_logarithms, exponential_in_the_logarithm),
]
FORMS = [constant_first, constant_tensor, covariance_of_low_rank, one_step_after_another]


@pytest.mark.parametrize("likelihood", [regression, mixture, flow, written_out, reconstruction, *FORMS, *WITHIN])
def test_a_log_density_without_its_minus_is_told(likelihood: Callable[[float], Tensor]) -> None:
    assert gradviz.trace(lambda: likelihood(-1.0)).diagnose() == []
    (finding,) = gradviz.trace(lambda: likelihood(1.0)).diagnose()
    assert finding.kind == "missing-minus" and "Gaussian log-densities" in finding.message
    assert finding.source.startswith("test_log_densities.py") and "log_prob" in finding.hint


def entropy_of_a_policy() -> Tensor:
    policy, value = Gaussian()(STATES), nn.Linear(2, 1)
    action = policy.rsample()
    return (0.2 * policy.log_prob(action).sum(1, keepdim=True) - value(action)).mean()


def entropy_of_correlated_numbers() -> Tensor:
    drawn = MultivariateNormal(nn.Linear(4, 2)(STATES), torch.eye(2))
    action = drawn.rsample()
    return (0.2 * drawn.log_prob(action) + action.square().sum(1)).mean()


def entropy_written_out() -> Tensor:
    mean, log_std = nn.Linear(4, 4)(STATES).chunk(2, dim=1)
    std = log_std.exp()
    action = mean + std * torch.randn(32, 2)
    log_density = -0.5 * (((action - mean) / (std + 1e-8)) ** 2 + 2 * log_std + math.log(2 * math.pi))
    return (0.2 * log_density.sum(1, keepdim=True) - nn.Linear(2, 1)(action.tanh())).mean()


def entropy_of_a_squashed_draw() -> Tensor:
    mean, log_std = nn.Linear(4, 4)(STATES).chunk(2, dim=1)
    noise = torch.randn(32, 2)
    action = (mean + log_std.exp() * noise).tanh()
    log_density = (-0.5 * noise**2 - log_std).sum(1) - math.log(2 * math.pi)
    log_density = log_density - torch.log((1 - action**2).relu() + 1e-6).sum(1)
    return (0.2 * log_density - nn.Linear(2, 1)(action).squeeze(1)).mean()


def score_of_a_density() -> Tensor:
    return Normal(0.0, 2.0).log_prob(torch.ones(8, 2, requires_grad=True)).sum()


def episode_of_costs() -> Tensor:
    policy, loss = nn.Linear(4, 2), torch.zeros(())
    for state, action, reward in zip(STATES[:4], ACTIONS[:4, 0], (-3.0, -2.0, -1.5, -1.0), strict=True):
        mean, log_std = policy(state)
        loss = loss - Normal(mean, log_std.exp()).log_prob(action) * reward
    return loss


def divergence_by_samples() -> Tensor:
    code = Gaussian()(STATES)
    z = code.rsample()
    return (code.log_prob(z) - Normal(0.0, 1.0).log_prob(z)).sum(1).mean()


def clipped_policy() -> Tensor:
    ratio = (Independent(Gaussian()(STATES), 1).log_prob(ACTIONS) + 3).exp()
    return -torch.min(ratio, ratio.clamp(0.8, 1.2)).mean()


def entropy_of_a_draw_within() -> Tensor:
    mean, std = mean_and_deviation()
    action = mean + std * torch.randn(32, 2)
    log_density = (-0.5 * torch.log(2 * math.pi * std**2) - (action - mean) ** 2 / (2 * std**2)).sum(1)
    return (0.2 * log_density - nn.Linear(2, 1)(action).squeeze(1)).mean()


def entropy_beside_squares() -> Tensor:
    mean, std = mean_and_deviation()
    return ((ACTIONS - mean) ** 2 + 0.01 * torch.log(2 * math.pi * math.e * std**2)).mean()


def wide_noise_beside_squares() -> Tensor:
    mean, std = mean_and_deviation()
    return ((ACTIONS - mean) ** 2 - 0.01 * torch.log(2 * math.pi * std**2)).mean()


def evidence_bound_within() -> Tensor:
    mean, std = mean_and_deviation()
    z = mean + std * torch.randn(32, 2)
    of_code = -0.5 * torch.log(2 * math.pi * std**2) - (z - mean) ** 2 / (2 * std**2)
    decoded, noise = nn.Linear(2, 4)(z), nn.Parameter(torch.ones(4))
    of_states = -0.5 * torch.log(2 * math.pi * noise**2) - (STATES - decoded) ** 2 / (2 * noise**2)
    return (of_code.sum(1) + 0.5 * (z**2).sum(1) - of_states.sum(1)).mean()


def samples_kept_apart() -> Tensor:
    z = nn.Linear(4, 2)(STATES)
    densities = torch.exp(-0.5 * (z[:, None] - z[None]).square().sum(2)) / (2 * math.pi)
    return torch.log(densities.mean(1)).mean()


def basis_functions() -> Tensor:
    mean, std = mean_and_deviation()
    values = torch.exp(-0.5 * ((ACTIONS - mean) / std) ** 2) / (std * math.sqrt(2 * math.pi))
    return (values.sum(1) - 1).square().mean()


def costs_within() -> Tensor:
    mean, std = mean_and_deviation()
    log_density = -0.5 * torch.log(2 * math.pi * std**2) - (ACTIONS - mean) ** 2 / (2 * std**2)
    return (log_density.sum(1) * torch.rand(32)).mean()


APART = [
    *(entropy_of_a_draw_within, entropy_beside_squares, evidence_bound_within, samples_kept_apart, basis_functions),
    *(wide_noise_beside_squares, costs_within),
]


@pytest.mark.parametrize(
    "loss",
    [
        *APART,
        *(entropy_of_a_policy, entropy_of_correlated_numbers, entropy_written_out, entropy_of_a_squashed_draw),
        *(divergence_by_samples, clipped_policy, score_of_a_density, episode_of_costs),
    ],
)
def test_log_densities_that_are_meant_to_fall_are_not_told(loss: Callable[[], Tensor]) -> None:
    assert gradviz.trace(loss).diagnose() == []
