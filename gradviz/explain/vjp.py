"""One edge -> its contribution written out: the cotangent of the head and the local partial, multiplied as tensors are.

What is written is the vector-Jacobian product as people compute it: `∂L/∂A = (∂L/∂y) xᵀ` for `y = A x`, and for an
elementwise function the product element by element. A function that has no form of its own is written as its Jacobian,
transposed, times the cotangent, which is true of every function.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sympy as sp
from torch import Tensor

from gradviz.explain.terms import Applied, Derivative, Formula, Name, Negative, Number, Product, Sum, Term, Transposed, Words
from gradviz.explain.terms import product as multiplied
from gradviz.graph import GradGraph, Use
from gradviz.opcall import OpCall
from gradviz.partials import LocalPartial
from gradviz.symbolic import find_rule
from gradviz.symbolic.registry import NoRule, PointwiseRule
from gradviz.view.notation import shape_text

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One contribution.

    Attributes:
        term: in names.
        shapes: the same with the shape of each factor in its place.
    """

    term: Term
    shapes: Term


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a form is written with: names, or the shapes of what they name.

    Attributes:
        cotangent: of the head.
        result: the head's own value.
        wanted: the argument that is differentiated for.
        arguments: schema name -> the argument.
        formula: the local partial of one element; None where no formula is known.
        jacobian: ∂head/∂tail.
        in_shape, out_shape: of tail and head.
        call: what ran.
    """

    cotangent: Term
    result: Term
    wanted: str
    arguments: dict[str, Term]
    formula: Term | None
    jacobian: Term
    in_shape: Shape
    out_shape: Shape
    call: OpCall | None

    def option(self, place: int, name: str, default: Any) -> Any:
        """An argument that is no tensor, by its place in the schema."""
        if self.call is None:
            return default
        return self.call.kwargs.get(name, self.call.args[place] if len(self.call.args) > place else default)


def contribution(graph: GradGraph, use: Use, place: int, cotangent: Term) -> Written:
    """What the edge adds to its tail's cotangent, for the cotangent of one output of its head."""
    partials = graph.partials_of(use.edge)
    partial = partials[place]
    tail, head, _ = use.edge
    call: OpCall | None = graph.nodes[head]["call"]
    is_complex = any(graph.nodes[node]["dtype"].is_complex for node in (tail, head))
    form = _between_pairs if is_complex else _form_of(call)
    tail_name, head_name = Name(graph.output_name(tail, use.output)), Name(graph.output_name(head, place))
    formula = partial.formula if len(partials) == 1 else None  # of several outputs it is known of the first only
    shown = None if formula is None or isinstance(formula, sp.MatrixExpr) else Formula(formula)
    names: dict[str, Term] = {}
    sizes: dict[str, Term] = {}
    for one in graph.arguments_of(head):
        value = graph.value(one.edge[0], one.output)
        names[one.argument] = Name(graph.output_name(one.edge[0], one.output))
        sizes[one.argument] = _size(tuple(value.shape) if isinstance(value, Tensor) else graph.nodes[one.edge[0]]["shape"])
    wanted = use.argument if call is not None else ""
    common: dict[str, Any] = {"wanted": wanted, "in_shape": partial.in_shape, "out_shape": partial.out_shape, "call": call}
    jacobian = Derivative(head_name, tail_name)
    in_names = Parts(cotangent=cotangent, result=head_name, arguments=names, formula=shown, jacobian=jacobian, **common)
    out = _size(partial.out_shape)
    in_shapes = Parts(
        cotangent=out,
        result=out,
        arguments=sizes,
        formula=shown if shown is None or _is_number(shown) else _size(_formula_shape(partial)),
        jacobian=Words(f"({shape_text(partial.out_shape)}×{shape_text(partial.in_shape)})"),
        **common,
    )
    return Written(term=form(in_names), shapes=form(in_shapes))


