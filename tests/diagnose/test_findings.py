"""What single findings say: numbers written out, one finding per cause, silence where something is meant, the report."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn
from torch.nn import functional as F

import gradviz
from gradviz.cli.command import main
from gradviz.diagnose import Diagnosis, Finding
from gradviz.diagnose.finding import found
from gradviz.target import graph_of_target

BUGS = Path(__file__).parent.parent.parent / "examples" / "bugs"


def kinds(diagnosis: list[Finding]) -> list[str]:
    return [finding.kind for finding in diagnosis]


def a_finding(**fields: object) -> Finding:
    return Finding(**({"kind": "kind", "severity": "hint", "message": "what", "hint": "how"} | fields))  # type: ignore[arg-type]


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


def test_functions_that_are_written_for_their_backward_are_not_asked() -> None:
    asked = []

    class Rounded(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.round()

        @staticmethod
        def backward(ctx: Any, cotangent: Tensor) -> Tensor:
            asked.append(cotangent)
            return cotangent

    graph = gradviz.trace(lambda x: Rounded.apply(x).square().sum(), torch.randn(4, requires_grad=True))
    assert graph.diagnose() == [] and len(asked) == 1


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


def test_loaded_graph_says_that_nobody_asked_its_custom_functions(tmp_path: Path) -> None:
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx: Any, cotangent: Tensor) -> Tensor:
            return 3 * cotangent * ctx.saved_tensors[0]

    graph = gradviz.trace(lambda x: Square.apply(x).sum(), torch.ones(3, requires_grad=True))
    graph.save(tmp_path / "square.gradviz")
    loaded = gradviz.load(tmp_path / "square.gradviz").diagnose()
    assert kinds(graph.diagnose()) == ["wrong-backward"] and graph.diagnose().unchecked == ""
    (told,) = loaded
    assert (told.kind, told.severity, told.source) == ("not-checked", "hint", graph.nodes[graph.node("a")]["source"])
    assert "the backward of Square was not checked: a loaded graph has no autograd nodes" in told.message
    assert loaded.summary == "1 hint." and str(loaded).count("not checked") == 1
    assert loaded.to_dict()["unchecked"] == loaded.unchecked and "loaded" in loaded.unchecked


def test_loaded_graph_says_in_its_findings_what_its_elements_would_tell(tmp_path: Path) -> None:
    torch.manual_seed(0)
    x = torch.randn(20, 20, dtype=torch.float64, requires_grad=True)
    graph = gradviz.trace(lambda x: (torch.log(torch.softmax(x @ x.T, -1)) * x).mean(), x, values="statistics")
    graph.save(tmp_path / "kept.gradviz")
    traced, loaded = graph.diagnose(), gradviz.load(tmp_path / "kept.gradviz").diagnose()
    assert traced.unread and "Not looked for in all of the graph" in traced.summary
    told = [one for one in loaded if one.kind == "not-checked"]
    assert len(told) == 1 and ", ".join(loaded.unread) in told[0].message
    assert str(loaded).lower().count("not looked for") == 1


def test_a_loaded_graph_says_nothing_of_functions_that_are_there_for_their_backward(tmp_path: Path) -> None:
    class Straight(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.round()

        @staticmethod
        def backward(ctx: Any, cotangent: Tensor) -> Tensor:
            return cotangent

    graph = gradviz.trace(lambda x: Straight.apply(x * 2).square().sum(), torch.randn(3, requires_grad=True))
    graph.save(tmp_path / "straight.gradviz")
    assert graph.diagnose() == gradviz.load(tmp_path / "straight.gradviz").diagnose() == []


def test_writes_to_views_are_torchs_own_and_nobody_is_to_check_them(tmp_path: Path) -> None:
    def loss(x: Tensor) -> Tensor:
        y = x * 2
        y[0] = x[1]
        return y.square().sum()

    graph = gradviz.trace(loss, torch.ones(3, requires_grad=True))
    assert "copy_slices" in {op for _, op in graph.nodes(data="op")}
    graph.save(tmp_path / "written.gradviz")
    assert gradviz.load(tmp_path / "written.gradviz").diagnose().unchecked == ""


def test_wrong_edge_of_a_report_is_told_for_any_op() -> None:
    graph = gradviz.trace("sin(x)", x=0.5, device="cpu")
    report = graph.check()
    assert graph.diagnose(report=report) == []


class Gated(torch.autograd.Function):
    """x × (x > 0), whose backward forgets the mask."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * (x > 0)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        return cotangent


