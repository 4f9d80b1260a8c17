"""``gnnkit bench`` as a user types it, and what its figures must add up to; never how fast a thing is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import gnnkit
from tests.commands import gnnkit_here, here_and_in_a_process

SAMPLED = ["--dataset", "digits", "--fanouts", "3,2", "--batch-size", "64", "--model", "sage", "--batches", "3"]
STEP = ["forward", "backward", "update"]


def measured(*arguments: str, cwd: Path) -> dict:
    done = gnnkit_here("bench", *arguments, "--json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@here_and_in_a_process
def test_sampled_training_as_json(command, tmp_path: Path) -> None:
    done = command("bench", *SAMPLED, "--picture", "here/bars.png", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout.splitlines()[-1])
    assert list(values["stages"]) == ["sample", "reduce", "transfer", *STEP]
    assert all(seconds > 0 for seconds in values["stages"].values())
    assert values["serial_seconds"] == pytest.approx(sum(values["stages"].values()))
    assert values["batches"] == 3 and values["threads"] >= 1 and 0 <= values["waiting"] <= 1
    assert values["targets_per_second"] * values["seconds_per_batch"] == pytest.approx(64)
    assert values["edges_per_second"] > values["nodes_per_second"] > values["targets_per_second"]
    assert values["memory"]["peak_resident"] > 0
    floor = values["floor"]
    assert floor["seconds"] == pytest.approx(
        floor["flops"] / floor["matrix_rate"] + floor["feature_bytes"] / floor["copy_bandwidth"]
    )
    assert values["times_floor"] == pytest.approx(values["seconds_per_batch"] / floor["seconds"])
    assert (tmp_path / values["picture"]).read_bytes().startswith(b"\x89PNG")


def test_the_configuration_is_that_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("model:\n  name: sage\ntrain:\n  fanouts: [3, 2]\n  batch_size: 64\n")
    plain = ["mine.yaml", "train.fuse_first_layer=never", "train.num_threads=0", "--batches", "2"]
    values = measured(*plain, "--precision", "bfloat16", cwd=tmp_path)
    assert list(values["stages"]) == ["sample", "gather", "transfer", *STEP]
    assert (values["model"], values["precision"], values["threads"]) == ("sage", "bfloat16", 0)


def test_pairs_are_counted(tmp_path: Path) -> None:
    options = ["--task", "link_prediction", *SAMPLED]
    values = measured(*options, cwd=tmp_path)
    assert list(values["stages"]) == ["sample", "reduce", "transfer", *STEP]
    assert values["targets"] == "pairs"
    assert values["targets_per_second"] * values["seconds_per_batch"] == pytest.approx(64)
    done = gnnkit_here("bench", *options, cwd=tmp_path)
    assert "pairs" in done.stdout and "targets" not in done.stdout


def test_a_whole_graph_as_a_table(tmp_path: Path) -> None:
    done = gnnkit_here("bench", "--dataset", "karate", "--batches", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for text in (*STEP, "waiting for a batch", "peak resident", "GFLOP/s", "GB/s", "times that", "bench.png"):
        assert text in done.stdout
    assert "sample" not in done.stdout
    picture = (tmp_path / "bench.png").read_bytes()
    assert picture.startswith(b"\x89PNG") and len(picture) > 10_000


def test_a_device_that_keeps_its_step_whole_reports_one_line(tmp_path: Path) -> None:
    pytest.importorskip("gnnkit_ipu")
    arguments = ["--backend", "ipu", "--device", "ipu-emulator", "--dataset", "karate", "--fanouts", "3,3"]
    values = measured(*arguments, "--batch-size", "4", "--batches", "2", cwd=tmp_path)
    assert list(values["stages"]) == ["sample", "gather", "pad", "transfer", "step"]
    assert values["floor"] is None and "ipu-emulator" in values["no_floor"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--batches", "0"], "number of batches is 0"),
        (["--backend", "pygg"], "'pyg'"),
        (["--fanouts", "5;5"], "15,10,5"),
        (["train.speed=1"], "train.speed"),
        (["--dataset", "digit"], "'digits'"),
    ],
)
def test_a_mistake_gives_a_line_and_exit_code_2(arguments: list, message: str, tmp_path: Path) -> None:
    done = gnnkit_here("bench", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_measuring_leaves_the_model_as_it_is() -> None:
    graph = gnnkit.load_dataset("karate")
    model = gnnkit.build_model("gcn", graph)
    before = {name: value.clone() for name, value in model.canonical_state().items()}
    gnnkit.measure.measure(gnnkit.Trainer(device="cpu"), model, graph, num_batches=2)
    assert all(torch.equal(value, before[name]) for name, value in model.canonical_state().items())
