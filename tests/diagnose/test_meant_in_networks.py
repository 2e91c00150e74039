"""Networks as people build them, whose odd parts are meant, give no finding: each was a false alarm on a healthy model."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gradviz
from gradviz import GradGraph


def residual_branch_whose_batch_norm_starts_at_zero() -> GradGraph:
    enter, branch, norm, head = nn.Linear(4, 8), nn.Linear(8, 8, bias=False), nn.BatchNorm1d(8), nn.Linear(8, 2)
    nn.init.zeros_(norm.weight)
    x, labels = torch.randn(8, 4), torch.arange(8) % 2

    def loss() -> Tensor:
        hidden = F.relu(enter(x))
        return F.cross_entropy(head(hidden + norm(branch(hidden))), labels)

    return gradviz.trace(loss)


def second_derivatives_by_torch() -> GradGraph:
    """`torch.autograd.functional` makes a leaf of the point, and views of it."""
    energy, at = nn.Sequential(nn.Linear(2, 8), nn.Softplus(), nn.Linear(8, 1)), torch.randn(2)

    def total(point: Tensor) -> Tensor:
        return energy(point).sum()  # type: ignore[no-any-return]

    def loss() -> Tensor:
        hessian = torch.autograd.functional.hessian(total, at, create_graph=True)
        return (hessian - torch.eye(2)).square().mean()

    return gradviz.trace(loss)


def decays_between_all_places_of_a_padded_sequence() -> GradGraph:
    """Linear attention in chunks: where the padding adds nothing to the decay, the difference of two places is exactly 0."""
    layer, values = nn.Linear(4, 1), nn.Linear(4, 3)
    x, target = torch.randn(2, 6, 4), torch.randn(2, 6, 3)

    def loss() -> Tensor:
        decay = F.pad(-F.softplus(layer(x)[..., 0]) * 50, (0, 26)).cumsum(1)
        between = (decay[:, :, None] - decay[:, None]).masked_fill(torch.ones(32, 32).triu(1) > 0, -torch.inf).exp()
        return F.mse_loss((between @ F.pad(values(x), (0, 0, 0, 26)))[:, :6], target)

    return gradviz.trace(loss)


def transport_between_two_sets_of_points() -> GradGraph:
    """Sinkhorn: potentials of rows and columns are paired on purpose, as the costs are, and the plan is a weighted mean."""
    layer, x, y = nn.Linear(2, 2), torch.randn(8, 2), torch.randn(8, 2)

    def loss() -> Tensor:
        costs = torch.cdist(layer(x), y).square()
        rows, columns = torch.zeros(8), torch.zeros(8)
        for _ in range(3):
            rows = -torch.logsumexp(columns - costs, 1)
            columns = -torch.logsumexp(rows[:, None] - costs, 0)
        plan = torch.exp(rows[:, None] + columns - costs) / 8
        return (plan * costs).sum()

    return gradviz.trace(loss)


def gate_of_experts_that_start_as_copies() -> GradGraph:
    """The weights of the gate, which add up to 1, change nothing yet: its gradient is rounding alone."""
    enter, gate, expert, head = nn.Linear(4, 8), nn.Linear(8, 2), nn.Linear(8, 8), nn.Linear(8, 2)
    between = nn.Linear(8, 8)
    nn.init.orthogonal_(between.weight, 8.0)
    other = copy.deepcopy(expert)
    x, labels = torch.randn(8, 4), torch.arange(8) % 2

    def loss() -> Tensor:
        hidden = F.relu(between(F.relu(enter(x))))
        weights = gate(hidden).softmax(1)
        return F.cross_entropy(head(weights[:, :1] * expert(hidden) + weights[:, 1:] * other(hidden)), labels)

    return gradviz.trace(loss)


def places_that_only_an_attention_reads_that_is_still_uniform() -> GradGraph:
    """RT-DETR: queries and keys alone get the embedding of a place, and all places are alike to them at the start."""
    place, query, key, value, out = (nn.Linear(32, 32, bias=False) for _ in range(5))
    for layer in (query, key, value, out):
        nn.init.normal_(layer.weight, std=2e-4)
    x, at, head = torch.randn(2, 8, 32), torch.randn(2, 8, 32), nn.Linear(32, 2)

    def loss() -> Tensor:
        where = x + place(at)
        answers = F.scaled_dot_product_attention(*(part[:, None] for part in (query(where), key(where), value(x))))
        return F.cross_entropy(head((x + out(answers[:, 0])).mean(1)), torch.tensor([0, 1]))

    return gradviz.trace(loss)


def actor_beside_a_temperature_with_a_loss_of_its_own() -> GradGraph:
    """As in soft actor-critic: the temperature, one number, weights the entropy, and another loss moves it."""
    actor, critic = nn.Linear(8, 4), nn.Linear(10, 1)
    log_temperature = torch.zeros(1, requires_grad=True)
    rates = torch.optim.Adam([log_temperature], lr=1e-3), torch.optim.Adam(actor.parameters(), lr=1e-3)
    states = torch.randn(32, 8)

    def loss() -> Tensor:
        assert rates
        mean, spread = actor(states).chunk(2, -1)
        drawn = torch.distributions.Normal(mean, spread.exp())
        actions = drawn.rsample()
        weighted = log_temperature.exp().detach() * drawn.log_prob(actions).sum(-1, keepdim=True)
        return (weighted - critic(torch.cat([states, actions], -1))).mean()

    return gradviz.trace(loss)


def boxes_within_the_boxes_that_they_are_to_be() -> GradGraph:
    """Generalized IoU: what the hull of two boxes has more than both is 0 to rounding where one lies in the other."""
    layer, x, goal = nn.Linear(4, 2), torch.randn(8, 4), torch.tensor([0.05, 0.1, 0.93, 0.87])

    def loss() -> Tensor:
        sides = 0.3 + 0.2 * layer(x).sigmoid()
        boxes = torch.cat([0.5 - sides / 2, 0.5 + sides / 2], 1)
        low, high = torch.max(boxes[:, :2], goal[:2]), torch.min(boxes[:, 2:], goal[2:])
        inter = (high - low).clamp(min=0).prod(1)
        union = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (goal[2:] - goal[:2]).prod() - inter
        hull = (torch.max(boxes[:, 2:], goal[2:]) - torch.min(boxes[:, :2], goal[:2])).prod(1)
        return (1 - (inter / union - (hull - union) / hull)).mean()

    return gradviz.trace(loss)


@pytest.mark.parametrize(
    "make",
    [
        actor_beside_a_temperature_with_a_loss_of_its_own,
        boxes_within_the_boxes_that_they_are_to_be,
        places_that_only_an_attention_reads_that_is_still_uniform,
        residual_branch_whose_batch_norm_starts_at_zero,
        second_derivatives_by_torch,
        decays_between_all_places_of_a_padded_sequence,
        transport_between_two_sets_of_points,
        gate_of_experts_that_start_as_copies,
    ],
    ids=lambda make: make.__name__,
)
def test_network_that_is_meant_so_gives_no_finding(make: Callable[[], GradGraph]) -> None:
    torch.manual_seed(0)
    assert make().diagnose() == []


@pytest.fixture
def memory_that_holds_nan() -> Iterator[None]:
    """What `torch.empty` hands out may hold NaN; here it surely does."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def filled_in_parts(*, whole: bool) -> GradGraph:
    one, other, x = nn.Linear(4, 3), nn.Linear(4, 2), torch.randn(6, 4)

    def loss() -> Tensor:
        joined = torch.empty(6, 6)
        joined[:, :3] = one(x)
        joined[:, 3:5] = other(x)
        if whole:
            joined[:, 5:] = 1
        return joined.square().mean()

    return gradviz.trace(loss)


