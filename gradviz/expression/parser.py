"""Tokens -> syntax tree, by precedence climbing with bounded depth.

From loose to tight: comparison; `+ -`; `* / @` and the product without a sign; unary minus; `^`, which groups to
the right; function application. So `-x^2` is `-(x^2)`, `1/2x` is `(1/2)*x` and `x^-2` is allowed. A function
without parentheses takes the signless product after it: `sin 2x` is `sin(2*x)`; that product ends at an operator or
at another function, so `sin x cos y` is a product of two.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final, cast

from gradviz.errors import ExpressionError, InputError
from gradviz.expression.cursor import Cursor
from gradviz.expression.folding import check_constants
from gradviz.expression.foreign import INVERSES, OTHER_ARGUMENTS
from gradviz.expression.functions import FUNCTIONS
from gradviz.expression.limits import MAX_EXACT_INTEGER, MAX_EXPONENT, MAX_TEXT_CHARACTERS
from gradviz.expression.names import is_definition, resolve_names
from gradviz.expression.nodes import (
    ArithmeticOperator,
    BinaryOp,
    Call,
    Comparison,
    ComparisonOperator,
    Constant,
    Definition,
    Expression,
    Node,
    Number,
    UnaryOp,
    Variable,
)
from gradviz.expression.tokens import Token, readable, tokenize

_COMPARISON, _SUM, _PRODUCT = range(3)
_PRECEDENCE: Final = {
    **dict.fromkeys(("<", "<=", ">", ">=", "==", "!="), _COMPARISON),
    **dict.fromkeys("+-", _SUM),
    **dict.fromkeys("*/@", _PRODUCT),
}
_STARTS_FACTOR: Final = frozenset({"variable", "constant", "function", "root", "(", "|", "‖"})
_OPERAND: Final = "a number, a variable, a function or '('"


def parse(text: str, variables: Iterable[str] | None = None) -> Expression:
    """Read math text into a checked syntax tree; nothing of the text is ever run as Python.

    Statements are separated by `;` or a newline; all but the last define names: `z = x*y; log(z) + exp(z)`. Where
    the last one defines a name too, its value is the result.

    Args:
        text: the math text.
        variables: the names that have values. With them an unknown `wx` is read as `w*x`; without them only names
            of two or three letters are read as products of single letters (see `gradviz.expression.names` for the
            whole rule).

    Raises:
        ExpressionError: the text is not accepted; the message names the column and the error draws a caret below it.
        InputError: `text` is not a string.

    >>> expression = parse("tanh(ln(1 + z*2x/sin y))")
    >>> str(expression)
    'tanh(log(1 + z*2*x/sin(y)))'
    >>> expression.variables
    ('z', 'x', 'y')
    >>> parse("x * foo(y)")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    gradviz.errors.ExpressionError: unknown function 'foo' at column 5; known functions: abs, acos, ...
    """
    if not isinstance(text, str):
        raise InputError(f"math text must be a string, not {type(text).__name__}")
    if len(text) > MAX_TEXT_CHARACTERS:
        raise ExpressionError(
            f"the text has {len(text)} characters; up to column {MAX_TEXT_CHARACTERS} is accepted",
            readable(text),
            MAX_TEXT_CHARACTERS + 1,
        )
    expression = _Parser(text, resolve_names(tokenize(text), text, variables)).program()
    check_constants(expression)
    return expression


class _Parser(Cursor):
    """One pass over the tokens of one text."""

    def __init__(self, text: str, tokens: list[Token]) -> None:
        super().__init__(text, tokens)
        self.bars = ""  # the innermost open bar, which the next one closes
        self.to_define = {token.text for place, token in enumerate(tokens) if is_definition(tokens, place)}
        self.defined: set[str] = set()

    # Statements

    def program(self) -> Expression:
        definitions: list[Definition] = []
        result: Node | None = None
        while True:
            while self.token.kind == ";":
                self.advance()
            if self.token.kind == "end":
                break
            if result is not None:
                raise self.error("a second expression without a name", self.token, "only the last statement may have none")
            if is_definition(self.tokens, self.place):
                definitions.append(self.definition())
            else:
                result = self.expression(_COMPARISON)
            if self.token.kind not in (";", "end"):
                raise self.unexpected("an operator, ';' or the end")
        if result is None:
            if not definitions:
                raise self.error("there is no expression", self.token, "write for example x*y + sin(pi*x)")
            last = definitions[-1]
            result = Variable(name=last.name, start=last.start, end=last.start + len(last.name))
        return Expression(text=self.text, definitions=tuple(definitions), result=result)

    def definition(self) -> Definition:
        name = self.advance()
        self.advance()
        if name.text in self.defined:
            raise self.error(
                f"'{name.text}' is defined a second time", name, "each name is defined once; choose another name"
            )
        value = self.expression(_COMPARISON)
        self.defined.add(name.text)
        return Definition(name=name.text, value=value, start=name.start, end=value.end)

    def used_too_early(self, token: Token) -> ExpressionError:
        return self.error(
            f"'{token.text}' is used before its definition ends", token, "define a name first, under a new name"
        )

    # Expressions

    def expression(self, least: int) -> Node:
        """Operators that bind at least as tightly as `least`, and their operands."""
        left = factor = self.factor()
        while True:
            token = self.token
            precedence = _PRECEDENCE.get(token.kind)
            if precedence is None:
                if least > _PRODUCT or not self.starts_factor(token):
                    return left
                if isinstance(factor, Call) and factor.function == "transpose":
                    raise self.error(
                        "a product without a sign after a transpose", token, "write @ for the matrix product or *"
                    )
                factor = self.factor()
                left = self.binary("*", left, factor, implicit=True)
                continue
            if precedence < least:
                return left
            self.advance()
            right = factor = self.factor() if precedence == _PRODUCT else self.expression(precedence + 1)
            if precedence == _COMPARISON:
                self.count(token)
                left = Comparison(
                    operator=cast(ComparisonOperator, token.kind),
                    left=left,
                    right=right,
                    start=left.start,
                    end=right.end,
                )
            else:
                left = self.binary(cast(ArithmeticOperator, token.kind), left, right)

    def binary(self, operator: ArithmeticOperator, left: Node, right: Node, *, implicit: bool = False) -> Node:
        self.count(right)
        return BinaryOp(operator=operator, left=left, right=right, implicit=implicit, start=left.start, end=right.end)

    def starts_factor(self, token: Token) -> bool:
        return token.kind in _STARTS_FACTOR and token.kind != self.bars

    def factor(self) -> Node:
        """Signs, a primary, and the powers and transposes after it."""
        token = self.token
        if token.kind in ("-", "+"):
            self.deeper(token)
            self.advance()
            operand = self.factor()
            self.depth -= 1
            self.count(token)
            return operand if token.kind == "+" else UnaryOp(operand=operand, start=token.start, end=operand.end)
        base = self.primary()
        while self.token.kind in ("^", "superscript", "transpose"):
            sign = self.advance()
            if sign.kind == "transpose":
                self.count(sign)
                base = Call(function="transpose", arguments=(base,), start=base.start, end=sign.end)
            elif sign.kind == "superscript":
                base = self.binary("^", base, self.superscript(sign))
            else:
                self.deeper(sign)
                base = self.binary("^", base, self.factor())
                self.depth -= 1
        return base

    def superscript(self, token: Token) -> Node:
        self.count(token)
        digits = token.text.lstrip("+-")
        number = Number(value=self.number_value(token._replace(text=digits)), start=token.start, end=token.end)
        return UnaryOp(operand=number, start=token.start, end=token.end) if token.text[0] == "-" else number

    def primary(self) -> Node:
        token = self.token
        match token.kind:
            case "number":
                self.count(self.advance())
                return Number(value=self.number_value(token), start=token.start, end=token.end)
            case "variable":
                self.count(self.advance())
                if token.text in self.to_define and token.text not in self.defined:
                    raise self.used_too_early(token)
                return Variable(name=token.text, start=token.start, end=token.end)
            case "constant":
                self.count(self.advance())
                return Constant(name="pi" if token.text == "pi" else "e", start=token.start, end=token.end)
            case "function":
                return self.function()
            case "root":
                return self.root()
            case "(":
                (inside,) = self.arguments(single=True)
                return replace(inside, start=token.start, end=self.tokens[self.place - 1].end)
            case "|" | "‖":
                return self.between_bars()
        raise self.unexpected(_OPERAND)

    def number_value(self, token: Token) -> int | float:
        if token.text.isdigit() and int(token.text) <= MAX_EXACT_INTEGER:
            return int(token.text)
        value = float(token.text)
        if value == float("inf") or (value == 0 and token.text.lower().partition("e")[0].strip("0.")):
            raise self.error(
                f"the number {token.text} is out of range", token, "accepted are sizes from 5e-324 to 1.8e308, and 0"
            )
        return value

    def arguments(self, *, single: bool) -> list[Node]:
        """What stands in parentheses: one expression with `single`, else one or more."""
        opened = self.advance()
        self.deeper(opened)
        outside, self.bars = self.bars, ""
        values = [self.expression(_COMPARISON)]
        while not single and self.token.kind == ",":
            self.advance()
            values.append(self.expression(_COMPARISON))
        self.expect(")", opened)
        self.bars = outside
        self.depth -= 1
        return values

    def between_bars(self) -> Node:
        """`|x|` is abs, `||x||` and `‖x‖` are norm."""
        opened = self.advance()
        bars = 2 if opened.kind == "|" and self.token.kind == "|" and self.token.start == opened.end else 1
        self.place += bars - 1
        self.deeper(opened)
        outside, self.bars = self.bars, opened.kind
        inside = self.expression(_COMPARISON)
        for _ in range(bars):
            closing = self.expect(opened.kind, opened)
        self.bars = outside
        self.depth -= 1
        self.count(opened)
        name = "norm" if bars == 2 or opened.kind == "‖" else "abs"
        return Call(function=name, arguments=(inside,), start=opened.start, end=closing.end)

    # Functions

    def root(self) -> Node:
        """`√x`, `√2` and `√(x + 1)`; how far a root without parentheses reaches is left to no guess."""
        sign = self.advance()
        self.deeper(sign)
        opened = self.token.kind == "("
        inside = self.primary()
        self.depth -= 1
        if not opened and (self.token.kind in ("^", "superscript", "transpose") or self.starts_factor(self.token)):
            accepted = f"write {sign.text}(...) around what is under it"
            raise self.error("a root that may end here or later", self.token, accepted)
        return self.call(sign, [inside], inside.end)

    def function(self) -> Node:
        """A function, its power (`sin^2 x`) and its arguments, in parentheses or not."""
        name = self.advance()
        power = self.function_power(name)
        if self.token.kind == "(" and self.tokens[self.place + 1].kind != ")":
            values = self.arguments(single=False)
        else:
            self.deeper(name)
            values = [self.bare_argument(name)]
            self.depth -= 1
        node = self.call(name, values, self.tokens[self.place - 1].end)
        if power is None:
            return node
        return BinaryOp(operator="^", left=node, right=power, start=node.start, end=node.end)

    def function_power(self, name: Token) -> Number | None:
        """The 2 of `sin^2(x)`; `sin^-1` means two things and is refused."""
        sign = self.token
        if sign.kind not in ("^", "superscript"):
            return None
        self.advance()
        number = sign if sign.kind == "superscript" else self.token
        if not number.text.isdigit() or len(number.text) > 4 or not 2 <= int(number.text) <= MAX_EXPONENT:
            raise self.error(
                f"a power of the function name {name.text}",
                sign,
                f"accepted are {name.text}^2(x), {name.text}^3(x), ...; {self.reciprocal_or_inverse(name)}",
            )
        if sign.kind == "^":
            self.advance()
        self.count(number)
        self.count(number)
        return Number(value=int(number.text), start=number.start, end=number.end)

    def reciprocal_or_inverse(self, name: Token) -> str:
        inverse = INVERSES.get(name.text)
        reciprocal = f"write 1/{name.text}(x) for the reciprocal"
        return f"{reciprocal}, {inverse}(x) for the inverse function" if inverse else reciprocal

    def bare_argument(self, name: Token) -> Node:
        """The signless product after a function name without parentheses."""
        token = self.token
        following = [later.text for later in self.tokens[self.place + 1 : self.place + 3]]
        if token.kind == "-" and following == ["1", "("]:
            raise self.error(f"-1 after the function name {name.text}", token, self.reciprocal_or_inverse(name))
        if token.kind not in ("number", "-") and (token.kind == "(" or not self.starts_factor(token)):
            accepted = f"write {FUNCTIONS[name.text].signature if name.text in FUNCTIONS else 'pow(x, n)'}"
            raise self.error(f"the function {name.text} has no argument", name, f"{accepted}; a variable needs another name")
        negative = self.advance() if token.kind == "-" else None
        product = self.factor()
        while self.starts_factor(self.token) and self.token.kind != "function":
            product = self.binary("*", product, self.factor(), implicit=True)
        if negative is None:
            return product
        self.count(negative)
        return UnaryOp(operand=product, start=negative.start, end=product.end)

    def call(self, name: Token, values: list[Node], end: int) -> Node:
        self.count(name)
        if name.text == "pow":
            if len(values) != 2:
                raise self.error(f"pow with {len(values)} argument{'s' * (len(values) != 1)}", name, "accepted is pow(x, n)")
            return BinaryOp(operator="^", left=values[0], right=values[1], start=name.start, end=end)
        function = FUNCTIONS[name.text]
        if len(values) < function.least or (function.most is not None and len(values) > function.most):
            given = f"{len(values)} argument{'s' * (len(values) != 1)}"
            accepted = OTHER_ARGUMENTS.get(function.name, function.signature)
            raise self.error(f"{function.name} with {given}", name, f"accepted is {accepted}")
        return Call(function=function.name, arguments=tuple(values), start=name.start, end=end)
