"""What a call that only moves elements does with them, in one word: selection, transpose, reshape, ..."""

from __future__ import annotations

_MOVES = {
    "selection": {
        *("as_strided", "diagonal", "embedding", "gather", "index", "index_select", "masked_select", "narrow", "select"),
        *("slice", "split", "split_with_sizes", "take", "unbind", "unsafe_split", "_unsafe_index", "tril", "triu"),
    },
    "transpose": {"t", "transpose", "permute", "numpy_T", "matrix_H", "mT", "movedim", "swapaxes"},
    "reshape": {"view", "reshape", "_unsafe_view", "_reshape_alias", "squeeze", "unsqueeze", "flatten", "unflatten"},
    "copies": {"expand", "repeat", "repeat_interleave", "unfold"},
    "reordering": {"flip", "roll", "rot90", "pixel_shuffle", "pixel_unshuffle"},
    "placement": {
        *("cat", "stack", "constant_pad_nd", "diag_embed", "reflection_pad1d", "reflection_pad2d", "replication_pad1d"),
        *("replication_pad2d", "slice_scatter", "select_scatter", "diagonal_scatter", "scatter", "masked_scatter"),
        "index_fill",
    },
}


def moved_as(op: str) -> str:
    """How a call that only moves elements does so; "" for any other.

    A derivative of 1 would be said of one element and read as one of the whole tensor.

    >>> moved_as("select"), moved_as("t"), moved_as("mul")
    ('selection', 'transpose', '')
    """
    return next((word for word, ops in _MOVES.items() if op in ops), "")
