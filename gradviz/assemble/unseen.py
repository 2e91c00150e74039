"""In-place writes that autograd does not see: under `no_grad`, to a value that it has noted as the result of a call."""

from __future__ import annotations

from gradviz.assemble.draft import Draft, Key
from gradviz.recording.record import Recorder


def unseen_writes(draft: Draft, recorder: Recorder) -> dict[Key, list[int]]:
    """Node -> the calls that wrote to its value. What reads it later gets the new numbers, its gradient passes as before.

    A leaf is meant to be written so (an optimizer does), what a custom Function's forward writes, its backward knows, and
    what torch writes inside of one function of its own (the norms of `cosine_similarity`) is part of that function.
    """
    with_gradient = {call.visit for call in recorder.calls if call.grad_enabled}
    found: dict[Key, list[int]] = {}
    for carried in recorder.versions.carried:
        call, node = recorder.calls[carried.time], draft.nodes.get(carried.node)
        seen = call.visit in with_gradient or carried.time in draft.in_forwards
        if node is not None and node.kind == "op" and not seen and carried.time not in found.get(carried.node, ()):
            found.setdefault(carried.node, []).append(carried.time)
    return found