def test_wrong_backward_of_a_function_that_multiplies_by_a_step_is_told() -> None:
    x = torch.tensor([1.0, -2.0, 3.0], requires_grad=True)
    (finding,) = gradviz.trace(lambda: Gated.apply(x * 2).square().sum()).diagnose()
    assert finding.kind == "wrong-backward" and "Gated" in finding.message
    assert "graph.diagnose(report=graph.check(intended=['Gated']))" in finding.hint


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


def test_report_is_worst_first_and_ends_with_a_count() -> None:
    hint, error = a_finding(), a_finding(severity="error", kind="bad", source="train.py:3", numbers={"share": 0.25})
    diagnosis = Diagnosis([hint, error, hint])
    assert [finding.severity for finding in diagnosis] == ["error", "hint", "hint"]
    assert str(diagnosis).startswith("error bad at train.py:3: what\n  numbers: share 0.25\n  do: how")
    assert diagnosis.summary == "1 error, 2 hints." and not diagnosis.ok and Diagnosis([hint]).ok
    assert str(Diagnosis([])) == "Nothing found."


def test_a_leaf_without_a_line_takes_that_of_its_first_use() -> None:
    graph = gradviz.trace(lambda x: x * 2.0, 3.0)
    line = graph.nodes[graph.output]["source"]
    assert line and found(graph, "kind", "hint", "what", "how", node=graph.node("x")).source == line


def test_numbers_that_are_not_finite_are_texts_in_json() -> None:
    assert a_finding(numbers={"a": math.inf, "b": 2}).to_dict()["numbers"] == {"a": "inf", "b": 2}


