"""Leaves that the code knows and the traced graph does not hold -> where what was computed from them was lost.

A graph holds what its outputs were computed from. A parameter outside of it was not used at all, or a value computed from
it left torch (`.item()`, `.tolist()`, NumPy), was wrapped as a new leaf, or was dropped: the recording tells which.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from gradviz.assemble.cuts import cut_at
from gradviz.assemble.forwards import Forward
from gradviz.opcall import SHAPE_READING, op_name, tensors_of
from gradviz.recording.bytecode import source_line
from gradviz.recording.record import RecordedCall, Recorder

COMPARISONS = frozenset({"eq", "ne", "lt", "le", "gt", "ge"})
ITEM = "item"
NAMED = 3
"""How many cuts a refusal names."""
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

    Of several on the way it is the one by which most numbers went on: a statistic is one number, and of as many numbers a
    comparison is named last, as it makes masks. Where no recorded call leads to the outputs from a value with a gradient, as
    after `.item()` or NumPy, nobody knows which it was: all that may be it are named, those first that made Python numbers.
    """
    cuts = {index: said for index, call in enumerate(recorder.calls) if (said := _said_of_cut(call))}
    widths = _widths(recorder.calls, cuts, outputs)
    if widths:
        return cuts[max(widths, key=lambda index: (widths[index], not _makes_mask(recorder.calls[index]), index))]
    every = dict.fromkeys([*reversed(cuts.values()), *_read_by_nobody(recorder.calls)])
    names = sorted(every, key=lambda one: not one.startswith(ITEM))
    more = len(names) - NAMED
    return ", or by ".join(names[:NAMED]) + (f", or by {more} more" if more > 0 else "")


def _read_by_nobody(calls: Sequence[RecordedCall]) -> Iterator[str]:
    """What may have left torch by `.tolist()`, which is no call: results with a gradient that no call reads."""
    read = {id(tensor) for call in calls for _, tensor in tensors_of(call.overload, call.args, call.kwargs)}
    for call in reversed(calls):
        made = [output for output in call.outputs if output is not None and output.requires_grad]
        if made and call.frames and not any(id(output) in read for output in made):
            yield f".tolist() of what {op_name(call.overload)} makes at {source_line(*call.frames[0])}"


def _said_of_cut(call: RecordedCall) -> str:
    """A call that cuts, and its line; "" of one that does not."""
    made = [output for output in call.outputs if output is not None]
    read = (tensor for _, tensor in tensors_of(call.overload, call.args, call.kwargs))
    is_cut = any(tensor.requires_grad for tensor in read) and not any(output.requires_grad for output in made)
    if not is_cut or op_name(call.overload) in SHAPE_READING:
        return ""
    reason, where = _reason(call, made), f" at {source_line(*call.frames[0])}" if call.frames else ""
    said = ITEM if reason == "item" else _said_of(op_name(call.overload), made)
    return said + (" under no_grad" if reason == "no_grad" else "") + where


def _makes_mask(call: RecordedCall) -> bool:
    return all(output is None or output.dtype == torch.bool for output in call.outputs)


def _widths(calls: Sequence[RecordedCall], cuts: Container[int], outputs: Iterable[Tensor]) -> dict[int, float]:
    """Each cut that leads to the outputs -> how many numbers of it went on, at the narrowest place before others join."""
    behind_cuts: set[int] = set()
    for index, call in enumerate(calls):
        read = {id(tensor) for _, tensor in tensors_of(call.overload, call.args, call.kwargs)}
        if index in cuts or read & behind_cuts:
            behind_cuts |= {id(output) for output in call.outputs if output is not None}
    waiting = {id(output): math.inf for output in outputs if id(output) in behind_cuts}
    found: dict[int, float] = {}
    for index in range(len(calls) - 1, -1, -1):
        made = [output for output in calls[index].outputs if output is not None and id(output) in waiting]
        if not made:
            continue
        width = max(min(waiting.pop(id(output)), output.numel()) for output in made)
        if index in cuts:
            found[index] = width
            continue
        read = {id(tensor) for _, tensor in tensors_of(calls[index].overload, calls[index].args, calls[index].kwargs)}
        from_here = width if waiting or found else math.inf  # where nothing else is waited for, all ways lead through here
        waiting |= {tensor: max(waiting.get(tensor, 0), from_here) for tensor in read & behind_cuts}
    return found


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
