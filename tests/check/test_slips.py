"""From wrong numbers beside true ones to the slip that made them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gradviz.check.judge import Comparison
from gradviz.check.ratios import Ratios
from gradviz.check.slips import Evidence, likely_slip

Array = NDArray[np.float64]
RANDOM = np.random.default_rng(3)
X = RANDOM.uniform(0.3, 2.0, (4, 4)) * np.where(RANDOM.uniform(size=(4, 4)) < 0.5, -1, 1)
W = RANDOM.uniform(0.3, 2.0, (4, 4))
COTANGENT = RANDOM.uniform(0.5, 1.0, (4, 4))
TRUE = COTANGENT * np.cos(X) * W

SLIPS: dict[str, tuple[Callable[[Array], Array], str]] = {
    "sign": (lambda true: -true, "wrong sign"),
    "half": (lambda true: true / 2, "missing factor 2"),
    "double": (lambda true: true * 2, "a factor 2 too much"),
    "minus half": (lambda true: -true / 2, "wrong sign and missing factor 2"),
    "pi": (lambda true: true / np.pi, "missing factor π"),
    "mean": (lambda true: true / 16, "divided by 16, a number of elements: a mean in place of a sum"),
    "total": (lambda true: true * 16, "multiplied by 16, a number of elements: a sum in place of a mean"),
    "nothing": (np.zeros_like, "no gradient at all: a detached branch, or a forgotten term"),
    "transposed": (np.transpose, "transposed"),
    "shifted": (lambda true: np.roll(true, 1, 0), "off by one index along dimension 0"),
    "shifted with zeros": (lambda true: np.c_[np.zeros(4), true[:, :-1]], "off by one index along dimension 1"),
    "reversed": (lambda true: true[:, ::-1], "reversed along dimension 1"),
    "in another order": (lambda true: true[[2, 0, 3, 1]], "the right numbers at the wrong places"),
    "clamped": (lambda true: true.clip(-0.02, 0.4), "clamped at -0.02 from below and 0.4 from above"),
    "added": (lambda true: true + 0.25, "0.25 is added everywhere"),
    "absolute": (np.abs, "the sign is lost: no element is negative"),
    "missing w": (lambda true: true / W, "missing factor w"),
    "w twice": (lambda true: true * W, "a factor w too much"),
    "missing minus w": (lambda true: -true / W, "wrong sign and missing factor w"),
    "missing sigmoid": (lambda true: true * (1 + np.exp(-W)), "missing factor sigmoid(w)"),
    "exp": (
        lambda true: COTANGENT * np.exp(X) * W,
        "the derivative of another function: as if exp(x) stood in place of sin(x)",
    ),
    "itself": (lambda true: COTANGENT * np.sin(X) * W, "sin(x) itself in place of its derivative"),
    "float16": (lambda true: true.astype(np.float16).astype(float), "computed in a coarser dtype on the way"),
    "one": (lambda true: np.where(np.arange(16).reshape(4, 4) == 6, 0.1, true), "wrong at element [1, 2] only"),
    "negative x": (lambda true: np.where(X < 0, true * 1.3 + 0.1, true), "wrong where x is negative, right elsewhere"),
    "one row": (
        lambda true: true * np.where(np.arange(4) == 2, np.random.default_rng(9).uniform(2, 3, 4), 1)[:, None],
        "at index 2 of dimension 0",
    ),
}


def slip_of(got: Array, true: Array, cotangent: Array | None = None, **clues: Callable[[Array], Array]) -> str:
    evidence = Evidence(got=got, true=true, bound=np.full(true.shape, 1e-12), cotangent=cotangent, **clues)
    return likely_slip(evidence, "x", {"x": X, "w": W})


@pytest.mark.parametrize("name", SLIPS)
def test_a_slip_is_called_by_its_name(name: str) -> None:
    slip, words = SLIPS[name]
    assert words in slip_of(slip(TRUE), TRUE)


def test_numbers_that_nothing_explains_are_counted_only() -> None:
    noise = np.random.default_rng(5).normal(size=(4, 4))
    assert slip_of(TRUE + noise, TRUE) == ""
    noise[::2] = 0
    noise[:, ::2] = 0
    assert slip_of(TRUE + noise, TRUE) == "wrong at 4 of 16 elements only"


def test_what_is_zero_elsewhere_anyway_is_not_wrong_at_one_index_only() -> None:
    row = np.zeros((4, 4))
    row[2] = [1.0, -2.0, 0.5, 3.0]
    assert slip_of(row * [2.1, 1.3, 1, 0.4], row) == ""
    told = slip_of(TRUE * np.array([[1], [1], [1], [2.3]]), TRUE)
    assert told == "wrong at index 3 of dimension 0 only; each of the 4 of 16 is 2.3 times the true one"


def test_a_few_that_are_right_by_accident_make_no_pattern() -> None:
    true = np.random.default_rng(1).normal(size=(8, 8))
    got = true + np.random.default_rng(2).normal(size=(8, 8))
    got[3, 3], got[5, 1] = true[3, 3], true[5, 1]
    assert likely_slip(Evidence(got=got, true=true, bound=np.full((8, 8), 1e-12)), "x", {}) == ""


def test_what_rounding_hides_of_the_same_slip_is_not_right() -> None:
    true = np.random.default_rng(1).normal(size=(8, 8))
    slip = np.random.default_rng(2).uniform(0.5, 1.5, size=(8, 8)) * 0.05 * true
    bound = np.where(np.arange(64).reshape(8, 8) % 2, 1e-12, 1.01 * np.abs(slip))
    assert likely_slip(Evidence(got=true + slip, true=true, bound=bound), "x", {}) == ""


def test_only_one_slice_of_a_broadcast_result_is_a_missing_sum() -> None:
    cotangent = np.random.default_rng(7).normal(size=(3, 4))

    def true_vjp(given: Array) -> Array:
        return given.sum(0)

    said = slip_of(cotangent[0], true_vjp(cotangent), cotangent, true_vjp=true_vjp)
    assert said == "missing sum over dimension 0 of the result, which was broadcast: only element 0 is in it"


def test_a_gradient_where_there_is_none_is_said_to_be_one() -> None:
    assert slip_of(np.ones((2, 2)), np.zeros((2, 2))) == "a gradient where there is none"


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (0.5, "autograd's is half of the true derivative: 0.5 everywhere"),
        (-1.0, "autograd's is minus the true derivative: -1 everywhere"),
        (1.001, "autograd's is 1.001 times the true derivative everywhere"),
        (0.0, "autograd's is 0 everywhere"),
    ],
)
def test_a_ratio_that_is_the_same_everywhere_is_told(ratio: float, words: str) -> None:
    ratios = Ratios()
    ratios.see(TRUE * ratio, TRUE, np.full(TRUE.shape, 1e-12))
    assert ratios.told() == words


def test_a_ratio_that_varies_is_not_told() -> None:
    bound = np.full(TRUE.shape, 1e-12)
    varying, partly, elsewhere = Ratios(), Ratios(), Ratios()
    varying.see(TRUE * W, TRUE, bound)
    partly.see(TRUE / 2, TRUE, bound)
    partly.see_good(TRUE.astype(np.longdouble), bound, np.ones((4, 4), dtype=bool))
    elsewhere.see(np.append(TRUE.ravel() / 2, 1.0), np.append(TRUE.ravel(), 0.0), np.full(17, 1e-12))
    assert (varying.told(), partly.told(), elsewhere.told()) == ("", "", "")


def blurred(got: Array, true: Array, within: float) -> str:
    evidence = Evidence(got=got, true=true, bound=within * np.abs(true))
    return likely_slip(evidence, "x", {"x": X, "w": W})


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (2 * TRUE, "a factor 2 too much"),
        (-TRUE, "wrong sign"),
        (0 * TRUE, "no gradient at all: a detached branch, or a forgotten term"),
        (0.7 * TRUE, ""),  # not √2: in half precision the two lie too close together
        (TRUE * W, ""),
        (TRUE.T, ""),
    ],
)
def test_where_rounding_blurs_ratios_only_what_many_of_them_say_is_told(made: Array, told: str) -> None:
    assert blurred(made * np.random.default_rng(4).uniform(0.99, 1.01, (4, 4)), TRUE, 0.02) == told


def test_numbers_that_are_small_beside_their_bounds_say_nothing() -> None:
    assert blurred(2 * TRUE, TRUE, 0.5) == ""


def test_a_ratio_in_half_precision_is_told_with_the_digits_that_it_has() -> None:
    ratios, got = Ratios(), 0.7 * TRUE * np.random.default_rng(6).uniform(0.995, 1.005, (4, 4))
    ratios.see(got, TRUE, 0.02 * np.abs(TRUE))
    assert ratios.told() == "autograd's is 0.7 times the true derivative everywhere"


def of_huber(got: Callable[[Array], Array], delta: float = 1.2) -> str:
    """What is told of numbers made of the derivative of a Huber loss in float32."""
    x = np.random.default_rng(8).normal(size=(30, 40)).astype(np.float32).astype(np.float64)
    true = x.clip(-delta, delta)
    evidence = Evidence(got=got(x), true=true, bound=1e-6 * np.abs(true))
    return likely_slip(evidence, "x", {"x": x})


def test_a_branch_that_is_off_by_a_factor_is_told_with_what_its_elements_share() -> None:
    told = of_huber(lambda x: np.where(np.abs(x) > 1.2, 1.2012 * np.sign(x), x))
    assert told == "wrong where |x| > 1.2, right elsewhere; each of the 284 of 1,200 is 1.001 times the true one"


def test_a_branch_on_one_side_is_told_by_its_side() -> None:
    told = of_huber(lambda x: np.where(x < -1.2, -1.2012, x.clip(-1.2, 1.2)))
    assert told.startswith("wrong where x < -1.2, right elsewhere; each of the ")


def test_two_slips_of_a_tenth_of_a_percent_are_no_coarser_dtype() -> None:
    told = of_huber(lambda x: x.clip(-1.2, 1.2) * np.where(x > 1.2, 1.002, np.where(np.abs(x) < 0.5, 1.001, 1)))
    assert "coarser" not in told


def test_one_right_number_shows_that_a_ratio_is_not_the_same_everywhere() -> None:
    comparison = Comparison(torch.float64)
    comparison.element((0,), 2.0, 2.0, 1e-15)
    comparison.element((1,), 1.2012, 1.2, 1e-15)
    assert comparison.is_wrong
    assert "everywhere" not in comparison.reason


def test_a_single_ratio_below_zero_is_no_wrong_sign() -> None:
    row = np.zeros((4, 4))
    row[1, 2] = 0.36
    assert [slip_of(row * ratio, row) for ratio in (-2.62, -0.93, -1.0, -0.5)] == [
        "",
        "",
        "wrong sign",
        "wrong sign and missing factor 2",
    ]
    assert slip_of(-2.62 * TRUE, TRUE) == "wrong sign"
