"""Two processes under `torchrun` with the gloo backend: a file for each rank, merged, and findings that say which rank."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import gradviz
from gradviz.cli.command import main
from gradviz.errors import InputError
from gradviz.runs.run import gradient_norm
from gradviz.runs.series import by_step

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the two processes wrote. Each asserts that the bits of its losses and weights are those of an unwatched loop."""
    directory = tmp_path_factory.mktemp("two_ranks")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(
        [*command, str(Path(__file__).parent / "ranks.py"), str(directory)],
        env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return directory


def test_each_rank_writes_its_own_file(two_ranks: Path) -> None:
    for way, parallel in (("replicated", "DistributedDataParallel"), ("sharded", "fully_shard"), ("apart", "")):
        run = gradviz.load_run(two_ranks / way)
        headers = [(header.rank, header.world_size, header.parallel) for header in run.headers]
        assert headers == [(0, 2, parallel), (1, 2, parallel)]
        assert [(step.step, step.rank, step.forwards) for step in run.steps] == [
            (number, rank, 2) for number in (0, 1, 2, 4) for rank in (0, 1)
        ]
        assert all(note.gain is not None for step in run.steps for note in step.modules if note.path in ("1", "2", "3", "4"))


def test_ranks_of_replicas_have_the_same_gradient_and_other_values(two_ranks: Path) -> None:
    first, second = by_step(gradviz.load_run(two_ranks / "replicated"))[0]
    assert gradient_norm([first]) == gradient_norm([second]) == gradient_norm([first, second])
    assert first.modules[0].value != second.modules[0].value


def test_norms_of_shards_add_up_to_that_of_the_whole(two_ranks: Path) -> None:
    whole = by_step(gradviz.load_run(two_ranks / "replicated"))[0]
    pieces = by_step(gradviz.load_run(two_ranks / "sharded"))[0]
    assert [note.shard for step in pieces for note in step.parameters[:1]] == [(0,), (1,)]
    for name in ("0.weight", "2.bias", "5.weight"):
        expected = gradient_norm(whole, name)
        assert expected is not None and gradient_norm(pieces, name) == pytest.approx(expected, rel=1e-5)
    assert gradient_norm(pieces[:1], "0.weight") != pytest.approx(gradient_norm(whole, "0.weight"), rel=1e-3)


@pytest.mark.parametrize("way", ["replicated", "sharded"])
def test_nan_on_one_rank_is_told_with_its_rank_and_line(two_ranks: Path, way: str) -> None:
    (finding,) = [one for one in gradviz.load_run(two_ranks / way).diagnose() if one.severity == "error"]
    assert (finding.kind, finding.step, finding.rank, finding.module) == ("not-finite-value", 4, 1, "4")
    assert "only here, of 2 ranks: log made infinity" in finding.message and finding.source.startswith("ranks.py:")


def test_ranks_without_an_all_reduce_differ(two_ranks: Path) -> None:
    (finding,) = gradviz.load_run(two_ranks / "apart").diagnose()
    assert (finding.kind, finding.severity, finding.step) == ("ranks-differ", "warning", 0)
    assert {"norm on rank 0", "norm on rank 1"} == set(finding.numbers)


def test_merge_puts_all_ranks_into_one_file(two_ranks: Path, tmp_path: Path) -> None:
    merged = tmp_path / "all.jsonl"
    done = CliRunner().invoke(main, ["merge", str(two_ranks / "sharded"), "-o", str(merged)])
    assert done.exit_code == 0, done.output
    assert "Sequential, fully_shard, 2 of 2 ranks, every 2: 4 recorded steps, 0 to 4" in done.output
    assert str(gradviz.load_run(merged)) == str(gradviz.load_run(two_ranks / "sharded"))


def test_merge_without_one_of_the_ranks_is_refused(two_ranks: Path, tmp_path: Path) -> None:
    (tmp_path / "rank1.jsonl").write_text((two_ranks / "apart" / "rank1.jsonl").read_text())
    with pytest.raises(InputError, match="lacks rank 0 of 2"):
        gradviz.merge(tmp_path)


def test_rank_of_another_run_is_refused(two_ranks: Path, tmp_path: Path) -> None:
    for rank, every in ((0, 2), (1, 3)):
        text = (two_ranks / "apart" / f"rank{rank}.jsonl").read_text()
        (tmp_path / f"rank{rank}.jsonl").write_text(text.replace('"every": 2', f'"every": {every}'))
    with pytest.raises(InputError, match="ranks of different runs"):
        gradviz.load_run(tmp_path)
