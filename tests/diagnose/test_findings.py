"""What single findings say: numbers written out, one finding per cause, silence where something is meant."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gradviz
from gradviz.diagnose import Finding


def kinds(diagnosis: list[Finding]) -> list[str]:
    return [finding.kind for finding in diagnosis]


@pytest.mark.parametrize(
    ("limit", "op"),
    [
        (lambda loss: torch.clamp(loss + 5, max=1.0), "clamp"),
        (lambda loss: torch.minimum(loss + 5, torch.ones(())), "minimum"),
    ],
)
def test_a_limit_that_lets_no_gradient_through_at_all_is_told(limit: Callable[[Tensor], Tensor], op: str) -> None:
    torch.manual_seed(0)
    model, inputs = nn.Linear(4, 1), torch.randn(3, 4)
    (finding,) = gradviz.trace(lambda: limit(model(inputs).square().mean())).diagnose()
    assert finding.kind == "zero-gradient" and finding.message.startswith("no leaf gets any gradient")
    assert f"({op})" in finding.message and finding.numbers["leaves with a zero gradient"] == 2


def test_zero_gradient_is_told_at_the_part_that_nobody_uses_and_not_of_what_is_zero_elsewhere() -> None:
    torch.manual_seed(0)
    first, heads, pairs = nn.Linear(4, 4), nn.ModuleList(nn.Linear(4, 1) for _ in range(3)), nn.Parameter(torch.zeros(4))
    scale = nn.Parameter(torch.ones(1))

    def loss(x: Tensor) -> Tensor:
        h = first(x) + (pairs * 0).sum() * scale
        return torch.stack([head(h) for head in heads])[1:].square().mean()

    (finding,) = gradviz.trace(loss, torch.randn(5, 4)).diagnose()
    assert finding.kind == "zero-gradient" and finding.numbers["leaves with a zero gradient"] == 2
    assert "0.weight" in finding.message and "pairs" not in finding.message and "the other parts are used" in finding.hint


def test_lookups_of_padding_alone_are_told_as_that() -> None:
    table = nn.Embedding(2, 3, padding_idx=0)
    nn.init.ones_(table.weight)
    graph = gradviz.trace(lambda: table(torch.zeros(4, dtype=torch.long)).square().mean())
    assert "every index that is looked up is padding_idx" in graph.diagnose()[0].hint


def test_attention_to_a_single_position_is_told_as_that() -> None:
    torch.manual_seed(0)
    layers, x = nn.ModuleList(nn.Linear(4, 4) for _ in range(3)), torch.randn(2, 1, 1, 4)
    graph = gradviz.trace(lambda: F.scaled_dot_product_attention(*(layer(x) for layer in layers)).square().mean())
    (query, key) = graph.diagnose()
    assert query.kind == key.kind == "zero-gradient"
    assert "0.weight" in query.message and "attention to a single position" in query.hint
    assert "1.weight" in key.message and "attention to a single position" in key.hint


def test_zero_times_infinity_is_written_out() -> None:
    x = torch.tensor([1.0, 0.0], requires_grad=True)
    (finding,) = gradviz.trace(lambda: torch.where(x > 0, x.sqrt(), x).sum()).diagnose()
    assert finding.kind == "not-finite-gradient"
    assert "0 × ∞ = NaN" in finding.message and "x" in finding.message
    assert finding.numbers["upstream"] == 0 and finding.numbers["local partial"] == math.inf
    assert finding.numbers["value there"] == 0 and finding.numbers["NaN"] == 1


def test_nan_that_is_masked_again_is_told_with_its_mask_and_with_the_gradient_it_still_reaches() -> None:
    x = torch.tensor([1.0, -1.0], requires_grad=True)

    def loss() -> Tensor:
        root = (x * 1.0).sqrt()
        return root[:1].sum()

    gradient, masked = gradviz.trace(loss).diagnose()
    assert gradient.kind == "not-finite-gradient" and "0 × NaN = NaN" in gradient.message
    assert (masked.kind, masked.severity) == ("masked-nan", "hint")
    assert "masked again by slice" in masked.message


def test_nan_in_the_output_names_the_first_call_and_its_operands() -> None:
    x = torch.tensor([2.0, 0.0], requires_grad=True)
    y = torch.tensor([1.0, 0.0], requires_grad=True)
    first, *_ = gradviz.trace(lambda: (y / x).exp().sum()).diagnose()
    assert first.kind == "not-finite-value" and "div" in first.message
    assert first.numbers["y there"] == 0 and first.numbers["x there"] == 0


def test_parameters_behind_one_cut_are_one_finding() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    head = nn.Linear(4, 1)

    def loss() -> Tensor:
        return head((100 * model(torch.ones(8, 4))).long().float()).mean()

    (finding,) = gradviz.trace(loss).diagnose()
    assert finding.kind == "integer-cast" and finding.numbers["leaves without gradient"] == 4


def test_a_whole_module_that_is_detached_is_meant_and_a_part_of_one_is_not() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.first(x).detach())  # type: ignore[no-any-return]

    first, second = nn.Linear(3, 3), nn.Linear(3, 1)
    x = torch.randn(4, 3)
    assert gradviz.trace(lambda: second(first(x).detach()).mean()).diagnose() == []
    assert kinds(gradviz.trace(Two(), x, loss=lambda out: out.mean()).diagnose()) == ["detached"]


def test_a_whole_module_is_not_meant_to_be_cut_off_where_its_optimizer_trains_it_with_others(tmp_path: Path) -> None:
    encoder, head, x = nn.Linear(3, 3), nn.Linear(3, 1), torch.randn(4, 3)

    def step() -> Tensor:
        with torch.no_grad():
            features = encoder(x)
        return head(features).square().mean()  # type: ignore[no-any-return]

    apart = torch.optim.SGD(encoder.parameters())
    assert gradviz.trace(step).diagnose() == []
    del apart
    both = torch.optim.SGD([*encoder.parameters(), *head.parameters()])
    graph = gradviz.trace(step)
    (finding,) = graph.diagnose()
    assert finding.kind == "no-grad" and finding.numbers["leaves without gradient"] == 2
    assert finding.message.endswith("both holds them together with parameters that learn")
    graph.save(tmp_path / "step.gradviz")
    assert gradviz.load(tmp_path / "step.gradviz").diagnose() == [finding]
    del both


def test_vanishing_gradient_names_modules_and_edges() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(*[layer for _ in range(14) for layer in (nn.Linear(8, 8), nn.Sigmoid())])
    (finding,) = gradviz.trace(model, torch.randn(16, 8), loss=lambda out: out.square().mean()).diagnose()
    gradients = gradviz.trace(model, torch.randn(16, 8), loss=lambda out: out.square().mean()).gradients()
    assert finding.kind == "vanishing-gradient" and "0.weight" in finding.message and gradients["0.weight"] is not None
    gains = {name: value for name, value in finding.numbers.items() if name.startswith("gain of ")}
    assert len(gains) == 6 and all(isinstance(gain, float) and 0 < gain < 0.5 for gain in gains.values())


def test_dead_units_of_a_convolution_are_its_channels() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(1))
    nn.init.constant_(model[0].bias, -100.0)
    (finding,) = gradviz.trace(model, torch.randn(4, 1, 6, 6), loss=lambda out: out.square().mean()).diagnose()
    assert finding.kind == "dead-relu" and finding.numbers["units"] == 6 and finding.numbers["dead units"] == 6


@pytest.mark.parametrize(("samples", "severity"), [(1, "hint"), (7, "hint"), (8, "warning")])
def test_units_that_are_zero_for_a_few_samples_are_not_called_dead(samples: int, severity: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    nn.init.constant_(model[0].bias, -100.0)
    found = gradviz.trace(model, torch.randn(samples, 3), loss=lambda out: out.square().mean()).diagnose()
    (finding,) = (one for one in found if one.kind == "dead-relu")
    assert finding.severity == severity and ("cannot recover" in finding.message) == (severity == "warning")
    assert finding.numbers["numbers of each unit"] == samples


def test_ops_that_are_not_deterministic_are_told_on_cuda_only() -> None:
    x = torch.randn(4, requires_grad=True)
    index = torch.tensor([0, 0, 1, 1])
    graph = gradviz.trace(lambda: torch.zeros(2).index_add(0, index, x).square().mean())
    assert graph.diagnose() == []
    for node in graph:
        graph.nodes[node]["device"] = torch.device("cuda")
    (finding,) = graph.diagnose()
    assert finding.kind == "not-deterministic" and "index_add" in finding.message


def test_forgotten_zero_grad_tells_both_norms() -> None:
    model = nn.Linear(2, 1, bias=False)
    x = torch.tensor([[3.0, 4.0]])
    model(x).sum().backward()
    (finding,) = gradviz.trace(model, x, loss=lambda out: 2 * out.mean()).diagnose()
    assert finding.numbers["largest norm before, at least"] == 5 and finding.numbers["norm of this step's"] == 10


def test_forgotten_zero_grad_of_a_large_leaf_is_told_by_its_first_rows_that_are_not_zero() -> None:
    table = torch.zeros(4096, 64, requires_grad=True)
    table.grad = torch.zeros(4096, 64)
    table.grad[2047:] = 0.5
    (finding,) = gradviz.trace(lambda: (table * 2).mean()).diagnose()
    assert finding.numbers["largest norm before, at least"] == 4  # of rows 0 to 2047, of which one is not 0
    table.grad.zero_()
    assert gradviz.trace(lambda: (table * 2).mean()).diagnose() == []


def test_gradient_of_zeros_from_before_is_no_finding() -> None:
    model = nn.Linear(2, 1)
    model(torch.ones(1, 2)).sum().backward()
    model.zero_grad(set_to_none=False)
    assert gradviz.trace(model, torch.ones(1, 2), loss=lambda out: out.mean()).diagnose() == []


def test_pairs_written_as_column_and_row_are_meant() -> None:
    w = torch.randn(8, requires_grad=True)
    assert gradviz.trace(lambda: (w[:, None] - w[None, :]).square().mean()).diagnose() == []


def test_frozen_batch_norm_with_statistics_is_no_finding() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    model(torch.randn(16, 3))
    assert gradviz.trace(model.eval(), torch.randn(16, 3), loss=lambda out: out.square().mean()).diagnose() == []


def test_logits_of_an_attention_mask_do_not_saturate_its_softmax() -> None:
    scores = torch.randn(6, 6, requires_grad=True)
    mask = torch.ones(6, 6).triu(1).bool()
    graph = gradviz.trace(lambda: (scores.masked_fill(mask, -math.inf).softmax(1) @ torch.randn(6, 3)).square().mean())
    assert graph.diagnose() == []


def test_division_by_zero_tells_the_zeros_below_it_where_it_is_broadcast() -> None:
    x = torch.zeros(3, 2, requires_grad=True)
    degree = torch.tensor([[2.0], [0.0], [0.0]])
    first, *_ = gradviz.trace(lambda: (x / degree).sum()).diagnose()
    assert first.numbers["x there"] == 0 and first.numbers["degree there"] == 0
    assert first.numbers["zeros in degree"] == 2


@pytest.mark.parametrize(("in_place", "told"), [(False, True), (True, False)])
def test_call_whose_result_is_dropped_is_told_from_its_twin_in_place(in_place: bool, told: bool) -> None:
    torch.manual_seed(0)
    model = nn.ModuleDict({"lost": nn.Linear(2, 2), "used": nn.Linear(2, 1)})
    x, rows = torch.randn(3, 2), torch.tensor([0, 1, 2])

    def loss() -> Tensor:
        total = torch.zeros(3, 2)
        message = model["lost"](x)
        if in_place:
            total.index_add_(0, rows, message)
        else:
            total.index_add(0, rows, message)
        return model["used"](x).square().mean()

    (finding,) = gradviz.trace(loss).diagnose()
    assert ("index_add is not in place" in finding.hint) is told


@pytest.mark.parametrize(
    ("logits", "is_told"),
    [
        (lambda out: out.permute(0, 2, 3, 1).reshape(-1, 4), False),
        (lambda out: out.reshape(-1, 4), True),
        (lambda out: out.flatten(2), False),
        (lambda out: out.reshape(2, 8, 8, 4).permute(0, 3, 1, 2), False),  # hidden behind a permute: not looked for
    ],
)
def test_reshape_that_mixes_channels_and_places_is_told(logits: Callable[[Tensor], Tensor], is_told: bool) -> None:
    torch.manual_seed(0)
    model, images, labels = nn.Conv2d(3, 4, 1), torch.randn(2, 3, 8, 8), torch.randint(0, 4, (2, 8, 8))

    def loss() -> Tensor:
        out = logits(model(images))
        return F.cross_entropy(out, labels.reshape(out.movedim(1, -1).shape[:-1]))

    assert ("reshaped-classes" in kinds(gradviz.trace(loss).diagnose())) is is_told


def test_reshape_behind_a_bias_that_is_added_apart_is_told() -> None:
    torch.manual_seed(0)
    layer, x, labels = nn.Linear(3, 5), torch.randn(4, 2, 3).transpose(0, 1), torch.randint(0, 5, (2, 4))
    graph = gradviz.trace(lambda: F.cross_entropy((x @ layer.weight.T + layer.bias).reshape(2, 5, 4), labels))
    assert kinds(graph.diagnose()) == ["reshaped-classes"]

