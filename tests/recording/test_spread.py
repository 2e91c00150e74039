"""What is spread over processes is refused in words, and works on as before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.distributed
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor

import gradviz
from gradviz import TraceError

pytestmark = pytest.mark.filterwarnings("ignore")  # torch.distributed warns of its own code


@pytest.fixture
def mesh() -> Iterator[DeviceMesh]:
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    torch.distributed.destroy_process_group()


def sharded(mesh: DeviceMesh) -> Any:
    torch.manual_seed(0)
    return fully_shard(nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)), mesh=mesh)


def loss_of(output: Tensor) -> Tensor:
    return output.square().mean()


def test_sharded_modules_are_refused_and_train_on(mesh: DeviceMesh) -> None:
    model, x = sharded(mesh), torch.randn(8, 4)
    with pytest.raises(TraceError, match=r"this Sequential is sharded by fully_shard.*before fully_shard.*gradviz.watch"):
        gradviz.trace(model, x, loss=loss_of, device="cpu")
    with pytest.raises(TraceError, match="sharded by fully_shard"):
        gradviz.trace(lambda: loss_of(model(x)))
    with pytest.raises(TraceError, match="sharded by fully_shard"), gradviz.record():
        model(x)
    loss_of(model(x)).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_a_loss_of_a_sharded_module_is_refused(mesh: DeviceMesh) -> None:
    with pytest.raises(TraceError, match=r"memory of a leaf has been freed.*before fully_shard"):
        gradviz.trace(loss_of(sharded(mesh)(torch.randn(8, 4))))


@pytest.mark.parametrize("placement", [Shard(0), Replicate()], ids=str)
def test_distributed_tensors_are_refused_and_their_parts_are_not(mesh: DeviceMesh, placement: Any) -> None:
    w = distribute_tensor(torch.randn(4, 4), mesh, [placement]).requires_grad_()
    with pytest.raises(TraceError, match=r"DTensor.*to_local\(\)"):
        gradviz.trace(lambda: (w * w).sum())
    with pytest.raises(TraceError, match="DTensor"):
        gradviz.trace((w * w).sum())
    local = w.to_local().detach().requires_grad_()  # type: ignore[attr-defined]
    assert gradviz.trace(lambda: (local * local).sum()).check().ok


def test_a_distributed_tensor_on_the_way_is_refused(mesh: DeviceMesh) -> None:
    w = torch.randn(4, 4, requires_grad=True)
    with pytest.raises(TraceError, match="DTensor"):
        gradviz.trace(lambda: DTensor.from_local(w, mesh, [Shard(0)]).square().to_local().sum())