def is_by_element(call: OpCall | None) -> bool:
    """Whether the formula of a call's partial is that of one element of a function, or of a reduction."""
    return _form_of(call) in (_elementwise, _reduction)


def _form_of(call: OpCall | None) -> Callable[[Parts], Term]:
    if call is None:
        return _general
    if (form := _FORMS.get(call.op.removesuffix("_"))) is not None:
        return form
    try:
        rule = find_rule(call.overload)
    except NoRule:
        return _general
    return _elementwise if isinstance(rule, PointwiseRule) else _general


def _formula_shape(partial: LocalPartial) -> Shape:
    """The shape of all elements of an elementwise partial, or of a reduction's."""
    return max(partial.out_shape, partial.in_shape, key=math.prod)


def _size(shape: Shape) -> Term:
    return Words(shape_text(shape))


def _is_number(formula: Formula) -> bool:
    return bool(formula.expression.is_number)


def _to_shape(term: Term, parts: Parts) -> Term:
    """Summed over the axes along which the argument was broadcast."""
    return term if parts.in_shape == parts.out_shape else Applied("sum", (term,), shape_text(parts.in_shape))


def _scaled(term: Term, factor: float) -> Term:
    return term if factor == 1 else multiplied([Number(factor), term])


# Forms. Each gets the parts, as names or as shapes, and writes the same tree with them.


def _general(parts: Parts) -> Term:
    """The transposed Jacobian times the cotangent; between single numbers a plain product."""
    if math.prod(parts.in_shape) == math.prod(parts.out_shape) == 1:
        return multiplied([parts.cotangent, parts.formula or parts.jacobian])
    return _between_pairs(parts)


def _between_pairs(parts: Parts) -> Term:
    """Complex numbers as pairs of real ones: true of every function, holomorphic or not, without a conjugate."""
    return Product((Transposed(parts.jacobian), parts.cotangent), "matrix")


def _elementwise(parts: Parts) -> Term:
    if parts.formula is None:
        return _general(parts)
    single = math.prod(parts.out_shape) == 1
    if isinstance(parts.formula, Formula) and parts.formula.expression == -1:
        return _to_shape(Negative(parts.cotangent), parts)
    return _to_shape(multiplied([parts.cotangent, parts.formula], "times" if single else "elementwise"), parts)


def _reduction(parts: Parts) -> Term:
    """The cotangent, one for each result, is handed out to all elements that went into it."""
    if parts.formula is None or parts.in_shape == parts.out_shape:
        return _elementwise(parts)
    if math.prod(parts.out_shape) == 1:
        return multiplied([parts.cotangent, parts.formula])
    handed_out = Applied("expand", (parts.cotangent,), shape_text(parts.in_shape))
    return multiplied([handed_out, parts.formula], "elementwise")


def _sum(parts: Parts) -> Term:
    if math.prod(parts.in_shape) == 1:
        return parts.cotangent
    return Applied("expand", (parts.cotangent,), shape_text(parts.in_shape))


def _matrix_product(left: str, right: str) -> Callable[[Parts], Term]:
    def form(parts: Parts) -> Term:
        if parts.wanted == left:
            return Product((parts.cotangent, Transposed(parts.arguments[right])), "matrix")
        return Product((Transposed(parts.arguments[left]), parts.cotangent), "matrix")

    return form


def _affine(left: str, right: str) -> Callable[[Parts], Term]:
    """beta · bias + alpha · left @ right"""
    matrices = _matrix_product(left, right)

    def form(parts: Parts) -> Term:
        if parts.wanted == "self":
            return _scaled(_to_shape(parts.cotangent, parts), parts.option(3, "beta", 1))
        return _scaled(matrices(parts), parts.option(4, "alpha", 1))

    return form


def _inner_product(parts: Parts) -> Term:
    other = next(name for name in parts.arguments if name != parts.wanted)
    return multiplied([parts.cotangent, parts.arguments[other]])


