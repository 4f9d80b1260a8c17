"""``gnnkit run --dry-run``, ``--find-batch-size`` and ``--find-lr`` as a user types them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gnnkit.cli.before_run import num_bytes
from gnnkit.errors import ConfigError
from tests.commands import answer, gnnkit_here, here_and_in_a_process

SAMPLED = ["--dataset", "digits", "--fanouts", "3,2", "--batch-size", "64", "--model", "sage", "--device", "cpu"]


@here_and_in_a_process
def test_a_dry_run_as_json_writes_nothing(command, tmp_path: Path) -> None:
    values = answer(command("run", "--dry-run", *SAMPLED, "--run-dir", "mine", "--json", cwd=tmp_path))
    assert (values["loading"], values["targets"], values["batch_size"]) == ("sampled", "nodes", 64)
    assert [layer["name"] for layer in values["layers"]] == ["convs.0", "convs.1"]
    assert values["batches_per_epoch"] * 64 >= values["num_targets"] and values["epochs"] == 20
    assert values["memory"]["total"] > values["memory"]["graph"] > 0 and values["epoch_seconds"] > 0
    assert not list(tmp_path.iterdir())


def test_a_dry_run_as_tables(tmp_path: Path) -> None:
    done = gnnkit_here("run", "--dry-run", "--dataset", "karate", "--device", "cpu", "--seeds", "3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for text in ("convs.0", "34 x 16", "628", "full graph", "counted in a step", "peak resident", "200 epochs"):
        assert text in done.stdout
    assert not list(tmp_path.iterdir())


@here_and_in_a_process
def test_a_learning_rate_as_json_and_picture(command, tmp_path: Path) -> None:
    arguments = ["run", "--find-lr", "--dataset", "karate", "--device", "cpu", "--picture", "mine.png", "--json"]
    values = answer(command(*arguments, cwd=tmp_path))
    assert values["lr"] in values["rates"] and len(values["rates"]) == len(values["losses"])
    assert (tmp_path / "mine.png").read_bytes().startswith(b"\x89PNG")
    assert [file.name for file in tmp_path.iterdir()] == ["mine.png"]


def test_a_learning_rate_as_a_table(tmp_path: Path) -> None:
    done = gnnkit_here("run", "--find-lr", *SAMPLED, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1.00e-06" in done.stdout and "train.lr=" in done.stdout and "lr.png" in done.stdout


@pytest.mark.long
def test_batch_sizes_as_a_table(tmp_path: Path) -> None:
    arguments = ["--dataset", "karate", "--device", "cpu", "--batch-size", "4", "--memory", "4GB"]
    done = gnnkit_here("run", "--find-batch-size", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "train.batch_size=4" in done.stdout and "all training targets" in done.stdout
    assert "batch size 4: " in done.stderr and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--dry-run", "--find-lr"], "--dry-run and --find-lr"),
        (["--memory", "4GB"], "--memory is for --find-batch-size"),
        (["--dry-run", "--picture", "a.png"], "--picture is for --find-lr"),
        (["--find-batch-size"], "on the full graph"),
        (["--find-batch-size", "--batch-size", "8", "--memory", "much"], "--memory is 'much'"),
        (["--dry-run", "--backend", "pygg"], "'pyg'"),
        (["--dry-run", "--processes", "2"], "Leave --processes"),
        (["--dry-run", "--model", "common_neighbors", "--task", "link_prediction"], "heuristic"),
        (["--dry-run", "train.speed=1"], "train.speed"),
        (["--dry-run", "--fanouts", "5"], "1 fan-outs for a model of 2"),
    ],
)
def test_a_mistake_gives_a_line_and_exit_code_2(arguments: list, message: str, tmp_path: Path) -> None:
    done = gnnkit_here("run", "--dataset", "karate", "--device", "cpu", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["4G", "-1GB", "0", "GB"])
def test_sizes_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="4GB, 512MB or 2GiB"):
        num_bytes(text)
