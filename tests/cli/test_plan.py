"""``gnnkit plan`` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands import gnnkit_here, here_and_in_a_process

SAMPLED = ["--dataset", "digits", "--fanouts", "4,4", "--batch-size", "64", "--model", "sage", "--batches", "16"]


@here_and_in_a_process
def test_sampled_plan_as_json(command, tmp_path: Path) -> None:
    sizes = ("--overflow-rate", "0.1", "--picture", "here/sizes.png")
    done = command("plan", *SAMPLED, *sizes, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    assert len(values["num_nodes"]) == 3 and len(values["num_edges"]) == 2
    assert values["num_nodes"][2] == 72 and values["batches_sampled"] == 16
    assert values["num_edges"][1] in (264, 272), "64 seeds take 4 neighbours each"
    assert all(0 < waste < 60 for waste in values["waste_percent"].values())
    assert 0 <= values["expected_overflow"] <= 0.1 and values["bytes_per_batch"] > 10_000
    assert (tmp_path / values["picture"]).read_bytes().startswith(b"\x89PNG")


def test_without_overflow_all_batches_of_the_training_are_looked_at(tmp_path: Path) -> None:
    done = gnnkit_here("plan", *SAMPLED, "train.epochs=3", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    assert values["batches_per_epoch"] == values["batches_sampled"] / 3
    assert values["is_exact"] and values["expected_overflow"] == 0 and values["batches_sampled"] % 3 == 0


def test_full_graph_plan_as_table(tmp_path: Path) -> None:
    done = gnnkit_here("plan", "--dataset", "karate", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for text in (
        "padded to",
        "waste in %",
        "nodes of level 0",
        "edges of block 1",
        "0.0% of batches",
        "batches an epoch",
        "plan.png",
    ):
        assert text in done.stdout
    assert (tmp_path / "plan.png").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--overflow-rate", "1.5"], "overflow_rate is 1.5"),
        (["--batches", "1"], "num_batches is 1"),
        (["--dataset", "digit"], "'digits'"),
        (["--fanouts", "5;5"], "15,10,5"),
        (["train.overflow=drop"], "carry, error"),
    ],
)
def test_a_mistake_gives_a_line_and_exit_code_2(arguments: list, message: str, tmp_path: Path) -> None:
    done = gnnkit_here("plan", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr


def test_layers_of_the_backends_library_are_planned_for(tmp_path: Path) -> None:
    pytest.importorskip("torch_geometric")
    layer = ["--dataset", "karate", "--model", "torch_geometric.nn:GraphConv", "--fanouts", "3,3", "backend=pyg"]
    done = gnnkit_here("plan", *layer, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["num_nodes"]) == 3
