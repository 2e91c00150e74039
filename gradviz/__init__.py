"""gradviz: see, explain and check the gradients of PyTorch code.

How data flows, each step taking values and returning new ones:

    what the user hands in   recording/   text, sympy, callable, module -> Program (expression/: math text)
                             models.py    models to look at, with inputs and a loss
      -> record                           one forward pass -> the aten calls in order, with scopes and names;
                                          which tensors are kept in full -> standin.py, statistics.py
                                          (pieces.py) for the rest;
                                          one backward pass -> cotangents and contributions, in the engine's order
                             opcall.py    one recorded call as a value; rerun.py runs it again, moves.py says what it moves
      -> graph               assemble/    calls and autograd nodes joined, named, written -> GradGraph, a
                                          networkx.MultiDiGraph (recover/: what was not recorded)
                             attributes.py  what the graph says of itself; graph.py the public ways to all that reads it
                             tracing.py   `trace` and `record`: the way from the top down to here
                             partials.py  the local Jacobian of an edge, as its autograd node computes it, on demand
                                          (edge_partial.py: what is told of it whichever way it is had)
      -> analyses            symbolic/    one rule per aten overload: exact reference derivatives and formulas
                             check/       autograd against sympy, edge by edge -> CheckReport
                             diagnose/    what is wrong with a step, and on which line -> Diagnosis
                             paths.py     the paths of a gradient, and what each contributes
                             compare/     two graphs of the same code -> where their numbers part
                             runs/        a training loop -> numbers of some of its steps, and what went wrong
                             saved/       GradGraph <-> a file without code in it
      -> view                view/        GradGraph + choices -> View: what is on the picture
                             signs.py     minus signs, in all that is shown
                             fitting.py   cells of a table that are cut and can still be trusted
      -> renderers           render/      View -> DOT -> SVG, PNG, PDF
                             explain/     a gradient in words: text, Markdown, LaTeX, HTML
                             slices.py    an expression along one or two variables: tangent, gradient, differences
                             relief.py    the surface over two variables as an SVG
                             bands.py     the same from straight above, in bands of equal height
                             outline.py   the calls of modules and functions as a tree
                             details.py   one node or edge, and all that is known of it
                             frames/      a gradient step by step: the forward pass, then the backward pass
                             stage/       frames -> shapes and texts with places and colours; the layout never moves
                             player/      a stage -> one HTML page that plays it
                             slides/      a stage -> presentations, PDF, LaTeX Beamer, pictures
      -> front ends          cli/ (target.py: what it is given; schema.py: graphs as JSON), app/, testing.py (for test
                             suites), ops.py (which overloads are verified how)

Beside this way stand errors.py, the tree of all that is refused, and collector.py, which keeps Python's collector away
while a graph grows.

    >>> import gradviz
    >>> graph = gradviz.trace("x*y + sin(pi*x)", x=2.0, y=3.0, device="cpu")
    >>> graph
    <GradGraph of 'd': 6 nodes, 6 edges, 2 leaves>
"""

import importlib
import typing

from gradviz.errors import (
    CheckError,
    ExpressionError,
    GradvizError,
    InputError,
    NotKeptError,
    PartialError,
    RenderError,
    TraceError,
)
from gradviz.tracing import Tape, record, trace

if typing.TYPE_CHECKING:
    from gradviz.graph import GradGraph
    from gradviz.partials import LocalPartial
    from gradviz.runs import load_run, merge
    from gradviz.runs.watch import watch
    from gradviz.saved import load

__all__ = [
    "CheckError",
    "ExpressionError",
    "GradGraph",
    "GradvizError",
    "InputError",
    "LocalPartial",
    "NotKeptError",
    "PartialError",
    "RenderError",
    "Tape",
    "TraceError",
    "load",
    "load_run",
    "merge",
    "record",
    "trace",
    "watch",
]

# Imported with their first use, as networkx is: it takes as long as the rest of us.
_LATER = {
    "GradGraph": "gradviz.graph",
    "LocalPartial": "gradviz.partials",
    "load": "gradviz.saved",
    "load_run": "gradviz.runs",
    "merge": "gradviz.runs",
    "watch": "gradviz.runs",
}


def __getattr__(name: str) -> typing.Any:
    if name not in _LATER:
        raise AttributeError(f"module 'gradviz' has no attribute {name!r}")
    return getattr(importlib.import_module(_LATER[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
