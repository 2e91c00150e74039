"""What has one cause is told once, however many calls show it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gradviz
from gradviz.diagnose import Diagnosis, Finding
from gradviz.target import graph_of_target

BUGS = Path(__file__).parent.parent.parent / "examples" / "bugs"


class Frozen(nn.Module):
    """Each of its layers runs in a line of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.four, self.five, self.six = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(x).relu()
        x = self.two(x).relu()
        x = self.three(x).relu()
        x = self.four(x).relu()
        x = self.five(x).relu()
        return self.six(x)  # type: ignore[no-any-return]


class Headed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.frozen, self.head = Frozen(), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            hidden = self.frozen(x)
        return self.head(hidden)  # type: ignore[no-any-return]


def test_a_part_that_runs_under_no_grad_is_told_once() -> None:
    torch.manual_seed(0)
    model, labels = Headed(), torch.tensor([0, 1])
    graph = gradviz.trace(model, torch.randn(2, 4), loss=lambda out: F.cross_entropy(out, labels))
    (finding,) = graph.diagnose()
    assert finding.kind == "no-grad" and "as 5 other lines do" in finding.message
    assert finding.numbers["leaves without gradient"] == 12


class Slipped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            x = self.first(x)
        return self.last(x)  # type: ignore[no-any-return]


def test_a_slip_beside_a_model_that_runs_under_no_grad_is_told_by_itself() -> None:
    torch.manual_seed(0)
    teacher, student, x = Frozen(), Slipped(), torch.randn(2, 4)
    optimizer = torch.optim.SGD([*teacher.parameters(), *student.parameters()], lr=0.1)

    def loss() -> Tensor:
        with torch.no_grad():
            target = teacher(x)
        return F.mse_loss(student(x), target)

    findings = [finding for finding in gradviz.trace(loss).diagnose() if finding.kind == "no-grad"]
    assert sorted(finding.numbers["leaves without gradient"] for finding in findings) == [2, 12]
    assert ["as 5 other lines do" in finding.message for finding in findings].count(True) == 1
    del optimizer


def test_a_line_that_cancels_again_and_again_is_told_once() -> None:
    torch.manual_seed(0)
    x = torch.rand(8, requires_grad=True)

    def loss() -> Tensor:
        total = torch.zeros(())
        for _ in range(3):
            total = total + ((x * 1e-6).exp() - (x * -1e-6).exp()).square().sum() + x.square().sum()
        return total

    findings = [finding.kind for finding in gradviz.trace(loss).diagnose()]
    assert findings.count("cancellation") == 1


