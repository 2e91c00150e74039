"""Code that looks odd and is meant gives no finding: idioms of many fields, each of which could be taken for a bug."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gradviz
from gradviz import GradGraph

LABELS = torch.tensor([0, 1])


def layer_as_wide_as_the_batch() -> GradGraph:
    scale, head = nn.Parameter(torch.randn(16)), nn.Linear(16, 1)
    x = torch.randn(16, 1)
    return gradviz.trace(lambda: head(torch.tanh(x * scale)).square().mean())


def normalised_weight() -> GradGraph:
    weight = torch.randn(1, 16, requires_grad=True)
    direction = torch.randn(16)
    with torch.no_grad():
        direction = weight[0] / weight.norm() + 1e-3 * direction
    return gradviz.trace(lambda: (weight / weight.norm() * direction).sum())


def larger_of_two() -> GradGraph:
    return gradviz.trace("max(x, y) + y", x=2.0, y=1.0, device="cpu")


def sparse_matrix() -> GradGraph:
    matrix = torch.eye(3).to_sparse_coo().requires_grad_()
    return gradviz.trace(lambda x: torch.sparse.mm(matrix, x).square().mean(), torch.ones(3, 2, requires_grad=True))


def complex_numbers() -> GradGraph:
    spectrum = torch.randn(8, dtype=torch.complex64, requires_grad=True)
    half = torch.randn(4, 2, dtype=torch.float16, requires_grad=True)
    return gradviz.trace(lambda: (spectrum.abs().square().mean(), torch.view_as_complex(half).real.float().mean()))


def empty_and_scalar() -> GradGraph:
    empty, scalar = torch.empty(0, 3, requires_grad=True), torch.tensor(2.0, requires_grad=True)
    return gradviz.trace(lambda: empty.sum() + scalar.index_select(0, torch.tensor([0])).exp().sum())


def points_of_a_gradient_penalty() -> GradGraph:
    critic, fake, real = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1)), torch.randn(8, 2), torch.randn(8, 2)

    def loss() -> Tensor:
        between = (0.3 * real + 0.7 * fake).requires_grad_()
        (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        penalty = (slope.norm(dim=1) - 1).square().mean()
        return critic(fake).mean() - critic(real).mean() + 10 * penalty  # type: ignore[no-any-return]

    return gradviz.trace(loss)


def points_that_are_a_view() -> GradGraph:
    net = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))

    def loss() -> Tensor:
        t = torch.linspace(0, 1, 30)[:, None].requires_grad_()
        u = net(t)
        (slope,) = torch.autograd.grad(u.sum(), t, create_graph=True)
        return (slope + u).square().mean()  # type: ignore[no-any-return]

    return gradviz.trace(loss)


def gradient_penalty_alone() -> GradGraph:
    critic, points = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 1)), torch.randn(8, 2)

    def loss() -> Tensor:
        at = points.clone().requires_grad_()
        (slope,) = torch.autograd.grad(critic(at).sum(), at, create_graph=True)
        return slope.square().sum(1).mean()

    return gradviz.trace(loss)


def opacity_of_empty_space() -> GradGraph:
    layer, points = nn.Linear(3, 1), torch.randn(64, 3)
    nn.init.constant_(layer.weight, 1.0)
    nn.init.constant_(layer.bias, -1.0)
    return gradviz.trace(lambda: (1 - torch.exp(-0.1 * torch.relu(layer(points)))).mean())


def zero_layers_around_a_copy() -> GradGraph:
    frozen, copy, x, hint = nn.Linear(8, 8).requires_grad_(False), nn.Linear(8, 8), torch.randn(4, 8), torch.randn(4, 8)
    enter, leave = nn.Linear(8, 8), nn.Linear(8, 8)
    for layer in (enter, leave):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    return gradviz.trace(lambda: (frozen(x) + leave(torch.tanh(copy(x + enter(hint)))) - 1).square().mean())


def triplets() -> GradGraph:
    encoder, x = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 16)), torch.randn(24, 10)
    return gradviz.trace(lambda: F.triplet_margin_loss(*(encoder(part) for part in x.chunk(3))))


def empty_rows_set_to_zero() -> GradGraph:
    project, words = nn.Linear(8, 8), torch.randn(2, 5, 8)
    is_padding = torch.tensor([[False] * 5, [True] * 5])[:, None, :]

    def loss() -> Tensor:
        scores = (project(words) @ words.transpose(1, 2)).masked_fill(is_padding, -math.inf)
        return (scores.softmax(-1).masked_fill(is_padding, 0.0) @ words).square().mean()

    return gradviz.trace(loss)


def contrast_both_ways() -> GradGraph:
    images, texts = nn.Linear(10, 16), nn.Linear(12, 16)
    x, y = torch.randn(16, 10), torch.randn(16, 12)

    def loss() -> Tensor:
        alike = 10 * F.normalize(images(x), dim=1) @ F.normalize(texts(y), dim=1).T
        by_text = torch.eye(16) * alike.log_softmax(0)
        return -(alike.log_softmax(1).diag().mean() + by_text.sum() / 16) / 2

    return gradviz.trace(loss)


def iteration_to_a_fixed_point() -> GradGraph:
    step, read, x = nn.Linear(16, 16), nn.Linear(4, 16), torch.randn(8, 4)
    nn.init.orthogonal_(step.weight, gain=0.4)

    def loss() -> Tensor:
        state = torch.zeros(8, 16)
        for _ in range(50):
            state = torch.tanh(step(state) + read(x))
        return (state - 1).square().mean()

    return gradviz.trace(loss)


def gates_that_are_not_trained_yet() -> GradGraph:
    cell, head, x = nn.GRUCell(8, 16), nn.Linear(16, 2), torch.randn(80, 2, 8)

    def loss() -> Tensor:
        state = torch.zeros(2, 16)
        for word in x:
            state = cell(word, state)
        return F.cross_entropy(head(state), LABELS)

    return gradviz.trace(loss)


def branch_that_starts_next_to_nothing() -> GradGraph:
    stem, head, x = nn.Conv2d(3, 8, 4, stride=4), nn.Linear(8, 2), torch.randn(2, 3, 16, 16)
    blocks = [nn.Sequential(nn.Conv2d(8, 32, 1), nn.GELU(), nn.Conv2d(32, 8, 1)) for _ in range(2)]
    scales = [nn.Parameter(torch.full((8, 1, 1), 1e-6)) for _ in blocks]

    def loss() -> Tensor:
        h = stem(x)
        for block, scale in zip(blocks, scales, strict=True):
            h = h + scale * block(h)
        return F.cross_entropy(head(h.mean(dim=(2, 3))), LABELS)

    return gradviz.trace(loss)


def attention_that_is_still_uniform() -> GradGraph:
    query, key, value, out = (nn.Linear(32, 32, bias=False) for _ in range(4))
    for layer in (query, key, value, out):
        nn.init.normal_(layer.weight, std=2e-3)
    x, head = torch.randn(2, 8, 32), nn.Linear(32, 2)

    def loss() -> Tensor:
        weights = (query(x) @ key(x).transpose(1, 2) / 32**0.5).softmax(-1)
        return F.cross_entropy(head((x + out(weights @ value(x))).mean(1)), LABELS)

    return gradviz.trace(loss)


class Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        return -cotangent


class Spike(torch.autograd.Function):
    """A step with the derivative of a smooth one, as in spiking networks."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return (x > 0).float()

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return cotangent / (1 + (3 * x) ** 2)  # type: ignore[no-any-return]


