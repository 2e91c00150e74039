"""Ops that add up in an order that differs from run to run on CUDA, forward or backward."""

from __future__ import annotations

from collections.abc import Iterator

from gradviz.diagnose.finding import Finding, found, listed
from gradviz.diagnose.readings import Readings

NOT_DETERMINISTIC = frozenset(
    {
        *("index_add", "scatter_add", "scatter_reduce", "index_put", "put", "cumsum", "kthvalue", "median"),
        *("adaptive_max_pool2d", "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "fractional_max_pool2d", "max_unpool2d"),
        *("upsample_linear1d", "upsample_bilinear2d", "upsample_bicubic2d", "upsample_trilinear3d", "upsample_nearest2d"),
        *("reflection_pad1d", "reflection_pad2d", "reflection_pad3d", "replication_pad1d", "replication_pad2d"),
        *("replication_pad3d", "grid_sampler_2d", "grid_sampler_3d", "_ctc_loss", "nll_loss2d_forward", "_embedding_bag"),
        *("avg_pool3d", "max_pool3d_with_indices"),
    }
)
"""From torch's list of what `torch.use_deterministic_algorithms` changes or refuses on CUDA; the CPU's are deterministic."""


def determinism(readings: Readings) -> Iterator[Finding]:
    """One hint for all such ops that ran on CUDA with a gradient."""
    graph = readings.graph
    nodes = [
        node
        for node in readings.ops
        if readings.op(node) in NOT_DETERMINISTIC
        and graph.nodes[node]["device"].type == "cuda"
        and graph.cotangent(node) is not None
    ]
    if nodes:
        yield found(
            graph,
            "not-deterministic",
            "hint",
            f"on CUDA, {listed(sorted({readings.op(node) for node in nodes}))} may give other last digits in each run",
            "call torch.use_deterministic_algorithms(True) where runs must repeat exactly",
            node=nodes[0],
            numbers={"calls": len(nodes)},
        )
