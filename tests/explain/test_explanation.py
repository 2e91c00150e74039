"""Explanations as readers get them: every number is autograd's, and each format can be read by its own readers."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
import sympy as sp
import torch
from explained_graphs import ALL, lecture
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from random_expressions import expressions, points, traced

import gradviz
from gradviz import GradGraph
from gradviz.explain import sentences as say
from gradviz.explain.amounts import is_same
from gradviz.explain.latex import line_latex
from gradviz.explain.terms import Equation, Name, Number, Words

Golden = Callable[[str, str], None]


def number(text: str) -> float:
    return float(text.replace("−", "-").replace("∞", "inf"))


def stated(explanation: str, sign: str) -> float:
    """The last number of the equation of `sign` in the last section."""
    line = next(line for line in reversed(explanation.splitlines()) if line.strip().startswith(f"{sign} = "))
    return number(line.split("=")[-1])


@pytest.mark.parametrize("name", ["lecture", "shared", "neuron"])
def test_the_text_is_the_one_that_was_looked_at(name: str, golden: Golden) -> None:
    graph = ALL[name]()
    leaf = next(iter(graph.leaves))
    golden(f"{name}.txt", f"{graph.explain(leaf)}\n")


def test_markdown_latex_and_quiz_are_those_that_were_looked_at(golden: Golden) -> None:
    explanation = lecture().explain("x")
    golden("lecture.md", explanation.markdown)
    golden("lecture.tex", explanation.latex)
    golden("lecture.html", explanation.html)
    golden("lecture-quiz.txt", f"{lecture().explain('x', level='quiz')}\n")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(text=expressions(), point=st.tuples(points(), points(), points()))
@example(text="x / (2 + cos(x))", point=(1.0, 1.0, 1.0))
def test_the_numbers_of_any_expression_are_those_of_autograd(text: str, point: tuple[float, ...]) -> None:
    graph = traced(text, point)
    output = graph.nodes[graph.output]["name"]
    for name, gradient in graph.gradients().items():
        assert gradient is not None
        assume(1e-6 < abs(float(gradient)) < 1e6)
        explained = str(graph.explain(name))
        if graph.paths(name).cancellation < 10:
            assert stated(explained, f"∂{output}/∂{name}") == pytest.approx(float(gradient), rel=1e-3)
        partials = explained.partition("Local partial derivatives\n")[2].partition("\n\n")[0]
        between = graph.paths(name).between
        for use in (use for head in between for use in graph.arguments_of(head) if use.edge[0] in between):
            tail, head = (graph.nodes[node]["name"] for node in use.edge[:2])
            lines = re.findall(rf"^  ∂{head}/∂{tail}(?:\|\S+)? = .*$", partials, re.M)
            written = [number(line.partition("    (")[0].split("=")[-1]) for line in lines]
            assert use.partial is not None
            assert any(one == pytest.approx(float(use.partial), rel=1e-3, abs=1e-300) for one in written), use.edge


def test_a_short_explanation_is_one_line() -> None:
    assert str(lecture().explain("x", level="short")) == "∂d/∂x = 3.142 + 3 = 6.142    (2 paths)"


def test_a_small_matrix_is_shown_in_every_format() -> None:
    values = {"A": [[1.0, 2.0], [3.0, 4.0]], "x": [1.0, -1.0]}
    explanation = gradviz.trace("norm(A @ x)", at=values, device="cpu").explain("A")
    assert "  ∂b/∂A = [[−0.7071, 0.7071], [−0.7071, 0.7071]]\n" in str(explanation)
    assert "  b = norm(a) = 1.414\n" in str(explanation)
    assert "∂b/∂a = ∂b/∂b · a/b = " in str(explanation)
    matrix = r"\begin{bmatrix}-0.7071 & 0.7071 \\ -0.7071 & 0.7071\end{bmatrix}"
    assert matrix in explanation.latex
    assert matrix in explanation.markdown
    assert "<mtr><mtd><mn>1</mn></mtd><mtd><mn>2</mn></mtd></mtr>" in explanation.html


def test_truth_values_are_set_as_text() -> None:
    latex = gradviz.trace(lambda x: torch.where(x > 0, x, 2 * x), -1.0).explain("x").latex
    assert r"\text{False}" in latex


def test_terms_that_cancel_are_written_with_the_digits_that_show_it() -> None:
    graph = gradviz.trace("1000000*x - 999999*x", x=1 / 3, device="cpu")
    assert str(graph.explain("x", level="short")).startswith("∂c/∂x = 1000000 + (−999999) = 1 ")


def test_nothing_is_said_twice_in_an_equation() -> None:
    def doubled(x: torch.Tensor) -> torch.Tensor:
        return 1.01 * x - x + x / x

    text = str(gradviz.trace(doubled, torch.tensor(1.3, requires_grad=True)).explain("x"))
    assert "∂a/∂x = 1.01\n" in text
    for line in text.splitlines():
        sides = line.strip().split(" = ")
        assert all(one != other for one, other in pairwise(sides)), line


def test_a_float_as_a_formula_is_written_once_and_a_wrong_one_beside_its_number() -> None:
    assert is_same(sp.Float("1076.37"), Number(1076.3698))
    assert not is_same(sp.Float("1.01"), Number(1.02))
    assert not is_same(sp.Integer(3), Number(3.0000001))
    assert not is_same(sp.pi, Number(math.pi))


def alongs(text: str) -> list[str]:
    return re.findall(r"along (.*?)(?:: |$)", text, re.MULTILINE)


@pytest.mark.parametrize("rounds", [3, 10, 30])
@pytest.mark.parametrize("size", [(), (6,)])
def test_no_two_paths_read_alike_however_many_there_are(rounds: int, size: tuple[int, ...]) -> None:
    def doubled(x: torch.Tensor) -> torch.Tensor:
        for _ in range(rounds):
            x = 1.01 * x + x
        return x.sum()

    text = str(gradviz.trace(doubled, torch.ones(size, requires_grad=True)).explain("x", top=8))
    found = alongs(text)
    assert len(set(found)) == len(found) == 8
    assert all(way.startswith("x → ") and way.count("→") < 40 for way in found)


def test_a_long_path_names_where_another_leaves_it() -> None:
    def doubled(x: torch.Tensor) -> torch.Tensor:
        for _ in range(10):
            x = 1.01 * x + x
        return x

    first, *others = alongs(str(gradviz.trace(doubled, torch.tensor(1.3, requires_grad=True)).explain("x")))
    assert "→ x_4 → d → … → h → x_9 →" in first
    assert any("x_4 → x_5 → … → h → x_9 →" in way for way in others)


def test_uses_of_one_value_by_one_call_are_told_apart_by_the_argument() -> None:
    explanation = gradviz.trace("x/x", x=2.0, device="cpu").explain("x")
    text = str(explanation)
    assert re.search(r"∂a/∂x\|₁ = 1/x = 0.5 +\(first argument\)", text)
    assert re.search(r"∂a/∂x\|₂ = −a/x = −0.5 +\(second argument\)", text)
    assert sorted(alongs(text)) == ["x → a (first argument)", "x → a (second argument)"]
    assert r"x \to a\ \text{(second argument)}" in explanation.latex
    assert "<mo>→</mo><mi>a</mi><mtext>&#160;(second argument)</mtext>" in explanation.html


def test_a_local_partial_is_marked_where_the_total_has_the_same_sign_and_another_number() -> None:
    explanation = gradviz.trace("x*x*x", x=2.0, device="cpu").explain("x")
    text = str(explanation)
    assert "  ∂b/∂x|ₐ = a = 4    (a held fixed)\n" in text
    assert "  ∂b/∂x = 4 + 4 + 4 = 12\n" in text
    assert "  ∂a/∂x = x = 2    (first argument)\n  ∂a/∂x = x = 2    (second argument)\n  ∂b/∂a = x = 2\n" in text
    assert r"\left.\frac{\partial b}{\partial x}\right|_{a}" in explanation.latex
    assert "<mo>|</mo></mrow><mrow><mi>a</mi></mrow></msub>" in explanation.html
    assert "|" not in str(lecture().explain("x"))
    assert "|" not in str(gradviz.trace("x*y", x=2.0, y=3.0, device="cpu").explain("x"))


def test_without_paths_one_by_one_there_are_no_others() -> None:
    graph = lecture()
    assert "  the 2 paths together give 6.142" in str(graph.explain("x", top=0))
    assert "  the other path gives 3" in str(graph.explain("x", top=1))


def test_each_output_of_a_call_is_listed() -> None:
    text = str(ALL["split"]().explain("x"))
    assert "  left[0] = split_with_sizes(x, [2, 4])[0] = [0, 1]    float32 [2]\n" in text
    assert "  left[1] = split_with_sizes(x, [2, 4])[1] = [2, 3, 4, 5]    float32 [4]\n" in text


def test_the_weights_of_a_vector_output_are_named() -> None:
    text = str(ALL["weighted"]().explain("x"))
    assert "L stands for the sum of a [3] weighted with grad_output" in text
    assert "∂L/∂x = grad_output(a) ⊙ a" not in text
    assert "∂L/∂a = grad_output(a) = [1, 0.5, 2]" in text


def test_of_the_output_itself_there_is_nothing_to_multiply() -> None:
    text = str(lecture().explain("d"))
    assert "d is the output itself: the backward pass starts here" in text
    assert say.LOCAL not in text and "1 = 1" not in text


def test_a_computed_tensor_says_why_it_has_no_closed_form() -> None:
    w = torch.tensor(0.5, requires_grad=True)
    text = str(gradviz.trace((2 * w - 3) ** 2, names={"w": w}).explain("w"))
    assert "is not given: how sub was called is not known, since it ran before gradviz recorded, or was left out" in text


@pytest.mark.parametrize("name", ALL)
def test_every_format_says_the_same_for_every_leaf(name: str) -> None:
    graph = ALL[name]()
    for leaf in graph.leaves:
        explanation = graph.explain(leaf)
        assert Html().balanced(explanation.html)
        assert explanation.latex.count(r"\begin{align*}") == explanation.latex.count(r"\end{align*}")
        assert _braces_match(explanation.latex)
        assert explanation.markdown.count("$$") % 2 == 0
        assert explanation.latex.isascii() or name == "shared", set(re.sub(r"[\x00-\x7f]", "", explanation.latex))


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no TeX here: braces and ASCII were checked instead")
@pytest.mark.parametrize("name", ALL)
def test_the_latex_compiles_as_it_is(name: str, tmp_path: Path) -> None:
    graph = ALL[name]()
    leaf = next(iter(graph.leaves))
    index = (0,) * len(graph.nodes[graph.leaves[leaf]]["shape"])
    (tmp_path / "explained.tex").write_text(graph.explain(leaf, index=index).latex, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "explained.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "explained.pdf").stat().st_size > 1000


def _braces_match(latex: str) -> bool:
    depth = 0
    for sign in re.sub(r"\\[{}]", "", latex):
        depth += (sign == "{") - (sign == "}")
        if depth < 0:
            return False
    return depth == 0


class Html(HTMLParser):
    """Whether every element that is opened is closed in turn."""

    def balanced(self, text: str) -> bool:
        self.open: list[str] = []
        self.right = True
        self.feed(text)
        return self.right and not self.open

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        """`<mspace/>` opens nothing."""

    def handle_endtag(self, tag: str) -> None:
        self.right = self.right and bool(self.open) and self.open.pop() == tag


def test_a_name_that_looks_like_markup_stays_text() -> None:
    x = torch.tensor(2.0, requires_grad=True)
    graph: GradGraph = gradviz.trace(x * x, names={"<script>alert(1)</script>": x})
    name = next(iter(graph.leaves))
    assert "<script>" not in graph.explain(name).html
    assert Html().balanced(graph.explain(name).html)


class Cube(torch.autograd.Function):
    """x³, with 2x² for a derivative."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *cotangents: torch.Tensor) -> torch.Tensor:
        (x,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return cotangents[0] * 2 * x**2


def test_the_closed_form_stands_beside_its_own_number_and_contradicts_a_wrong_backward() -> None:
    text = str(gradviz.trace(lambda x: Cube.apply(x) * 2, 3.0).explain("x"))
    assert "∂b/∂x = 6·x² = 54" in text
    assert "This contradicts autograd, which found ∂b/∂x = 36 where sympy finds 54" in text


def test_on_a_kink_the_closed_form_is_said_to_hold_beside_it() -> None:
    text = str(gradviz.trace("max(x, y)", x=1.0, y=1.0, device="cpu").explain("x"))
    assert text.rstrip().endswith("beside the kink (tie in maximum): ∂a/∂x = [x = y]/2 + [x > y]")


def test_a_gradient_that_is_not_finite_is_not_called_the_same() -> None:
    text = str(gradviz.trace("sqrt(x)*x", x=0.0, device="cpu").explain("x"))
    assert "which is not finite: nothing can be compared" in text
    assert "the same to rounding" not in text


def test_a_gradient_of_complex_numbers_is_written_with_jacobians_of_their_parts() -> None:
    for value in (torch.tensor(1 + 2j, requires_grad=True), torch.tensor([1 + 2j, 2 - 1j], requires_grad=True)):
        explanation = gradviz.trace(lambda z: (z * z.conj()).abs().sum(), value).explain("z")
        text = str(explanation)
        assert "(∂b/∂z)ᵀ" in text
        assert not re.search(r"∂\S+ [·⊙] [az]\b", text), "a conjugate is missing"
        assert "the Jacobians are those of the real and imaginary parts" in text
        assert "= 2 + 4j" in text.replace("[2 + 4j, 4 − 2j]", "2 + 4j")
        assert "the same to rounding" in text
        assert "sympy's closed form is not given: it is made for real numbers only" in text


def test_a_shortened_name_in_a_call_is_set() -> None:
    assert line_latex(Equation(sides=(Name("y"), Words("sin(weight_of_a…)")))) == r"y = \sin (\mathrm{weight\_of\_a…})"


def test_without_a_name_the_only_leaf_is_explained_and_several_are_listed() -> None:
    graph = gradviz.trace("sin(x)^2", x=0.5)
    assert graph.explain().text == graph.explain("x").text
    with pytest.raises(gradviz.InputError, match=r"has 2 leaves; name one to explain, as in graph\.explain\('x'\): x, y"):
        gradviz.trace("x*y", x=1.0, y=2.0).explain()
    given = [torch.ones(3, requires_grad=True) for _ in range(25)]
    with pytest.raises(gradviz.InputError, match=r"the graph has 25 leaves; .*, \.\.\.$"):
        gradviz.trace(lambda *given: torch.stack(given).sum(), *given).explain()
