"""The exception tree: every refusal of gradviz is a `GradvizError` that says what, where and what is accepted.

GradvizError
├── ExpressionError       math text that cannot be read; carries the column and draws a caret
├── InputError            a target, an option or a value that `trace` does not accept
│   ├── NotScalarError    an output of several numbers, where a gradient starts from one
│   └── OtherVersionError a file that an earlier or a later gradviz wrote
├── TraceError            code that ran but whose graph cannot be traced (freed, cut, compiled, transformed)
├── PartialError          a local partial that cannot be evaluated (buffers freed, value changed in place)
├── NotKeptError          elements of a value that the graph keeps as statistics only
├── CheckError            a check that was asked for something that it cannot do
└── RenderError           a picture that cannot be drawn (unknown format, out of time)
"""

from __future__ import annotations


class GradvizError(Exception):
    """Base of everything that gradviz refuses. `str(error)` is a complete sentence for the user."""


class ExpressionError(GradvizError):
    """Math text that cannot be read.

    Attributes:
        text: the text as given.
        column: 1-based column of the first offending character.
        brief: the sentence without its caret, and without long lists, for where there is little room.
        single: the variables that were given one number each where a vector or matrix is needed.
    """

    def __init__(self, message: str, text: str, column: int, *, brief: str = "", single: tuple[str, ...] = ()) -> None:
        self.text = text
        self.single = single
        self.column = column
        self.brief = brief or message
        super().__init__(f"{message}\n{caret_line(text, column)}")


class InputError(GradvizError):
    """A target, an option or a value that is not accepted."""


class NotScalarError(InputError):
    """An output of several numbers, where a gradient starts from one.

    Attributes:
        shape: the output's.
    """

    def __init__(self, shape: tuple[int, ...], accepted: str) -> None:
        self.shape = shape
        super().__init__(f"the output has shape {shape}: a gradient needs a single number; {accepted}")


class OtherVersionError(InputError):
    """A file that an earlier or a later gradviz wrote.

    Attributes:
        found: the version of the file's format, as text.
        read: the one that this gradviz reads.
    """

    def __init__(self, file: str, *, found: str, read: str, again: str) -> None:
        """The sentence.

        Args:
            file: its path.
            found: the version of the file's format; it may be anything.
            read: the one that this gradviz reads.
            again: how such a file is made anew.
        """
        self.found, self.read = found, read
        is_later = found.isdecimal() and int(found[:9]) > int(read)
        other, or_else = ("a later", "update this one") if is_later else ("another", "read it with the one that wrote it")
        super().__init__(
            f"{file!r} was written by {other} version of gradviz: its format is {found[:20]!r}, this one reads {read!r}; "
            f"{again}, or {or_else}"
        )


class TraceError(GradvizError):
    """Code that ran, but whose graph cannot be traced."""


class PartialError(GradvizError):
    """A local partial that cannot be evaluated."""


class NotKeptError(GradvizError):
    """The elements of a value were asked for, and the graph keeps only their statistics; see `values=` of `trace`."""


class CheckError(GradvizError):
    """A check that was asked for something that it cannot do."""


class RenderError(GradvizError):
    """A picture that cannot be drawn."""


def caret_line(text: str, column: int) -> str:
    """The part of `text` around `column` (1-based) on one line, and a caret below that column.

    >>> print(caret_line("x * foo(y)", 5))
      x * foo(y)
          ^
    """
    start = max(0, column - 41)
    shown = text[start : start + 80].replace("\n", " ").replace("\t", " ")
    return f"  {shown}\n  {' ' * (column - 1 - start)}^"


def given(option: object) -> str:
    """What was given for an option that takes a number: numbers as people write them, all else as Python does.

    >>> given(-1.0), given("40"), given(None)
    ('-1', "'40'", 'None')
    """
    return f"{option:g}" if isinstance(option, (int, float)) else repr(option)