def functions_for_the_sake_of_their_backward() -> GradGraph:
    features, head, x = nn.Linear(4, 8), nn.Linear(8, 2), torch.randn(2, 4)

    def loss() -> Tensor:
        h = features(x)
        return F.cross_entropy(head(Reversed.apply(h)), LABELS) + F.cross_entropy(head(Spike.apply(h)), LABELS)

    return gradviz.trace(loss)


def points_that_a_sampler_moves() -> GradGraph:
    energy, x = nn.Sequential(nn.Linear(2, 16), nn.SiLU(), nn.Linear(16, 1)), torch.randn(8, 2)

    def loss() -> Tensor:
        y = torch.randn(8, 2)
        for _ in range(2):
            y = y.detach().requires_grad_()
            (slope,) = torch.autograd.grad(energy(y).sum(), y)
            y = y - 0.1 * slope
        return energy(x).mean() - energy(y.detach()).mean()  # type: ignore[no-any-return]

    return gradviz.trace(loss)


def word_vectors_of_which_half_start_at_zero() -> GradGraph:
    center, around = nn.Embedding(50, 16), nn.Embedding(50, 16)
    nn.init.zeros_(around.weight)
    words = torch.randint(0, 50, (2, 32))
    return gradviz.trace(lambda: -F.logsigmoid((center(words[0]) * around(words[1])).sum(1)).mean())


