"""Weights & Biases and MLflow, with the real packages, on this machine alone."""

from __future__ import annotations

import json
import struct
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

import gnnkit
from gnnkit.errors import ConfigError, NotInstalledError
from gnnkit.runs import RunResult
from gnnkit.studies import run_folds, run_seeds
from gnnkit.train import Callback, MLflow, Trainer, WandB, load_config
from tests.commands import gnnkit_here

KARATE = ["--dataset", "karate", "--epochs", "2", "--device", "cpu"]


class Stops(Callback):
    def on_epoch(self, record: Any) -> None:
        raise KeyboardInterrupt


def train(*callbacks: Callback, epochs: int = 3, **more: Any) -> RunResult:
    graph = gnnkit.load_dataset("karate")
    trainer = Trainer(device="cpu", epochs=epochs, callbacks=callbacks, eval_every=2, progress=False, **more)
    return trainer.fit(gnnkit.build_model("gcn", graph), graph)


@pytest.fixture
def mlflow_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    pytest.importorskip("mlflow", reason="the package mlflow is not installed")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # A database takes ten seconds to be made.
    return (tmp_path / "store").as_uri()


def mlflow_runs(uri: str) -> List[Any]:
    from mlflow import MlflowClient

    return list(MlflowClient(tracking_uri=uri).search_runs(["0"]))


def check_mlflow(uri: str, experiment: str, result: RunResult) -> Any:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    found = client.get_experiment_by_name(experiment)
    (run,) = client.search_runs([found.experiment_id])
    curve = client.get_metric_history(run.info.run_id, "train_loss")
    assert [(point.step, point.value) for point in curve] == [(each.epoch, each.train_loss) for each in result.history]
    judged = [each.epoch for each in result.history if each.valid_metric is not None]
    assert [point.step for point in client.get_metric_history(run.info.run_id, "valid_metric")] == judged
    assert run.info.status == "FINISHED"
    assert run.data.metrics["result.test_accuracy"] == result.test["accuracy"]
    assert run.data.params["model.conv"] == "gcn"
    return run


def test_mlflow_gets_curves_settings_and_the_result(mlflow_store: str) -> None:
    tracker = MLflow({"lab": {"bench": 7}}, uri=mlflow_store, experiment="clubs", name="first")
    run = check_mlflow(mlflow_store, "clubs", train(tracker))
    assert run.data.params["lab.bench"] == "7" and run.info.run_name == "first"


@pytest.mark.long
def test_mlflow_tracks_in_a_database(tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="the package mlflow is not installed")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    check_mlflow(uri, "Default", train(MLflow(uri=uri)))


