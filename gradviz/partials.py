"""The local partial of one edge: d(consumer)/d(producer) as the autograd node itself computes it.

A builtin node is callable, a Python `autograd.Function` node has `apply`; either maps the cotangents of its outputs to
contributions to its inputs. So a wrong custom backward shows here as it is. Nodes can be asked as long as the graph's
buffers live, which `trace` takes care of, and as long as no saved tensor is changed in place.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import Node

from gradviz.edge_partial import EdgePartial
from gradviz.errors import PartialError
from gradviz.recording.backward import gradients_aside
from gradviz.recording.checkpoints import contributions
from gradviz.recording.held import State
from gradviz.recording.hooks import NodeHooks, hooks_of_node
from gradviz.recording.nodes import is_custom, needed_arguments, op_of_node, output_metadata
from gradviz.recording.packed import Packed, packed_tensors

if TYPE_CHECKING:
    from gradviz.graph import Edge
    from gradviz.opcall import OpCall

MAX_JACOBIAN_ELEMENTS = 2**27
"""Above this many elements a dense local Jacobian is refused: 1 GiB in float64."""
_BATCHED_WITHIN = 0.02  # of the largest element: slips are larger, roundings in 16 bits smaller
ROWS_AT_ONCE = 4096
_JOINT = frozenset({"NativeGroupNormBackward0"})
"""torch's own nodes that pass over the cotangent of one statistic where they get none of the other (seen on 2.13).

