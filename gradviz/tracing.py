"""`trace` and `record`: one forward pass under the recorder, one backward pass, one graph."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import CodeType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gradviz.collector import collector_paused
from gradviz.errors import InputError, NotScalarError, TraceError
from gradviz.recording.keeping import BUDGET_BYTES, Values, keeping_of
from gradviz.recording.module_names import with_root_modules
from gradviz.recording.names import frame_names
from gradviz.recording.naming import Naming
from gradviz.recording.optimizers import optimizers_in
from gradviz.recording.program import Program, program_of
from gradviz.recording.record import Recorder
from gradviz.recording.user_code import is_our_own

if TYPE_CHECKING:
    from gradviz.graph import GradGraph


def trace(
    target: Any,
    /,
    *inputs: Any,
    loss: Callable[[Any], Any] | None = None,
    device: str = "auto",
    names: Mapping[str, Tensor] | None = None,
    grad_output: Any = None,
    values: Values = BUDGET_BYTES,
    offload: bool = False,
    at: Mapping[str, Any] | None = None,
    **variables: Any,
) -> GradGraph:
    """Traces a torch computation: one forward pass, one backward pass, every value and every local partial.

    Args:
        target: a tensor already computed, math text, a sympy expression, a callable, or an nn.Module.
        *inputs: what the callable or module is called with. Where none of them is a tensor, floats become float64 leaves.
        loss: maps what the callable or module returns to the output to differentiate; not needed where that is the loss.
        device: "auto" runs text, sympy expressions and modules on CUDA when there is one (a module on a copy, its buffers
            carried back) and leaves functions where their tensors are; or a torch device.
        names: name -> tensor, for values that the user's code does not name itself.
        grad_output: d(result)/d(output), shaped like the output; needed unless the output has one element. A sequence of
            them where there are several outputs; or a function that makes one for an output, as `torch.randn_like` does.
        values: what is kept of values, cotangents and contributions beyond what is in memory anyway, as leaves, gradients
            and what autograd saved are: "full" for all, a size ("1GiB", or a number of bytes) for as much, the first made
            first, and of the rest statistics (the default, 4 GiB), "statistics" for these only.
        offload: whether what is kept is moved from an accelerator to main memory.
        at: the same as `variables`, for names that clash with an option.
        **variables: values of text and sympy variables (numbers or nested lists), or keyword inputs of a callable.

    Returns:
        The graph. `.grad`, hooks and training flags are as they were; random numbers and buffers are as after one forward
        pass.

    Raises:
        InputError: the target, an input or an option is not accepted.
        ExpressionError: math text that cannot be read.
        TraceError: the code ran but its graph cannot be traced.

    >>> graph = trace("x*y + sin(pi*x)", x=2.0, y=3.0, device="cpu")
    >>> {name: round(float(gradient), 4) for name, gradient in graph.gradients().items()}
    {'x': 6.1416, 'y': 2.0}
    """
    from gradviz.assemble.build import build_graph, traced  # imported with the first trace: `import gradviz` stays cheap

    caller = sys._getframe(1)
    _refuse_transforms()
    keeping = keeping_of(values, offload)
    if isinstance(target, Tensor):
        if inputs or variables or at or loss is not None:
            raise InputError("a tensor already computed takes no inputs, variables or loss; pass names= or grad_output=")
        naming = Naming(explicit=names or {}, surroundings=frame_names(caller))
        return build_graph(traced(Recorder(keeping), target), naming, grad_output)
    with collector_paused():
        program = program_of(target, inputs, _merged(variables, at), loss, device)
        return trace_program(
            program,
            Recorder(keeping),
            optimizers_in(frame_names(caller)),
            names=names or {},
            grad_output=grad_output,
            source_frame=None if is_our_own(caller) else (caller.f_code, caller.f_lasti),
        )


def trace_program(
    program: Program,
    recorder: Recorder,
    optimizers: Mapping[str, torch.optim.Optimizer],
    *,
    names: Mapping[str, Tensor] | None = None,
    grad_output: Any = None,
    source_frame: tuple[CodeType, int] | None = None,
) -> GradGraph:
    """`trace` of what is made ready.

    Args:
        program: what runs.
        recorder: what listens to it.
        optimizers: those of the code around the step, which itself need not name them.
        names, grad_output: as of `trace`.
        source_frame: the line of calls that no user's line made.
    """
    from gradviz.assemble.build import build_graph, traced

    try:
        with torch.enable_grad(), recorder:
            result = program.run()
    finally:
        program.finish()
    ran = traced(recorder, result)
    del result
    naming = Naming(
        explicit=names or {},
        inputs=program.inputs,
        surroundings={**optimizers, **with_root_modules(program.surroundings, recorder.root_modules, recorder.root_names)},
        notes=program.notes,
        source_frame=source_frame,
    )
    try:
        return build_graph(ran, naming, grad_output)
    except NotScalarError as error:
        if not program.scalar_advice:
            raise
        raise NotScalarError(error.shape, program.scalar_advice) from error


class Tape:
    """What `record` yields: the calls recorded so far, to be traced from any tensor that they computed."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def __len__(self) -> int:
        return len(self._recorder.calls)

    def trace(self, output: Any, *, names: Mapping[str, Tensor] | None = None, grad_output: Any = None) -> GradGraph:
        """The graph of `output` (a tensor, or several in nested containers), computed while the tape was recording.

        Call it before `.backward()`, or call `.backward(retain_graph=True)`: a backward pass frees what a trace needs.

        Raises:
            TraceError: no gradient leads to `output`, or its graph was freed.
        """
        return self.trace_among(output, frame_names(sys._getframe(1)), names=names, grad_output=grad_output)

    def trace_among(
        self,
        output: Any,
        surroundings: Mapping[str, Any],
        *,
        names: Mapping[str, Tensor] | None = None,
        grad_output: Any = None,
    ) -> GradGraph:
        """`trace` where the variables around the code, name -> value, are told, not read from the caller's frame."""
        from gradviz.assemble.build import build_graph, traced

        named = with_root_modules(surroundings, self._recorder.root_modules, self._recorder.root_names)
        naming = Naming(explicit=names or {}, surroundings=named)
        return build_graph(traced(self._recorder, output), naming, grad_output)


