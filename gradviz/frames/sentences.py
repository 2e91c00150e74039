"""Every sentence below a frame, in English. Whoever translates them writes this file anew.

A sentence is words with terms between them, as in `gradviz.explain.sentences`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from gradviz.explain.terms import Derivative, Name, Sentence, Sum, Term, Words
from gradviz.signs import with_minus_signs

Language = Literal["en"]

Amount = tuple[str | Term, ...]
"""A name and what it is equal to, or what describes it."""

SHOWN = 6
WRITTEN_TERMS = 4


def title(name: str, expression: str) -> str:
    return f"{name} = {with_minus_signs(expression)}" if expression else f"How the gradients of {name} come about"


def inputs(amounts: Sequence[Amount]) -> Sentence:
    return ("The inputs: ", *_listed(amounts)) if amounts else ("The forward pass begins",)


def no_leaf() -> Sentence:
    return ("No leaf is in the part that is drawn",)


def of_part(inputs: Sentence, notes: Sequence[str]) -> Sentence:
    """The inputs: x = 2. 98 of 102 nodes are inside groups, and each group is one step"""
    return (*inputs, *(f". {note[:1].upper()}{note[1:]}" for note in notes))


def group(name: str, lines: Sequence[str]) -> Sentence:
    """blocks.0: 39 ops, 12,704 parameters, from [1, 16, 32] to [1, 16, 32]"""
    return (Name(name), f": {', '.join(lines)}")


def passes_through(name: str, gradient: Sequence[str], leaves: int) -> Sentence:
    """blocks.0 passes on what arrived: ‖cotangent‖ in 0.11 ← out 0.12, gain 0.93; 12 gradients inside are complete"""
    inside = f"{_count(leaves, 'gradient')} inside {'is' if leaves == 1 else 'are'} complete" if leaves else ""
    told = "; ".join(part for part in (*gradient, inside) if part)
    return (Name(name), f" passes on what arrived{': ' if told else ''}{told}")


def inside(name: str, group: str) -> str:
    return f"{name}, in {group}"


def arrives_from_outside(amounts: Sequence[Amount]) -> Sentence:
    return ("From outside of the picture: ", *_listed(amounts))


def completes(signs: Sequence[Derivative]) -> Amount:
    return ("; that is all of ", *_listed([(sign,) for sign in signs])) if signs else ()


def computed(name: str, sides: Sequence[Term]) -> Sentence:
    """a = x·y = 2·3 = 6"""
    return (Name(name), *(part for side in sides for part in (" = ", side)))


def described(name: str, call: str, words: str) -> Sentence:
    return (Name(name), *((" = ", Words(call)) if call else ()), f": {words}")


def starts(amounts: Sequence[Amount]) -> Sentence:
    return ("The backward pass starts with ", *_listed(amounts))


def flows(head: Amount, tail: str, partial: Amount, result: Term) -> tuple[str | Term, ...]:
    """∂d/∂a = 1 flows on to x: times ∂a/∂x = y = 3 gives 3"""
    return (*head, " flows on to ", Name(tail), ": times ", *partial, " gives ", result)


def flows_as(head: Term, tail: str, written: Term, shapes: Term | None, result: Amount) -> tuple[str | Term, ...]:
    """∂d/∂h flows on to A: (∂d/∂h) xᵀ, with shapes [3] [2]ᵀ, has ‖…‖ = 3"""
    with_shapes: Amount = () if shapes is None else (", with shapes ", shapes)
    return (head, " flows on to ", Name(tail), ": ", written, *with_shapes, *result)


def of_norm(number: Term) -> Amount:
    return (", of norm ", number)


def gives(amount: Term) -> Amount:
    return (", gives ", amount)


def more_to_come(count: int) -> Amount:
    return (f"; {_count(count, 'more contribution')} to come",)


def is_all(sign: Derivative) -> Amount:
    return ("; that is all of ", sign)


def added_up(sign: Derivative, contributions: Sequence[Term], total: Term) -> Amount:
    if len(contributions) > WRITTEN_TERMS:
        return (f"; the {len(contributions)} contributions add up to ", sign, " = ", total)
    return ("; ", sign, " = ", Sum(tuple(contributions)), " = ", total)


def added_up_tensors(sign: Derivative, count: int) -> Amount:
    return (f"; with it the {count} contributions to ", sign, " have all arrived")


def changed_by_hook(sign: Derivative) -> Amount:
    return ("; a hook then changes ", sign)


def gradients(amounts: Sequence[Amount], without: Sequence[str]) -> Sentence:
    none: Amount = ("; no gradient reaches ", *_listed([(Name(name),) for name in without])) if without else ()
    return ("The gradients: ", *_listed(amounts), *none) if amounts else ("No gradient reaches any leaf",)


def step(number: int, sentence: Sentence) -> Sentence:
    return (f"Step {number}. ", *sentence)


def went(changes: Sequence[tuple[Amount, Term]], output: Amount, before: Term | None) -> Sentence:
    """w goes to 0.45 (was 0.5); d = 5.1 (was 6)"""
    moved = _listed([(*amount, " (was ", was, ")") for amount, was in changes])
    was: Amount = () if before is None else (" (was ", before, ")")
    return (*moved, *(("; ",) if moved else ()), *output, *was)


def _listed(amounts: Sequence[Amount]) -> Iterable[str | Term]:
    parts: list[str | Term] = []
    for amount in amounts[:SHOWN]:
        parts += [", "] if parts else []
        parts += amount
    return [*parts, f" and {len(amounts) - SHOWN} more"] if len(amounts) > SHOWN else parts


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
