"""Run folders that are damaged, crafted, or were left by a process that was killed; and what such a one leaves."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import shutil
import stat
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import safetensors
import torch

import gnnkit
from gnnkit.data import from_edge_index
from gnnkit.datasets import import_graph, load_dataset, load_graph, save_graph
from gnnkit.inference import NodeIds, Predictions, write_predictions
from gnnkit.io.files import replacing
from gnnkit.io.tensor_files import write_tensors
from tests.commands import gnnkit_here
from tests.fuzz.targets import repair_saved
from tests.graphs import communities

USES = {
    "predict": "predict run --output new.csv",
    "embed": "embed run --output new.npy",
    "export": "export run --output new.pt2",
    "report": "report run --output new.html --map pca --batches 0",
    "reproduce": "reproduce run --run-dir new",
    "resume": "run --resume run train.epochs=4",
}
REFUSED = ("predict", "report", "reproduce")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a saved graph and a run on it."""
    folder = tmp_path_factory.mktemp("workplace")
    save_graph(communities(), folder / "saved")
    done = gnnkit_here(
        *["run", "--dataset", "./saved", "--device", "cpu", "--epochs", "3", "--run-dir", "run"], cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def here(workplace: Path, tmp_path: Path) -> Path:
    shutil.copytree(workplace, tmp_path / "here")
    return tmp_path / "here"


def refused(use: str, here: Path) -> str:
    """The one line in which a command refuses what it is given."""
    done = gnnkit_here(*USES[use].split(), cwd=here)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("warning:")]
    assert done.returncode == 2 and len(lines) == 1 and lines[0].startswith("error:"), done
    return lines[0]


@pytest.mark.parametrize("use", USES)
def test_a_torn_last_line_of_the_metrics_makes_no_run_useless(use: str, here: Path) -> None:
    with (here / "run" / "metrics.jsonl").open("a") as stream:
        stream.write('{"epoch": 4, "train_lo')
    done = gnnkit_here(*USES[use].split(), cwd=here)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("use", ["predict", "embed", "report", "plan"])
@pytest.mark.parametrize("value", [1 << 40, -1])
def test_an_edge_from_nowhere_reaches_no_kernel(value: int, use: str, here: Path) -> None:
    indices = np.load(here / "saved" / "001.npy")
    indices[7] = value
    np.save(here / "saved" / "001.npy", indices)
    repair_saved(here / "saved")
    done = gnnkit_here(*{**USES, "plan": "plan --dataset ./saved"}[use].split(), cwd=here)
    said = done.stdout if use == "report" else done.stderr
    assert done.returncode == (0 if use == "report" else 2)
    assert "saved is damaged: Bad data in indices" in said


@pytest.mark.parametrize("use", REFUSED)
@pytest.mark.parametrize(
    "name, content, message",
    [
        ("metrics.jsonl", "", "has no epoch in its metrics.jsonl"),
        ("metrics.jsonl", '{"epoch": 1}\n', "line 1, is no record of an epoch"),
        ("metrics.jsonl", "[" * 100_000 + "\n{}\n", "line 1, is damaged: it is nested more than 64 levels"),
        ("metrics.jsonl", b"\xff\xfe\n\n", "metrics.jsonl is no text in UTF-8: line 1"),
        ("manifest.json", '{"status": "comp', "manifest.json is damaged: it is no JSON"),
        ("manifest.json", "[]", "manifest.json is damaged: expected an object"),
        ("manifest.json", '{"data": [], "model": {}}', "does not say which data the run had"),
        ("config.yaml", "a: " + "[" * 100_000, "config.yaml is not valid YAML: it is nested"),
        ("config.yaml", "train: {lr: {}}", "train.lr"),
    ],
)
def test_a_damaged_record_is_named(name: str, content: object, message: str, use: str, here: Path) -> None:
    data = content if isinstance(content, bytes) else str(content).encode()
    (here / "run" / name).write_bytes(data)
    assert message in refused(use, here)


