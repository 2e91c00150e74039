"""Which overloads only move elements, and which have no gradient: facts, not code."""

from __future__ import annotations

import torch

from gradviz.symbolic.registry import data_movement, no_gradient

aten = torch.ops.aten

data_movement(
    aten.alias.default,
    aten.clone.default,
    aten.contiguous.default,
    aten.detach.default,
    aten._to_copy.default,
    aten._reshape_alias.default,
    aten._reshape_alias_copy.default,
    aten._reshape_copy.default,
    aten._lazy_clone.default,
    aten._unsafe_view.default,
    aten.lift_fresh.default,
    aten.lift_fresh_copy.default,
    aten.view.default,
    aten.reshape.default,
    aten.squeeze.default,
    aten.squeeze.dim,
    aten.squeeze.dims,
    aten.unsqueeze.default,
    aten._to_sparse.default,
    aten._to_sparse.sparse_dim,
    aten._to_sparse_csr.default,
    aten._to_sparse_csc.default,
    moved=("self",),
    row_major=True,
)

data_movement(
    aten.as_strided.default,
    aten.diagonal.default,
    aten.expand.default,
    aten.flip.default,
    aten.gather.default,
    aten.index.Tensor,
    aten.index_select.default,
    aten.masked_select.default,
    aten.permute.default,
    aten.pixel_shuffle.default,
    aten.pixel_unshuffle.default,
    aten.repeat.default,
    aten.repeat_interleave.self_int,
    aten.roll.default,
    aten.rot90.default,
    aten.select.int,
    aten.select_copy.int,
    aten.slice.Tensor,
    aten.slice_copy.Tensor,
    aten.split.Tensor,
    aten.split_copy.Tensor,
    aten.split_with_sizes.default,
    aten.t.default,
    aten.take.default,
    aten.transpose.int,
    aten.tril.default,
    aten.triu.default,
    aten.unbind.int,
    aten.unfold.default,
    aten.diag_embed.default,
    aten._unsafe_index.Tensor,
    aten.reflection_pad1d.default,
    aten.reflection_pad2d.default,
    aten.replication_pad1d.default,
    aten.replication_pad2d.default,
    moved=("self",),
)
data_movement(aten.cat.default, aten.stack.default, moved=("tensors",))
data_movement(aten.constant_pad_nd.default, moved=("self",), fill="value")
data_movement(aten.embedding.default, moved=("weight",))
data_movement(
    aten.copy.default,
    aten.slice_scatter.default,
    aten.select_scatter.default,
    aten.diagonal_scatter.default,
    aten.scatter.src,
    aten.masked_scatter.default,
    moved=("self", "src", "source"),
)
data_movement(aten.scatter.value, moved=("self",), fill="value")
data_movement(aten.fill.Tensor, moved=("value",))
data_movement(aten.index_fill.int_Scalar, moved=("self",), fill="value")

no_gradient(
    *(
        getattr(getattr(aten, name), overload)
        for name in ("eq", "ne", "lt", "le", "gt", "ge")
        for overload in ("Tensor", "Scalar")
    ),
    aten.isnan.default,
    aten.isinf.default,
    aten.signbit.default,
    aten.logical_and.default,
    aten.logical_or.default,
    aten.logical_not.default,
    aten.logical_xor.default,
    aten.bitwise_and.Tensor,
    aten.bitwise_and.Scalar,
    aten.bitwise_or.Tensor,
    aten.bitwise_or.Scalar,
    aten.bitwise_not.default,
    aten.any.default,
    aten.all.default,
    aten.equal.default,
    aten.is_same_size.default,
    reason="it answers yes or no",
)
no_gradient(
    aten.argmax.default,
    aten.argmin.default,
    aten.argsort.default,
    aten.nonzero.default,
    aten.bincount.default,
    aten.bucketize.Tensor,
    aten.searchsorted.Tensor,
    aten.count_nonzero.default,
    reason="its result is a whole number",
)
no_gradient(
    aten.zeros_like.default,
    aten.ones_like.default,
    aten.full_like.default,
    aten.empty_like.default,
    aten.new_zeros.default,
    aten.new_ones.default,
    aten.new_full.default,
    aten.new_empty.default,
    reason="its result does not depend on the values that it is given",
)
no_gradient(
    aten.bernoulli.p,
    aten.rand_like.default,
    aten.randn_like.default,
    aten.uniform.default,
    aten.normal_functional.default,
    aten.multinomial.default,
    reason="its result is drawn at random",
)
no_gradient(
    aten.zeros.default,
    aten.ones.default,
    aten.full.default,
    aten.empty.memory_format,
    aten.arange.default,
    aten.arange.start,
    aten.arange.start_step,
    aten.eye.default,
    aten.linspace.default,
    aten.rand.default,
    aten.randn.default,
    aten.scalar_tensor.default,
    aten.randint.low,
    aten.randperm.default,
    reason="it has no input that could be differentiated for",
)
no_gradient(aten._local_scalar_dense.default, reason="its result leaves the graph as a Python number")
