"""What a person types as the value of a variable."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradviz.errors import InputError
from gradviz.expression import typed_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", 2.0),
        (" -.5e-3 ", -0.0005),
        ("pi", math.pi),
        ("1/2", 0.5),
        ("2π", 2 * math.pi),
        ("−1/4", -0.25),
        ("sqrt(2)", math.sqrt(2)),
        ("[]", []),
        ("[max(1, 2), [e]]", [2.0, [math.e]]),
        ("[[1, 2],\n [3, 4]]", [[1.0, 2.0], [3.0, 4.0]]),
    ],
)
def test_a_value_is_a_constant_or_lists_of_them(text: str, value: object) -> None:
    assert typed_value(text) == value


NESTED = st.recursive(
    st.floats(allow_nan=False, allow_infinity=False), lambda items: st.lists(items, max_size=4), max_leaves=12
)


@given(NESTED)
def test_whatever_json_writes_of_numbers_is_read_as_it_was(value: object) -> None:
    assert typed_value(json.dumps(value)) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("two", "it has the variable t$"),
        ("1,5", "a decimal number has a point"),
        ("[1, 2", r"a closing '\]' is missing"),
        ("[[1, 2]", r"a closing '\]' is missing"),
        ("[1], [2]", r"'\]' closes nothing"),
        ("[1,, 2]", "there is no expression"),
        ("[1 2]", "unexpected '2' at column 3"),
        ("nan", "write a finite number$"),
        ("-Infinity", "write a finite number$"),
        ("[1, ∞]", "write a finite number$"),
        ("1/0", "not a real number"),
        ("[" * 9 + "1" + "]" * 9, "lists are nested more than 8 deep"),
        ("[" * 100_000, r"a closing '\]' is missing"),
    ],
)
def test_any_other_text_is_no_value(text: str, message: str) -> None:
    with pytest.raises(InputError, match=f"is neither a number .* nor a nested list .*: .*{message}") as caught:
        typed_value(text)
    assert len(str(caught.value)) < 1000
