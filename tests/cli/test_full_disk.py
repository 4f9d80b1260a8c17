"""A disk that is full: each writer says so in a line, and leaves nothing that looks whole and is not."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Iterator

import numpy as np
import pytest

import gnnkit
from gnnkit.datasets import load_dataset, load_graph, save_graph
from gnnkit.errors import FileError
from gnnkit.runs import Callback, EpochRecord, load_model, read_run, read_state
from tests.commands import gnnkit_here
from tests.graphs import communities

SIZE = 1 << 20
RUN = "--dataset ./saved --device cpu"
WRITERS = {
    "run": f"run {RUN} --epochs 2 --run-dir DISK/new",
    "predict csv": "predict run --output DISK/new.csv",
    "predict npy": "predict run --output DISK/new.npy",
    "predict parquet": "predict run --output DISK/new.parquet",
    "embed": "embed run --output DISK/new.npy",
    "export": "export run --output DISK/new.pt2",
    "report": "report run --output DISK/new.html --map pca --batches 0",
    "import": "data import edges.csv --output DISK/new --undirected",
    "convert-weights": "convert-weights run/checkpoints/best.safetensors --from gnnkit --to pyg --dataset ./saved "
    "--output DISK/new.pt",
    "plan": "plan --dataset ./saved --picture DISK/new.png train.batch_size=32",
    "compare": f"compare {RUN} --backends reference,pyg --epochs 1 --picture DISK/new.png",
}

BEGUN_RUN = {
    "new",
    "new/checkpoints",
    "new/plots",
    *(f"new/{name}" for name in ("config.yaml", "manifest.json", "metrics.jsonl", "log.txt")),
    *(f"new/checkpoints/{name}.safetensors" for name in ("best", "last")),
}
"""What a run may leave: it has begun, says how it ended, and can be resumed from a whole state."""


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A disk of a megabyte."""
    place = tmp_path_factory.mktemp("disk")
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small disk can only be mounted by root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def empty(disk: Path) -> Iterator[Path]:
    yield disk
    for entry in disk.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a saved graph, a run on it, and a list of edges."""
    folder = tmp_path_factory.mktemp("workplace")
    save_graph(communities(), folder / "saved")
    edges = np.random.default_rng(0).integers(0, 9_000, (20_000, 2))
    (folder / "edges.csv").write_text("".join(f"{a},{b}\n" for a, b in edges))
    done = gnnkit_here(*f"run {RUN} --epochs 2 --run-dir run".split(), cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def fill(disk: Path, free: int) -> None:
    """Leave so many bytes."""
    with (disk / "filler").open("wb", buffering=0) as stream, suppress(OSError):
        while True:
            stream.write(bytes(4096))
    os.truncate(disk / "filler", max(0, (disk / "filler").stat().st_size - free))


@pytest.mark.parametrize(
    "writer, free",
    # A run comes to its end with 80,000 bytes; on the way it stops before its first state, its weights, and its plots.
    [*((writer, free) for writer in WRITERS for free in (0, 8192)), ("run", 20480), ("run", 40960)],
)
def test_a_full_disk_is_told(writer: str, free: int, workplace: Path, empty: Path) -> None:
    fill(empty, free)
    done = gnnkit_here(*WRITERS[writer].replace("DISK", str(empty)).split(), cwd=workplace)
    if free and done.returncode == 0:  # What is that small has found room.
        return
    lines = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert done.returncode == 2 and len(lines) == 1, (done.stdout, done.stderr)
    assert "No space left on device. Free some space" in lines[0]
    assert "Traceback" not in done.stderr
    left = {entry.relative_to(empty).as_posix() for entry in empty.rglob("*")} - {"filler"}
    assert left <= (BEGUN_RUN if writer == "run" else set())
    if writer == "run" and free > 8192:
        assert read_state(empty / "new").epoch in (0, 1, 2)


class _Fill(Callback):
    def __init__(self, disk: Path) -> None:
        self._disk = disk

    def on_epoch(self, record: EpochRecord) -> None:
        if record.epoch == 3:
            fill(self._disk, 100)


def test_the_last_whole_state_still_opens(empty: Path) -> None:
    graph, run = communities(), empty / "run"
    trainer = gnnkit.Trainer(
        device="cpu", epochs=30, run_dir=run, progress=False, callbacks=[_Fill(empty)], save_every=1
    )
    with pytest.raises(FileError, match="No space left"):
        trainer.fit(gnnkit.build_model("gcn", graph), graph)
    assert not [entry for entry in run.rglob("*") if entry.name.endswith((".tmp", ".old"))]
    state = read_state(run)
    assert state.epoch >= 2
    assert len(read_run(run).history) in (state.epoch, state.epoch + 1)
    load_model(run / "checkpoints" / "best.safetensors", gnnkit.backends.load_backend("reference"))


def test_a_disk_that_may_only_be_read_is_told(workplace: Path, empty: Path) -> None:
    shutil.copytree(workplace / "saved", empty / "saved")
    command = ["mount", "-o", "remount,ro", str(empty)]
    subprocess.run(command, check=True)
    try:
        assert load_graph(empty / "saved").num_nodes == communities().num_nodes
        for writer in ("run", "predict csv", "export", "import"):
            done = gnnkit_here(*WRITERS[writer].replace("DISK", str(empty)).split(), cwd=workplace)
            lines = [line for line in done.stderr.splitlines() if line.startswith("error:")]
            assert done.returncode == 2 and len(lines) == 1 and "Change its permissions" in lines[0], done
    finally:
        subprocess.run([*command[:2], "remount,rw", str(empty)], check=True)


def test_a_saved_graph_is_replaced_whole_or_not_at_all(empty: Path) -> None:
    save_graph(communities(), empty / "saved")
    fill(empty, 20_000)
    with pytest.raises(FileError, match="No space left"):
        save_graph(communities(4_000), empty / "saved")
    assert load_graph(empty / "saved").num_nodes == communities().num_nodes
    assert sorted(entry.name for entry in empty.iterdir()) == ["filler", "saved"]


def test_without_room_for_a_cache_loading_goes_on(empty: Path, tmp_path: Path, caplog) -> None:
    (tmp_path / "data").mkdir()
    np.save(tmp_path / "data" / "edges.npy", communities().edge_index.numpy())
    fill(empty, 0)
    assert load_dataset(tmp_path / "data", cache_dir=empty).num_edges == communities().num_edges
    assert "Going on without a cache" in caplog.text
    assert [entry.name for entry in empty.iterdir()] == ["filler"]
