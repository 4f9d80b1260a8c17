"""``gnnkit report`` as a user types it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.commands import gnnkit_here, here_and_in_a_process

QUICK = ["--map", "pca", "--batches", "0"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs."""
    home = tmp_path_factory.mktemp("report")
    for name, dataset in (("one", "karate"), ("two", "synthetic")):
        arguments = ["--dataset", dataset, "--epochs", "3", "--run-dir", name]
        assert gnnkit_here("run", *arguments, cwd=home).returncode == 0
    return home


@here_and_in_a_process
def test_one_run(command, home: Path) -> None:
    done = command("report", "one", "--force", "--batches", "1", cwd=home)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["page:", "one/report.html", "figures:", "one/plots"]
    assert "<title>gcn on karate</title>" in (home / "one" / "report.html").read_text()
    again = gnnkit_here("report", "one", *QUICK, cwd=home)
    assert again.returncode == 2 and "one/report.html exists" in again.stderr and "--force" in again.stderr


def test_two_runs_without_checkpoints_as_json(home: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        shutil.copytree(home / name, tmp_path / name, ignore=shutil.ignore_patterns("checkpoints"))
    done = gnnkit_here("report", "one", "two", "--output", "both.html", "--json", *QUICK, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    assert values["file"] == "both.html" and "one/plots/loss.png" in values["figures"]
    assert all((tmp_path / figure).is_file() for figure in ["both.html", *values["figures"]])
    assert {run: list(missing) for run, missing in values["missing"].items()} == {
        "one": ["predictions"],
        "two": ["predictions"],
    }
    page = (tmp_path / "both.html").read_text()
    assert values["warnings"] == [] and "of 2 groups" in page
    for run, dataset in (("one", "karate"), ("two", "synthetic")):
        assert f"{dataset}: node classification by accuracy ({run})" in page


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["three"], "three is no run folder"),
        (["one", "one"], "given twice"),
        (["one", "--output", "one"], "is a folder"),
        (["one", "--output", "new.html", "--map", "mds"], "expected auto, umap, tsne, pca"),
        (["one", "--output", "new.html", "--backend", "pygg"], "'pyg'"),
    ],
)
def test_a_mistake_gives_a_line_and_exit_code_2(home: Path, arguments: list, message: str) -> None:
    done = gnnkit_here("report", *arguments, cwd=home)
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr
    assert not (home / "new.html").exists()
