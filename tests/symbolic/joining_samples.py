"""Inputs for the rules that pick elements by value, join them at places that an index names, or average windows."""

from __future__ import annotations

import torch
from symbolic_samples import add, integers, tensor, transposed

from gradviz.symbolic.registry import if_there

aten = torch.ops.aten
_x = tensor(3, 4)
_ties = torch.tensor([[1.0, 2.0, 2.0], [2.0, 2.0, 0.5]], dtype=torch.float64)
for _matrix, _dim in ((_x, 1), (transposed(3, 2), 0), (_ties, 1), (tensor(), 0)):
    add(aten.sort.default, _matrix, _dim, True)
    add(aten.sort.stable, _matrix, stable=True, dim=_dim)
    add(aten.topk.default, _matrix, 1, _dim)
    for _overload in (aten.cummax.default, aten.cummin.default):
        add(_overload, _matrix, _dim)
    for _keepdim in (True, False):
        add(aten.kthvalue.default, _matrix, 1, _dim, _keepdim)
        add(aten.median.dim, _matrix, _dim, _keepdim)
        add(aten.nanmedian.dim, _matrix, _dim, _keepdim)
        add(aten.mode.default, _matrix, _dim, _keepdim)
for _overload in (aten.median.default, aten.nanmedian.default):
    for _matrix in (_x, transposed(2, 3), tensor()):
        add(_overload, _matrix)
add(aten.nanmedian.default, torch.tensor([3.0, float("nan"), 1.0, 2.0], dtype=torch.float64))
add(aten.adaptive_max_pool2d.default, tensor(2, 3, 4), [2, 3])
add(aten.adaptive_max_pool3d.default, tensor(1, 3, 2, 4), [2, 2, 3])
_drawn = tensor(1, 2, 3, low=0.1, high=0.9)
add(aten.fractional_max_pool2d.default, tensor(1, 2, 4, 5), [2, 2], [2, 3], _drawn[..., :2])
add(aten.fractional_max_pool3d.default, tensor(1, 2, 4, 4, 4), [2, 2, 2], [2, 2, 2], _drawn)

for _pool, _image in ((aten.avg_pool2d.default, tensor(1, 4, 5)), (aten.avg_pool3d.default, tensor(1, 1, 2, 4, 3))):
    add(_pool, _image, [2])
    add(_pool, _image, [2], [1], [1], False, False)
    add(_pool, _image, [2], [2], [1], True, True)
    add(_pool, _image, [2], [2], [1], True, False, 5)
_smooth = (aten._upsample_bilinear2d_aa.default, aten._upsample_bicubic2d_aa.default)
for _resize in (*_smooth, *if_there("_upsample_lanczos2d_aa")):
    for _corners in (True, False):
        add(_resize, tensor(1, 1, 5, 4), [3, 2], _corners)  # shrunk: wider windows
        add(_resize, tensor(1, 2, 2, 3), [1, 5], _corners)
    add(_resize, tensor(1, 1, 3, 4), [2, 6], False, 0.7, 1.6)
for _resize, _space in ((aten.upsample_linear1d, 1), (aten.upsample_bilinear2d, 2), (aten.upsample_trilinear3d, 3)):
    for _corners in (True, False):
        add(_resize.default, tensor(1, 2, *[4, 3, 2][:_space]), [3, 5, 2][:_space], _corners)
    add(_resize.default, tensor(1, 1, *[3, 2, 4][:_space]), [5, 3, 2][:_space], False, *[1.7, 1.6, 0.6][:_space])
    add(_resize.default, tensor(1, 1, *[3, 3, 3][:_space]), [3, 3, 3][:_space], False, *[1.2, 1.2, 1.2][:_space])
for _corners in (True, False):
    add(aten.upsample_bicubic2d.default, tensor(1, 2, 4, 3), [3, 5], _corners)
    add(aten.upsample_bicubic2d.default, tensor(1, 1, 1, 6), [1, 2], _corners)
add(aten.upsample_bicubic2d.default, tensor(1, 1, 3, 4), [5, 2], False, 1.7, 0.6)
add(aten._adaptive_avg_pool2d.default, tensor(2, 3, 4), [2, 3])
add(aten._adaptive_avg_pool3d.default, tensor(1, 3, 2, 4), [2, 1, 3])

for _include in (True, False):
    for _reduce in ("sum", "prod", "mean", "amax", "amin"):
        _index = integers([0, 1, 0], [2, 2, 2])
        add(aten.scatter_reduce.two, tensor(3, 4), 0, _index, tensor(2, 3, seed=1), _reduce, include_self=_include)
        add(aten.scatter_reduce.two, tensor(), 0, torch.tensor(0), tensor(seed=1), _reduce, include_self=_include)
    for _reduce in ("prod", "mean", "amax", "amin"):
        add(aten.index_reduce.default, tensor(3, 2), 0, integers(1, 1), tensor(2, 2, seed=6), _reduce, include_self=_include)
        add(aten.index_reduce.default, tensor(2, 3), 1, integers(2, 0), tensor(2, 2, seed=6), _reduce, include_self=_include)
add(aten.index_add.default, tensor(), 0, integers(0), tensor(seed=1), alpha=0.5)
add(aten.put.default, tensor(2, 3), integers(4, -6), tensor(2, seed=1))
add(aten.put.default, tensor(2, 3), integers([4, 1], [4, 0]), tensor(2, 2, seed=1), True)
for _reduce in ("sum", "mean", "max", "min", "prod"):
    add(aten.segment_reduce.default, tensor(5, 2), _reduce, lengths=integers(2, 3), unsafe=True)
    add(aten.segment_reduce.default, tensor(5), _reduce, offsets=integers(0, 1, 1, 5), initial=0.75)
for _mode in range(3):
    add(aten._embedding_bag.default, tensor(4, 2), integers(1, 2, 0, 2), integers(0, 2), False, _mode)
    add(aten._embedding_bag.default, tensor(4, 2), integers(1, 2, 0), integers(0, 2, 3), False, _mode, False, None, True, 2)
add(aten._embedding_bag.default, tensor(4, 2), integers(1, 2, 0), integers(0, 1), False, 0, False, tensor(3, seed=1))

add(aten.bernoulli.default, tensor(2, 3, low=0.2, high=0.8))
add(aten.poisson.default, tensor(2, 3, low=0.5, high=4.0))
for _training in (True, False):
    add(aten.rrelu_with_noise.default, tensor(3, 4), torch.zeros_like(tensor(3, 4)), 0.1, 0.3, _training)
add(aten.logcumsumexp.default, tensor(2, 3), 1)
add(aten.logcumsumexp.default, tensor(), 0)
for _p in (0.0, 1.0, 1.5, 2.0, float("inf")):
    add(aten._cdist_forward.default, tensor(2, 2, 3), tensor(2, 1, 3, seed=5), _p, None)
    add(aten._pdist_forward.default, tensor(3, 2), _p)
add(aten._cdist_forward.default, tensor(2, 3), tensor(3, 3, seed=1), 2.0, 1)
add(aten._trilinear.default, tensor(2, 3), tensor(4, 3, 2), tensor(2, 2, seed=1), [1, 3], [0], [1, 2], [2, 3])
add(aten._safe_softmax.default, tensor(2, 3), 1)
add(aten._safe_softmax.default, torch.tensor([[0.5, 0.25], [-torch.inf, -torch.inf]], dtype=torch.float64), 1)
