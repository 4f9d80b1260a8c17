"""Weights & Biases and MLflow, with the real packages, on this machine alone."""

from __future__ import annotations

import json
import struct
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterator

import pytest

import gnnkit
from gnnkit.errors import NotInstalledError
from gnnkit.runs import RunResult
from gnnkit.train import Callback, MLflow, Trainer, WandB
from tests.commands import gnnkit_here


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
    """What an offline run of Weights & Biases holds: history, configuration, summary, exit code."""
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
    arguments = ["--dataset", "karate", "--epochs", "2", "--device", "cpu", "--run-dir", "mine"]
    done = gnnkit_here("run", *arguments, "--track", "mlflow", "--track", "tensorboard", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    from mlflow import MlflowClient

    (run,) = MlflowClient(tracking_uri=mlflow_store).search_runs(["0"])
    assert run.info.run_name == "mine" and run.data.params["dataset.name"] == "karate"
    assert list((tmp_path / "mine" / "tensorboard").glob("events*"))
    done = gnnkit_here("run", "--track", "mlfow", cwd=tmp_path)
    assert done.returncode == 2 and "Did you mean 'mlflow'" in done.stderr
    done = gnnkit_here("run", "--track", "mlflow", "--seeds", "2", cwd=tmp_path)
    assert done.returncode == 2 and "--seeds makes several" in done.stderr


@pytest.mark.parametrize("tracker, package", [(WandB, "wandb"), (MLflow, "mlflow")])
def test_a_missing_package_is_told(tracker: Any, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(NotInstalledError, match=rf"pip install 'gnnkit\[{package}\]'"):
        tracker()
