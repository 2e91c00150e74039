"""What a check catches so that one broken rule does not cost the whole report: it becomes "unverified", with its reason."""

from __future__ import annotations

from gradviz.errors import GradvizError

FAILURES = (
    GradvizError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    RuntimeError,
)
"""What a symbolic rule may raise at arguments that it was not written for, and torch at strange tensors."""


def failure_reason(error: Exception) -> str:
    """The reason for the report; gradviz's own refusals speak for themselves.

    >>> failure_reason(GradvizError("no symbolic rule for aten.foo"))
    'no symbolic rule for aten.foo'
    >>> failure_reason(ZeroDivisionError("division by zero"))
    'the check itself failed here: ZeroDivisionError: division by zero'
    """
    if isinstance(error, GradvizError):
        return str(error)
    first_line = (str(error) or "no message").splitlines()[0]
    return f"the check itself failed here: {type(error).__name__}: {first_line}"
