"""``--json``: standard output holds one line of JSON and nothing else, whatever plugins print."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import List

import pytest

from tests.cli.mistakes import prepare
from tests.commands import gnnkit_command, gnnkit_here
from tests.plugins import environment_with, install

LOUD = """
import atexit
import os
import subprocess
import sys
from gnnkit.backends.reference import ReferenceBackend

print("loud: imported")
atexit.register(print, "loud: at the end")

class Plugin(ReferenceBackend):
    name = "loud"

    def conv(self, spec):
        print("loud: a layer")
        if sys.stdout.isatty() or not hasattr(sys.stdout, "getvalue"):
            os.write(1, b"loud: below Python\\n")
            subprocess.run([sys.executable, "-c", "print('loud: a child')"], check=True)
        return super().conv(spec)
"""

LOUD_DATA = """
from gnnkit.datasets.karate import Karate

print("loud: imported")

class Plugin(Karate):
    name = "loud-data"
"""

_WEIGHTS = "run/checkpoints/best.safetensors"
COMMANDS = {
    "run": "run --dataset mine --epochs 1 --device cpu --backend loud",
    "run --help-config": "run --help-config",
    "compare": "compare --dataset mine --epochs 1 --device cpu --backends reference,loud",
    "plan": "plan --dataset mine",
    "bench": "bench --dataset mine --device cpu --batches 2 --backend loud",
    "reproduce": "reproduce run --device cpu --backend loud",
    "predict": "predict run --output p.csv --backend loud",
    "embed": "embed run --output e.npy --backend loud",
    "report": "report run --batches 0 --map pca --backend loud",
    "convert-weights": f"convert-weights {_WEIGHTS} --from gnnkit --dataset mine --output w.safetensors",
    "data import": "data import mine/edges.csv --output graph",
    "data check": "data check mine",
    "explain": "explain run --nodes 1",
    "export": "export run --output m.pt2",
    "runs": "runs .",
    "info": "info mine",
    "tasks": "tasks",
    "datasets": "datasets",
}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, a run and a loud plugin."""
    folder = tmp_path_factory.mktemp("workplace")
    prepare(folder)
    done = gnnkit_here("run", "--dataset", "mine", "--epochs", "2", "--device", "cpu", "--run-dir", "run", cwd=folder)
    assert done.returncode == 0, done.stderr
    install(folder, "loud", LOUD)
    return folder


@pytest.mark.parametrize("name", COMMANDS)
def test_standard_output_is_the_json_line(name: str, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(workplace))
    done = gnnkit_here(*COMMANDS[name].split(), "--json", cwd=workplace)
    assert done.returncode == 0, done.stderr
    assert json.loads(only_line(done.stdout))
    if "loud" in COMMANDS[name]:
        assert "loud: a layer" in done.stderr, "what a plugin prints is not lost"


def test_a_run_can_be_piped_into_a_program_that_reads_json(workplace: Path) -> None:
    run = f"{sys.executable} -m gnnkit.cli.main run --dataset mine --epochs 1 --device cpu --json"
    done = subprocess.run(
        f"{run} | {sys.executable} -m json.tool", shell=True, cwd=workplace, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and json.loads(done.stdout)["dataset"] == "mine", done.stderr
    assert "Result" in done.stderr, "tables go to the other stream"


@pytest.mark.parametrize("name", ["run", pytest.param("predict", marks=pytest.mark.long)])
def test_what_is_printed_below_python_or_at_the_end_stays_out(name: str, workplace: Path) -> None:
    arguments = COMMANDS[name].replace("p.csv", "q.csv").split()
    done = gnnkit_command(*arguments, "--json", cwd=workplace, environment=environment_with(workplace))
    assert done.returncode == 0, done.stderr
    assert json.loads(only_line(done.stdout))
    for said in ("imported", "a layer", "below Python", "a child", "at the end"):
        assert f"loud: {said}" in done.stderr


def test_a_check_of_a_loud_plugin(workplace: Path) -> None:
    install(workplace, "loud-data", LOUD_DATA, group="datasets")
    done = gnnkit_command("conform", "loud-data", "--json", cwd=workplace, environment=environment_with(workplace))
    assert json.loads(only_line(done.stdout))["name"] == "loud-data"


def only_line(text: str) -> str:
    lines: List[str] = text.splitlines()
    assert len(lines) == 1, text
    return lines[0]
