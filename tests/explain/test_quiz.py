"""Quizzes: what is asked can be worked out from what is given, and nothing gives an answer away."""

from __future__ import annotations

import re

import pytest
import torch
from explained_graphs import ALL, layer, lecture

import gradviz
from gradviz.explain import sentences as say


def test_a_quiz_gives_no_answer_away_before_the_key() -> None:
    questions, _, answers = str(lecture().explain("x", level="quiz")).partition(say.ANSWERS)
    for answer in ("6.283", "3.142", "6.142"):
        assert answer not in questions
        assert answer in answers
    assert questions.count("____") == len(answers.strip().splitlines())


def test_a_quiz_asks_for_short_vectors_too() -> None:
    values = {"A": [[1.0, 2.0, 3.0], [0.5, 0.25, 0.125]], "v": [1.0, 2.0, 3.0]}
    explanation = gradviz.trace("sum(tanh(A @ v / 10)**2)", at=values, device="cpu").explain("v", level="quiz")
    questions, _, answers = str(explanation).partition(say.ANSWERS)
    assert re.search(r"∂\w/∂v = Aᵀ \(∂\w/∂a\) = ____ \(\d+\)", questions)
    assert re.search(r"\(\d+\) \[\S+, \S+, \S+\]", answers)


@pytest.mark.parametrize("name", ALL)
def test_every_answer_of_a_quiz_has_its_blank(name: str) -> None:
    graph = ALL[name]()
    for leaf in graph.leaves:
        questions, _, answers = str(graph.explain(leaf, level="quiz")).partition(say.ANSWERS)
        asked = re.findall(r"____ \((\d+)\)", questions)
        assert asked == re.findall(r"^ *\((\d+)\) ", answers, re.MULTILINE)
        assert asked, leaf


def test_a_quiz_asks_what_each_path_between_vectors_gives() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    graph = gradviz.trace(lambda x: (x * x + 3 * x).sum(), x)
    questions, _, answers = str(graph.explain("x", level="quiz")).partition(say.ANSWERS)
    assert len(re.findall(r"along x → .*: contribution = ____", questions)) == 3
    assert "∂d/∂x = ____" in questions
    assert "[5, 7]" in answers and "[5, 7]" not in questions


def test_a_quiz_lists_every_value_that_its_blanks_need() -> None:
    questions = str(gradviz.trace("(y - tanh(w*x + b))^2", x=2.0, y=1.0, w=0.5, b=-0.25).explain("y", level="quiz"))
    for given_or_asked in ("w = 0.5\n", "x = 2\n", "b = −0.25\n", "a = w·x = ____", "c = a + b = ____"):
        assert given_or_asked in questions
    product = str(gradviz.trace("sin(x*y)", x=2.0, y=3.0, device="cpu").explain("a", level="quiz"))
    assert "x = 2\n" in product and "y = 3\n" in product


def test_where_too_much_lies_off_the_way_its_values_are_given_as_known() -> None:
    def long(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        for _ in range(50):
            y = torch.sin(y)
        return x * y

    text = str(gradviz.trace(long, 2.0, 3.0).explain("x", level="quiz"))
    assert re.search(r"^  y_\d+ = 0\.\d+$", text, re.MULTILINE)
    assert "sin(" not in text.partition(say.LOCAL)[0]


def test_a_quiz_asks_for_small_vectors_and_matrices() -> None:
    questions, _, answers = str(layer().explain("W1", level="quiz")).partition(say.ANSWERS)
    assert "a = W1 @ x = ____ (1)" in questions
    assert re.search(r"∂f/∂W1 = \(∂f/∂a\) xᵀ = ____", questions)
    assert "[[27, 13.5], [0, 0]]" in answers and "13.5" not in questions


def test_a_quiz_of_one_element_shows_no_number_that_another_blank_asks_for() -> None:
    questions, _, answers = str(layer().explain("W1", level="quiz", index=(0, 1))).partition(say.ANSWERS)
    assert "∂f/∂W1[0, 1] = ∂f/∂a[0] · ∂a[0]/∂W1[0, 1] = ∂f/∂a[0] · x[1] = ____" in questions
    assert "27" not in questions and "27" in answers


def test_a_quiz_says_why_among_the_answers() -> None:
    questions, _, answers = str(gradviz.trace("relu(x)", x=-1.0, device="cpu").explain("x", level="quiz")).partition(
        "Answers"
    )
    assert "the ReLU is off" in answers
    assert "the ReLU is off" not in questions and say.WHY not in questions.splitlines()


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(gradviz.InputError, match="unknown level 'long'; accepted: short, full, quiz"):
        lecture().explain("x", level="long")  # type: ignore[arg-type]
