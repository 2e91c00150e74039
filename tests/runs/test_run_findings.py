"""What a run's findings say: each of something that really happened in a small loop; nothing of healthy ones."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from runs.loops import Loop, batch, loss_of, one_step, small_model, watched
from torch import Tensor, nn

import gradviz
from gradviz.cli.command import main
from gradviz.diagnose import Finding
from gradviz.runs import Run
from gradviz.runs.notes import Origin
from gradviz.runs.run import gradient_norm
from gradviz.runs.series import by_step


def only(run: Run) -> Finding:
    (finding,) = run.diagnose()
    return finding


def test_healthy_loop_gives_none(tmp_path: Path) -> None:
    run = watched(lambda model, optimizer: [one_step(model, optimizer) for _ in range(12)], tmp_path)
    assert run.diagnose() == []
    assert str(run).endswith("Nothing found.")


def test_healthy_transformer_with_a_mask_of_infinities_gives_none(tmp_path: Path) -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    mask = nn.Transformer.generate_square_subsequent_mask(5)

    def loop(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        for _ in range(4):
            optimizer.zero_grad()
            loss_of(model(torch.randn(3, 5, 8), mask=mask)).backward()
            optimizer.step()

    assert watched(loop, tmp_path, model=model).diagnose() == []


class Masked(nn.Module):
    """Attention with its mask of −∞ among the parameters."""

    def __init__(self, *, trained: bool) -> None:
        super().__init__()
        self.inner, self.last = nn.Linear(4, 4), nn.Linear(4, 1)
        self.mask = nn.Parameter(torch.full((5, 5), -math.inf).triu(1), requires_grad=trained)

    def forward(self, x: Tensor) -> Tensor:
        return self.last((self.inner(x) @ x.mT + self.mask).softmax(-1) @ x)


def rows_with_nan_at(*places: int) -> Loop:
    def loop(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        for number in range(6):
            x = torch.randn(3, 5, 4)
            x[0, 0, 0] = math.nan if number in places else 0.0
            optimizer.zero_grad()
            loss_of(model(x)).backward()
            optimizer.step()

    return loop


@pytest.mark.parametrize("trained", [False, True])
def test_a_parameter_that_held_infinities_in_the_beginning_is_not_what_broke(trained: bool, tmp_path: Path) -> None:
    run = watched(rows_with_nan_at(), tmp_path / "a", model=Masked(trained=trained), every=2)
    assert not [finding for finding in run.diagnose() if finding.severity != "hint"]
    run = watched(rows_with_nan_at(4), tmp_path / "b", model=Masked(trained=trained), every=2)
    (finding,) = (finding for finding in run.diagnose() if finding.severity != "hint")
    assert (finding.step, finding.message.partition(";")[0]) == (4, "NaN came in with the inputs")


def test_parameters_that_broke_after_the_last_recorded_step_are_told_beside_a_mask_of_infinities(tmp_path: Path) -> None:
    run = watched(rows_with_nan_at(5), tmp_path, model=Masked(trained=True), every=2)
    finding = only(run)
    assert finding.message.startswith("at the end mask, inner.weight")
    assert finding.message.endswith("it came after step 4, the last that was recorded")


def test_weights_that_held_nan_in_the_beginning_are_no_update_s(tmp_path: Path) -> None:
    model = Masked(trained=False)
    with torch.no_grad():
        model.last.weight[0, 0] = math.nan
    run = watched(rows_with_nan_at(), tmp_path, model=model, every=2)
    (finding,) = (finding for finding in run.diagnose() if finding.severity != "hint")
    assert finding.message == "last.weight held NaN when recording began"
    assert finding.hint == "look at where its weights come from: a checkpoint, an initialisation"


class Entropy(nn.Module):
    """Takes the logarithm of 0 where `broken`; behind `where` only the gradient shows it."""

    def __init__(self, broken: str) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.broken = broken

    def forward(self, x: Tensor) -> Tensor:
        share = torch.softmax(self.layer(x), -1)
        if self.broken == "value":
            return share * torch.log(share - share)
        if self.broken == "gradient":
            return torch.where(share > 2, torch.sqrt(share - share), share)
        return share


def spoilt_at_last(broken: str, directory: Path) -> Run:
    def loop(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        for number in range(3):
            model.broken = broken if number == 2 else ""
            optimizer.zero_grad()
            model(torch.randn(5, 4)).square().sum().backward()
            optimizer.step()

    return watched(loop, directory, model=Entropy(""))


def test_nan_names_the_call_that_made_infinity_of_numbers(tmp_path: Path) -> None:
    finding = only(spoilt_at_last("value", tmp_path))
    assert (finding.kind, finding.severity, finding.step, finding.rank) == ("not-finite-value", "error", 2, None)
    assert finding.message.startswith("log made infinity of finite numbers")
    assert finding.source.startswith("test_run_findings.py:")
    assert not any("ranks" in name for name in finding.numbers), "there is one process only"


def test_gradient_that_is_not_finite_names_the_call_whose_backward_made_it(tmp_path: Path) -> None:
    finding = only(spoilt_at_last("gradient", tmp_path))
    assert (finding.kind, finding.step) == ("not-finite-gradient", 2)
    assert finding.message.startswith("on the way back sqrt made NaN of finite cotangents")


@pytest.mark.parametrize("every", [1, 2])
def test_nan_in_the_data_is_told_from_nan_that_an_update_left(tmp_path: Path, every: int) -> None:
    def loop(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        for number in range(6):
            x = batch()
            x[0, 0, 0, 0] = float("nan") if number == 3 else 0.0
            optimizer.zero_grad()
            loss_of(model(x)).backward()
            optimizer.step()

    finding = only(watched(loop, tmp_path, every=every))
    assert (finding.kind, finding.step) == ("not-finite-value", 2 + every)
    words = {1: "NaN came in with the inputs; convolution", 2: "an update since the last recorded step left NaN in 0.weight"}
    assert finding.message.startswith(words[every])


def test_gradient_that_is_spoilt_after_the_backward_pass_is_told(tmp_path: Path) -> None:
    def loop(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        loss_of(model(batch())).backward()
        model[5].last.weight.grad.mul_(float("inf"))  # type: ignore[index]
        optimizer.step()

    finding = only(watched(loop, tmp_path))
    assert finding.kind == "not-finite-gradient"
    assert finding.message.startswith("the gradient that the optimizer got is not finite at 5.last.weight, although all")


def test_relu_that_died_says_how_many_units_were_dead_at_first(tmp_path: Path) -> None:
    def loop(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        for _ in range(3):
            one_step(model, optimizer)
            with torch.no_grad():
                model[5].hidden.bias -= 1000  # type: ignore[index]

    finding = next(one for one in watched(loop, tmp_path).diagnose() if one.kind == "dead-relu")
    assert (finding.module, finding.step) == ("5", 2)
    assert finding.numbers == {"dead units": 12, "units": 12, "dead at first": 0}


@pytest.mark.parametrize(("factor", "kinds"), [(3.0, []), (1e4, ["gradient-jump"])])
def test_gradient_that_jumps_is_told(tmp_path: Path, factor: float, kinds: list[str]) -> None:
    model = nn.Linear(3, 1)

    def loop(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        for number in range(6):
            optimizer.zero_grad()
            loss = model(torch.randn(8, 3) * (factor if number == 5 else 1.0)).sum()
            loss.backward()
            optimizer.step()

    run = watched(loop, tmp_path, model=model)
    assert [finding.kind for finding in run.diagnose()] == kinds
    assert [finding.step for finding in run.diagnose()] == [5] * len(kinds)


def test_gradient_that_jumps_without_bound_is_told_in_few_digits(tmp_path: Path) -> None:
    def loop(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        for number in range(6):
            optimizer.zero_grad()
            model(torch.ones(8, 3) * (1e20 if number == 5 else 1.0)).sum().backward()
            optimizer.step()

    (finding,) = [one for one in watched(loop, tmp_path, model=nn.Linear(3, 1)).diagnose() if one.kind == "gradient-jump"]
    assert finding.message.startswith("the gradient is 8.66e+19 times as large")


def test_gradient_that_vanishes_on_its_way_is_told(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(*[part for _ in range(12) for part in (nn.Linear(8, 8), nn.Sigmoid())], nn.Linear(8, 1))

    def loop(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        for _ in range(2):
            optimizer.zero_grad()
            loss_of(model(torch.randn(4, 8))).backward()
            optimizer.step()

    finding = only(watched(loop, tmp_path, model=model))
    assert finding.kind == "vanishing-gradient" and finding.message.startswith("the gradient of 0.weight is ")


def sigmoid_steps(model: nn.Module, optimizer: torch.optim.Optimizer, inputs: Tensor, *, scale: float) -> None:
    wanted = (inputs.sum(1, keepdim=True) > 0).float()
    for _ in range(8):
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy(model(inputs), wanted).backward()
        optimizer.step()
        with torch.no_grad():
            model[0].weight.mul_(scale)


@pytest.mark.parametrize(("scale", "kinds"), [(1.0, []), (5.0, ["saturated-module"])])
def test_sigmoid_that_saturates_while_training_is_told(tmp_path: Path, scale: float, kinds: list[str]) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.Sigmoid(), nn.Linear(4, 1), nn.Sigmoid())
    inputs = torch.randn(16, 4, generator=torch.Generator().manual_seed(1)) + 4.0

    def loop(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        sigmoid_steps(model, optimizer, inputs, scale=scale)

    run = watched(loop, tmp_path, model=model)
    assert [finding.kind for finding in run.diagnose()] == kinds
    assert all(finding.module == "1" for finding in run.diagnose() if finding.kind == "saturated-module")


def test_nan_is_no_saturation(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1))

    def loop(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        for number in range(8):
            optimizer.zero_grad()
            (model(torch.randn(4, 4)).square().mean() * (math.nan if number == 5 else 1.0)).backward()
            optimizer.step()

    assert "saturated-module" not in {finding.kind for finding in watched(loop, tmp_path, model=model).diagnose()}


def test_parameter_that_is_never_used_is_told(tmp_path: Path) -> None:
    model = small_model()
    model.register_parameter("forgotten", nn.Parameter(torch.ones(2)))
    run = watched(lambda model, optimizer: one_step(model, optimizer), tmp_path, model=model)
    finding = only(run)
    assert (finding.kind, finding.numbers) == ("unused-parameter", {"parameters": 1})
    assert finding.message.startswith("forgotten had no gradient at any recorded step")


@pytest.mark.parametrize(("error", "differs"), [(1e-7, False), (1e-3, True)])
def test_replica_that_is_a_thousandth_off_is_told_with_its_rank(tmp_path: Path, error: float, differs: bool) -> None:
    run = watched(lambda model, optimizer: one_step(model, optimizer), tmp_path)
    header = replace(run.headers[0], world_size=3, parallel="DistributedDataParallel")
    (step,) = run.steps
    note = step.parameters[0]
    assert note.gradient is not None
    off = replace(note, gradient=note.gradient * (1 + error))
    wrong = replace(step, rank=1, parameters=(off, *step.parameters[1:]))
    several = Run(
        headers=tuple(replace(header, rank=rank) for rank in range(3)), steps=(step, wrong, replace(step, rank=2))
    )
    found = several.diagnose()
    assert [(finding.kind, finding.severity, finding.rank) for finding in found] == [("ranks-differ", "error", 1)] * differs


def test_norm_of_all_gradients_is_that_of_torch(tmp_path: Path) -> None:
    expected: list[float] = []

    def loop(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        loss_of(model(batch())).backward()
        expected.append(nn.utils.get_total_norm([one.grad for one in model.parameters() if one.grad is not None]).item())
        optimizer.step()

    (steps,) = by_step(watched(loop, tmp_path)).values()
    assert gradient_norm(steps) == pytest.approx(expected[0], rel=1e-5)


def test_report_on_the_command_line_ends_with_1_where_there_is_an_error(tmp_path: Path) -> None:
    spoilt_at_last("value", tmp_path)
    done = CliRunner().invoke(main, ["report", str(tmp_path), "-o", str(tmp_path / "report.html")])
    assert done.exit_code == 1
    assert "error not-finite-value" in done.output
    refused = CliRunner().invoke(main, ["report", str(tmp_path), "-o", str(tmp_path / "report.pdf")])
    assert (refused.exit_code, refused.stdout) == (2, "")
    as_json = CliRunner().invoke(main, ["report", str(tmp_path), "--json"])
    assert '"step": 2' in as_json.output and as_json.exit_code == 1
    assert CliRunner().invoke(main, ["report", str(tmp_path / "nothing")]).exit_code == 2


def test_page_shows_findings_and_a_plot_of_each_kind_and_loads_nothing(tmp_path: Path) -> None:
    run = watched(lambda model, optimizer: [one_step(model, optimizer) for _ in range(4)], tmp_path)
    step = run.steps[-1]
    named = replace(step.modules[1], path="<script>", leaving=1.0)
    origin = Origin(what="value", number="NaN", made=True, op="<script>", module="", source="")
    run = replace(run, steps=(*run.steps[:-1], replace(step, modules=(named, *step.modules[1:]), origins=(origin,))))
    run.save_report(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    plots = 4 + any(note.dead for step in run.steps for note in step.units)
    assert page.count('class="wide"') == page.count('class="narrow"') == plots and page.count("<svg ") == 2 * plots
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "").replace('http-equiv="Content-Security-Policy"', "")
    assert "<script" not in page and page.count("&lt;script&gt;") > 1
    assert all(f"step {number}:" in page for number in range(4))
    with pytest.raises(gradviz.InputError, match="cannot write"):
        run.save_report(tmp_path / "no" / "such" / "directory.html")


def test_nan_that_comes_after_the_last_recorded_step_is_told_at_the_end(tmp_path: Path) -> None:
    def loop(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        for step in range(20):
            x = batch()
            x[0, 0, 0, 0] = math.nan if step == 16 else 0.0
            optimizer.zero_grad()
            loss_of(model(x)).backward()
            optimizer.step()

    run = watched(loop, tmp_path, every=15)
    (found,) = [finding for finding in run.diagnose() if finding.severity == "error"]
    assert (found.kind, found.step) == ("not-finite-value", 15)
    assert "it came after step 15, the last that was recorded" in found.message


@pytest.mark.parametrize("every", [1, 10])
def test_parameters_whose_gradient_a_hook_makes_0_are_told(tmp_path: Path, every: int) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1))
    for parameter in model[0].parameters():
        parameter.register_hook(torch.zeros_like)

    def loop(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        for _ in range(30):
            optimizer.zero_grad()
            loss_of(model(torch.randn(8, 4))).backward()
            optimizer.step()

    (found,) = watched(loop, tmp_path, every=every, model=model).diagnose()
    assert found.kind == "parameter-not-updated"
    assert found.message.startswith("0.weight, 0.bias never changed: at each of ")
    assert found.message.endswith(" recorded updates their gradients were 0")