def test_mlflow_knows_how_a_run_ended_and_what_was_before(mlflow_store: str, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    with pytest.raises(KeyboardInterrupt):
        train(MLflow(uri=mlflow_store), Stops(), run_dir=tmp_path / "run")
    graph = gnnkit.load_dataset("karate")
    trainer = Trainer(device="cpu", epochs=4, callbacks=[MLflow(uri=mlflow_store)], eval_every=2, progress=False)
    trainer.fit(gnnkit.build_model("gcn", graph), graph, resume=tmp_path / "run")
    client = MlflowClient(tracking_uri=mlflow_store)
    later, first = client.search_runs(["0"], order_by=["attributes.start_time DESC"])
    assert (first.info.status, later.info.status) == ("KILLED", "FINISHED")
    assert [point.step for point in client.get_metric_history(later.info.run_id, "train_loss")] == [1, 2, 3, 4]


def messages_of(file: Path) -> Iterator[bytes]:
    """Messages in the file of an offline run: a log of LevelDB, blocks of 32 KiB with pieces of messages."""
    data, block = file.read_bytes(), 1 << 15
    place, whole = 7, b""  # After what says which format it is.
    while place < len(data):
        if block - place % block < 7:
            place += block - place % block
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        whole += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # A whole message, or the last piece of one.
            yield whole
            whole = b""


def records_of(folder: Path) -> Dict[str, Any]:
    """What an offline run of Weights & Biases holds: history, configuration, summary, exit code, and the run."""
    (file,) = folder.glob("wandb/offline-run-*/*.wandb")
    found = _records(file)
    deadline = time.monotonic() + 60
    while "exit_code" not in found and time.monotonic() < deadline:  # Another process writes, and may be late.
        time.sleep(0.1)
        found = _records(file)
    return found


def _records(file: Path) -> Dict[str, Any]:
    from wandb.proto.wandb_internal_pb2 import Record

    def values(items: Any) -> Dict[str, Any]:
        return {item.key or item.nested_key[0]: json.loads(item.value_json) for item in items}

    found: Dict[str, Any] = {"history": [], "config": {}, "summary": {}}
    for message in messages_of(file):
        record = Record()
        record.ParseFromString(message)
        kind = record.WhichOneof("record_type")
        if kind == "history":
            found["history"].append({**values(record.history.item), "_step": record.history.step.num})
        elif kind == "run":
            found["config"].update(values(record.run.config.update))
            found["run"] = record.run
        elif kind == "summary":
            found["summary"].update(values(record.summary.update))
        elif kind == "exit":
            found["exit_code"] = record.exit.exit_code
    return found


def test_weights_and_biases_get_curves_settings_and_the_result(tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="the package wandb is not installed")
    tracker = WandB({"bench": 7}, project="clubs", mode="offline", dir=str(tmp_path))
    result = train(tracker)
    found = records_of(tmp_path)
    curve = [(row["_step"], row["train_loss"]) for row in found["history"]]
    assert curve == [(each.epoch, each.train_loss) for each in result.history]
    assert found["config"]["bench"] == 7 and found["config"]["model"]["conv"] == "gcn"
    assert found["summary"]["test_accuracy"] == result.test["accuracy"] and found["exit_code"] == 0


def test_weights_and_biases_know_how_a_run_ended(tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="the package wandb is not installed")
    with pytest.raises(KeyboardInterrupt):
        train(WandB(mode="offline", dir=str(tmp_path)), Stops())
    found = records_of(tmp_path)
    assert found["exit_code"] == 1 and found["summary"]["status"] == "interrupted" and len(found["history"]) == 1


def test_the_command_line_names_trackers(mlflow_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_store)
    done = gnnkit_here("run", *KARATE, "--run-dir", "mine", "--track", "mlflow", "--track", "tensorboard", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (run,) = mlflow_runs(mlflow_store)
    assert run.info.run_name == "mine" and run.data.params["dataset.name"] == "karate"
    assert list((tmp_path / "mine" / "tensorboard").glob("events*"))
    done = gnnkit_here("run", "--track", "mlfow", cwd=tmp_path)
    assert done.returncode == 2 and "Did you mean 'mlflow'" in done.stderr


def test_seeds_are_a_group(mlflow_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard", reason="the package tensorboard is not installed")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_store)
    tracked = ["--track", "mlflow", "--track", "tensorboard", "--run-dir", "mine"]
    done = gnnkit_here("run", *KARATE, "--seeds", "2", *tracked, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    runs = mlflow_runs(mlflow_store)
    assert sorted(run.info.run_name for run in runs) == ["seed-0", "seed-1"]
    assert {run.data.tags["group"] for run in runs} == {"mine"}
    for seed in (0, 1):
        assert len(list((tmp_path / "mine" / f"seed-{seed}" / "tensorboard").glob("events*"))) == 1


def test_weights_and_biases_group_folds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb", reason="the package wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    wandb.teardown()  # It reads the environment once, until this.
    overrides = ["dataset.name=motifs", "task=graph_classification", "device=cpu", "train.epochs=1", "track=[wandb]"]
    config = load_config(overrides=[*overrides, "name=baseline", f"run_dir={tmp_path / 'folds'}"])
    run_folds(config, 5, folds=[3])
    run = records_of(tmp_path / "folds" / "fold-3")["run"]
    assert (run.run_group, run.display_name) == ("baseline", "fold-3")


def test_trials_of_a_sweep_are_a_group(mlflow_store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optuna", reason="the package optuna is not installed")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_store)
    (tmp_path / "sweep.yaml").write_text(
        "dataset: {name: karate}\ndevice: cpu\ntrain: {epochs: 1}\ntrack: [mlflow]\n"
        "sweep: {sampler: grid, space: {model.hidden_channels: [4, 8]}}\n"
    )
    done = gnnkit_here("sweep", "sweep.yaml", "--run-dir", "widths", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    seeds = gnnkit_here("sweep", "sweep.yaml", "sweep.seeds=2", "sweep.trials=1", "--run-dir", "both", cwd=tmp_path)
    assert seeds.returncode == 0, seeds.stderr
    runs = sorted((run.data.tags["group"], run.info.run_name) for run in mlflow_runs(mlflow_store))
    assert runs == [
        ("both", "trial-0000/seed-0"),
        ("both", "trial-0000/seed-1"),
        ("widths", "trial-0000"),
        ("widths", "trial-0001"),
    ]


def test_runs_to_track_need_a_folder() -> None:
    config = load_config(overrides=["dataset.name=karate", "track=[tensorboard]"])
    with pytest.raises(ConfigError, match="Give run_dir"):
        run_seeds(config, 2)


@pytest.mark.parametrize("tracker, package", [(WandB, "wandb"), (MLflow, "mlflow")])
def test_a_missing_package_is_told(tracker: Any, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(NotInstalledError, match=rf"pip install 'gnnkit\[{package}\]'"):
        tracker()