class Scaled(torch.autograd.Function):
    """x y, whose backward forgets a factor for y, and, where the scale is not 1, for x too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(x, y)
        ctx.scale = scale
        return x * y

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, Tensor, None]:
        x, y = ctx.saved_tensors
        return cotangent * y * ctx.scale, cotangent * x * 1.5, None


def line_of_backward() -> str:
    return f"test_told_once.py:{Scaled.backward.__code__.co_firstlineno + 1}"


@pytest.mark.parametrize(("scale", "arguments"), [(1.0, "y"), (2.0, "x, y")])
def test_a_wrong_backward_is_told_once_on_its_own_line_however_often_it_is_applied(scale: float, arguments: str) -> None:
    def loss(x: Tensor, y: Tensor) -> Tensor:
        for _ in range(30):
            x = Scaled.apply(x, y, scale)
        return x.sum()

    x, y = (torch.tensor(numbers, dtype=torch.float64, requires_grad=True) for numbers in ([0.5, 0.7], [1.0, 0.9]))
    graph = gradviz.trace(loss, x, y)
    (finding,) = graph.diagnose()
    assert (finding.kind, finding.source) == ("wrong-backward", line_of_backward())
    applied = loss.__code__.co_firstlineno + 2
    assert f"is wrong for {arguments} in all of its 30 uses (applied at test_told_once.py:{applied})" in finding.message
    assert (finding.numbers["wrong uses"], finding.numbers["uses"]) == (30, 30)
    assert finding.numbers["error in ULP"] == max(entry.error_ulp for entry in graph.check().edges)


def test_of_a_backward_that_is_wrong_in_one_use_that_one_is_told() -> None:
    x, y = (torch.tensor(numbers, dtype=torch.float64, requires_grad=True) for numbers in ([0.5, 0.7], [1.0, 0.9]))

    def loss(x: Tensor, y: Tensor) -> Tensor:
        first = Scaled.apply(x, y.detach(), 1.0)
        return Scaled.apply(first, y.detach(), 2.0).sum()

    graph = gradviz.trace(loss, x, y)
    finding = next(one for one in graph.diagnose() if one.kind == "wrong-backward")
    assert finding.edge is not None and graph.nodes[finding.edge[0]]["name"] == "first"
    applied = f"test_told_once.py:{loss.__code__.co_firstlineno + 2}"
    assert f"is wrong for x in 1 of its 2 uses (applied at {applied}): ∂c/∂first" in finding.message


def test_two_functions_of_one_name_are_told_apart() -> None:
    class Other:
        class Scaled(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, x: Tensor) -> Tensor:
                return x * 3

            @staticmethod
            def backward(ctx: Any, cotangent: Tensor) -> Tensor:
                return cotangent * 2

    x = torch.tensor([0.5, 0.7], dtype=torch.float64, requires_grad=True)
    findings = gradviz.trace(lambda x: Other.Scaled.apply(Scaled.apply(x, x * 1, 1.0)).sum(), x).diagnose()
    assert [one.kind for one in findings] == ["wrong-backward"] * 2
    assert len({one.source for one in findings}) == 2
    assert all("(applied at test_told_once.py:" in one.message for one in findings)


class Attending(nn.Module):
    def __init__(self, mask: Tensor | None = None, dim: int = -1) -> None:
        super().__init__()
        self.projections, self.mask, self.dim = nn.Linear(8, 24), mask, dim

    def forward(self, x: Tensor) -> Tensor:
        queries, keys, values = self.projections(x).chunk(3, -1)
        scores = queries @ keys.mT
        scores = scores if self.mask is None else scores.masked_fill(self.mask, -torch.inf)
        return x + scores.softmax(self.dim) @ values  # type: ignore[no-any-return]


def attending(**options: Any) -> gradviz.GradGraph:
    torch.manual_seed(0)
    model = nn.Sequential(*(Attending(**options) for _ in range(6)), nn.Linear(8, 1))
    return gradviz.trace(model, torch.randn(2, 5, 8), loss=lambda out: out.square().mean())


def test_the_report_tells_once_what_each_layer_shows_and_names_the_layers() -> None:
    diagnosis = attending(dim=-2).diagnose()
    assert [finding.kind for finding in diagnosis] == ["attention-dim"] * 6
    report = str(diagnosis)
    assert report.count("attention-dim") == 1 and report.endswith("6 warnings.")
    assert "in 0: " in report and "also: in 1, 2, 3, 4 and 1 more\n  do: pass dim=2" in report


def test_different_layers_of_a_line_are_told_one_by_one() -> None:
    def one(module: str, source: str = "train.py:3") -> Finding:
        told = f"{module} is dead"
        return Finding(kind="dead-relu", severity="warning", message=told, hint="how", source=source, module=module)

    report = str(Diagnosis([one("encoder.0"), one("decoder"), one("encoder.1"), one("", ""), one("", "")]))
    assert report.count("dead-relu") == 4 and report.count("also: in encoder.1") == 1
    assert "also: in 2 other calls of this line" in str(Diagnosis([one(""), one(""), one("")]))


@pytest.mark.parametrize(
    ("mask", "row", "hint"),
    [
        (torch.ones(5, 5, dtype=torch.bool).tril(), "(0, 4)", "the mask is the wrong way round"),
        (torch.ones(5, 5, dtype=torch.bool).triu(), "(0, 0)", "its own place too"),
        (torch.arange(5)[:, None].expand(5, 5) == 2, "(0, 2)", "leave each row at least one place"),
    ],
)
def test_rows_that_a_mask_empties_in_each_layer_are_told_where_the_first_nan_is(mask: Tensor, row: str, hint: str) -> None:
    (finding,) = (finding for finding in attending(mask=mask).diagnose() if finding.kind == "not-finite-value")
    assert finding.module == "0" and f"row {row} of its argument is −∞ everywhere" in finding.message
    assert hint in finding.hint


def of_gallery(script: str) -> Diagnosis:
    return graph_of_target(f"{BUGS / script}.py:broken", at=[], device="cpu").diagnose()


@pytest.mark.parametrize(
    ("script", "kind"), [("item_in_the_loss", "left-torch"), ("parameter_made_in_forward", "leaf-replaced")]
)
def test_a_parameter_that_is_lost_is_no_hint_beside_the_error(script: str, kind: str) -> None:
    assert [finding.kind for finding in of_gallery(script)] == [kind]


def test_a_number_of_a_model_apart_is_still_a_hint() -> None:
    torch.manual_seed(0)
    model, scale = nn.Linear(3, 2), nn.Linear(3, 1)
    graph = gradviz.trace(lambda: (model(torch.ones(4, 3)) * scale(torch.ones(3)).item()).square().mean())
    assert [finding.kind for finding in graph.diagnose()] == ["number-read"]


@pytest.mark.parametrize("weight", [0.1, 1e-4, 0.5, 3.0, 25.0])
def test_a_multiple_of_a_number_that_was_read_is_a_hint_too(weight: float) -> None:
    torch.manual_seed(0)
    model, head, x = nn.Linear(3, 2), nn.Linear(2, 3), torch.randn(4, 3)

    def step(*, read: bool) -> Tensor:
        codes = model(x)
        size = codes.square().mean()
        return (head(codes) - x).square().mean() + weight * (size.item() if read else size)

    assert [finding.kind for finding in gradviz.trace(lambda: step(read=True)).diagnose()] == ["number-read"]
    assert gradviz.trace(lambda: step(read=False)).diagnose() == []


def test_a_number_beside_one_that_was_read_and_printed_is_none_of_it() -> None:
    torch.manual_seed(0)
    model, x, printed = nn.Linear(3, 3), torch.randn(4, 3), list[float]()

    def step() -> Tensor:
        error = (model(x) - x).square().mean()
        printed.append(error.item())
        return error + 1e-4 * model.weight.square().sum() + 0.12345

    assert gradviz.trace(step).diagnose() == []


def test_functions_are_called_as_people_call_them() -> None:
    assert "= softmax(...) is the first value with NaN" in of_gallery("masked_row")[0].message
    assert "= nll_loss(...) is the first value with NaN" in of_gallery("all_labels_ignored")[0].message
    assert "(softmax) passes on nothing but zeros" in of_gallery("softmax_over_one_class")[0].message
    assert "a batch norm runs in eval mode" in of_gallery("batch_norm_in_eval")[0].message


def test_a_factor_that_is_zero_is_named() -> None:
    (finding,) = [one for one in of_gallery("padding_mask_inverted") if one.kind == "zero-gradient"]
    assert "zero everywhere: see what made that zero" in finding.hint


@pytest.mark.parametrize("broken", [["one.weight"], ["one.weight", "one.bias", "two.weight", "six.bias"]])
def test_parameters_that_hold_nan_from_the_start_are_told_together(broken: list[str]) -> None:
    torch.manual_seed(0)
    model = Frozen()
    with torch.no_grad():
        for name in broken:
            model.get_parameter(name)[-1] = torch.nan
    graph = gradviz.trace(model, torch.randn(2, 4), loss=lambda out: out.square().mean())
    (finding,) = [finding for finding in graph.diagnose() if "from the start" in finding.message]
    verb = "holds" if len(broken) == 1 else "hold"
    assert finding.message == f"{', '.join(broken)} {verb} NaN from the start, and it reaches the output"
    assert finding.node == graph.node("one.weight")
    sizes = [model.get_parameter(name).numel() for name in broken]
    assert (finding.numbers["NaN"], finding.numbers["of"]) == (sum(4 if size > 4 else 1 for size in sizes), sum(sizes))
    assert finding.numbers.get("tensors", 1) == len(broken)
