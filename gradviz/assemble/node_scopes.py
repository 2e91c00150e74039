"""In which calls of modules and functions the nodes of a draft were made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gradviz.assemble.drafted import Draft, Key
from gradviz.recording.record import RecordedCall
from gradviz.recording.scopes import ScopePath, common, path_of_all, scope_paths


def node_scopes(
    draft: Draft, order: Sequence[Key], calls: Sequence[RecordedCall], module_paths: Mapping[int, str]
) -> dict[Key, ScopePath]:
    """The calls in which each node was made; of what no recorded call made, those in which all its uses lie."""
    around = {call.scope for call in calls}
    if len(around) == 1 and not path_of_all(next(iter(around)), module_paths):
        return dict.fromkeys(order, ())  # as in any small function
    made_in = {
        key: calls[node.call_index].scope
        for key, node in draft.nodes.items()
        if node.kind == "op" and node.call_index is not None
    }
    paths = scope_paths(set(made_in.values()), module_paths)
    if not any(paths.values()):
        return dict.fromkeys(order, ())
    users: dict[Key, list[Key]] = {}
    for head, edges in draft.edges_into.items():
        for edge in edges:
            if edge.tail not in made_in:
                users.setdefault(edge.tail, []).append(head)
    found: dict[Key, ScopePath] = {}
    for key in reversed(order):
        scope = made_in.get(key)
        if scope is not None:
            found[key] = paths[scope]
        else:
            around_uses = {found[user] for user in users.get(key, ())}
            found[key] = around_uses.pop() if len(around_uses) == 1 else common(around_uses)
    return found
