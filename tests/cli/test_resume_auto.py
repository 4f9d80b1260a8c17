"""``--resume auto`` and ``--save-every``, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, List

import pytest

from gnnkit.runs import read_state
from tests.commands import gnnkit_here

KARATE = ["run", "--dataset", "karate", "--device", "cpu", "--json"]


def run(*arguments: str, cwd: Path) -> Any:
    done = gnnkit_here(*KARATE, *arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def unfinished(cwd: Path, *arguments: str) -> Path:
    """A run whose end is missing, as after kill -9."""
    result, _ = run(*arguments, cwd=cwd)
    folder = cwd / result["run_dir"]
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "status": "running", "result": None}))
    return folder


def test_the_newest_run_of_the_configuration_goes_on(tmp_path: Path) -> None:
    first, said = run("--resume", "auto", "--epochs", "2", cwd=tmp_path)
    assert "no run of this configuration" in said
    run("--epochs", "2", "--seed", "1", cwd=tmp_path)
    again = unfinished(tmp_path, "--epochs", "2")
    result, said = run("--resume", "auto", "--epochs", "2", cwd=tmp_path)
    assert f"going on with {Path('runs') / again.name}" in said
    assert {name: result[name] for name in ("epochs", "test_accuracy")} == {
        name: first[name] for name in ("epochs", "test_accuracy")
    }


def test_a_complete_run_is_done(tmp_path: Path) -> None:
    run("--epochs", "2", cwd=tmp_path)
    done = gnnkit_here(*KARATE, "--epochs", "2", "--resume", "auto", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 2)
    assert "All 2 epochs are done" in done.stderr


@pytest.mark.parametrize(
    ("span", "settings"),
    [
        ("2", ["2", "null", "null"]),
        ("3 epochs", ["3", "null", "null"]),
        ("200 batches", ["null", "200", "null"]),
        ("1.5 minutes", ["null", "null", "1.5"]),
    ],
)
def test_save_every(span: str, settings: List[str], tmp_path: Path) -> None:
    result, _ = run("--epochs", "1", "--save-every", span, cwd=tmp_path)
    text = (tmp_path / result["run_dir"] / "config.yaml").read_text()
    names = ("save_every", "save_every_batches", "save_every_minutes")
    assert [line for name in names for line in text.splitlines() if line.startswith(f"  {name}:")] == [
        f"  {name}: {value}" for name, value in zip(names, settings)
    ]
    assert read_state(tmp_path / result["run_dir"]).epoch == 1


@pytest.mark.parametrize("span", ["often", "1.5 batches", "3 hours", "-1"])
def test_other_spans_are_refused(span: str, tmp_path: Path) -> None:
    done = gnnkit_here("run", "--dataset", "karate", "--save-every", span, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"--save-every is {span!r}, expected" in done.stderr
