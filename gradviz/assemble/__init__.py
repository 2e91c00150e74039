"""A recording and a backward pass -> a `GradGraph`.

    lookup.py       which call made this autograd node, which call made this tensor
    arguments.py    which argument of the call each slot of its node stands for
    writes.py       in-place writes, as calls on whole tensors
    carried.py      what such a write without gradient makes of other tensors
    forwards.py     the custom Functions that no gradient comes back to
    cuts.py         why a call lets no gradient pass
    neighbours.py   what the recovery of values learns from
    drafted.py      the nodes and edges to be, under keys of their own
    draft.py        calls and autograd nodes joined -> such a draft
    unreached.py    the leaves that nothing reaches, and where what was computed from them was lost
    unseen.py       what autograd does not see: writes under no_grad, Python numbers made of values
    custom.py       the custom Functions: class, arguments, where their forwards made numbers of tensors
    order.py        forward as the code ran, backward as the engine settled its cotangents
    node_attributes.py what a node has, in order
    node_names.py   every node's name
    node_scopes.py  the calls of modules and functions that each node lies in
    node_sources.py the source line of each node
    leaves.py       the gradients that leaves bring with them; given.py: what they and constants hold
    cotangents.py   what the backward pass sent to each node's outputs
    build.py        numbered, named, written
"""