def test_saved_graph_is_diagnosed_too(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 4), nn.Softmax(1))
    graph = gradviz.trace(model, torch.randn(8, 2), loss=lambda out: F.cross_entropy(out, torch.zeros(8, dtype=torch.long)))
    graph.save(tmp_path / "run.gradviz")
    again = gradviz.load(tmp_path / "run.gradviz").diagnose()
    assert again == graph.diagnose() and kinds(again) == ["double-softmax"]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exploding_rnn", r"grows \d.* × per step over the 40 uses of .*weight_hh by the calls of"),
        ("forgetting_rnn", r"shrinks to 0\.\d+ × per step over the 60 uses .* add less than the rounding"),
        ("only_the_regulariser", r"only through a cut: detach from .*regulariser"),
        ("masked_row", r"row \(2, 0\) of its argument is −∞ everywhere"),
        ("all_labels_ignored", "all 22 targets are ignore_index"),
        ("angle_of_parallel_vectors", "acos is defined from −1 to 1"),
        ("spread_of_one_row", "each std is of 1 element"),
        ("overflowing_rnn", r"grown \d.* × at each of \d\d matrix products"),
        ("kl_of_a_logarithm", "pass log_target=True"),
        ("kl_of_probabilities", "kl_div takes log-probabilities.* they are probabilities already"),
        ("nll_of_logits", "nll_loss takes log-probabilities.* no logarithms of probabilities.* use cross_entropy"),
        ("softmax_over_the_batch", r"log_softmax\(..., dim=0\) .* the 3 classes of nll_loss are along dimension 1"),
        ("zero_initialisation", "3 weights are zero, and feed one another"),
        ("constant_initialisation", "the 16 units of 0.weight start alike"),
        ("huge_logits", r"nll_loss: \d+% of the answers are sure .* where guessing has 1.61"),
        ("sampled_latent", r"z is drawn from .* under no_grad.*\.rsample\(\)"),
        ("old_policy_not_detached", "the contributions of the 2 uses of .* add up to 0"),
        ("dead_gelu", "64 of 64 units .* gelu is flat"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*degrees of freedom is <= 0")
def test_first_finding_names_the_cause(script: str, said: str) -> None:
    finding = graph_of_target(f"{BUGS / script}.py:broken", at=[], device="cpu").diagnose()[0]
    assert re.search(said, f"{finding.message} {finding.hint}")


@pytest.mark.parametrize(("function", "code"), [("broken", 1), ("healthy", 0)])
def test_command_ends_with_1_after_an_error(function: str, code: int) -> None:
    result = CliRunner().invoke(main, ["diagnose", f"{BUGS / 'integer_cast.py'}:{function}", "--json"])
    document = json.loads(result.stdout)
    assert result.exit_code == code and document["schema"] == 1 and document["ok"] == (code == 0)
    assert [finding["kind"] for finding in document["findings"]] == ["integer-cast"] * code


def test_command_prints_the_report_and_a_warning_ends_it_with_0() -> None:
    result = CliRunner().invoke(main, ["diagnose", f"{BUGS / 'dead_relu.py'}:broken"])
    assert result.exit_code == 0 and "warning dead-relu in 1: 64 of 64 units" in result.stdout
    assert CliRunner().invoke(main, ["diagnose", "nowhere.py:step"]).exit_code == 2


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


class Quantized(torch.autograd.Function):
    """Rounds to steps that it measures off its argument; straight through going back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        scale = x.abs().max() / 7
        return torch.round(x / scale) * scale

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        return cotangent


class Largest(torch.autograd.Function):
    """1 at the largest elements, which it finds by their places."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.zeros_like(x).scatter_(0, x.topk(2).indices, 1.0)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        return cotangent


class Coin(torch.autograd.Function):
    """A random bit, straight through."""

    @staticmethod
    def forward(ctx: Any, p: Tensor) -> Tensor:
        return torch.bernoulli(p)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        return cotangent


class TimesRounded(torch.autograd.Function):
    """x × round(2x), whose backward forgets the factor."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * torch.round(2 * x)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        return cotangent


@pytest.mark.parametrize(
    ("function", "told"), [(Quantized, []), (Largest, []), (Coin, []), (TimesRounded, ["wrong-backward"])]
)
def test_a_backward_that_goes_straight_through_what_only_jumps_is_meant(function: Any, told: list[str]) -> None:
    torch.manual_seed(0)
    x = torch.rand(6, requires_grad=True)
    assert kinds(gradviz.trace(lambda x: (function.apply(x.sin()) * x).sum(), x).diagnose()) == told


class Marked(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        doubled = x * 2
        ctx.mark_non_differentiable(doubled)
        return doubled

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:
        return cotangent * 2


def test_a_result_that_a_function_marks_as_not_differentiable_is_told_as_that() -> None:
    x, w = (torch.rand(3, requires_grad=True) for _ in range(2))
    (finding,) = gradviz.trace(lambda x, w: (Marked.apply(x.sin()) * w).sum(), x, w).diagnose()
    assert finding.kind == "step-function" and "no gradient reaches x: Marked marks" in finding.message


def test_what_a_forward_reads_by_a_closure_is_told_as_that() -> None:
    w = torch.rand(3, requires_grad=True)

    class Scaled(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x * w

        @staticmethod
        def backward(ctx: Any, cotangent: Tensor) -> Tensor:
            return cotangent * w

    for change in (torch.sin, torch.detach):
        x = torch.rand(3, requires_grad=True)
        findings = gradviz.trace(lambda x: (Scaled.apply(change(x)) + x).sum(), x).diagnose()  # noqa: B023
        assert [one.kind for one in findings] == ["not-an-argument"]
        assert "the forward of Scaled reads a, and is not given a as an argument" in findings[0].message