def log_likelihood_of_one_sample() -> GradGraph:
    model, x = nn.Linear(4, 3), torch.randn(4)
    return gradviz.trace(lambda: model(x).log_softmax(0)[1])


def cost_of_what_a_policy_draws() -> GradGraph:
    policy, states, costs = nn.Linear(4, 3), torch.randn(64, 4), torch.rand(64)

    def loss() -> Tensor:
        choice = torch.distributions.Categorical(logits=policy(states))
        return (choice.log_prob(choice.sample()) * costs).mean()

    return gradviz.trace(loss)


def sum_with_itself_again_and_again() -> GradGraph:
    x = torch.randn(8, requires_grad=True)

    def loss() -> Tensor:
        y = x * 1e-6
        for _ in range(60):
            y = (y + y) / 2
        return y.sum()

    return gradviz.trace(loss)


class FirstLayerOfDETR(nn.Module):
    """A decoder layer whose queries are zero: only their positions tell them apart."""

    def __init__(self) -> None:
        super().__init__()
        self.positions, self.norm, self.head = nn.Parameter(torch.randn(1, 5, 8)), nn.LayerNorm(8), nn.Linear(8, 3)
        self.q, self.k, self.v, self.o = (nn.Linear(8, 8) for _ in range(4))
        self.cross = nn.MultiheadAttention(8, 2, batch_first=True)
        for layer in (self.q, self.k, self.v, self.o):
            nn.init.zeros_(layer.bias)

    def forward(self, memory: Tensor) -> Tensor:
        hidden = torch.zeros_like(self.positions).expand(len(memory), -1, -1)
        asked = hidden + self.positions
        mixed = F.scaled_dot_product_attention(self.q(asked), self.k(asked), self.v(hidden))
        hidden = self.norm(hidden + self.o(mixed))
        hidden = hidden + self.cross(hidden + self.positions, memory, memory, need_weights=False)[0]
        return self.head(hidden).flatten(0, 1)  # type: ignore[no-any-return]


def queries_of_zero() -> GradGraph:
    labels = torch.arange(10) % 3
    return gradviz.trace(FirstLayerOfDETR(), torch.randn(2, 7, 8), loss=lambda out: F.cross_entropy(out, labels))


def mask_tokens_of_zero() -> GradGraph:
    """Of a decoder of masked images: the loss asks for masked patches alone, whose tokens start at zero."""
    layers, head = nn.ModuleList(nn.Linear(8, 8) for _ in range(3)), nn.Linear(8, 8)
    for layer in layers:
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    token, seen = nn.Parameter(torch.zeros(1, 5, 8)), torch.randn(4, 3, 8)

    def loss() -> Tensor:
        h = torch.cat([seen, token.expand(4, -1, -1)], 1)
        answers = F.scaled_dot_product_attention(*(layer(h)[:, None] for layer in layers))[:, 0]
        return (head(h + answers)[:, 3:] - 1).square().mean()

    return gradviz.trace(loss)


def mask_multiplied_into_a_view() -> GradGraph:
    """The loss takes the first row alone, for which the mask leaves out these scores."""
    scores, mask = nn.Linear(4, 6), torch.ones(6)
    mask[0] = 0

    def loss(x: Tensor) -> Tensor:
        part = scores(x)[:, None]
        part *= mask
        return (x.sum(1) + part[:, 0, 0]).square().mean()

    return gradviz.trace(loss, torch.randn(5, 4, requires_grad=True))


