"""The custom Functions that no gradient comes back to: found among the recorded calls, where autograd's graph lacks them.

A result that is detached, a call under `no_grad` or of arguments that need no gradient leaves no node to be found. Which
calls the forward made says the recorder, which saw its frame; a forward that only hands on what it was given makes no call,
and is known by the node that its result carries.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from torch import Tensor
from torch.autograd.graph import Node

from gradviz.assemble.arguments import forward_parameters, read_from_outside
from gradviz.assemble.cuts import can_carry_gradient
from gradviz.assemble.lookup import Lookup
from gradviz.attributes import NO_WAY
from gradviz.opcall import OpCall
from gradviz.recording.bytecode import Frames
from gradviz.recording.nodes import code_behind, forward_class, is_custom, is_torchs_code, is_torchs_own, node_of


class Forward(NamedTuple):
    """One run of a custom Function's forward.

    Attributes:
        name: of the Function.
        frames: the user's frames that applied it, the innermost first.
        differentiated: whether autograd made a node that takes a gradient back; where not, it ran under `no_grad`, or
            nothing that it was given needs a gradient.
    """

    name: str
    frames: Frames
    differentiated: bool


class Unreached(NamedTuple):
    """One application of a custom Function to which no gradient comes back.

    Attributes:
        function: the class.
        calls: what its forward did.
        node: the autograd node that its results carry; None where there is none.
        args: what it was called with, live; None where that was not seen.
        forward: what is told of it.
    """

    function: type
    calls: dict[int, OpCall]
    node: Node | None
    args: tuple[object, ...] | None
    forward: Forward

    def arguments(self, lookup: Lookup, made: Iterable[OpCall]) -> Iterator[tuple[str, Tensor, Tensor | None]]:
        """(name, live, what it held) of its tensor arguments, then of what else its forward read.

        `made` are the calls that made all else: those of the forward, and what these wrote through views.
        """
        read = {id(live): (live, held) for live, held in read_from_outside(lookup, self.calls, made)}
        names = forward_parameters(self.function)
        for place, argument in enumerate(self.args or ()):
            if isinstance(argument, Tensor):
                _, held = read.pop(id(argument), (argument, None))
                yield names[place] if place < len(names) else "", argument, held
        yield from (("", live, held) for live, held in read.values())

    def cut_of(self, tensor: Tensor) -> str:
        """Why no gradient comes back to a tensor that it reads and that requires grad."""
        is_argument = self.args is None or any(argument is tensor for argument in self.args)
        if not is_argument:
            return "no_grad" if self._ran_under_no_grad else "not differentiable"
        if not self.forward.differentiated:
            return "no_grad"
        outputs = self.calls[max(self.calls)].outputs
        return NO_WAY if any(map(can_carry_gradient, outputs)) else "not differentiable"

    @property
    def _ran_under_no_grad(self) -> bool:
        """Whether that is certain: arguments needed a gradient and got no node."""
        needing = (isinstance(argument, Tensor) and argument.requires_grad for argument in self.args or ())
        return not self.forward.differentiated and any(needing)


def unreached_functions(lookup: Lookup) -> Iterator[Unreached]:
    """The applications, in order, of which the graph has no node, as far as their forwards made calls."""
    every = lookup.recorder.applied
    known = {lookup.first_inside(node) for node in lookup.graph.slots if is_custom(node)} if every else set()
    for first, applied in every.items():
        function = applied.functions[0] if applied.functions else None
        code = None if function is None else code_behind(function.forward)
        if first in known or function is None or code is None or is_torchs_code(code):
            continue
        calls = list(lookup.calls_inside(first, code, applied, None))
        made = lookup.calls[first : calls[-1] + 2]  # with what torch makes of an argument that is returned as it is
        outputs = [output for call in reversed(made) for output in call.outputs if output is not None]
        nodes = (node for output in outputs if (node := node_of(output)) is not None and forward_class(node) is function)
        node = next((node for node in nodes if lookup.first_inside(node) == first), None)
        if node is not None:
            calls = list(lookup.calls_of_forward(node))
        differentiated = applied.differentiated
        if differentiated is None:
            differentiated = node is not None
        forward = Forward(function.__name__, lookup.frames_around(code, calls[-1]), differentiated)
        held = {index: lookup.recorder.op_call(index) for index in calls}
        yield Unreached(function, held, node, applied.args, forward)


def unreached_function_of(lookup: Lookup, tensor: Tensor, producer: int) -> Unreached | None:
    """The application of a Function that did nothing but hand `tensor` on, in call `producer`, by the node of `tensor`."""
    node = node_of(tensor)
    if node is None or not is_custom(node) or is_torchs_own(node) or node in lookup.graph.slots:
        return None
    function, calls = forward_class(node), list(lookup.calls_of_forward(node))
    if function is None or producer not in calls:
        return None
    forward = Forward(function.__name__, lookup.frames_outside(node, calls[-1]), True)
    held = {index: lookup.recorder.op_call(index) for index in calls}
    return Unreached(function, held, node, None, forward)
