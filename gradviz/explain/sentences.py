"""Every sentence of an explanation, in English. Whoever translates them writes this file anew.

A sentence is words with terms between them, so that names and numbers are set as mathematics where there is some.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from gradviz.explain.terms import (
    Derivative,
    Equation,
    Name,
    Negative,
    Norm,
    Number,
    Numbers,
    Product,
    Sentence,
    Sum,
    Term,
    Way,
    Words,
)
from gradviz.view.notation import shape_text

FORWARD = "Forward pass"
LOCAL = "Local partial derivatives"
BACKWARD = "Backward pass"
PATHS = "Paths"
SUM = "Sum over the paths"
ELEMENT = "Written out for one element"
CHECKED = "Checked"
CUT = "Cut off"
WHY = "Why"
UNREAD = "(nothing on the way reads it)"
ROUNDED = "(zero up to rounding)"
ANSWERS = "Answers"
PARAMETERS = "Parameters"
PREDICTION = "First-order prediction"
LOSS = "Loss"
CONTRIBUTION = Words("contribution")
_ORDINALS = ("first", "second", "third", "fourth", "fifth")


def title(wanted: Derivative, paths: int) -> Sentence:
    return ("How ", wanted, f" comes about: {_count(paths, 'path')}")


def is_the_output(name: str) -> Sentence:
    return (Name(name), " is the output itself: the backward pass starts here")


def left_out(count: int, what: str) -> Sentence:
    return (f"… and {_count(count, what)} more, not shown",)


def starts_from(name: str, shape: Sequence[int]) -> Sentence:
    return (
        "L stands for the sum of ",
        Name(name),
        f" {shape_text(shape)} weighted with grad_output: the backward pass starts from those weights",
    )


def complex_as_pairs(sign: Derivative) -> Sentence:
    return (
        "of a complex number z = x + iy, ∂L/∂z stands for ∂L/∂x + i ∂L/∂y, as in ",
        sign,
        "; the Jacobians are those of the real and imaginary parts",
    )


def starts_from_several(count: int) -> Sentence:
    return (f"L stands for the sum of the {count} outputs weighted with grad_output (1 unless given)",)


def as_argument(number: int) -> str:
    """Which argument of a call is meant, where a value is several of them."""
    return f"({_ORDINALS[number - 1]} argument)" if number <= len(_ORDINALS) else f"(argument {number})"


def held(fixed: str) -> str:
    """What the mark of a local partial says, once."""
    return f"({fixed} held fixed)"


def along(way: Way) -> Sentence:
    return ("along ", way)


def many_factors(count: int, result: Term) -> Sentence:
    return (f"the product of its {count} local partials is ", result)


def path_gives(way: Way, sign: Term, number: Term) -> Sentence:
    return ("along ", way, ": ", sign, " = ", number)


def other_paths(count: int, written: int, sign: Term, number: Term) -> Sentence:
    """What the paths give that are not among those written one by one."""
    which = "the other" if written else "the"
    who = f"{which} path gives" if count == 1 else f"{which} {count:,} paths together give"
    return (f"{who} ", sign, " = ", number) if isinstance(sign, Norm) else (f"{who} ", number)


def not_proven_largest(count: int) -> Sentence:
    return (
        f"of the {count:,} paths these are the largest that were followed to the end; a larger one may be among the others",
    )


def cancelling(largest: Term, total: Term) -> Sentence:
    return ("the paths cancel: single ones reach ", largest, ", their sum is ", total, ", so digits are lost in the sum")


def same_as_autograd(sign: Term, number: Term) -> Sentence:
    return ("autograd: ", sign, " = ", number, ", the same to rounding")


def not_as_autograd(sign: Term, number: Term, difference: float) -> Sentence:
    return (
        "autograd: ",
        sign,
        " = ",
        number,
        "; the sum over the paths differs by up to ",
        Number(difference),
        ": rounding, or a hook that changes a cotangent on the way",
    )


def autograd_is_not_finite(sign: Term, number: Term) -> Sentence:
    return ("autograd: ", sign, " = ", number, ", which is not finite: nothing can be compared")


def on_kink(sign: Term, formula: Term, kinks: Sequence[str]) -> Sentence:
    return ("sympy's closed form beside the kink (", ", ".join(kinks), "): ", sign, " = ", formula)


def contradicted(sign: Term, found: Term, true: Term) -> Sentence:
    return (
        "This contradicts autograd, which found ",
        sign,
        " = ",
        found,
        " where sympy finds ",
        true,
        ": some local partial above is wrong; check() says which",
    )


def autograd_found_none(sign: Term, true: Term) -> Sentence:
    return ("autograd found no number where sympy's closed form is ", sign, " = ", true)


def autograd_has_none() -> Sentence:
    return ("autograd has no gradient here, although the local partials lead here",)


def not_composed(reason: str) -> Sentence:
    return (f"sympy's closed form is not given: {reason}",)


def needs_no_gradient(name: str) -> Sentence:
    return (Name(name), " does not require grad: it is a constant, or was made without gradient, so none reaches it")


def no_gradient(name: str) -> Sentence:
    return ("No gradient reaches ", Name(name), ": every way from it to the output is cut")


def given_within(name: str, reason: str) -> Sentence:
    return ("No path leads from ", Name(name), f" to the output: {reason}")


def unused(name: str) -> Sentence:
    return ("No gradient reaches ", Name(name), ": the traced code does not use it")


def cut_at(head: str, tail: str, reason: str) -> Sentence:
    return ("the way from ", Name(tail), " to ", Name(head), f" is cut: {reason}")


def zero_because(met: Sequence[tuple[Derivative, Sentence]], more: int, name: str) -> Sentence:
    """The edges that pass on nothing but zeros, each with a remark; together they lie on every path."""
    start: Sentence = ("The gradient of ", Name(name), " is zero: ")
    if len(met) == 1:
        derivative, remark = met[0]
        return (*start, derivative, " passes on nothing but zeros, and no path avoids it", *remark)
    zeros = [part for derivative, remark in met for part in (", ", derivative, *remark)]
    return (*start, "every path meets a zero: ", *zeros[1:], f" and {more} more" if more > 0 else "")


def relu_is_off(name: str) -> Sentence:
    return (" (the ReLU is off: ", Words(f"{name} ≤ 0"), ")")


def zero_by_cancelling(name: str) -> Sentence:
    return ("The gradient of ", Name(name), " is zero because the contributions of its paths cancel")


def not_finite(derivative: Derivative, *, only_zeros: bool) -> Sentence:
    """Which edge made it so; `only_zeros` where it is itself not finite, and what arrives there is zero."""
    made: Sentence = ("The gradient is not finite: going back, ", derivative, " turns finite numbers into NaN or infinity")
    if not only_zeros:
        return made
    why = ": a zero arrives where it is not finite, as in a branch that is not taken, and 0 times NaN or infinity is NaN"
    return (*made, why)


def short(equation: Equation, paths: int) -> Equation:
    return replace(equation, remark=f"({_count(paths, 'path')})")


def answer(place: int, number: Number | Numbers, remark: str) -> Sentence:
    return (f"({place}) ", number, *([f" {remark}"] if remark else []))


def other_terms(count: int, number: str) -> str:
    return f"({_count(count, 'other term')}: {number})"


def not_followed(count: int) -> Sentence:
    return (f"… {_count(count, 'more element')} on the way to the output, not written out",)


def step_title(loss: str, lr: Number) -> Sentence:
    return ("One step of gradient descent on ", Name(loss), " with learning rate ", lr)


def becomes(name: str, before: Term, step: Term, after: Term) -> Sentence:
    return (Name(name), " becomes ", Sum((before, Negative(step))), " = ", after)


def moves_by(name: str, shape: Sequence[int], step: Term, length: Number) -> Sentence:
    return (Name(name), f" {shape_text(shape)} moves by ", step, " = ", length)


def first_order(loss: str, lr: Number, squares: Number, predicted: Number) -> Sentence:
    change = Negative(Product((lr, squares)))
    return ("along the slope, ", Name(loss), " changes by −lr times the squared gradients: ", change, " = ", predicted)


def loss_before(loss: str, number: Number) -> Sentence:
    return ("before: ", Name(loss), " = ", number)


def loss_after(loss: str, number: Number, *, drawn: bool) -> Sentence:
    how = "with the moved parameters and the same random numbers" if drawn else "with the moved parameters"
    return ("after: ", Name(loss), " = ", number, f", computed by the same calls {how}")


def cut_from_slope(loss: str, tail: str, head: str, reason: str) -> Sentence:
    which = (Name(loss), " also moves along the way from ", Name(tail), " to ", Name(head))
    return (*which, f", which the slope does not count, since it is cut: {reason}")


def compared_change(loss: str, change: float, predicted: float, shorter: tuple[float, float] | None) -> Sentence:
    """How the real change compares with the predicted one.

    Args:
        loss: its name.
        change, predicted: of the loss.
        shorter: a smaller learning rate with which the loss falls, and by how much, for a change that is no fall.
    """
    if math.isnan(change) or math.isinf(change) or math.isnan(predicted) or math.isinf(predicted):
        return ("the change of ", Name(loss), " is not finite: nothing can be compared")
    if predicted == 0:
        return ("every gradient is zero, so nothing moves",)
    if change >= 0:
        rises: Sentence = (" rises instead by ", Number(change)) if change else (" stays as it is",)
        if shorter is None:
            why = "they are too short for this dtype, or a gradient is wrong (check() says)"
            return (Name(loss), *rises, f"; nor does it fall with shorter steps: {why}")
        lr, fall = map(Number, shorter)
        overshoot: Sentence = (": the step is too long and goes past the minimum along it, since ", Name(loss), " is curved")
        return (Name(loss), *rises, *overshoot, "; with learning rate ", lr, " it changes by ", fall)
    share = Number(round(100 * change / predicted, 1))
    return ("it changes by ", Number(change), ": ", share, " % of what the slope predicts")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