@pytest.mark.usefixtures("memory_that_holds_nan")
def test_memory_that_is_filled_part_by_part_is_no_nan() -> None:
    graph = filled_in_parts(whole=True)
    assert graph.diagnose() == []
    assert {edge.verdict for edge in graph.check().edges} == {"match"}


@pytest.mark.usefixtures("memory_that_holds_nan")
def test_memory_that_is_never_filled_is_told_where_it_reaches_the_loss() -> None:
    assert "not-finite-value" in [finding.kind for finding in filled_in_parts(whole=False).diagnose()]


def test_mean_over_the_batch_written_as_a_sum_is_a_mean() -> None:
    layer, x, weights = nn.Linear(4, 1), torch.randn(16, 4), torch.rand(16, 1)
    ways: list[Callable[[Tensor], Tensor]] = [
        lambda out: (out.square() / 16).sum(),
        lambda out: (out.square() * (1 / 16)).sum(),
        lambda out: (weights / weights.sum() * out.square()).sum(),
    ]
    assert [gradviz.trace(layer, x, loss=way).diagnose() for way in ways] == [[], [], []]
    doubled = gradviz.trace(layer, x, loss=lambda out: (weights * out.square()).sum()).diagnose()
    assert [finding.kind for finding in doubled] == ["sum-reduction"]


@pytest.mark.parametrize(("is_drawn", "told"), [(True, []), (False, ["sum-reduction"])])
def test_sum_over_the_steps_of_an_episode_is_that_of_a_policy(is_drawn: bool, told: list[str]) -> None:
    policy, states, returns = nn.Linear(4, 2), torch.randn(10, 1, 4), torch.linspace(2, -1, 10)
    given = torch.randint(0, 2, (10, 1))

    def loss() -> Tensor:
        terms = []
        for state, given_action, value in zip(states, given, returns, strict=True):
            choice = torch.distributions.Categorical(logits=policy(state))
            terms.append(-choice.log_prob(choice.sample() if is_drawn else given_action) * value)
        return torch.cat(terms).sum()

    assert [finding.kind for finding in gradviz.trace(loss).diagnose()] == told


def test_a_temperature_that_shares_the_optimizer_of_what_learns_is_told() -> None:
    torch.manual_seed(0)
    model, log_temperature, x = nn.Linear(8, 4), torch.zeros(1, requires_grad=True), torch.randn(16, 8)
    optimizer = torch.optim.Adam([*model.parameters(), log_temperature])

    def loss() -> Tensor:
        assert optimizer
        return (log_temperature.exp().detach() * model(x)).square().mean()

    (finding,) = gradviz.trace(loss).diagnose()
    assert finding.kind == "detached" and "no gradient reaches log_temperature" in finding.message
