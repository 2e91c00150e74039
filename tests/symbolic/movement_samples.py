"""Inputs for the rules of data movement: copies, views, selections, joins, and writes into a copy."""

from __future__ import annotations

import torch
from symbolic_samples import add, integers, tensor, transposed

aten = torch.ops.aten
_x = transposed(2, 3)
_COPIES = ["alias", "clone", "_lazy_clone", "contiguous", "detach", "_to_copy", "lift_fresh", "lift_fresh_copy"]
for _name in [*_COPIES, "t", "tril", "triu"]:
    add(getattr(aten, _name).default, _x)
add(aten.masked_select.default, _x, _x > 0)
for _name in ("_reshape_alias", "_reshape_alias_copy"):
    add(getattr(aten, _name).default, tensor(2, 3), [3, 2], [2, 1])
for _name in ("_unsafe_view", "view", "reshape", "_reshape_copy"):
    add(getattr(aten, _name).default, tensor(2, 3), [3, 2])
add(aten.reshape.default, _x, [6])
add(aten.view.default, tensor(0, 3), [3, 0])
add(aten.squeeze.default, tensor(2, 1, 3))
add(aten.squeeze.dim, tensor(2, 1), 1)
add(aten.squeeze.dims, tensor(1, 2, 1), [0, 2])
add(aten.unsqueeze.default, tensor(2), -1)
add(aten.as_strided.default, tensor(4), [2, 2], [1, 2])
add(aten.as_strided.default, transposed(2, 3), [2, 2], [1, 1])
add(aten.diagonal.default, tensor(3, 3), 1)
add(aten.expand.default, tensor(2, 1), [3, 2, 2])
add(aten.flip.default, _x, [1])
add(aten.gather.default, _x, 1, integers([0, 0], [2, 1]))
add(aten.index.Tensor, tensor(3, 2), [integers(2, 0, 2)])
add(aten.index.Tensor, tensor(2, 3), [None, integers(2, 0)])
add(aten.index.Tensor, tensor(3), [torch.tensor([True, False, True])])
add(aten._unsafe_index.Tensor, tensor(3, 2), [integers(2, 0, 2)])
add(aten.index_select.default, _x, 1, integers(2, 2))
add(aten.permute.default, tensor(1, 2, 3), [2, 0, 1])
add(aten.pixel_shuffle.default, tensor(1, 4, 1, 2), 2)
add(aten.pixel_unshuffle.default, tensor(1, 1, 2, 4), 2)
add(aten.repeat.default, tensor(2), [2, 2])
add(aten.repeat_interleave.self_int, tensor(2), 2, 0)
add(aten.roll.default, _x, [1], [1])
add(aten.rot90.default, _x, 1, [0, 1])
for _overload in (aten.select.int, aten.select_copy.int):
    add(_overload, _x, 1, -1)
for _overload in (aten.slice.Tensor, aten.slice_copy.Tensor):
    add(_overload, tensor(5), 0, 1, 5, 2)
for _overload in (aten.split.Tensor, aten.split_copy.Tensor):
    add(_overload, tensor(5), 2)
add(aten.split_with_sizes.default, tensor(2, 3), [1, 2], 1)
add(aten.take.default, _x, integers(5, 0))
add(aten.transpose.int, tensor(2, 1, 3), 0, 2)
add(aten.unbind.int, _x, 1)
add(aten.unfold.default, tensor(5), 0, 3, 1)
add(aten.diag_embed.default, tensor(2, 2))
add(aten.reflection_pad1d.default, tensor(1, 3), [1, 2])
add(aten.reflection_pad2d.default, tensor(1, 2, 2), [1, 0, 1, 0])
add(aten.replication_pad1d.default, tensor(1, 3), [1, 2])
add(aten.replication_pad2d.default, tensor(1, 2, 2), [1, 0, 1, 2])
add(aten.cat.default, [tensor(1, 2), tensor(0), tensor(2, 2, seed=1)])
add(aten.stack.default, [tensor(2), tensor(2, seed=1)], 1)
add(aten.constant_pad_nd.default, tensor(2, 2), [1, 0, 0, 1], 0.75)
add(aten.constant_pad_nd.default, tensor(2), [1, 1])
add(aten.embedding.default, tensor(4, 2), integers([0, 3], [3, 1]))
add(aten.embedding.default, tensor(4, 2), integers([0, 3], [3, 1]), 3)  # padding_idx: its row gets no gradient
add(aten.copy.default, tensor(2, 2), tensor(2, seed=1))
add(aten.slice_scatter.default, tensor(4), tensor(2, seed=1), 0, 1, 3)
add(aten.select_scatter.default, tensor(2, 2), tensor(2, seed=1), 0, 1)
add(aten.diagonal_scatter.default, tensor(2, 2), tensor(2, seed=1))
add(aten.scatter.src, tensor(3), 0, integers(2, 0), tensor(2, seed=1))
add(aten.masked_scatter.default, tensor(3), torch.tensor([True, False, True]), tensor(2, seed=1))
add(aten.scatter.value, tensor(3), 0, integers(2, 0), 0.3)
add(aten.fill.Tensor, tensor(2, 2), tensor(seed=1))
add(aten.index_fill.int_Scalar, tensor(3), 0, integers(1), 0.3)
