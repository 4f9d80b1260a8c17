"""Paths and text from users: ``~`` means home, everything else is literal."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import gnnkit
from gnnkit.datasets import import_graph, load_graph, save_graph
from gnnkit.inference import export_program, open_run, write_predictions
from gnnkit.report import write_report
from gnnkit.runs import read_run, read_weights, recorded_config, save_weights
from gnnkit.train import load_config
from tests.cli.mistakes import prepare
from tests.commands import gnnkit_here

LITERALS = ["${oc.env:HOME}", "${dataset.name}", "${", "}${}{", "???", "\\${x}", "a: ${b} # c"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with data and a run, while the current folder is another one."""
    folder, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    prepare(folder)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(elsewhere)
    return folder


def test_home_is_meant_by_commands(home: Path) -> None:
    (home / "c.yaml").write_text("dataset: {name: ~/mine}\n")
    lines = [
        "run ~/c.yaml --epochs 1 --device cpu --run-dir ~/run",
        "run --dataset ~/mine --epochs 1 --device cpu run_dir=~/second --data-dir ~",
        "run --resume ~/run --epochs 2 --run-dir ~/third dataset.data_dir=~",
        "run --init-from ~/run --epochs 1 --run-dir ~/fourth",
        "run --init-from ~/run/checkpoints/best.safetensors --dataset ~/mine --epochs 1 --run-dir ~/fifth",
        "reproduce ~/run --run-dir ~/again",
        "predict ~/run --output ~/out/p.csv --nodes ~/n.txt",
        "predict ~/run --output ~/q.csv --new-nodes ~/new.csv --new-edges ~/new-edges.csv",
        "embed ~/run --output ~/e.npy",
        "plan --dataset ~/mine --picture ~/plan.png",
        "convert-weights ~/run/checkpoints/best.safetensors --from gnnkit --dataset ~/mine --output ~/w.safetensors",
        "data import ~/edges.txt --labels ~/y.npy --train ~/t.npy --output ~/graph",
        "new-plugin swift --kind device --dir ~",
    ]
    (home / "n.txt").write_text("0\n")
    (home / "new.csv").write_text("id,age\n4,1\n")
    (home / "new-edges.csv").write_text("source,target\n4,0\n")
    (home / "edges.txt").write_text("0 1\n1 2\n")
    np.save(home / "y.npy", np.array([0, 1, 0]))
    np.save(home / "t.npy", np.array([0, 1]))
    for line in lines:
        done = gnnkit_here(*line.split(), cwd=Path.cwd())
        assert done.returncode == 0, (line, done.stderr)
    assert not list(Path.cwd().iterdir())
    made = {"run", "second", "third", "fourth", "fifth", "again", "q.csv", "e.npy", "plan.png"}
    made |= {"w.safetensors", "graph", "gnnkit-swift", "out"}
    assert made <= {path.name for path in home.iterdir()}


def test_home_is_meant_in_python_and_in_the_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GNNKIT_CACHE", "~/cache")
    graph = gnnkit.load_dataset("~/mine")
    assert (home / "cache").is_dir()
    model = gnnkit.build_model("gcn", graph)
    gnnkit.Trainer(device="cpu", epochs=1, run_dir="~/run").fit(model, graph)
    assert read_run("~/run").is_complete and recorded_config("~/run")["device"] == "cpu"
    save_weights(model, "~/w.safetensors")
    assert read_weights("~/w.safetensors")[0] == model.spec
    run = open_run("~/run", graph=graph)
    write_predictions(run.predict(), "~/p.csv")
    assert write_report("~/run", "~/r.html", graph=graph, batches=0).file == home / "r.html"
    save_graph(graph, "~/saved")
    assert load_graph("~/saved").num_nodes == 4
    import_graph("~/mine/edges.csv", "~/imported")
    if hasattr(getattr(torch, "compiler", None), "is_exporting"):
        export_program(model, graph, "~/m.pt2")
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize("text", LITERALS)
def test_text_of_users_is_literal(text: str, tmp_path: Path) -> None:
    section = {"data_dir": text, "options": {"path": text, "more": [text, 1]}}
    (tmp_path / "c.yaml").write_text(json.dumps({"dataset": section}))
    for config in (
        load_config(tmp_path / "c.yaml"),
        load_config(flags={"dataset": section}),
        load_config(base={"dataset": section}),
    ):
        assert config.dataset.data_dir == text
        assert config.dataset.options == section["options"]


def test_a_folder_called_like_an_interpolation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(tmp_path)
    shutil.move(tmp_path / "mine", tmp_path / "${oc.env:HOME}")
    arguments = ["--epochs", "2", "--device", "cpu", "--json"]
    done = gnnkit_here("run", "dataset.name=./${oc.env:HOME}", "run_dir=${x", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["run_dir"] == "${x"
    again = gnnkit_here("reproduce", "${x", "--json", cwd=tmp_path)
    assert json.loads(again.stdout)["verdict"] == "identical", again.stderr
