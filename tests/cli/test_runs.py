"""``gnnkit runs``: every run is found, and filters, order, comparison and files say what the folders say."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from gnnkit.errors import ConfigError
from gnnkit.runs.listing import differing, list_runs, ordered, where
from tests.commands import answer, gnnkit_command, gnnkit_here

QUICK = ["run", "--dataset", "karate", "--device", "cpu", "--epochs", "2"]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Two single runs, a summary of two seeds, a run that failed, and a damaged one."""
    home = tmp_path_factory.mktemp("runs")
    for arguments in (
        ["--name", "first", "--tag", "base", "--tag", "x", "--notes", "=1+1"],
        ["--model", "sage", "--hidden", "8", "--seed", "3"],
        ["--model", "gat", "--seeds", "2"],
    ):
        done = gnnkit_here(*QUICK, *arguments, cwd=home)
        assert done.returncode == 0, done.stderr
    done = gnnkit_here(*QUICK, "train.lr=1e30", cwd=home)
    assert done.returncode == 2
    (home / "runs" / "broken").mkdir()
    (home / "runs" / "broken" / "manifest.json").write_text('{"status"')
    return home


def test_all_are_found_the_newest_first(home: Path) -> None:
    runs = list_runs([home / "runs"])
    assert [run.values.get("model") for run in runs] == ["gcn", "gat", "gat", "sage", "gcn", None]
    assert [run.values["status"] for run in runs] == ["failed", *["complete"] * 4, "damaged"]
    assert runs[4].name == "first" and runs[4].values["tags"] == ["base", "x"] and "first" in runs[4].path.name
    assert list_runs([home / "runs", runs[1].path]) == runs  # Each is listed once.


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ("model=gat", ["seed-1", "seed-0"]),
        ("tags=base", ["first"]),
        ("notes~1+1", ["first"]),
        ("seed>=1", ["seed-1", "sage"]),
        ("model.hidden_channels<16", ["seed-1", "seed-0", "sage"]),
        ("status!=complete", ["gcn", "broken"]),
    ],
)
def test_conditions(home: Path, condition: str, names: list[str]) -> None:
    found = where(list_runs([home / "runs"]), [condition])
    assert len(found) == len(names) and all(word in run.path.name for word, run in zip(names, found))


def test_order_and_differences(home: Path) -> None:
    runs = where(list_runs([home / "runs"]), ["status=complete"])
    losses = [run.values["train_loss"] for run in ordered(runs, "-train_loss")]
    assert losses == sorted(losses, reverse=True) and len(losses) == 4
    seeds = where(runs, ["model=gat"])
    assert differing(seeds) == ["seed"]
    assert {"model", "seed", "model.hidden_channels"} <= set(differing(runs))


def test_the_command(home: Path) -> None:
    values = answer(gnnkit_here("runs", "--sort", "-test_accuracy", "--json", "--csv", "all.csv", cwd=home))["runs"]
    assert len(values) == 6
    with (home / "all.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["path"] for row in rows] == [run["path"] for run in values]
    assert [row["notes"] for row in rows if row["name"] == "first"] == ["'=1+1"]
    shown = gnnkit_here("runs", "--compare", "--where", "model=gat", cwd=home).stdout
    assert "seed-0" in shown and "seed-1" in shown and "2 runs" in shown
    assert "There are no such runs" in gnnkit_here("runs", "--where", "model=none", cwd=home).stdout


MISTAKES = {
    "no folder": (["nowhere"], "nowhere is no folder"),
    "no condition": (["--where", "gat"], "condition 'gat' is none"),
    "an unknown value": (["--where", "test_acc>0"], "Did you mean 'test_accuracy'"),
    "an unknown order": (["--sort", "-speed"], "Unknown value of a run 'speed'"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_give_one_line(home: Path, name: str) -> None:
    arguments, words = MISTAKES[name]
    done = gnnkit_here("runs", *arguments, cwd=home)
    assert done.returncode == 2 and words in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_a_file_is_no_place(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is no folder"):
        list_runs([tmp_path / "file"])


@pytest.mark.long
def test_twenty_at_once_are_twenty_whole_folders(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gnnkit.cli.main", *QUICK, "--name", "same"]
    started = [subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) for _ in range(20)]
    assert [process.wait() for process in started] == [0] * 20
    listed = json.loads(gnnkit_command("runs", "--json", cwd=tmp_path).stdout)["runs"]
    assert len(listed) == len(list((tmp_path / "runs").iterdir())) == 20
    assert {run["status"] for run in listed} == {"complete"}
    assert all((tmp_path / run["path"] / "plots" / "curves.png").is_file() for run in listed)
