"""GradGraph and choices -> View: what is on the picture, decided before anything is drawn.

    notation   numbers, names and shapes as short text
    calls      what a function does, in the names of its inputs
    summary    a tensor as a few lines and a small heat map
    fold       calls that only make a constant as that constant
    choose     which nodes stay when a graph is too large for one picture
    gaps       what does not stay, as places that say so
    labels     what is written on one node or edge
    verdicts   what a picture reads of a check report
    model      View, ViewNode, ViewEdge: the result
    build      view_of: puts the others together

Renderers read a `View` and never the graph.
"""

from gradviz.view.build import DEFAULT_PARTS, MAX_EDGE_LABELS, MAX_NODES, PARTS, Part, view_of
from gradviz.view.labels import node_call
from gradviz.view.model import Direction, Gap, Role, ThemeName, Verdict, View, ViewEdge, ViewNode
from gradviz.view.notation import number_text
from gradviz.view.summary import HeatMap, value_lines

__all__ = [
    "DEFAULT_PARTS",
    "MAX_EDGE_LABELS",
    "MAX_NODES",
    "PARTS",
    "Direction",
    "Gap",
    "HeatMap",
    "Part",
    "Role",
    "ThemeName",
    "Verdict",
    "View",
    "ViewEdge",
    "ViewNode",
    "node_call",
    "number_text",
    "value_lines",
    "view_of",
]
