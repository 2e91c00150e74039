"""Leaves that the code knows and the traced graph does not hold -> where what was computed from them was lost.

A graph holds what its outputs were computed from. A parameter outside of it was not used at all, or a value computed from
it left torch (`.item()`, `.tolist()`, NumPy), was wrapped as a new leaf, or was dropped: the recording tells which.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from gradviz.assemble.cuts import cut_at
from gradviz.assemble.forwards import Forward
from gradviz.opcall import SHAPE_READING, op_name, tensors_of
from gradviz.recording.names import source_line
from gradviz.recording.record import RecordedCall, Recorder

COMPARISONS = frozenset({"eq", "ne", "lt", "le", "gt", "ge"})
WRAPPED, UNUSED, DROPPED = "wrapped as a new leaf", "unused", "dropped"


class Lost(NamedTuple):
    """Where the way of one leaf ends.

    Attributes:
        root: the module that was called and that holds the leaf; "" for a tensor outside of modules.
        reason: "unused", "dropped", "wrapped as a new leaf", "item", "detach", "no_grad", "integer", "boolean" or "not
            differentiable".
        op: the call where it ends, `index_add_` for one in place whose result was dropped; "" for an unused leaf.
        call: the number of that call; -1 for an unused leaf.
    """

    root: str
    reason: str
    op: str
    call: int


def lost_leaves(
    recorder: Recorder,
    candidates: Mapping[str, Tensor],
    roots: Mapping[int, str],
    leaves: Iterable[Tensor],
    forwards: Mapping[int, Forward],
) -> dict[str, Lost]:
    """Name -> where its way ends, for each candidate that the recorded calls read and each unused one of a used module.

    Args:
        recorder: what ran.
        candidates: name -> leaf that is not in the graph.
        roots: id of a parameter -> the name of the outermost module that holds it.
        leaves: the leaves that are in the graph.
        forwards: the calls that lie in the forward of a custom Function.
    """
    if not candidates:
        return {}
    in_graph = list(leaves)
    used_roots = {roots[id(leaf)] for leaf in in_graph if id(leaf) in roots}
    ends = _ends(recorder, candidates, {leaf.data_ptr() for leaf in in_graph if leaf.device.type != "meta"}, forwards)
    found: dict[str, Lost] = {}
    for name, leaf in candidates.items():
        root = roots.get(id(leaf), "")
        if name in ends or root in used_roots:
            found[name] = Lost(root, *ends.get(name, (UNUSED, "", -1)))
    return found


def last_cut(recorder: Recorder, outputs: Iterable[Tensor]) -> str:
    """The call that cut the way to outputs without gradient, "detach at train.py:12"; "" where the code cut none.

    Where no recorded call leads to them from a value with a gradient, as after `.item()` or NumPy, it is the last cut.
    """
    wanted, elsewhere = {id(output) for output in outputs}, ""
    for call in reversed(recorder.calls):
        made = [output for output in call.outputs if output is not None]
        read = [tensor for _, tensor in tensors_of(call.overload, call.args, call.kwargs)]
        is_on_way = any(id(output) in wanted for output in made)
        if any(tensor.requires_grad for tensor in read) and not any(output.requires_grad for output in made):
            reason, where = _reason(call, made), f" at {source_line(*call.frames[0])}" if call.frames else ""
            op = "item" if reason == "item" else _said_of(op_name(call.overload), made)
            op += " under no_grad" if reason == "no_grad" else ""
            if op_name(call.overload) in SHAPE_READING:
                continue
            if is_on_way:
                return op + where
            elsewhere = elsewhere or op + where
        elif is_on_way:
            wanted |= set(map(id, read))
    return elsewhere


def _said_of(op: str, made: list[Tensor]) -> str:
    """A call that cuts, as its user knows it: `.long()` is a cast, and x > 0 a comparison."""
    if op == "_to_copy" and made:
        return f"a cast to {str(made[0].dtype).removeprefix('torch.')}"
    return f"the comparison {op}" if op in COMPARISONS else op


def _ends(
    recorder: Recorder, candidates: Mapping[str, Tensor], leaf_memory: set[int], forwards: Mapping[int, Forward]
) -> dict[str, tuple[str, str, int]]:
    """Name -> (reason, op, call): the last cut on the way from a leaf, else the last call that it reaches."""
    behind: dict[int, frozenset[str]] = {id(leaf): frozenset([name]) for name, leaf in candidates.items()}
    own = set(behind)
    reached: dict[str, tuple[str, str, int]] = {}
    cut: dict[str, tuple[str, str, int]] = {}
    for index, call in enumerate(recorder.calls):
        names: frozenset[str] = frozenset().union(
            *(behind.get(id(tensor), ()) for _, tensor in tensors_of(call.overload, call.args, call.kwargs))
        )
        if not names:
            continue
        outputs = [output for output in call.outputs if output is not None]
        if any(id(output) in own for output in outputs):
            continue  # the leaf is filled: it stays the leaf
        if op_name(call.overload) in SHAPE_READING or _is_kept_for_backward(recorder.calls, index):
            continue
        forward = forwards.get(index)
        reason = DROPPED if forward is not None and forward.differentiated else _reason(call, outputs)
        if reason == DROPPED:
            # With the mark of a call in place, which wrote where it should.
            op = call.overload._schema.name.split("::")[-1] if forward is None else forward.name
            wrapped = any(output.device.type != "meta" and output.data_ptr() in leaf_memory for output in outputs)
            reached |= dict.fromkeys(names, (WRAPPED if wrapped else DROPPED, op, index))
            for output in outputs:
                behind[id(output)] = names | behind.get(id(output), frozenset())
        else:
            cut |= dict.fromkeys(names, (reason, op_name(call.overload) if forward is None else forward.name, index))
    return reached | {name: end for name, end in cut.items() if reached.get(name, ("",))[0] != WRAPPED}


def _is_kept_for_backward(calls: Sequence[RecordedCall], index: int) -> bool:
    """Whether a detach is autograd's own: what tanh and attention keep of their results is detached right after the call."""
    before = index
    while before >= 0 and op_name(calls[before].overload) == "detach":
        before -= 1
    read = calls[index].args[0] if before not in (index, -1) else None
    if not any(read is output for output in calls[max(before, 0)].outputs) or not isinstance(read, Tensor):
        return False
    saved = {name for name in dir(read.grad_fn) if name.startswith("_raw_saved_")}
    results = zip(calls[before].overload._schema.returns, calls[before].outputs, strict=False)
    named = {f"_raw_saved_{result.name}" for result, output in results if output is not None and output.requires_grad}
    return index - before <= sum(name in named or name.startswith("_raw_saved_result") for name in saved)


def _reason(call: RecordedCall, outputs: list[Tensor]) -> str:
    """Why no gradient passes a call; `DROPPED` where it does, as far as the call itself goes."""
    if op_name(call.overload) == "_local_scalar_dense":
        return "item"
    return cut_at(call, outputs, is_differentiated=any(output.requires_grad for output in outputs)) or DROPPED