class record:
    """Records any torch code: `with gradviz.record() as tape: ...`, then `graph = tape.trace(loss)`.

    Args:
        values, offload: as of `trace`.

    >>> x = torch.tensor(3.0, requires_grad=True)
    >>> with record() as tape:
    ...     y = x * x
    >>> tape.trace(y).gradients()["x"]
    tensor(6.)
    """

    def __init__(self, *, values: Values = BUDGET_BYTES, offload: bool = False) -> None:
        self._recorder = Recorder(keeping_of(values, offload))
        self._entered = False

    def __enter__(self) -> Tape:
        _refuse_transforms()
        if self._entered:
            raise InputError("a record() is entered once; call gradviz.record() again for another tape")
        self._entered = True
        self._recorder.__enter__()
        return Tape(self._recorder)

    def __exit__(self, *exception: Any) -> None:
        self._recorder.__exit__(*exception)


def _merged(variables: Mapping[str, Any], at: Mapping[str, Any] | None) -> dict[str, Any]:
    if not at:
        return dict(variables)
    if twice := sorted(set(variables) & set(at)):
        raise InputError(f"{', '.join(twice)} given twice: as keyword and in at=")
    return {**variables, **at}


def _refuse_transforms() -> None:
    if torch._C._functorch.maybe_current_level() is not None:
        raise TraceError(
            "gradviz cannot trace inside a torch.func transform (grad, vjp, jvp, vmap, ...): its tensors are wrappers "
            "without an autograd graph; trace the plain function with inputs that require grad instead"
        )
