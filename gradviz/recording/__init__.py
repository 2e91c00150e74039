"""The user's code -> what it did: one forward pass under a dispatch mode, one backward pass of autograd.

    program.py      text, sympy, callable, module -> one `Program`: what to run, on which inputs
    refusals.py     which input torch refuses, as an error of ours
    record.py       runs it and writes down every aten call, in order
    user_code.py    whose code a frame runs; bytecode.py reads variables' names and source lines from it, placing.py where
                    in a container a result goes; instructions.py: the instructions around a place
    scopes.py       which calls of modules and functions a call lies in
    versions.py     what each tensor held when, while in-place ops change it
    held.py         what a tensor held at one time, to notice later writes to it
    data_assignment.py  hears of `h.data = other`, which no dispatch mode is told of
    keeping.py      which of it is kept in full; again.py, handed_on.py: which is computed again when it is read
    derivatives.py  which nodes of autograd compute what they hand on in one cheap pass, and how
    functions.py    the custom autograd.Functions that the code applies
    outputs.py      the tensors to differentiate, in what the code returned
    backward.py     runs the backward pass -> cotangents and contributions; backward_log.py is what its hooks hear,
                    failed_backward.py says why it failed
    accumulating.py the same pass where hooks act only while `.grad` is filled
    hooks.py        the hooks on tensors, autograd nodes and modules
    kept_graphs.py  the buffers that hold the graph of an earlier step
    packed.py       what hooks on saved tensors give back
    checkpoints.py  what a checkpoint recomputes, kept while its nodes are asked
    spread.py       refuses what is spread over processes
    nodes.py        what is read of an autograd node
    modules.py      what a module holds
    classes.py      remembers what is asked of a class, and lets go of it
    naming.py       what the user's code calls each value; names.py: tensors in variables, containers and modules;
                    module_names.py: the modules that only the code knows
    optimizers.py   which parameter each optimizer in sight holds
"""
