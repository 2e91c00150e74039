"""What tracing leaves as it was: gradients, hooks, flags, random numbers, buffers, the collector of garbage."""

from __future__ import annotations

import copy
import gc

import pytest
import torch
from torch import nn

from gradviz import trace


def test_grad_hooks_and_flags_stay_as_they_were() -> None:
    model = nn.Linear(2, 1).eval()
    calls: list[int] = []
    model.register_forward_hook(lambda *_: calls.append(1))
    model.weight.grad = torch.full_like(model.weight, 7.0)
    before = copy.deepcopy(model.state_dict())
    graph = trace(model, torch.randn(3, 2), loss=lambda out: out.sum(), device="cpu")
    assert calls == [1] and not model.training and model.weight.requires_grad
    assert torch.equal(model.weight.grad, torch.full_like(model.weight, 7.0)) and model.bias.grad is None
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not torch.nn.modules.module._global_forward_hooks and graph.number_of_nodes() > 0


def test_random_numbers_and_batch_norm_statistics_are_as_after_one_forward_pass() -> None:
    model = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    twin = copy.deepcopy(model)
    inputs = torch.randn(6, 2)
    torch.manual_seed(0)
    twin(inputs).sum()
    expected = torch.get_rng_state()
    torch.manual_seed(0)
    trace(model, inputs, loss=lambda out: out.sum(), device="cpu")
    assert torch.equal(torch.get_rng_state(), expected)
    assert int(model[1].num_batches_tracked) == 1
    assert torch.equal(model[1].running_mean, twin[1].running_mean)


def test_garbage_collection_goes_on_as_it_was() -> None:
    assert gc.isenabled()
    trace(lambda x: x * 2, 1.0)
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError):
        trace(lambda x: x * (1 // 0), 1.0)
    assert gc.isenabled()


def test_traced_tensor_can_still_be_differentiated() -> None:
    x = torch.tensor(2.0, requires_grad=True)
    y = x**3
    trace(y)
    y.backward()
    assert float(x.grad) == 12.0


def test_leaf_value_survives_an_optimizer_step() -> None:
    weight = torch.tensor([1.0, 2.0], requires_grad=True)
    graph = trace(lambda: (weight * weight).sum())
    with torch.no_grad():
        weight.sub_(1.0)
    assert graph.value(graph.leaves["weight"]).tolist() == [1.0, 2.0]


def test_views_of_a_leaf_survive_an_optimizer_step() -> None:
    layer, x = torch.nn.Linear(3, 2), torch.randn(4, 3)
    graph = trace(lambda: (layer(x) + layer.weight[0, :2] * 2).square().sum())
    before = layer.weight.detach().clone()
    with torch.no_grad():
        layer.weight.sub_(1.0)
    (turned,) = [node for node, op in graph.nodes(data="op") if op == "t"]
    assert torch.equal(graph.value(turned), before.T)
    assert all(entry.verdict == "match" for entry in graph.check().nodes)