@pytest.mark.parametrize(
    "change",
    [
        {"backend": 1},
        {"data": {"name": 5, "parts": {}}},
        {"model": {"conv": "gcn"}},
        {"model": {"conv": {}, "in_channels": "x"}},
        {"learned": {"outputs": "classes"}},
        {"learned": {"outputs": [], "class_names": [3], "feature_names": {}}},
        {"result": []},
        {"metric": {"name": None}},
    ],
)
def test_a_manifest_is_held_to_its_types(change: dict, here: Path) -> None:
    file = here / "run" / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    assert "manifest.json is damaged: " in refused("predict", here)


def crafted(file: Path, **changes: str) -> None:
    """Change the header of a file of weights, and make its digest right."""
    with safetensors.safe_open(str(file), framework="pt") as stored:
        header = dict(stored.metadata())
        tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    header.pop("sha256")
    header.update(changes)
    write_tensors(file, tensors, header)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"spec": "[]"}, "is none that gnnkit writes"),
        ({"spec": "{"}, "is no JSON"),
        ({"spec": "[" * 100_000}, "is nested more than 64 levels"),
        ({"spec": '{"conv": "gcn", "in_channels": 4}'}, "is none that gnnkit writes"),
        ({"spec": '{"conv": "gcn", "in_channels": 8, "out_channels": 3, "num_layers": 1000000000}'}, "num_layers is"),
        (
            {"spec": '{"conv": "gcn", "in_channels": 60000, "out_channels": 3, "hidden_channels": 60000}'},
            "layer 0 has lin.weight of shape",
        ),
        ({"spec": '{"conv": "gcn", "in_channels": 9999999999999999999999, "out_channels": 3}'}, "in_channels is"),
        ({"seed": "x"}, "has the seed 'x'"),
        ({"learned": "{}"}, "does not say what the model has learned"),
    ],
)
def test_a_crafted_checkpoint_with_a_right_digest_is_refused(changes: dict, message: str, here: Path) -> None:
    crafted(here / "run" / "checkpoints" / "best.safetensors", **changes)
    if "learned" in changes:
        with pytest.raises(gnnkit.GnnkitError, match=message):
            gnnkit.runs.read_learned(here / "run" / "checkpoints" / "best.safetensors")
    else:
        assert message in refused("predict", here)


@pytest.mark.parametrize(
    "changes", [{"training": "{}"}, {"training": '{"facts": {}, "best_epoch": 1, "history": [1]}'}]
)
def test_a_crafted_state_is_refused(changes: dict, here: Path) -> None:
    crafted(here / "run" / "checkpoints" / "last.safetensors", **changes)
    assert "last.safetensors" in refused("resume", here)


