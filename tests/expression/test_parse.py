"""What math text means, told by spellings that must be the same tree, and where an error points."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gradviz.errors import ExpressionError, InputError
from gradviz.expression import (
    BinaryOp,
    Call,
    Comparison,
    Constant,
    Expression,
    Node,
    Number,
    UnaryOp,
    Variable,
    canonical,
    parse,
    postorder,
    pretty,
)
from gradviz.expression.functions import FUNCTIONS, SPELLINGS
from gradviz.expression.names import is_one_name

# Precedence


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("-x^2", "-(x^2)"),
        ("(-x)^2", "(-x)^(2)"),
        ("x^-2", "x^(-2)"),
        ("2^-x^2", "2^(-(x^2))"),
        ("x^y^z", "x^(y^z)"),
        ("x**y", "x^y"),
        ("-x*y", "(-x)*y"),
        ("x - y - z", "(x - y) - z"),
        ("x/y/z", "(x/y)/z"),
        ("x/y*z", "(x/y)*z"),
        ("A@B@c", "(A@B)@c"),
        ("x--y", "x - (-y)"),
        ("2*-x", "2*(-x)"),
        ("+x", "x"),
        ("where(x + 1 < y*2, x, y)", "where((x + 1) < (y*2), x, y)"),
    ],
)
def test_operators_bind_as_in_mathematics(text: str, same: str) -> None:
    assert parse(text) == parse(same)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2x", "2*x"),
        ("2x^2", "2*(x^2)"),
        ("z*2x/sin y", "((z*2)*x)/sin(y)"),
        ("z(2x)/sin(y)", "(z*(2*x))/sin(y)"),
        ("3sin(x)", "3*sin(x)"),
        ("1/2x", "(1/2)*x"),
        ("x(y)", "x*y"),
        ("(x)(y)", "x*y"),
        ("2(3)", "2*3"),
        ("x y z", "x*y*z"),
        ("2pi x", "2*pi*x"),
        ("2|x|", "2*abs(x)"),
        ("2e", "2*e"),
        ("2e3", "2000.0"),
        ("x1 x_2", "x1*x_2"),
        (".5x", "0.5*x"),
        ("sin 2x", "sin(2*x)"),
        ("sin x cos y", "sin(x)*cos(y)"),
        ("sin -x", "sin(-x)"),
        ("log x / y", "log(x)/y"),
        ("sin x^2", "sin(x^2)"),
        ("sin^2 x", "sin(x)^2"),
        ("sin²(x)y", "sin(x)^2*y"),
        ("|x||y|", "abs(x)*abs(y)"),
        ("||x||", "norm(x)"),
        ("‖x‖", "norm(x)"),
        ("A.T@b", "transpose(A)@b"),
        ("A^T@b", "transpose(A)@b"),
        ("Aᵀ@b", "transpose(A)@b"),
        ("pow(x, 3)", "x^3"),
        ("x²y⁻¹", "x^2*y^(-1)"),
        ("2·π·x − 1", "2*pi*x - 1"),
        ("x × y ÷ z", "x*y/z"),
        ("\ufeffsin\u2061(x)\u200b•y", "sin(x)*y"),
        ("—x ‐ 1⁄2", "-x - 1/2"),
        ("where(x ≤ y, 1, 2)", "where(x <= y, 1, 2)"),
        ("2√x + √(x + 1)y", "2*sqrt(x) + sqrt(x + 1)*y"),
        ("√2*x", "sqrt(2)*x"),
        ("√(x)^2", "sqrt(x)^2"),
        ("√√x", "sqrt(sqrt(x))"),
        ("√sin(x)", "sqrt(sin(x))"),
        ("∛x", "cbrt(x)"),
        ("ReLU(x) + Sin x + EXP(y)", "relu(x) + sin(x) + exp(y)"),
        ("Σ + Sigma", "Σ + Σ"),
    ],
)
def test_what_people_leave_out_is_filled_in(text: str, same: str) -> None:
    assert parse(text) == parse(same)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_of_a_function_reads_as_its_first_name(spelling: str) -> None:
    if spelling == "pow":
        assert parse("pow(x, y)") == parse("x^y")
        return
    function = FUNCTIONS[SPELLINGS[spelling]]
    arguments = "x > 0, y, z" if function.name == "where" else ", ".join("xyz"[: function.least])
    call = parse(f"{spelling}({arguments})").result
    assert isinstance(call, Call)
    assert call.function == function.name


def test_the_tree_is_the_one_written_by_hand() -> None:
    x, y = Variable(name="x"), Variable(name="y")
    square = BinaryOp(operator="^", left=Call(function="sin", arguments=(x,)), right=Number(value=2))
    condition = Comparison(operator=">=", left=UnaryOp(operand=y), right=Constant(name="pi"))
    by_hand = Call(function="where", arguments=(condition, square, Number(value=1.5)))
    assert parse("where(-y >= π, sin^2 x, 1.5)").result == by_hand


def test_an_integer_is_not_the_same_number_as_a_float() -> None:
    assert parse("x^2") != parse("x^2.0")
    assert hash(parse("x + y").result) == hash(parse(" (x)+y").result)


def test_every_node_knows_the_columns_that_it_was_read_from() -> None:
    text = "2x + tanh(w*(x-1))^2"
    spans = {text[node.start : node.end] for node in postorder(parse(text).result)}
    assert spans == {"2", "x", "2x", "w", "1", "(x-1)", "w*(x-1)", "tanh(w*(x-1))", "tanh(w*(x-1))^2", text}


# Names


@pytest.mark.parametrize(
    ("text", "variables", "read"),
    [
        ("(y - tanh(wx+b))^2", ["w", "x", "b", "y"], "(y - tanh(w*x + b))^2"),
        ("(y - tanh(wx+b))^2", None, "(y - tanh(w*x + b))^2"),
        ("wx", ["wx", "w", "x"], "wx"),
        ("weightx", ["weight", "x"], "weight*x"),
        ("pix", ["x"], "pi*x"),
        ("pix", None, "pi*x"),
        ("πx", None, "pi*x"),
        ("2πsin(x)", None, "2*pi*sin(x)"),
        ("sinθ cosθ", None, "sin(θ)*cos(θ)"),
        ("lnπ", None, "log(pi)"),
        ("ασ(x)", None, "α*sigmoid(x)"),
        ("weight*bias", None, "weight*bias"),
        ("αx + alpha", None, "α*x + α"),
        ("λ", ["lambda"], "lambda"),
        ("foo(x)", ["foo", "x"], "foo*x"),
        ("e^x", ["e", "x"], "e^x"),
        ("σ*2", None, "σ*2"),
        ("σ(x)", ["x"], "sigmoid(x)"),
        ("σ(x)", ["σ", "x"], "σ*x"),
        ("x₁x₂", ["x1", "x2"], "x1*x2"),
        ("x^T", ["x", "T"], "x^(T)"),
    ],
)
def test_a_name_is_read_by_what_is_known(text: str, variables: list[str] | None, read: str) -> None:
    assert str(parse(text, variables=variables)) == read


def test_a_given_e_is_a_variable_and_otherwise_the_constant() -> None:
    assert parse("e*x", variables=["e", "x"]).variables == ("e", "x")
    assert parse("e*x").variables == ("x",)


def test_variables_are_in_order_of_first_appearance_without_those_that_the_text_defines() -> None:
    assert parse("z = y*x; a = z + w; log(z) + a*y").variables == ("y", "x", "w")


# Definitions


@pytest.mark.parametrize(
    "text", ["z = x*y; log(z) + exp(z)", "z = x*y\nlog(z) + exp(z)", ";z=xy;;\nlog(z) +\n exp(z)\n", "z=(x\n*y);log z+exp z"]
)
def test_definitions_end_at_a_semicolon_or_a_newline(text: str) -> None:
    assert str(parse(text)) == "z = x*y; log(z) + exp(z)"


def test_a_last_definition_is_the_result() -> None:
    assert parse("z = x + 1").result == Variable(name="z")


# Printing


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("x*y + sin(pi*x)", "x·y + sin(π·x)"),
        ("tanh(ln(1 + z*2x/sin y))", "tanh(log(1 + z·2·x/sin(y)))"),
        ("sigmoid(A@x + b)^2", "σ(A@x + b)²"),
        ("(x^2)^3 - x^-1", "(x²)³ - x⁻¹"),
        ("norm(abs(x) - 1)", "norm(|x| - 1)"),
        ("z = x y; z", "z = x·y; z"),
        ("x*(y*z)", "x·(y·z)"),
        ("x/(y*z)", "x/(y·z)"),
        ("x - -y*-z", "x - (-y·(-z))"),
        ("where(x <= y, x, 0)", "where(x ≤ y, x, 0)"),
    ],
)
def test_labels_are_written_as_on_paper(text: str, label: str) -> None:
    assert parse(text).pretty == label


def _calls(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    """Calls of every function in the table with as many arguments as it takes."""

    def with_arguments(name: str) -> st.SearchStrategy[Node]:
        function = FUNCTIONS[name]
        most = function.most or 4
        arguments = st.lists(inner, min_size=function.least, max_size=most)
        return arguments.map(lambda values: Call(function=name, arguments=tuple(values)))

    comparisons = st.builds(
        Comparison, operator=st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), left=inner, right=inner
    )
    wheres = st.builds(lambda *values: Call(function="where", arguments=values), comparisons, inner, inner)
    return wheres | st.sampled_from(sorted(set(FUNCTIONS) - {"where"})).flatmap(with_arguments)


NAMES = ["x", "y", "T", "wx", "alpha", "β", "x1", "weight", "pix", "σ"]
LEAVES: st.SearchStrategy[Node] = st.one_of(
    st.sampled_from(NAMES).map(lambda name: Variable(name=name)),
    st.sampled_from(NAMES).map(lambda name: Variable(name=name)),  # again, because most constants are refused somewhere
    st.sampled_from(["pi", "e"]).map(lambda name: Constant(name=name)),  # type: ignore[arg-type]
    st.integers(0, 2**53).map(lambda value: Number(value=value)),
    st.floats(0, allow_nan=False, allow_infinity=False).map(lambda value: Number(value=abs(value))),
)
TREES: st.SearchStrategy[Node] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(UnaryOp, operand=inner),
        st.builds(BinaryOp, operator=st.sampled_from("+-*/@^"), left=inner, right=inner),
        st.builds(BinaryOp, operator=st.sampled_from("+-*/"), left=inner, right=inner),
        _calls(inner),
    ),
    max_leaves=20,
)
ABOUT_CONSTANTS = ("the constant ", "the exponent ", "needs a variable")


def _parsed(text: str) -> Expression:
    """The expression; a generated tree with a constant such as 1/0 is no expression, and not what is tested here."""
    try:
        return parse(text, variables=NAMES)
    except ExpressionError as error:
        assume(not any(reason in str(error) for reason in ABOUT_CONSTANTS))
        raise


@settings(deadline=None, max_examples=200)
@given(TREES)
def test_canonical_text_reads_back_as_the_same_tree(tree: Node) -> None:
    expression = _parsed(canonical(tree))
    assert expression.result == tree
    assert str(expression) == canonical(tree)


@settings(deadline=None, max_examples=150)
@given(TREES)
def test_pretty_text_reads_back_as_the_same_tree(tree: Node) -> None:
    assume(not any(isinstance(node, Variable) and node.name in ("T", "σ") for node in postorder(tree)))
    try:
        expression = parse(pretty(tree), variables=[name for name in NAMES if name not in ("T", "σ")])
    except ExpressionError as error:
        assume(not any(reason in str(error) for reason in ABOUT_CONSTANTS))
        raise
    assert expression.result == tree


@settings(deadline=None, max_examples=100)
@given(st.lists(TREES, min_size=1, max_size=3))
def test_text_with_definitions_reads_back_as_the_same_expression(trees: list[Node]) -> None:
    text = "; ".join(f"name_{place} = {canonical(tree)}" for place, tree in enumerate(trees))
    expression = _parsed(text)
    again = parse(str(expression), variables=expression.variables)
    assert again == expression
    assert again.variables == expression.variables


@given(st.text(alphabet="abxyTπσαβλ_12", min_size=1, max_size=8))
def test_a_name_that_is_given_is_one_variable_whole(name: str) -> None:
    assume(is_one_name(name))
    assert parse(f"2 {name} + 1", variables=[name]).variables == (name,)


# Errors


def test_an_unknown_function_has_a_short_form_that_names_the_nearest() -> None:
    with pytest.raises(ExpressionError, match=r"known functions: abs, .*, where; a product") as caught:
        parse("x + tanhh(y)")
    known = len({*FUNCTIONS, "pow"})
    start = f"unknown function 'tanhh' at column 5; did you mean 'tanh'? {known} functions are known, the nearest are tanh, "
    assert caught.value.brief.startswith(start) and "\n" not in caught.value.brief
    assert len(caught.value.brief) < 190 < len(str(caught.value))
    with pytest.raises(ExpressionError, match="the text ends") as other:
        parse("x + ")
    assert other.value.brief == str(other.value).partition("\n")[0]


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("x * foo(y)", 5, r"unknown function 'foo' at column 5; known functions: abs, acos, .*; a product is written foo\*"),
        ("x + sine(y)", 5, "unknown function 'sine' at column 5; did you mean 'sin'"),
        ("xsin(y)", 1, r"unknown function 'xsin' at column 1; write x\*sin\(...\)"),
        ("2πsinx", 3, "unknown name 'sinx' at column 3"),
        ("1 + sinx", 5, r"unknown name 'sinx' at column 5; for the function sin write sin\(x\)"),
        ("x + ", 5, r"the text ends at column 5; a number, a variable, a function or '\(' must follow"),
        ("(x + y", 1, r"'\(' is never closed at column 1; a closing '\)' is missing"),
        ("x + y)", 6, r"unexpected '\)' at column 6; accepted is an operator, ';' or the end"),
        ("x ** ** y", 6, r"unexpected '\*\*' at column 6; accepted is a number, a variable, a function or '\('"),
        ("sin(x, y)", 1, r"sin with 2 arguments at column 1; accepted is sin\(x\)"),
        ("1 + clamp(x, 0)", 5, r"clamp with 2 arguments at column 5; accepted is clamp\(x, low, high\)"),
        ("pow(x)", 1, r"pow with 1 argument at column 1; accepted is pow\(x, n\)"),
        ("exp + 1", 1, r"the function exp has no argument at column 1; write exp\(x\)"),
        ("sin^-1(x)", 4, r"a power of the function name sin at column 4; accepted are sin\^2\(x\)"),
        ("2,5", 2, r"unexpected ',' at column 2; .* a decimal number has a point, 1.5"),
        ("x 2", 3, r"unexpected '2' at column 3; accepted is an operator before it"),
        ("1_000", 1, "the number at column 1 is in a programming language's spelling; accepted are digits"),
        ("x + 0x10", 5, "the number at column 5 is in a programming language's spelling"),
        ("x + 1e999", 5, "the number 1e999 is out of range at column 5; accepted are sizes from 5e-324 to 1.8e308"),
        ("1e-999", 1, "the number 1e-999 is out of range at column 1"),
        ("x!", 2, "unexpected character '!' at column 2; factorials are not supported"),
        ("x.real", 2, r"unexpected character '.' at column 2; accepted are numbers, Latin and Greek letters"),
        ("x > 0", 1, r"a comparison at column 1 outside where; accepted is .* where\(x > 0, x, 0\)"),
        ("where(0 < x < 1, 1, 2)", 7, "a comparison at column 7 outside where"),
        ("where(x, y > 0, 1)", 10, "a comparison at column 10 outside where"),
        ("where(x, 1, 2)", 7, r"where has no condition at column 7; accepted is where\(a < b, then, otherwise\)"),
        ("x = y = 2", 7, r"unexpected '=' at column 7; accepted is a definition 'name = value' at the start"),
        ("x; y", 4, "a second expression without a name at column 4; only the last statement may have none"),
        ("z = z + 1; z", 5, "'z' is used before its definition ends at column 5; define a name first"),
        ("log(z); z = x", 5, "'z' is used before its definition ends at column 5"),
        ("z = x; z = y; z", 8, "'z' is defined a second time at column 8; each name is defined once"),
        ("σ(x) + σ", 8, "'σ' at column 8 is a variable, but at column 1 it is the sigmoid function"),
        ("A^T + T", 7, "'T' at column 7 is a variable, but at column 2 it is the mark of a transpose"),
        ("A.T x", 5, "a product without a sign after a transpose at column 5; write @ for the matrix product"),
        ("", 1, "there is no expression at column 1; write for example"),
        ("  ;\n", 5, "there is no expression at column 5"),
        ("x + 1/0", 5, "the constant 1/0 at column 5 is not a real number; accepted are constants with a real, finite"),
        ("x*log(1 - 1)", 3, r"the constant log\(1 - 1\) at column 3 is not a real number"),
        ("(-8)^(1/3)", 1, r"the constant \(-8\)\^\(1/3\) at column 1 is not a real number"),
        ("1e308*10 + x", 1, "the constant .* at column 1 is not a finite number"),
        ("x + exp(1000)", 5, r"the constant exp\(1000\) at column 5 is too large"),
        ("x + sum(2)", 5, r"sum\(2\) at column 5 needs a variable: constants are single numbers, and it needs vectors"),
        ("max(2)*x", 1, r"max\(2\) at column 1 needs a variable"),
        ("x + 2@3", 5, "2@3 at column 5 needs a variable"),
    ],
)
def test_an_error_says_what_where_and_what_is_accepted(text: str, column: int, message: str) -> None:
    with pytest.raises(ExpressionError, match=message) as caught:
        parse(text)
    assert caught.value.column == column
    assert caught.value.text == text
    *_, caret = str(caught.value).splitlines()
    assert caret == f"{' ' * (column + 1)}^"


def test_text_that_is_no_string_is_refused() -> None:
    with pytest.raises(InputError, match="math text must be a string, not int"):
        parse(3)  # type: ignore[arg-type]
