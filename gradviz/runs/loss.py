"""The loss: when `backward()` is called, its graph is read from the loss back to the model and through it.

Between the model's return and `backward()` nothing can be watched without getting in the user's way: a dispatch mode that
is left open would be closed by theirs. So only what autograd keeps is seen: the value that `backward()` was called on, and
which differentiable functions made it of which shapes; no values between, and no function that is not differentiated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import dropwhile

from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, Node

from gradviz.recording.nodes import node_of, op_of_node, output_metadata, sequence_number
from gradviz.runs.forward import ForwardPass
from gradviz.runs.listening import Root
from gradviz.runs.notes import Pair
from gradviz.view.notation import shape_text

MOST_NODES = 1_000_000
_OPS = {
    "softmax": "_softmax",
    "log_softmax": "_log_softmax",
    "to_copy": "_to_copy",
    "unsafe_view": "_unsafe_view",
    "nll_loss2_d": "nll_loss2d",
}
"""What a node's class is called -> the aten function, where these differ."""
_MOVING = frozenset(
    {
        *("view", "_unsafe_view", "reshape_alias", "unsqueeze", "squeeze", "transpose", "permute", "t"),
        *("expand", "clone", "alias", "slice", "select", "_to_copy", "split", "unbind", "index", "cat", "stack"),
    }
)
_PAIRING = frozenset({"sub", "add", "mul", "div", "rsub", "expand"})
_SQUASHING = frozenset({"_softmax", "sigmoid", "relu"})
_KEEPING_FROM_ZERO = frozenset({"clamp", "clamp_min", "add", "gather"})
_TAKING_LOGITS = frozenset({"_softmax", "_log_softmax", "binary_cross_entropy_with_logits"})
_LOGARITHMS = frozenset({"log", "log2", "log10"})
_NLL = frozenset({"nll_loss", "nll_loss_nd", "nll_loss2d"})
_SOFTMAX = frozenset({"_softmax", "_log_softmax"})
CLASSES = 1
"""The dimension of the classes in what `nll_loss` takes of a batch."""
NEVER_NEGATIVE = frozenset({"nll_loss", "nll_loss2d", "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"})
"""The binary cross entropy is none of these: minus one is the loss of a generator in the game as it was first told."""
_SCALING = frozenset({"neg", "mul", "div", "mean", "sum"})


