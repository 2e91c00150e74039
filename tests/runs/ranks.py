"""What each of two processes runs under `torchrun` in test_ranks.py: `ranks.py DIRECTORY`."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

import gradviz


class Scaled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.log(x) * 0.1


def model_for(way: str) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 6), nn.Softplus(), Scaled(), nn.Linear(6, 1))
    if way == "sharded":
        mesh = init_device_mesh("cpu", (dist.get_world_size(),))
        for layer in (model[0], model[2]):
            fully_shard(layer, mesh=mesh)
        fully_shard(model, mesh=mesh)
    return nn.parallel.DistributedDataParallel(model) if way == "replicated" else model


def trained(way: str, directory: Path | None) -> list[Tensor]:
    """Losses and weights after five steps of two passes each; in the last one rank 1 takes the log of 0."""
    model = model_for(way)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    torch.manual_seed(dist.get_rank())
    losses = []
    with contextlib.nullcontext() if directory is None else gradviz.watch(model, directory, every=2):
        for step in range(5):
            optimizer.zero_grad()
            for _ in range(2):
                x = torch.randn(3, 4)
                if step == 4 and dist.get_rank() == 1 and way != "apart":
                    x *= 1e4  # softplus is 0 somewhere, and its logarithm infinite
                loss = (model(x) - 1).square().mean()
                loss.backward()
                losses.append(loss.detach())
            optimizer.step()
    return [*losses, *(getattr(one, "_local_tensor", one).detach().clone() for one in model.parameters())]


def main(directory: Path) -> None:
    dist.init_process_group("gloo")
    for way in ("replicated", "sharded", "apart"):
        pairs = zip(trained(way, None), trained(way, directory / way), strict=True)
        assert all(torch.equal(one.view(torch.int32), other.view(torch.int32)) for one, other in pairs), way
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