In a backward pass without that its gradient is lost, and is to be found missing here too. Of their first output, the
result, they are asked alone: zeros beside it, which the engine does not hand in, make NaN in float16: statistics overflow.
"""


class Head(NamedTuple):
    """What the partials into one node share: its call, what it and its arguments (by position) are called, and its node.

    `inner` are the leaves whose `.grad` a backward pass of its own adds to, which the node of a custom Function may run.
    `handed` are the cotangents that the node was handed, by output. `given` are the leaves
    and constants that what runs again reads, each with what it held.

    The autograd nodes of a graph are kept in one tuple, consumers last, which is freed from its end: torch frees a long
    chain by recursion, and overflows the stack, where Python lets go of producers first.
    """

    nodes: tuple[Node, ...]
    place: int
    call: OpCall | None
    name: str
    arguments: Mapping[int, str]
    inner: Sequence[Tensor]
    handed: Sequence[Tensor | None]
    given: Sequence[tuple[Tensor, State]]


class LocalPartial(EdgePartial):
    """d(head)/d(tail) across one edge, all other arguments of the head held fixed.

    Where the head has several outputs, the partial is that of its first used output; `of_output` gives the others.

    Attributes:
        edge: (tail, head, argument position).
        in_shape: shape of the producer's value.
        out_shape: shape of the consumer's value.
        in_dtype, out_dtype: dtypes of the two.

    Complex gradients are kept as torch keeps them, ∂L/∂x + i ∂L/∂y at x + iy, and `vjp` maps such to such. Of a holomorphic
    function `jacobian` holds the conjugates of ∂s/∂z; of any other complex function no one matrix says all.
    """

    __slots__ = ("_head", "_output", "_slot")

    def __init__(self, edge: Edge, slot: int, output: int, head: Head) -> None:
        self.edge = edge
        self._slot = slot
        self._output = output
        self._head = head

    def of_output(self, output: int) -> LocalPartial:
        """The partial of another differentiable output of the head, counted as autograd counts them.

        Raises:
            PartialError: the head has no such output.
        """
        count = len(output_metadata(self._node))
        if not 0 <= output < count:
            raise PartialError(f"{self._where} has no output {output}: its head has {count} differentiable outputs")
        return LocalPartial(self.edge, self._slot, output, self._head)

    @property
    def in_shape(self) -> tuple[int, ...]:
        return tuple(self._tail_metadata().shape)

    @property
    def out_shape(self) -> tuple[int, ...]:
        return tuple(self._head_metadata().shape)

    @property
    def in_dtype(self) -> torch.dtype:
        return self._tail_metadata().dtype  # type: ignore[no-any-return]

    @property
    def out_dtype(self) -> torch.dtype:
        return self._head_metadata().dtype  # type: ignore[no-any-return]

    @property
    def autograd_op(self) -> str:
        """The function that autograd made the head for, by its node's class: "add" of an AddBackward0."""
        return op_of_node(self._node)

    def vjp(self, cotangent: Tensor) -> Tensor:
        """The contribution to the producer's cotangent that `cotangent`, shaped like the consumer, makes.

        Raises:
            PartialError: wrong shape, or the node can no longer be asked.
        """
        return vjps([self], cotangent)[0]

    def jvp(self, tangent: Tensor) -> Tensor:
        """The consumer's tangent for a tangent of the producer, shaped like the producer.

        The node's own linear map is transposed: by differentiating it where torch can, else through the dense Jacobian.
        """
        self._require_shape("tangent", tangent, self.in_shape)
        tail, head = self._tail_metadata(), self._head_metadata()
        tangent = tangent.detach().to(device=tail.device, dtype=tail.dtype)
        if tangent.numel() <= ROWS_AT_ONCE or is_custom(self._node):
            return super().jvp(tangent)
        with torch.enable_grad():
            cotangent = torch.zeros(self.out_shape, dtype=head.dtype, device=head.device, requires_grad=True)
            contribution = self._ask(cotangent)
            if not contribution.requires_grad:
                return super().jvp(tangent)
            found: Tensor = torch.autograd.grad(contribution, cotangent, tangent)[0]
            return found.detach()

    def jacobian(self) -> Tensor:
        """The dense local Jacobian, shape `(*out, *in)`.

        Raises:
            PartialError: more than `MAX_JACOBIAN_ELEMENTS` elements; use `vjp` or `jvp`.
        """
        head = self._head_metadata()
        rows = math.prod(self.out_shape)
        if rows * math.prod(self.in_shape) > MAX_JACOBIAN_ELEMENTS:
            raise PartialError(
                f"the dense Jacobian of {self._where} would have {rows} x {math.prod(self.in_shape)} elements, more "
                f"than {MAX_JACOBIAN_ELEMENTS}; use vjp or jvp"
            )
        parts = []
        for start in range(0, rows, ROWS_AT_ONCE):
            count = min(ROWS_AT_ONCE, rows - start)
            basis = torch.zeros(count, rows, dtype=head.dtype, device=head.device)
            basis[torch.arange(count), torch.arange(start, start + count)] = 1
            parts.append(self._ask_rows(basis.reshape((count, *self.out_shape))))
        if not parts:
            tail = self._tail_metadata()
            return torch.zeros((*self.out_shape, *self.in_shape), dtype=tail.dtype, device=tail.device)
        return torch.cat(parts).reshape((*self.out_shape, *self.in_shape))

    def diagonal(self) -> Tensor:
        """The diagonal of the Jacobian of an elementwise function, shaped like both sides.

        Raises:
            PartialError: the function is not elementwise, or broadcasts this argument.
        """
        call = self._head.call
        if self.in_shape == self.out_shape and call is not None and torch.Tag.pointwise in call.overload.tags:
            head = self._head_metadata()
            return self._ask(torch.ones(self.out_shape, dtype=head.dtype, device=head.device))
        return super().diagonal()

    def _only_element(self) -> Tensor:
        head = self._head_metadata()
        return self._ask(torch.ones(self.out_shape, dtype=head.dtype, device=head.device))  # asked often: no basis is built

    @property
    def _call(self) -> OpCall | None:
        return self._head.call

    @property
    def _names(self) -> tuple[Sequence[str], str]:
        arguments = self._head.arguments
        return [arguments.get(position, "") for position in range(max(arguments) + 1)], self._head.name

    def __copy__(self) -> LocalPartial:
        return self

    def __deepcopy__(self, memo: object) -> LocalPartial:
        return self  # it changes nothing and stands for a live autograd node, which cannot be copied

    @property
    def _node(self) -> Node:
        return self._head.nodes[self._head.place]

    def _head_metadata(self) -> Any:
        return output_metadata(self._node)[self._output]

    def _tail_metadata(self) -> Any:
        tail, output = self._node.next_functions[self._slot]
        if tail is None:
            raise PartialError(f"{self._where} carries no gradient")
        return output_metadata(tail)[output]

    def _ask(self, cotangent: Tensor) -> Tensor:
        """The node's own answer for a cotangent of this output, zero for its other outputs."""
        return self._taken(self._answer(cotangent))

    def _answer(self, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        """What the node contributes to all that it was made from.

        Without a graph of its own, as the engine asks: where gradients are on, some nodes take another formula, which can be
        differentiated again.
        """
        try:
            with torch.set_grad_enabled(cotangent.requires_grad):
                return self._contributions(cotangent)
        except _raised_by(self._node) as error:
            raise PartialError(self._refusal(error)) from error

    def _laid_out(self, cotangent: Tensor) -> Tensor:
        """The cotangent as the one of the backward pass lay in memory: kernels differ by that, and may be wrong for another
        (seen on 2.13: batch_norm of an input that is contiguous in both ways, with a contiguous cotangent)."""
        handed = self._head.handed[self._output] if self._output < len(self._head.handed) else None
        strides = _strides(handed)
        if strides is None or cotangent.layout is not torch.strided:
            return cotangent
        return torch.empty_strided(cotangent.shape, strides, dtype=cotangent.dtype, device=cotangent.device).copy_(cotangent)

    def _taken(self, answer: tuple[Tensor | None, ...]) -> Tensor:
        """This edge's part of the node's answer."""
        contribution = answer[self._slot_in_answer()]
        if contribution is None:
            tail = self._tail_metadata()
            return torch.zeros(tuple(tail.shape), dtype=tail.dtype, device=tail.device)
        # As the engine does: a node may answer before broadcasting is summed away, or in another dtype.
        tail = self._tail_metadata()
        shape = tuple(tail.shape)
        if contribution.is_complex() and not tail.dtype.is_complex:
            contribution = contribution.real
        return (contribution if contribution.shape == shape else contribution.sum_to_size(shape)).to(tail.dtype)

    def _ask_rows(self, cotangents: Tensor) -> Tensor:
        """`_ask` for a stack of cotangents: all at once where torch can and does so rightly, else one by one."""
        if not is_custom(self._node) and len(cotangents) > 1:
            try:
                asked = self._ask(_weighted(cotangents)).detach()  # first: a checkpoint is not to be run within vmap
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", "There is a performance drop")  # one by one inside is as well
                    rows: Tensor = torch.vmap(self._ask)(cotangents)
                if _is_near(asked, _weighted(rows)):  # vmap of cdist's node is not linear in them
                    return rows
            except PartialError:  # batching has gaps and slips of its own; one by one the node itself answers or refuses
                pass
        answers = [self._ask(self._laid_out(cotangent)) for cotangent in cotangents]
        return torch.stack([one if one.layout is torch.strided else one.to_dense() for one in answers])

    def hooks(self) -> NodeHooks:
        """The hooks that lie on the autograd node now: they change what the backward pass made of it, and no partial."""
        return hooks_of_node(self._node)

    def packed_tensors(self) -> list[Packed]:
        """What hooks on saved tensors hand the backward of the head; empty where none packed them.

        Raises:
            PartialError: it can no longer be asked.
        """
        try:
            return list(packed_tensors(self._node))
        except _raised_by(self._node) as error:
            raise PartialError(self._refusal(error)) from error

    def writes_to_cotangent(self) -> bool:
        """Whether a hand-written backward changes the very tensor that it is handed, which torch forbids.

        Raises:
            PartialError: the node can no longer be asked.
        """
        if not is_custom(self._node):
            return False
        head = self._head_metadata()
        handed = torch.full(self.out_shape, 0.75, dtype=head.dtype, device=head.device)
        before = handed.clone()
        try:
            self._asked_with(handed)
        except _raised_by(self._node) as error:
            raise PartialError(self._refusal(error)) from error
        return not torch.equal(handed, before)

    def _contributions(self, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        # A hand-written backward may write to what it is handed, which may be what was recorded.
        return self._asked_with(cotangent.clone() if is_custom(self._node) else cotangent)

    def _asked_with(self, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        """The node's answer to a cotangent of this output.

        For the other outputs of a custom Function the engine fills in zeros, or, where its forward called
        `set_materialize_grads(False)`, None. Which of the two a backward knows nobody can read off its node: one that
        refuses zeros is asked with None.
        """
        count = len(output_metadata(self._node))
        alone: list[Tensor | None] = [cotangent if output == self._output else None for output in range(count)]
        given = self._head.given
        with gradients_aside(self._head.inner):
            if not is_custom(self._node):
                return contributions(self._node, self._beside_handed(alone) if self._is_joint() else alone, given)
            filled = [self._zeros(output) if one is None else one for output, one in enumerate(alone)]
            try:
                return contributions(self._node, filled, given)
            except Exception:  # whatever a hand-written backward raises
                if count > 1:
                    with suppress(Exception):  # what it said of zeros is told
                        return contributions(self._node, alone, given)
                raise

    def _is_joint(self) -> bool:
        return self._output > 0 and self._node.name() in _JOINT

    def _beside_handed(self, cotangents: Sequence[Tensor | None]) -> list[Tensor | None]:
        """With zeros for the others that the node was handed a cotangent of in the backward pass."""
        handed = {output for output, one in enumerate(self._head.handed) if one is not None}
        return [self._zeros(output) if one is None and output in handed else one for output, one in enumerate(cotangents)]

    def _zeros(self, output: int) -> Tensor:
        """No cotangent of another output. Of one that is marked as not differentiable autograd does not tell the shape."""
        metadata = output_metadata(self._node)[output]
        handed = self._head.handed[output] if output < len(self._head.handed) else None
        shape = tuple(metadata.shape if handed is None else handed.shape)
        return torch.zeros(shape, dtype=metadata.dtype if handed is None else handed.dtype, device=metadata.device)

    def _slot_in_answer(self) -> int:
        """Where this edge's contribution stands in the node's answer.

        A custom Function answers for each argument of its forward, tensor or not; the slots count tensors only.
        """
        if not is_custom(self._node):
            return self._slot
        differentiable = [slot for slot, (tail, _) in enumerate(self._node.next_functions) if tail is not None]
        return needed_arguments(self._node)[differentiable.index(self._slot)]

    def _refusal(self, error: Exception) -> str:
        text = str(error)
        if "have already been freed" in text or "a second time" in text:
            return f"{self._where}: the graph's buffers were freed by a backward pass after the trace; trace again"
        if "modified by an inplace operation" in text:
            return f"{self._where}: a tensor that its derivative needs was changed in place after the trace; trace again"
        return f"{self._where}: its autograd node refused: {text.splitlines()[0] if text else type(error).__name__}"


def _weighted(rows: Tensor) -> Tensor:
    """A weighted sum of the rows."""
    weights = torch.arange(1, len(rows) + 1, dtype=torch.float64, device=rows.device) / len(rows)
    total: Tensor = torch.tensordot(weights.to(rows.dtype), rows.detach(), dims=1)
    return total


def _is_near(asked: Tensor, expected: Tensor) -> bool:
    size = float(expected.abs().max()) if expected.numel() else 0.0
    return bool(((asked - expected).abs() <= _BATCHED_WITHIN * size).all())


def _raised_by(node: Node) -> type[Exception]:
    """What asking a node may raise: a hand-written backward anything."""
    return Exception if is_custom(node) else RuntimeError


def vjps(partials: Sequence[LocalPartial], cotangent: Tensor) -> list[Tensor]:
    """The VJP of each of several edges into one output of one head; an autograd node that they share is asked once.

    Raises:
        PartialError: wrong shape, or a node can no longer be asked.
    """
    answers: dict[Node, tuple[Tensor | None, ...]] = {}
    found = []
    for partial in partials:
        partial._require_shape("cotangent", cotangent, partial.out_shape)
        if partial._node not in answers:
            head = partial._head_metadata()
            handed = partial._laid_out(cotangent.detach().to(device=head.device, dtype=head.dtype))
            answers[partial._node] = partial._answer(handed)
        found.append(partial._taken(answers[partial._node]))
    return found


def _strides(cotangent: Tensor | None) -> tuple[int, ...] | None:
    """How a cotangent, or the nearest to it that is dense, lies in memory; None where it is contiguous."""
    if cotangent is None or cotangent.layout is not torch.strided:
        return None
    return None if cotangent.is_contiguous() else torch.empty_like(cotangent, device="meta").stride()