class LossGraph:
    """The nodes from a loss back to the leaves."""

    def __init__(self, roots: Iterable[Root], passes: Sequence[ForwardPass]) -> None:
        """`passes`: those of the model that are watched."""
        self._nodes = sorted(_nodes_behind(roots), key=sequence_number)
        self._passes = {node: one for node in self._nodes for one in passes if one.made(sequence_number(node))}

    @property
    def reaches_model(self) -> bool:
        """Whether any of the nodes was made in a watched pass."""
        return bool(self._passes)

    @property
    def ops(self) -> tuple[str, ...]:
        """The functions behind the model, in their order, each once."""
        behind = list(dropwhile(lambda node: node not in self._passes, self._nodes))
        outside = [_op(node) for node in behind if node not in self._passes]
        return tuple(dict.fromkeys(op.strip("_") for op in outside if op not in _MOVING))

    def pairs(self, source: str) -> Iterator[Pair]:
        """What may not belong together; `source` is the line of `backward()`."""
        for node in self._nodes:
            op = _op(node)
            if op in _TAKING_LOGITS or op in _LOGARITHMS:
                before = _behind_first(node, _MOVING if op in _TAKING_LOGITS else _MOVING | _KEEPING_FROM_ZERO)
                if before in _SQUASHING:
                    yield self._pair(node, op, before, "", source)
            elif op in _NLL and (pair := self._over_the_batch(node, source)) is not None:
                yield pair
            elif op in _PAIRING and node not in self._passes and (shapes := self._paired(node)) is not None:
                yield self._pair(node, op, *shapes, source)

    def _pair(self, node: Node, op: str, before: str, made: str, source: str) -> Pair:
        module, source = self._place(node, source)
        return Pair(op=op, before=before, made=made, module=module, source=source)

    def _place(self, node: Node, source: str) -> tuple[str, str]:
        """The module and the line at which a node was made; outside of the model the given one."""
        return self._passes[node].place_of(sequence_number(node)) if node in self._passes else ("", source)

    def _over_the_batch(self, node: Node, source: str) -> Pair | None:
        """A softmax right before `nll_loss` that makes another dimension sum to 1 than that of the classes."""
        softmax = _first(node)
        if softmax is not None and _op(softmax) in _LOGARITHMS:
            softmax = _first(softmax)
        if softmax is None or _op(softmax) not in _SOFTMAX:
            return None
        ndim = len(output_metadata(softmax)[0].shape)
        dim = _dim(softmax, ndim)
        if dim is None or ndim < 2 or dim == CLASSES:
            return None
        module, source = self._place(softmax, source)
        return Pair(op=_op(node), before=_op(softmax), made="", module=module, source=source, dim=dim)

    def leaves(self) -> Iterator[tuple[Node, Tensor]]:
        """What gradients end in, with each node that they come from."""
        for node in self._nodes:
            for tail, _ in node.next_functions:
                if tail is not None and isinstance(leaf := getattr(tail, "variable", None), Tensor):
                    yield node, leaf

    def used_inside(self) -> Iterator[tuple[nn.Parameter, str, str]]:
        """The parameters that the model's forward pass used, with module and line."""
        for node, leaf in self.leaves():
            # The one flat parameter of FullyShardedDataParallel is no module's.
            if node in self._passes and isinstance(leaf, nn.Parameter) and not hasattr(leaf, "_is_flat_param"):
                yield leaf, *self._place(node, "")

    @property
    def minus_of(self) -> str:
        """The loss of torch's, of one number, that the loss is minus of, times numbers above 0 if it is below; else ""."""
        node: Node | None = self._nodes[-1] if self._nodes else None
        has_minus = False
        while node is not None and (op := _op(node)) in _SCALING | _MOVING:
            has_minus ^= op == "neg"
            node = _only(node)
        if node is None or not has_minus or op not in NEVER_NEGATIVE or output_metadata(node)[0].shape:
            return ""
        return "" if op in _NLL and not _is_of_log_softmax(node) else op

    def _paired(self, node: Node) -> tuple[str, str] | None:
        """The shapes where a column or vector that the model returned met a constant and became a square."""
        inputs = [(tail, output) for tail, output in node.next_functions if tail is not None]
        made = tuple(output_metadata(node)[0].shape)
        if len(inputs) != 1 or len(made) != 2 or made[0] != made[1] or made[0] < 2:
            return None
        tail, output = inputs[0]
        given = tuple(output_metadata(tail)[output].shape)
        returned = tail if tail in self._passes else _through(tail, frozenset({"squeeze"}))
        if given not in ((made[0],), (made[0], 1)) or returned not in self._passes:
            return None
        return shape_text(given), shape_text(made)


def _nodes_behind(roots: Iterable[Root]) -> set[Node]:
    seen: set[Node] = set()
    made_by = [root.node if isinstance(root, GradientEdge) else node_of(root) for root in roots]
    pending = [node for node in made_by if node is not None]
    while pending and len(seen) < MOST_NODES:
        node = pending.pop()
        if node in seen or hasattr(node, "variable"):
            continue
        seen.add(node)
        pending += [tail for tail, _ in node.next_functions if tail is not None]
    return seen


def _op(node: Node) -> str:
    name = op_of_node(node)
    return _OPS.get(name, name)


def _behind_first(node: Node, ops: frozenset[str]) -> str:
    """The function whose numbers the first differentiable argument of a call shows, looked at through `ops`."""
    tail = next((tail for tail, _ in node.next_functions if tail is not None), None)
    behind = None if tail is None else _through(tail, ops)
    return "" if behind is None else _op(behind)


def _only(node: Node) -> Node | None:
    """The node behind a call that has one; None where there are several."""
    tails = [tail for tail, _ in node.next_functions if tail is not None]
    return tails[0] if len(tails) == 1 else None


def _first(node: Node) -> Node | None:
    """What made the first argument of a call, if it needs a gradient."""
    return node.next_functions[0][0] if node.next_functions else None


def _dim(softmax: Node, ndim: int) -> int | None:
    dim = getattr(softmax, "_saved_dim", None)  # autograd keeps −1 as the largest number of 64 bits
    return (dim - 2**64 if dim >= 2**63 else dim) % ndim if isinstance(dim, int) and ndim else None


def _is_of_log_softmax(node: Node) -> bool:
    before = _first(node)
    return before is not None and _op(before) == "_log_softmax"


def _through(node: Node, ops: frozenset[str]) -> Node | None:
    while _op(node) in ops:
        tails = [tail for tail, _ in node.next_functions if tail is not None]
        if len(tails) != 1:
            return None
        node = tails[0]
    return node
