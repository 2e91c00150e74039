"""Name tokens -> variables, constants, functions and products: what `wx`, `πx`, `alpha` and `foo(` mean.

The rule, applied to each name of the text in this order:

1. The names in `functions.py` are functions, in any case (`ReLU`, `Sin`); `σ` and `sigma` only before a parenthesis.
   A name that the text defines, or one of `variables`, is that variable, whole, unless a function has exactly that
   name. `α` and `alpha` are one name. `pi`, `Pi`, `PI`, `π` and `e` are constants.
2. Before a parenthesis a longer name must be a function: `foo(y)` is an error. One letter, a letter with an index
   (`x1`, `x_1`) and the name of a Greek letter are factors there: `z(2x)` is a product.
3. With `variables` given, a name that is made of known names and constants, side by side, is their product: `wx` is
   `w*x`.
4. A name that mathematics has for a function or an operation and math text has not (`sec x`, `lim`, `d/dx`,
   `gamma(x)`; the list is in `foreign.py`) is an error that says what to write. So is a function with its argument
   grown together (`sinx`, `cos2x`). Neither is ever cut into letters.
5. Otherwise a Greek letter never joins the Latin letters beside it (`πx` is `π*x`, and `sinθ` is `sin(θ)`); the names
   of Greek letters and names with digits or underscores are one variable; names of two or three Latin letters are
   products of single letters (`wx`, `xyz`, and `pix` is `pi*x`); longer names (`weight`) are one variable.

The product is read exactly as if it were written with `*`: `wx^2` is `w*x^2`, and `1/wx` is `(1/w)*x`. Reading a
text again with `variables=` the variables found in it gives the same tree.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from gradviz.errors import ExpressionError
from gradviz.expression.foreign import BY_ITSELF, instead_of_name
from gradviz.expression.functions import FUNCTIONS, SPELLINGS
from gradviz.expression.limits import MAX_NAME_CHARACTERS
from gradviz.expression.tokens import GREEK, Token

NEAREST = 5
"""Known functions that a short message names."""
_LOWER_CASE: Final = dict(
    zip(
        "αβγδεζηθικλμνξοπρστυφχψω",
        (
            *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu"),
            *("nu", "xi", "omicron", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega"),
        ),
        strict=True,
    )
)
_GREEK_NAMES: Final = _LOWER_CASE | {letter.upper(): name.capitalize() for letter, name in _LOWER_CASE.items()}
_GREEK_LETTERS: Final = {name: letter for letter, name in _GREEK_NAMES.items()}
_CONSTANTS: Final = {"pi": "pi", "Pi": "pi", "PI": "pi", "π": "pi", "e": "e"}
_SPLIT_UP_TO: Final = 3
_PIECE: Final = re.compile(rf"[{GREEK}](?:[0-9]+|(?:_[A-Za-z0-9{GREEK}]*)+)?|[A-Za-z_](?:[A-Za-z0-9]|_[{GREEK}]?)*")
_NAME: Final = re.compile(rf"[A-Za-z_{GREEK}][A-Za-z0-9_{GREEK}]*")
_INDEXED: Final = re.compile(r"[A-Za-z](?:_?[0-9]+)?")
_DIFFERENTIAL: Final = re.compile(rf"d[A-Za-z{GREEK}]")
_APPLIED_TO: Final = frozenset({"name", "number", "root", "("})
_FACTOR: Final = re.compile(rf"[A-Za-z{GREEK}](?:_?[0-9]*|_[A-Za-z{GREEK}])")


def resolve_names(tokens: list[Token], text: str, variables: Iterable[str] | None) -> list[Token]:
    """The tokens with each "name" replaced by tokens of kind "variable", "constant" or "function", by the rule of
    this module.

    `^T` becomes one token of kind "transpose", unless `T` is given or defined as a variable.
    """
    names = _Names(tokens, text, variables)
    names.refuse_operators(tokens)
    resolved: list[Token] = []
    for token, following in zip(tokens, [*tokens[1:], tokens[-1]], strict=True):
        if token.kind != "name":
            resolved.append(token)
        elif token.text == "T" and resolved and resolved[-1].kind == "^" and "T" not in names.known:
            resolved[-1] = Token("transpose", "^T", resolved[-1].start, token.end)
        else:
            resolved.extend(names.resolve(token, following.kind))
    names.refuse_double_meanings(resolved)
    return resolved


def is_definition(tokens: list[Token], place: int) -> bool:
    """Whether a statement that defines a name starts at this token."""
    return (
        tokens[place].kind in ("name", "variable")
        and tokens[place + 1].kind == "="
        and (place == 0 or tokens[place - 1].kind == ";")
    )


def is_one_name(name: str) -> bool:
    """Whether math text can have a variable of this name when it is told so."""
    return (
        _NAME.fullmatch(name) is not None
        and len(name) <= MAX_NAME_CHARACTERS
        and (name in ("σ", "sigma") or name not in SPELLINGS)
    )


def unknown_function(name: str, start: int, text: str) -> ExpressionError:
    """The error for a name before a parenthesis that is no function."""
    instead = instead_of_name(name, parenthesis=True)
    if instead:
        return _foreign_function(name, start, text, instead, "")
    close = [difflib.get_close_matches(name.lower(), SPELLINGS, n=1, cutoff=cutoff) for cutoff in (0.9, 0.6)]
    tail = next((name[place:] for place in range(1, len(name) - 1) if name[place:] in SPELLINGS), None)
    hint = f"did you mean '{close[1][0]}'? " if close[1] else ""
    if tail and not close[0]:
        hint = f"write {name[: -len(tail)]}*{tail}(...)? "
    known = sorted([*FUNCTIONS, "pow"])
    nearest = difflib.get_close_matches(name.lower(), known, n=NEAREST, cutoff=0.0)
    unknown, product = f"unknown function '{name}' at column {start + 1}; {hint}", f"a product is written {name}*(...)"
    return ExpressionError(
        f"{unknown}known functions: {', '.join(known)}; {product}",
        text,
        start + 1,
        brief=f"{unknown}{len(known)} functions are known, the nearest are {', '.join(nearest)}; {product}",
    )


def _foreign_function(name: str, start: int, text: str, instead: str, product: str) -> ExpressionError:
    return ExpressionError(
        f"'{name}' at column {start + 1} is no function of math text; {instead}{product}", text, start + 1
    )


class _Names:
    """What is known about the names of one text."""

    def __init__(self, tokens: list[Token], text: str, variables: Iterable[str] | None) -> None:
        self.text = text
        self.defined = [
            token.text for place, token in enumerate(tokens) if token.kind == "name" and is_definition(tokens, place)
        ]
        self.given = None if variables is None else list(variables)
        self.known: dict[str, str] = {}
        for name in [*(self.given or ()), *self.defined]:
            self.known.setdefault(name, name)
        for name in list(self.known):
            other = _GREEK_NAMES.get(name) or _GREEK_LETTERS.get(name)
            if other:
                self.known.setdefault(other, name)
        self.spelled: dict[str, str] = {}

    def resolve(self, token: Token, following: str) -> Iterator[Token]:
        name = token.text
        pieces = [name]
        if following == "(" and name not in self.known:
            self._refuse_before_parenthesis(token)
        if name not in self.known and name not in _CONSTANTS and not self._function(name):
            pieces = self._pieces(token, following)
        start = token.start
        for piece in pieces:
            end = start + len(piece)
            yield self._one(piece, start, end, following if end == token.end else "")
            start = end

    def refuse_operators(self, tokens: list[Token]) -> None:
        """`dy/dx` and `f(x) = ...` would be read as products."""
        for place, token in enumerate(tokens):
            if token.kind != "name" or token.text in self.known:
                continue
            after = tokens[place + 1 : place + 3]
            divides = place > 0 and tokens[place - 1].kind == "/" and "d" not in self.known
            if divides and _DIFFERENTIAL.fullmatch(token.text):
                accepted = f"{BY_ITSELF}; for a product write {token.text[0]}*{token.text[1]}"
                raise self._error(f"the derivative /{token.text}", token, accepted)
            if after[0].kind == "(" and (place == 0 or tokens[place - 1].kind == ";"):
                close = _closing(tokens, place + 1)
                if close and tokens[close + 1].kind == "=":
                    accepted = f"write what it is equal to, alone or as a named value: {token.text} = ..."
                    raise self._error(f"the definition of a function {token.text}", token, accepted)

    def refuse_double_meanings(self, tokens: list[Token]) -> None:
        """`σ(x) + σ` and `A^T + T`: one letter cannot be an operation here and a variable there."""
        variables = {token.text: token for token in tokens if token.kind == "variable"}
        for token in tokens:
            if token.kind == "transpose" and token.text == "^T" and "T" in variables:
                raise self._double(
                    variables["T"], "the mark of a transpose", "A.T for a transpose or x^(T) for a power", token
                )
            if token.text == "sigmoid" and token.kind == "function" and token.end - token.start < len("sigmoid"):
                double = variables.get("σ") or variables.get("sigma")
                if double:
                    raise self._double(double, "the sigmoid function", "sigmoid(...) for the function", token)

    def _double(self, token: Token, meaning: str, instead: str, elsewhere: Token) -> ExpressionError:
        return ExpressionError(
            f"'{token.text}' at column {token.start + 1} is a variable, but at column {elsewhere.start + 1}"
            f" it is {meaning}; write {instead}, or rename the variable",
            self.text,
            token.start + 1,
        )

    def _error(self, message: str, token: Token, accepted: str) -> ExpressionError:
        return ExpressionError(f"{message} at column {token.start + 1}; {accepted}", self.text, token.start + 1)

    def _function(self, name: str) -> str | None:
        """The function of this name. In capitals it may be a variable (`Sum`), and `Sigma` is a Greek letter."""
        if name in SPELLINGS:
            return SPELLINGS[name]
        plain = name.lower()
        return SPELLINGS.get(plain) if name.isascii() and name not in self.known and plain != "sigma" else None

    def _refuse_before_parenthesis(self, token: Token) -> None:
        """The last part of a name before a parenthesis: a function, one letter or a Greek letter that is none."""
        last = _PIECE.findall(token.text)[-1]
        start = token.end - len(last)
        if last in self.known or self._function(last) or last in _CONSTANTS:
            return
        if not (last in _GREEK_LETTERS or _FACTOR.fullmatch(last)):
            raise unknown_function(last, start, self.text)
        instead = instead_of_name(last, parenthesis=True)
        if instead:
            raise _foreign_function(last, start, self.text, instead, "")

    def _one(self, name: str, start: int, end: int, following: str) -> Token:
        function = self._function(name)
        if function and (name not in ("σ", "sigma") or (following == "(" and name not in self.known)):
            return Token("function", function, start, end)
        if name in self.known:
            return Token("variable", self.known[name], start, end)
        if name in _CONSTANTS:
            return Token("constant", _CONSTANTS[name], start, end)
        return Token("variable", self.spelled.setdefault(_GREEK_NAMES.get(name, name), name), start, end)

    def _pieces(self, token: Token, following: str) -> list[str]:
        whole = self._known_pieces(token.text)
        if whole:
            return whole
        parts: list[str] = []
        start = token.start
        for part in _PIECE.findall(token.text):
            end = start + len(part)
            if part not in self.known:
                self._refuse_functions(part, start, applied=end < token.end or following in _APPLIED_TO)
            parts += self._letters(part)
            start = end
        return parts

    def _refuse_functions(self, part: str, start: int, *, applied: bool) -> None:
        """A function that math text does not have, or one that has grown together with its argument, in place of a name.

        A longer name may well be a variable (`step`, `trace`) where it is applied to nothing.
        """
        if self._function(part) or self._known_pieces(part):
            return
        if part == "Σ" and applied:
            raise ExpressionError(
                f"'Σ' at column {start + 1} is no sum; write sum(x) for a sum, Σ*x for a product", self.text, start + 1
            )
        instead = instead_of_name(part, parenthesis=False)
        if instead and (applied or len(part) <= _SPLIT_UP_TO):
            product = f"; for a product of letters write {'*'.join(part)}" if len(part) <= _SPLIT_UP_TO else ""
            raise _foreign_function(part, start, self.text, instead, product)
        function = self._glued_function(part)
        if function:
            raise ExpressionError(
                f"unknown name '{part}' at column {start + 1}; for the function {function} write"
                f" {function}({part[len(function) :]}), for a variable choose a name that does not start with a function",
                self.text,
                start + 1,
            )

    def _glued_function(self, part: str) -> str | None:
        """`sin` for `sinx` and `sin2x`, and for `sinxy` where `x` and `y` have values; else longer names are names."""
        for end in range(len(part) - 1, 1, -1):
            function, rest = part[:end], part[end:]
            digits = rest[0].isdigit() and function != "sigma"
            if self._function(function) and (digits or _INDEXED.fullmatch(rest) or self._known_pieces(rest)):
                return function
        return None

    def _known_pieces(self, name: str) -> list[str] | None:
        """The names and constants that spell `name` side by side, where it was said which names have values."""
        holds_function = any(self._function(part) and part not in self.known for part in _PIECE.findall(name))
        if self.given is None or holds_function:
            return None
        return _fewest(name, lambda piece: piece in _CONSTANTS or self._joins(piece))

    def _joins(self, piece: str) -> bool:
        """Whether a known name is read within a longer one: a defined one that mixes alphabets, `αe = 2`, only by itself."""
        return piece in self.known and (piece in (self.given or ()) or _PIECE.fullmatch(piece) is not None)

    def _letters(self, part: str) -> list[str]:
        """The letters, Greek names, constants and known names in a short name; any other part as it is."""
        if self.given is not None:
            return self._known_pieces(part) or [part]
        short = len(part) <= _SPLIT_UP_TO and part.isascii() and part.isalpha()
        if not short or part in _GREEK_LETTERS or self._function(part):
            return [part]
        return _fewest(part, self._is_piece) or [part]

    def _is_piece(self, piece: str) -> bool:
        return len(piece) == 1 or piece in self.known or piece in _CONSTANTS or piece in _GREEK_LETTERS


def _closing(tokens: list[Token], place: int) -> int | None:
    """Where the parenthesis that opens at `place` is closed."""
    depth = 0
    for at in range(place, len(tokens)):
        depth += (tokens[at].kind == "(") - (tokens[at].kind == ")")
        if depth == 0:
            return at
    return None


def _fewest(name: str, is_piece: Callable[[str], bool]) -> list[str] | None:
    """The fewest pieces that spell `name` side by side, the longest first where several do; None where none do."""
    best: list[list[str] | None] = [None] * len(name) + [[]]
    for start in range(len(name) - 1, -1, -1):
        for end in range(len(name), start, -1):
            rest, here = best[end], best[start]
            if rest is not None and (here is None or len(rest) + 1 < len(here)) and is_piece(name[start:end]):
                best[start] = [name[start:end], *rest]
    return best[0]
