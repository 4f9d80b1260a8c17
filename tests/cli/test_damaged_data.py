"""Every command that reads data refuses a saved graph that is damaged: one line, exit code 2, nothing written."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from gnnkit.data import fingerprint
from gnnkit.datasets import load_dataset, save_graph
from tests.commands import gnnkit_here
from tests.graphs import communities

SAVED = "--dataset ./saved --device cpu"
COMMANDS = {
    "run": f"run {SAVED} --epochs 1 --run-dir new",
    "plan": "plan --dataset ./saved --picture new",
    "compare": f"compare {SAVED} --backends reference,pyg --epochs 1 --picture new",
    "bench": f"bench {SAVED} --batches 2 --picture new",
    "resume": "run --resume run train.epochs=3",
    "reproduce": "reproduce run --run-dir new",
    "predict": "predict run --output new.csv",
    "embed": "embed run --output new.npy",
    "export": "export run --output new.pt2",
    "convert-weights": "convert-weights run/checkpoints/best.safetensors --from gnnkit --to pyg --dataset ./saved "
    "--output new.pt",
}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a saved graph and a run on it."""
    folder = tmp_path_factory.mktemp("workplace")
    save_graph(communities(), folder / "saved")
    done = gnnkit_here(*f"run {SAVED} --epochs 2 --run-dir run".split(), cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def damage(folder: Path, kind: str) -> None:
    """Damage one array of a saved graph so that its size stays."""
    for file in sorted(folder.glob("*.npy")):
        array = np.load(file)
        if kind == "an edge from nowhere" and file.name == "001.npy":
            array[3] = 10**9
        elif kind == "a negative offset" and file.name == "000.npy":
            array[2] = -5
        elif kind == "a feature that is no number" and array.dtype == np.float32 and array.ndim == 2:
            array[1, 0] = np.nan
        np.save(file, array)


KINDS = ("an edge from nowhere", "a negative offset", "a feature that is no number")


@pytest.mark.parametrize(
    ("command", "kind"), [*((command, KINDS[0]) for command in COMMANDS), ("run", KINDS[1]), ("predict", KINDS[2])]
)
def test_a_damaged_graph_is_refused(command: str, kind: str, workplace: Path, tmp_path: Path) -> None:
    here = tmp_path / "here"
    shutil.copytree(workplace, here)
    damage(here / "saved", kind)
    before = {str(path): path.stat().st_mtime_ns for path in here.rglob("*") if path.is_file()}
    done = gnnkit_here(*COMMANDS[command].split(), cwd=here)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("warning:")]
    assert done.returncode == 2, done
    assert len(lines) == 1 and "saved is damaged: " in lines[0] and "Write it again." in lines[0], done.stderr
    assert {str(path): path.stat().st_mtime_ns for path in here.rglob("*") if path.is_file()} == before


def test_a_report_says_that_the_data_are_damaged(workplace: Path, tmp_path: Path) -> None:
    here = tmp_path / "here"
    shutil.copytree(workplace, here)
    damage(here / "saved", KINDS[0])
    done = gnnkit_here("report", "run", "--output", "new.html", cwd=here)
    assert "saved is damaged: " in done.stdout and "no predictions, no maps" in done.stdout
    assert "saved is damaged: " in (here / "new.html").read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_copy_in_the_cache_is_made_again(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("GNNKIT_CACHE", str(tmp_path / "cache"))
    graph = communities(40)
    (tmp_path / "data").mkdir()
    for name, array in (("edges", graph.edge_index), ("features", graph.x), ("labels", graph.y)):
        np.save(tmp_path / "data" / f"{name}.npy", array.numpy())
    whole = fingerprint(load_dataset(tmp_path / "data"))
    (copy,) = (tmp_path / "cache" / "prepared").iterdir()
    damage(copy, kind)
    assert fingerprint(load_dataset(tmp_path / "data")) == whole
    assert "The cache is prepared again" in caplog.text
