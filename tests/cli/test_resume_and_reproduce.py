"""``gnnkit run --resume``, ``--init-from``, ``--deterministic`` and ``gnnkit reproduce`` as a user types them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.commands import gnnkit_here
from tests.graphs import communities

SMALL = ["model.hidden_channels=8", "train.num_threads=0"]


def last_line(done) -> dict:
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set in ``mine`` and a run of five epochs in ``run``."""
    folder = tmp_path_factory.mktemp("work")
    data = folder / "mine"
    data.mkdir()
    graph = communities()
    np.save(data / "edges.npy", graph.edge_index.numpy())
    np.save(data / "features.npy", graph.x.numpy())
    np.save(data / "labels.npy", graph.y.numpy())
    arguments = ["--dataset", str(data), "--model", "sage", "--epochs", "5", "--run-dir", "run", "--deterministic"]
    done = gnnkit_here("run", *arguments, *SMALL, "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert last_line(done)["nondeterministic"] == []
    return folder


def test_resume_on_another_backend_with_more_epochs(folder: Path, backend_name: str, tmp_path: Path) -> None:
    device = ["--device", "ipu-emulator", "--dropout", "0"] if backend_name == "ipu" else []
    arguments = ["--resume", str(folder / "run"), "--backend", backend_name, "--epochs", "7", *device]
    values = last_line(gnnkit_here("run", *arguments, "--run-dir", "next", "--json", cwd=tmp_path))
    assert (values["backend"], values["model"], values["epochs"]) == (backend_name, "sage", 7)
    lines = (tmp_path / "next" / "metrics.jsonl").read_text().splitlines()
    assert lines[:5] == (folder / "run" / "metrics.jsonl").read_text().splitlines()
    assert "hidden_channels: 8" in (tmp_path / "next" / "config.yaml").read_text()


def test_init_from_takes_the_weights_alone(folder: Path, tmp_path: Path) -> None:
    arguments = ["--init-from", str(folder / "run"), "--epochs", "3", "--backend", "pyg", "--run-dir", "next"]
    values = last_line(gnnkit_here("run", *arguments, "--json", cwd=tmp_path))
    recorded = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
    assert (values["epochs"], values["model"]) == (3, "sage")
    assert values["train_loss"] < recorded[1]["train_loss"]
    assert f"init_from: {folder / 'run'}" in (tmp_path / "next" / "config.yaml").read_text()
    again = last_line(gnnkit_here("reproduce", "next", "--json", cwd=tmp_path))
    assert again["verdict"] == "identical"


def test_init_from_a_file_of_weights_takes_its_model(folder: Path, tmp_path: Path) -> None:
    weights = folder / "run" / "checkpoints" / "best.safetensors"
    arguments = ["--init-from", str(weights), "--dataset", str(folder / "mine"), "--epochs", "1", "--json"]
    assert last_line(gnnkit_here("run", *arguments, cwd=tmp_path))["model"] == "sage"


def test_reproduce_is_identical_on_the_same_backend(folder: Path, tmp_path: Path) -> None:
    done = gnnkit_here("reproduce", str(folder / "run"), "--json", cwd=tmp_path)
    values = last_line(done)
    assert done.returncode == 0
    assert (values["verdict"], values["epoch"], values["epochs"], values["changes"]) == ("identical", None, 5, [])
    assert not list(tmp_path.iterdir())


def test_reproduce_on_another_backend_is_within_tolerance(folder: Path, tmp_path: Path) -> None:
    arguments = ["--backend", "pyg", "--run-dir", "again", "--json"]
    done = gnnkit_here("reproduce", str(folder / "run"), *arguments, cwd=tmp_path)
    values = last_line(done)
    assert done.returncode == 0
    assert values["verdict"] in ("identical", "within tolerance")
    assert values["changes"] == ["backend name: reference, now pyg"]
    assert (tmp_path / "again" / "manifest.json").exists()


def test_a_tampered_curve_is_different_from_that_epoch_on(folder: Path, tmp_path: Path) -> None:
    run = shutil.copytree(folder / "run", tmp_path / "tampered")
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    lines[2]["train_loss"] *= 0.9
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = gnnkit_here("reproduce", "tampered", "--json", cwd=tmp_path)
    assert done.returncode == 1
    values = last_line(done)
    assert (values["verdict"], values["epoch"], values["quantity"]) == ("different", 3, "train_loss")
    assert "different from epoch 3 on" in done.stderr
    assert gnnkit_here("reproduce", "tampered", "--tolerance", "0.2", cwd=tmp_path).returncode == 0


def test_other_data_are_refused(folder: Path, tmp_path: Path) -> None:
    data = shutil.copytree(folder / "mine", tmp_path / "mine")
    labels = np.load(data / "labels.npy")
    np.save(data / "labels.npy", (labels + 1) % 3)
    run = shutil.copytree(folder / "run", tmp_path / "run")
    config = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(config.replace(str(folder / "mine"), str(data)))
    for arguments in (["reproduce", "run"], ["run", "--resume", "run", "--epochs", "6"]):
        done = gnnkit_here(*arguments, cwd=tmp_path)
        assert done.returncode == 2
        assert "The run was trained on other data; what differs: labels." in done.stderr
    assert not (tmp_path / "runs").exists()


MISTAKES = {
    "no such run": (["run", "--resume", "nowhere"], "There is no run folder nowhere"),
    "nothing left": (["run", "--resume", "{run}"], "All 5 epochs are done"),
    "its own folder": (["run", "--resume", "{run}", "--epochs", "6", "--run-dir", "{run}"], "already exists"),
    "another model": (
        ["run", "--resume", "{run}", "--epochs", "6", "--model", "gcn"],
        "conv is 'gcn', in the checkpoint 'sage'",
    ),
    "another width": (["run", "--init-from", "{run}", "--hidden", "9"], "is [8, 8], expected [9, 8]"),
    "both": (["run", "--resume", "{run}", "--init-from", "{run}"], "Give one of them"),
    "a file": (["run", "--resume", "{run}/checkpoints/last.safetensors"], "Give the run folder"),
    "no run": (["reproduce", "."], "is no run folder"),
    "tolerance": (["reproduce", "{run}", "--tolerance", "-1"], "at least 0"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name: str, folder: Path, tmp_path: Path) -> None:
    arguments, message = MISTAKES[name]
    done = gnnkit_here(*[item.format(run=folder / "run") for item in arguments], cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert not list(tmp_path.iterdir())