def shifts_that_a_difference_takes_away() -> GradGraph:
    """What comes back to the shifts of two samples, of which the loss takes the difference, is exactly opposite."""
    norm, layer, shift = nn.BatchNorm1d(4), nn.Linear(4, 8), nn.Parameter(torch.zeros(8))

    def loss(x: Tensor) -> Tensor:
        one, other = torch.tanh(layer(x)) + shift + norm(x).repeat(1, 2)
        return (one - other).square().sum()

    return gradviz.trace(loss, torch.randn(2, 4))


def gate_computed_by_a_layer_of_zeros() -> GradGraph:
    condition, gate, branch, head = nn.Linear(2, 8), nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 3)
    nn.init.zeros_(gate.weight)
    nn.init.zeros_(gate.bias)
    x, t, labels = torch.randn(12, 8), torch.randn(12, 2), torch.arange(12) % 3
    return gradviz.trace(lambda: F.cross_entropy(head(x + gate(F.silu(condition(t))) * branch(x).tanh()), labels))


def branch_and_head_of_zeros() -> GradGraph:
    first, branch, head = nn.Linear(6, 8), nn.Linear(8, 8, bias=False), nn.Linear(8, 3)
    nn.init.zeros_(branch.weight)
    nn.init.zeros_(head.weight)
    x, labels = torch.randn(12, 6), torch.arange(12) % 3

    def loss() -> Tensor:
        hidden = first(x)
        return F.cross_entropy(head(F.relu(hidden + branch(F.relu(hidden)))), labels)

    return gradviz.trace(loss)


def rates_of_a_state_space_with_short_steps() -> GradGraph:
    logarithm, enter, head = nn.Parameter(torch.rand(8, 4)), nn.Linear(8, 8), nn.Linear(8, 3)
    x, labels = torch.randn(4, 5, 8), torch.arange(4) % 3

    def loss() -> Tensor:
        driven = enter(x)
        step = F.softplus(driven - 18)
        state = torch.zeros(4, 8, 4)
        for time in range(5):
            kept = torch.exp(step[:, time, :, None] * -torch.exp(logarithm))
            state = kept * state + driven[:, time, :, None]
        return F.cross_entropy(head(state.sum(2)), labels)

    return gradviz.trace(loss)


def exponentials_below_their_maximum() -> GradGraph:
    layer, other, x = nn.Linear(4, 6), nn.Linear(4, 6), torch.randn(64, 4)

    def loss() -> Tensor:
        key = layer(x)
        largest = torch.maximum(other(x), key + 1)
        return (key * torch.exp(key + 1 - largest)).square().mean()

    return gradviz.trace(loss)


ODD: list[Callable[[], GradGraph]] = [
    *(layer_as_wide_as_the_batch, normalised_weight, larger_of_two),
    *(sparse_matrix, complex_numbers, empty_and_scalar),
    *(gradient_penalty_alone, opacity_of_empty_space),
    points_that_are_a_view,
    *(points_of_a_gradient_penalty, zero_layers_around_a_copy, triplets, empty_rows_set_to_zero, contrast_both_ways),
    *(functions_for_the_sake_of_their_backward, points_that_a_sampler_moves, word_vectors_of_which_half_start_at_zero),
    *(sum_with_itself_again_and_again, log_likelihood_of_one_sample),
    *(branch_that_starts_next_to_nothing, attention_that_is_still_uniform),
    *(queries_of_zero, mask_tokens_of_zero, mask_multiplied_into_a_view, shifts_that_a_difference_takes_away),
    *(gate_computed_by_a_layer_of_zeros, branch_and_head_of_zeros),
    *(rates_of_a_state_space_with_short_steps, exponentials_below_their_maximum),
    *(iteration_to_a_fixed_point, gates_that_are_not_trained_yet, cost_of_what_a_policy_draws),
]


@pytest.mark.parametrize("make", ODD, ids=lambda make: make.__name__)
def test_code_that_looks_odd_and_is_meant_gives_no_finding(make: Callable[[], GradGraph]) -> None:
    torch.manual_seed(0)
    assert make().diagnose() == []
