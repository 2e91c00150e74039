"""What people write that math text does not have -> what to write instead.

A name that mathematics uses for a function is never read as a product of its letters: `sec x` is no `s*e*c*x`. It is an
error with a hint, unless it was said that it is a variable (see `names`).
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

BY_ITSELF: Final = "write the function only: gradviz differentiates it by each of its variables"
_IN_TORCH: Final = "trace a Python function that calls torch's instead"
_FORMULAS: Final[dict[str, str]] = {
    "sec": "1/cos(x)",
    **dict.fromkeys(("csc", "cosec"), "1/sin(x)"),
    **dict.fromkeys(("cot", "ctg", "cotg", "cotan"), "1/tan(x)"),
    "tg": "tan(x)", "arctg": "atan(x)", "arc": "asin(x), acos(x) or atan(x)",
    **dict.fromkeys(("acot", "arccot", "arcctg"), "atan(1/x)"),
    **dict.fromkeys(("asec", "arcsec"), "acos(1/x)"),
    **dict.fromkeys(("acsc", "arccsc"), "asin(1/x)"),
    "sh": "sinh(x)", "ch": "cosh(x)", "th": "tanh(x)",
    "sech": "1/cosh(x)", "csch": "1/sinh(x)", "coth": "1/tanh(x)",
    "lg": "log10(x), or log2(x) for base 2", **dict.fromkeys(("ld", "lb"), "log2(x)"), "loge": "log(x)",
    "sinc": "sin(x)/x", "erfc": "1 - erf(x)", "exp2": "2^x", "exp10": "10^x",
    "hypot": "sqrt(x^2 + y^2)", "sqr": "x^2", "square": "x^2", "cube": "x^3", "root": "sqrt(x), cbrt(x) or x^(1/n)",
    "logit": "log(x/(1 - x))", "logsumexp": "log(sum(exp(x)))", "softsign": "x/(1 + abs(x))",
    "mish": "x*tanh(softplus(x))", "hardtanh": "clamp(x, -1, 1)", "relu6": "clamp(x, 0, 6)",
    **dict.fromkeys(("step", "heaviside"), "where(x > 0, 1, 0)"),
    **dict.fromkeys(("mse", "mseloss", "mse_loss"), "mean((x - y)^2)"), "mae": "mean(abs(x - y))",
    **dict.fromkeys(("bce", "crossentropy", "cross_entropy"), "the formula with log, as in -log(p)"),
    "var": "mean((x - mean(x))^2)", "std": "sqrt(mean((x - mean(x))^2))",
    **dict.fromkeys(("avg", "average"), "mean(x)"),
    **dict.fromkeys(("matmul", "mm", "inner"), "A @ x"),
    **dict.fromkeys(("lim", "limit"), "the expression itself, with a value for its variable"),
    **dict.fromkeys(("int", "integral"), "the integral in closed form"),
    **dict.fromkeys(("if", "else", "then", "cases", "piecewise"), "where(x > 0, a, b)"),
    **dict.fromkeys(("and", "or", "not"), "one where inside another for two conditions"),
    "nan": "a finite number", "inf": "a finite number; the norm with the order infinity is max(abs(x))",
}  # fmt: skip
_REASONS: Final[dict[str, str]] = {
    **dict.fromkeys(("der", "diff", "grad", "gradient", "derivative"), BY_ITSELF),
    **dict.fromkeys(("argmax", "argmin"), "a position has no gradient; max(x) and min(x) have one"),
    **dict.fromkeys(("inv", "inverse", "det", "tr", "trace", "diag", "adj", "eig", "svd", "rank", "cross"), _IN_TORCH),
    **dict.fromkeys(("floor", "ceil", "round", "trunc", "mod", "fmod", "gcd", "lcm", "prod", "median"), _IN_TORCH),
    **dict.fromkeys(("lgamma", "digamma", "fact", "factorial"), _IN_TORCH),
    **dict.fromkeys(("Re", "Im", "arg", "conj", "real", "imag", "cis"), "math text is about real numbers"),
    **dict.fromkeys(("Pr", "sup", "deg", "ker", "hom"), "write the formula behind it"),
}
_INSTEAD: Final = {name: f"write {formula}" for name, formula in _FORMULAS.items()} | _REASONS
_BEFORE_PARENTHESIS: Final = {
    name: f"write {name}*(...) for a product; for the Gamma function trace a Python function that calls torch.lgamma"
    for name in ("gamma", "Gamma", "Γ")
}
_ONE_WITH_INDEX: Final = re.compile(r"(log|ln|norm|sum)_(\w{1,2})")

OTHER_ARGUMENTS: Final = {
    "log": "log(x); for another base log2(x), log10(x) or log(x)/log(b)",
    "sqrt": "sqrt(x); for another root cbrt(x) or x^(1/n)",
}
"""Functions that elsewhere take a further argument: what to write here."""

INVERSES: Final = {
    name: f"a{name}" for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")
} | {"exp": "log", "log": "exp"}  # fmt: skip
"""What is meant by `sin^-1`."""

ROOTS: Final = {"√": "sqrt", "∛": "cbrt"}

_SIGNS: Final = {
    "!": "factorials are not supported",
    **dict.fromkeys("'′", "write A.T or transpose(A) for a transpose; give derivatives no mark"),
    **dict.fromkeys("[]{}", "use parentheses ( ) to group; for one element of a vector, dot(x, e) with e = (0, 1, 0)"),
    **dict.fromkeys("&∧∨", "for two conditions write one where inside another"),
    **dict.fromkeys("⊙∘", "write * for the elementwise product"),
    **dict.fromkeys("∑Σ", "write sum(x) for the sum of the elements"),
    **dict.fromkeys("₀₁₂₃₄₅₆₇₈₉", "an index stands right after a name; for another norm write norm(x, 1)"),
    "∏": "write the product with *",
    **dict.fromkeys("∂∇", BY_ITSELF),
    "∫": "write the integral in closed form",
    "∞": "write a finite number",
    "±": "write + or -",
    "%": "remainders are not supported; for a percentage write x/100",
    "°": "angles are in radians; for degrees write x*pi/180",
    "$": "write the formula without $",
    "∜": "write x^(1/4)",
    ":": "write z = x*y for a definition",
    "#": "comments are not supported",
    '"': "write the formula without quotation marks",
}
_ACCEPTED: Final = "accepted are numbers, Latin and Greek letters, and + - * / ^ @ ( ) , = ; | √ < <= > >= == !="
_LATEX: Final = re.compile(r"\\([A-Za-z]+|.?)", re.DOTALL)
_LATEX_INSTEAD: Final = {
    **dict.fromkeys(("frac", "dfrac", "tfrac"), "(x)/(y)"),
    "sqrt": "sqrt(x)",
    **dict.fromkeys(("cdot", "times"), "*"),
    **dict.fromkeys(("left", "right"), "the parenthesis alone"),
    **dict.fromkeys(("operatorname", "mathrm", "text", "mathbf", "boldsymbol"), "the name alone"),
    "sum": "sum(x)",
}


def instead_of_name(name: str, *, parenthesis: bool) -> str | None:
    """What to do instead of a function's name that math text does not have; None for any other name.

    Args:
        name: the name as written.
        parenthesis: whether it stands before one, where `gamma` is a function too.

    >>> instead_of_name("sec", parenthesis=False), instead_of_name("log_2", parenthesis=True)
    ('write 1/cos(x)', 'write log2(x)')
    """
    indexed = _ONE_WITH_INDEX.fullmatch(name)
    if indexed:
        function, index = indexed.groups()
        logarithm = {"2": "log2(x)", "10": "log10(x)", "e": "log(x)"}.get(index, f"log(x)/log({index})")
        others = {"norm": f"norm(x, {index})", "sum": "sum(x), the sum of all elements"}
        return f"write {others.get(function, logarithm)}"
    if parenthesis and name in _BEFORE_PARENTHESIS:
        return _BEFORE_PARENTHESIS[name]
    if name in _INSTEAD:
        return _INSTEAD[name]
    return _INSTEAD.get(name.lower()) if len(name) > 2 else None


def instead_of_sign(text: str, place: int) -> tuple[str, str]:
    r"""What stands at `place`, where no token can begin, and what to write instead.

    >>> instead_of_sign(r"\frac{x}{y}", 0)
    ('the LaTeX command \\frac', 'math text is no LaTeX: write (x)/(y)')
    """
    sign = text[place]
    latex = _LATEX.match(text, place)
    if latex:
        name = latex.group(1)
        plain = _LATEX_INSTEAD.get(name) or (name if name.isalpha() else "sin(x), (x)/(y), x^(2), alpha, ...")
        return f"the LaTeX command \\{name if name.isprintable() else ''}", f"math text is no LaTeX: write {plain}"
    found = f"unexpected character {sign!r}"
    compatible = unicodedata.normalize("NFKC", sign).replace("\u2044", "/")  # what ½ holds is no slash
    if sign not in _SIGNS and compatible != sign and compatible.isascii() and compatible.strip():
        raised = unicodedata.decomposition(sign).startswith("<super>")
        return found, f"write {'^' * raised}{compatible}"
    if unicodedata.combining(sign):
        return found, "letters have no marks; write x_hat, x_bar or x1"
    return found, _SIGNS.get(sign, _ACCEPTED)
