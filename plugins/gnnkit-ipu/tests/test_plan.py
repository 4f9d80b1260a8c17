"""What ``gnnkit plan`` says of the device."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands import answer, gnnkit_here

SAMPLED = ["--dataset", "digits", "--model", "sage", "--fanouts", "5,5", "--batch-size", "100", "train.epochs=1"]
GRAPHS = ["--dataset", "motifs", "--task", "graph_classification", "--model", "gin", "--batch-size", "64"]


def plan(folder: Path, *arguments: str, batches: int, json: bool = True):
    """``gnnkit plan`` for calls of so many batches on the emulator."""
    settings = ["backend=ipu", "device=ipu-emulator", f"device_options.device_iterations={batches}"]
    return gnnkit_here("plan", *settings, *arguments, *(["--json"] if json else []), cwd=folder)


def test_plans_take_device_options_into_account(tmp_path: Path) -> None:
    found = answer(plan(tmp_path, *SAMPLED, batches=4))
    assert (found["batches_per_epoch"], found["batches_per_call"], found["batches_filled_up"]) == (11, 4, 1)


def test_plans_of_whole_graphs_do_too(tmp_path: Path) -> None:
    found = answer(plan(tmp_path, *GRAPHS, batches=3))
    assert found["batches_per_call"] == 3 and found["batches_filled_up"] == -found["batches_per_epoch"] % 3


@pytest.mark.parametrize(
    "batches, said", [(11, "all of them full"), (4, "the last filled up with 1"), (12, "so that a run is refused")]
)
def test_in_words(tmp_path: Path, batches: int, said: str) -> None:
    done = plan(tmp_path, *SAMPLED, batches=batches, json=False)
    assert done.returncode == 0 and said in " ".join(done.stdout.split()), done.stdout
