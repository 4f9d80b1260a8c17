"""``gnnkit run`` as a user types it, and what it says to mistakes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.commands import gnnkit_command, gnnkit_here
from tests.graphs import communities


@pytest.fixture(scope="module")
def own_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The communities as a user's own folder."""
    folder = tmp_path_factory.mktemp("data") / "mine"
    folder.mkdir()
    graph = communities()
    np.save(folder / "edges.npy", graph.edge_index.numpy())
    np.save(folder / "features.npy", graph.x.numpy())
    np.save(folder / "labels.npy", graph.y.numpy())
    return folder


def test_help_is_quick_and_loads_no_torch(tmp_path: Path) -> None:
    start = time.perf_counter()
    done = gnnkit_command("--help", cwd=tmp_path)
    assert done.returncode == 0
    assert time.perf_counter() - start < 5  # The aim is below one second; a busy machine is given more.
    code = "import sys, gnnkit.cli.main; print([m for m in ('torch', 'numpy', 'numba', 'rich') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_importing_gnnkit_loads_no_graph_library() -> None:
    code = (
        "import sys, gnnkit, gnnkit.train, gnnkit.datasets; "
        "print([m for m in ('torch_geometric', 'dgl', 'ogb', 'sklearn', 'matplotlib') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


@pytest.mark.in_turn
@pytest.mark.parametrize("how", [[], ["--fanouts", "5,5", "--batch-size", "64"]], ids=["full", "sampled"])
def test_a_run_from_start_to_json(backend_name: str, how: list, own_data: Path, tmp_path: Path) -> None:
    arguments = ["run", "--backend", backend_name, "--dataset", str(own_data), "--model", "sage", "--epochs", "5"]
    command = gnnkit_here if how or backend_name != "reference" else gnnkit_command
    done = command(*arguments, *how, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout.splitlines()[-1])
    expected = {"backend", "device", "dataset", "model", "epochs", "best_epoch", "train_loss", "valid_accuracy"}
    expected |= {"test_accuracy", "seconds", "seconds_per_epoch", "run_dir"}
    assert expected <= set(values)
    assert (values["backend"], values["model"], values["epochs"]) == (backend_name, "sage", 5)
    run_dir = tmp_path / values["run_dir"]
    assert json.loads((run_dir / "manifest.json").read_text())["status"] == "complete"
    assert (run_dir / "plots" / "curves.png").exists()
    assert f"gnnkit report {values['run_dir']}" in done.stderr, "what to do next"
    assert "Traceback" not in done.stderr
    # The folder's own configuration repeats the run.
    config = tmp_path / "again.yaml"
    config.write_text((run_dir / "config.yaml").read_text())
    again = gnnkit_here("run", str(config), "--json", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout.splitlines()[-1])["train_loss"] == values["train_loss"]


def test_file_flags_and_settings_together(own_data: Path, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(f"dataset: {{name: {own_data}}}\nmodel: {{name: gin}}\ntrain: {{epochs: 9}}\n")
    done = gnnkit_here("run", "run.yaml", "--epochs", "3", "model.hidden_channels=5", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout.splitlines()[-1])
    assert (values["model"], values["epochs"]) == ("gin", 3)
    assert "hidden_channels: 5" in (tmp_path / values["run_dir"] / "config.yaml").read_text()


def test_the_old_setting_of_tensorboard_in_a_file(own_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    (tmp_path / "old.yaml").write_text("tensorboard: true\n")
    done = gnnkit_here("run", "old.yaml", "--dataset", str(own_data), "--epochs", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("runs/*/tensorboard/events*"))


MISTAKES = {
    "unknown backend": (["--backend", "refrence"], "'reference'"),
    "unknown device": (["--device", "gpu"], "'cpu'"),
    "unknown data set": (["--dataset", "digit"], "'digits'"),
    "unknown model": (["--model", "sag"], "'sage'"),
    "unknown key": (["train.learning_rate=1"], "train."),
    "not a setting": (["nosuch.yaml"], "nosuch.yaml"),
    "two files": (["a.yaml", "b.yaml"], "One configuration file"),
    "fan-outs and layers": (["--fanouts", "5,5,5"], "3 fan-outs for a model of 2 layers"),
    "fan-outs, no numbers": (["--fanouts", "5;5"], "15,10,5"),
    "precision": (["--precision", "half"], "bfloat16"),
    "type": (["--epochs", "many"], "'--epochs'"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_gives_a_line_and_exit_code_2(name: str, tmp_path: Path) -> None:
    arguments, message = MISTAKES[name]
    done = gnnkit_here("run", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = gnnkit_command("run", "--backend", "refrence", "--debug", cwd=tmp_path)
    assert done.returncode != 0
    assert "Traceback" in done.stderr
    assert "UnknownNameError" in done.stderr


def test_bad_data_names_field_and_row(own_data: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "spoilt"
    shutil.copytree(own_data, folder)
    features = np.load(folder / "features.npy")
    features[3, 1] = np.nan
    np.save(folder / "features.npy", features)
    done = gnnkit_here("run", "--dataset", str(folder), cwd=tmp_path)
    assert done.returncode == 2
    assert "row 3" in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2
    assert not (tmp_path / "runs").exists()


def test_a_run_that_diverges_ends_with_a_line_and_no_metrics(tmp_path: Path) -> None:
    done = gnnkit_here("run", "--dataset", "karate", "--lr", "1e30", "--epochs", "20", "--run-dir", "run", cwd=tmp_path)
    assert done.returncode == 2 and "lr" in done.stderr and "accuracy" not in done.stdout
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["status"] == "failed"


def test_a_run_says_what_it_has_read_and_keeps_it(own_data: Path, tmp_path: Path) -> None:
    done = gnnkit_here("run", "--dataset", str(own_data), "--epochs", "1", "--run-dir", "run", cwd=tmp_path)
    assert done.returncode == 0
    kept = json.loads((tmp_path / "run" / "manifest.json").read_text())["data_summary"]
    for word in ("nodes", "edges", "features", "labels", "splits"):
        assert word in kept
        assert any(line.split()[:1] == [word] for line in done.stdout.splitlines())
    assert "drawn by seed 0" in kept["splits"] and "drawn by seed 0" in " ".join(done.stdout.split())
