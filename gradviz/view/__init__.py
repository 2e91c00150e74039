"""GradGraph and choices -> View: what is on the picture, decided before anything is drawn.

    notation   numbers, names and shapes as short text
    calls      what a function does, in the names of its inputs
    summary    a tensor as a few lines and a small heat map
    histogram  how the elements of a tensor are spread
    fold       calls that only make a constant as that constant
    landmarks  findings of another graph, about the same calls in this one
    focus      the part of a graph around a node or a finding, or between two nodes
    titles     names of calls that are only numbers, with the class of the module
    wires      a graph as plain dictionaries
    drawn      the smaller graph that is drawn
    groups     which nodes are drawn as one: calls of modules and functions, down to a level
    by_name    names as they are drawn, as names that open a group
    alike      calls of the same structure
    closing    which calls are closed
    no_calls   why a graph has none
    folding    what a reader opened and closed: the options of the next picture
    quotient   a graph with each group as one node
    choose     which nodes stay when a graph is too large for one picture
    told       what is not drawn, since its users say its name
    gaps       what does not stay, as places that say so
    shown      which shapes there are, before anything is written on them
    notes      what is said below a picture
    boxes      calls that were opened, around what was in them
    group_labels  what is written on a group
    jacobian   what matters of a Jacobian between tensors
    labels     what is written on one node or edge
    edge_labels  what is written on an arrow
    verdicts   what a picture reads of a check report
    options    what can be chosen
    ranks      the rows in which Graphviz puts shapes
    extent     about how much room a shape takes
    columns    a long picture in columns, as a page of text is
    fit        a picture that would be far larger than a screen, as it is read best
    page       as many shapes as can be read on a screen
    model      View, ViewNode, ViewEdge: the result
    build      view_of: puts the others together

Renderers read a `View` and never the graph.
"""

from gradviz.view.build import MAX_EDGE_LABELS, MAX_NODES, view_of
from gradviz.view.drawn import PAGE_NODES
from gradviz.view.folding import Folding
from gradviz.view.labels import node_call
from gradviz.view.model import Direction, Gap, Role, ThemeName, Verdict, View, ViewBox, ViewEdge, ViewGroup, ViewNode
from gradviz.view.notation import number_text
from gradviz.view.notes import HOW_TO_OPEN, NOT_ON_PICTURE, OPEN_ALREADY
from gradviz.view.options import DEFAULT_PARTS, PARTS, Part, PartOptions, ViewOptions
from gradviz.view.summary import HeatMap, value_lines

__all__ = [
    "DEFAULT_PARTS",
    "HOW_TO_OPEN",
    "MAX_EDGE_LABELS",
    "MAX_NODES",
    "NOT_ON_PICTURE",
    "OPEN_ALREADY",
    "PAGE_NODES",
    "PARTS",
    "Direction",
    "Folding",
    "Gap",
    "HeatMap",
    "Part",
    "PartOptions",
    "Role",
    "ThemeName",
    "Verdict",
    "View",
    "ViewBox",
    "ViewEdge",
    "ViewGroup",
    "ViewNode",
    "ViewOptions",
    "node_call",
    "number_text",
    "value_lines",
    "view_of",
]
