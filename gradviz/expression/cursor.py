"""A place in a list of tokens, with the errors and the limits that every part of the parser needs there."""

from __future__ import annotations

from gradviz.errors import ExpressionError
from gradviz.expression.limits import MAX_NESTING, MAX_NODES
from gradviz.expression.nodes import Node
from gradviz.expression.tokens import Token

_ENDS_OPERAND = frozenset({"number", "variable", "constant", ")"})


class Cursor:
    """Where the parser is, how deep, and how many nodes it has made."""

    def __init__(self, text: str, tokens: list[Token]) -> None:
        self.text = text
        self.tokens = tokens
        self.place = 0
        self.depth = 0
        self.nodes = 0

    @property
    def token(self) -> Token:
        """The next token; the last one has kind "end"."""
        return self.tokens[self.place]

    def advance(self) -> Token:
        """The next token, which is then behind."""
        token = self.tokens[self.place]
        self.place += 1
        return token

    def expect(self, kind: str, opened: Token) -> Token:
        """The token that closes `opened`."""
        if self.token.kind == kind:
            return self.advance()
        if self.token.kind in ("end", ";"):
            commas = "; a comma is between arguments" if self.token.text == ";" else ""
            raise self.error(f"'{opened.text}' is never closed", opened, f"a closing '{kind}' is missing{commas}")
        raise self.unexpected(f"an operator or '{kind}' to close column {opened.start + 1}")

    def deeper(self, token: Token) -> None:
        """One level of nesting more; the caller takes it back."""
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise self.error(f"more than {MAX_NESTING} levels of nesting", token, "give parts a name: z = ...; log(z)")

    def count(self, token: Token | Node) -> None:
        """One node more."""
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise self.error(f"more than {MAX_NODES} operations and operands", token, "accepted are at most so many")

    def error(self, message: str, token: Token | Node, accepted: str) -> ExpressionError:
        """What, where, what is accepted."""
        return ExpressionError(f"{message} at column {token.start + 1}; {accepted}", self.text, token.start + 1)

    def unexpected(self, accepted: str) -> ExpressionError:
        """The error for the next token, where only `accepted` may stand."""
        token = self.token
        if token.kind in ("end", ";"):
            what = "the text ends" if token.kind == "end" else "the statement ends"
            return self.error(what, token, f"{accepted} must follow")
        if token.kind == "number" and self.place and self.tokens[self.place - 1].kind in _ENDS_OPERAND:
            accepted = "an operator before it: * for a product, ^ for a power; a decimal number has a point"
        elif token.kind == "=" and self.depth:
            accepted = "== in the condition of where(...); arguments have no names: sum(x, 0)"
        elif token.kind == "=":
            accepted = "a definition 'name = value' at the start of a statement"
        elif token.kind == "," and self.depth == 0:
            accepted = f"{accepted}; a decimal number has a point, 1.5"
        return self.error(f"unexpected '{self.text[token.start : token.end]}'", token, f"accepted is {accepted}")