def _linear(parts: Parts) -> Term:
    """input @ weightᵀ + bias, for each row of the input."""
    if parts.wanted == "input":
        return Product((parts.cotangent, parts.arguments["weight"]), "matrix")
    if parts.wanted == "weight" and len(parts.out_shape) == 2:
        return Product((Transposed(parts.cotangent), parts.arguments["input"]), "matrix")
    return _to_shape(parts.cotangent, parts) if parts.wanted == "bias" else _general(parts)


def _transpose(parts: Parts) -> Term:
    return Transposed(parts.cotangent) if len(parts.out_shape) == 2 else _rearranged(parts)


def _same(parts: Parts) -> Term:
    return parts.cotangent


def _reshape(parts: Parts) -> Term:
    return Applied("reshape", (parts.cotangent,), shape_text(parts.in_shape))


def _rearranged(parts: Parts) -> Term:
    """The axes go back to where they were."""
    return Applied("permute", (parts.cotangent,), shape_text(parts.in_shape))


def _placed(parts: Parts) -> Term:
    """Each number goes back to where it was taken from; elsewhere is zero."""
    return Applied("put back", (parts.cotangent,), shape_text(parts.in_shape))


def _taken(parts: Parts) -> Term:
    """The part of the cotangent that belongs to this argument."""
    return Applied("part of", (parts.cotangent,), shape_text(parts.in_shape))


def _softmax(parts: Parts) -> Term:
    weighted = Applied("sum", (Product((parts.cotangent, parts.result), "elementwise"),), _axis(parts))
    return Product((parts.result, Sum((parts.cotangent, Negative(weighted)))), "elementwise")


def _log_softmax(parts: Parts) -> Term:
    total = Applied("sum", (parts.cotangent,), _axis(parts))
    return Sum((parts.cotangent, Negative(Product((Applied("exp", (parts.result,)), total), "elementwise"))))


def _axis(parts: Parts) -> str:
    return f"axis {parts.option(1, 'dim', -1) % max(len(parts.in_shape), 1)}"


def _mean(parts: Parts) -> Term:
    handed_out = Applied("expand", (parts.cotangent,), shape_text(parts.in_shape))
    count = math.prod(parts.in_shape) // max(math.prod(parts.out_shape), 1)
    return Product((Formula(sp.Rational(1, max(count, 1))), handed_out))


_FORMS: dict[str, Callable[[Parts], Term]] = {
    "mm": _matrix_product("self", "mat2"),
    "bmm": _matrix_product("self", "mat2"),
    "mv": _matrix_product("self", "vec"),
    "addmm": _affine("mat1", "mat2"),
    "addmv": _affine("mat", "vec"),
    "baddbmm": _affine("batch1", "batch2"),
    "dot": _inner_product,
    "linear": _linear,
    "t": _transpose,
    "transpose": _transpose,
    "permute": _transpose,
    "sum": _sum,
    "mean": _mean,
    "_softmax": _softmax,
    "_log_softmax": _log_softmax,
    "cat": _taken,
    "stack": _taken,
    **dict.fromkeys(("clone", "alias", "_to_copy", "contiguous", "lift_fresh", "copy"), _same),
    **dict.fromkeys(("view", "_unsafe_view", "reshape", "unsqueeze", "squeeze", "flatten", "unflatten"), _reshape),
    **dict.fromkeys(("select", "slice", "index", "gather", "index_select", "diagonal", "narrow", "embedding"), _placed),
    **dict.fromkeys(("split", "unbind", "split_with_sizes", "unsafe_split"), _placed),
    **dict.fromkeys(("expand",), lambda parts: Applied("sum", (parts.cotangent,), shape_text(parts.in_shape))),
    **dict.fromkeys(("linalg_vector_norm", "norm", "logsumexp", "prod", "amax", "amin", "var", "std"), _reduction),
    **dict.fromkeys(
        ("mse_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits", "nll_loss_forward"), _reduction
    ),
}