def test_flipped_bits_of_checkpoints_are_found(here: Path) -> None:
    file = here / "run" / "checkpoints" / "best.safetensors"
    good, missed = file.read_bytes(), []
    for bit in range(0, 8 * len(good), 211):
        changed = bytearray(good)
        changed[bit // 8] ^= 1 << bit % 8
        file.write_bytes(changed)
        try:
            gnnkit.runs.read_weights(file)
            missed.append(bit)
        except gnnkit.GnnkitError:
            pass
    assert not missed


def test_a_folder_that_may_only_be_read_is_told(here: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    (here / "locked").mkdir(mode=0o500)
    done = gnnkit_here(*["predict", "run", "--output", "locked/new.csv"], cwd=here)
    assert done.returncode == 2 and "Permission denied" in done.stderr


@pytest.mark.parametrize("line", ["run --dataset karate --epochs 1 --run-dir {}", "predict run --output {}.csv"])
def test_names_that_are_too_long_are_told(line: str, here: Path) -> None:
    done = gnnkit_here(*line.format("x" * 260).split(), cwd=here)
    assert done.returncode == 2 and "File name too long. Choose a shorter name." in done.stderr


def test_a_link_to_nowhere_is_no_run_folder(here: Path) -> None:
    (here / "link").symlink_to("nowhere")
    done = gnnkit_here(*["run", "--dataset", "karate", "--epochs", "1", "--run-dir", "link"], cwd=here)
    assert done.returncode == 2 and "error: Cannot write link: " in done.stderr


def test_what_is_written_has_the_permissions_that_the_umask_leaves(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        save_graph(communities(), tmp_path / "saved")
        (tmp_path / "edges.txt").write_text("0 1\n1 0\n")
        import_graph(tmp_path / "edges.txt", tmp_path / "imported")
        with replacing(tmp_path / "file") as temporary:
            temporary.write_text("x")
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "edges.csv").write_text("source,target\n0,1\n")
        load_dataset(tmp_path / "data", cache_dir=tmp_path / "cache")
    finally:
        os.umask(before)
    (made,) = (tmp_path / "cache" / "prepared").iterdir()
    for folder in (tmp_path / "saved", tmp_path / "imported", made):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o750
        assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o640}
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_a_temporary_name_cannot_be_taken_before(tmp_path: Path) -> None:
    names = []
    for _ in range(2):
        with replacing(tmp_path / "file") as temporary:
            names.append(temporary.name)
            temporary.write_text("x")
    assert names[0] != names[1] and str(os.getpid()) not in names[0].split(".")


def _killed(folder: str) -> None:
    with replacing(Path(folder, "file")) as temporary:
        temporary.write_text("half")
        os._exit(9)


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_killed, args=(str(tmp_path),))
    process.start()
    process.join()
    (left,) = tmp_path.iterdir()
    with replacing(tmp_path / "file") as temporary:  # It may belong to a process that has just begun.
        temporary.write_text("whole")
    assert left.exists()
    os.utime(left, (time.time() - 3600,) * 2)
    with replacing(tmp_path / "file") as held:
        os.utime(held, (time.time() - 3600,) * 2)
        with replacing(tmp_path / "file") as temporary:
            temporary.write_text("whole")
        assert held.exists() and not left.exists()
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def _prepare(place: str, start: float, damage: bool, answers: multiprocessing.Queue[int]) -> None:
    time.sleep(max(0.0, start - time.time()))
    for _ in range(12):
        answers.put(load_dataset(Path(place, "data"), cache_dir=Path(place, "cache")).num_edges)
        if damage:
            # Another process may replace the folder at any moment, then there is nothing left to damage.
            with suppress(FileNotFoundError):
                for file in list(Path(place, "cache", "prepared").glob("data-*/000.npy")):
                    content = bytearray(file.read_bytes())
                    content[-1] ^= 1
                    file.unlink()  # Others have it mapped.
                    file.write_bytes(content)


def test_several_processes_share_a_cache_that_is_damaged_meanwhile(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    edges = communities().edge_index.numpy()
    np.save(tmp_path / "data" / "edges.npy", edges)
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    given = [(str(tmp_path), time.time() + 4, damage, answers) for damage in (False, True, False)]
    processes = [context.Process(target=_prepare, args=each) for each in given]
    for process in processes:
        process.start()
    found = {answers.get(timeout=120) for _ in range(36)}
    for process in processes:
        process.join()
    assert found == {edges.shape[1]} and {process.exitcode for process in processes} == {0}
    assert load_dataset(tmp_path / "data", cache_dir=tmp_path / "cache").num_edges == edges.shape[1]
    assert len(list((tmp_path / "cache" / "prepared").iterdir())) == 1


def test_ids_that_begin_as_formulas_are_no_formulas(tmp_path: Path) -> None:
    names = ["=cmd|'/c calc'!A0", "@SUM(1)", "-5", "+3.5", "plain", "-x"]
    predictions = Predictions(torch.arange(6), torch.eye(6)[:, :3])
    write_predictions(predictions, tmp_path / "p.csv", ids=NodeIds(0, names))
    with (tmp_path / "p.csv").open(newline="") as stream:
        written = [row["node"] for row in csv.DictReader(stream)]
    assert written == ["'=cmd|'/c calc'!A0", "'@SUM(1)", "-5", "+3.5", "plain", "'-x"]


def test_a_saved_graph_with_too_many_classes_is_refused(tmp_path: Path) -> None:
    save_graph(from_edge_index([[0], [1]], y=[0, 1]), tmp_path / "saved")
    labels = np.load(tmp_path / "saved" / "002.npy")
    labels[1] = 10**12
    np.save(tmp_path / "saved" / "002.npy", labels)
    repair_saved(tmp_path / "saved")
    with pytest.raises(gnnkit.GnnkitError, match="asks for 1,000,000,000,001 outputs"):
        load_graph(tmp_path / "saved")
