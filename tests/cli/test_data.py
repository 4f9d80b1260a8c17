"""``gnnkit data import`` as a user types it, and a training on what it wrote."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from gnnkit.datasets import load_graph
from tests.commands import gnnkit_command, gnnkit_here
from tests.graphs import communities


def test_import_and_train(tmp_path: Path) -> None:
    graph = communities()
    edges = graph.edge_index.numpy()
    (tmp_path / "edges.csv").write_text("source,target\n" + "".join(f"{s},{t}\n" for s, t in edges.T.tolist()))
    np.save(tmp_path / "x.npy", graph.x.half().numpy())
    np.save(tmp_path / "y.npy", graph.y.numpy())
    splits = [f"--{name}={name}.npy" for name in graph.splits]
    for name, ids in graph.splits.items():
        np.save(tmp_path / f"{name}.npy", ids.numpy())
    how = ["edges.csv", "--features", "x.npy", "--labels", "y.npy", *splits, "--output", "mine", "--json"]
    done = gnnkit_command("data", "import", *how, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    assert (values["num_nodes"], values["num_edges"], values["train"]) == (
        240,
        graph.num_edges,
        len(graph.splits["train"]),
    )
    imported = load_graph(tmp_path / "mine")
    assert torch.equal(imported.indices, graph.indices) and imported.x.dtype == torch.float16

    again = gnnkit_command("data", "import", *how, cwd=tmp_path)
    assert again.returncode == 2 and "holds a graph already" in again.stderr and "Traceback" not in again.stderr

    how = ["--model", "sage", "--fanouts", "5,5", "--batch-size", "64", "--epochs", "20", "--device", "cpu"]
    done = gnnkit_command("run", "--dataset", "mine", *how, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["test_accuracy"] > 0.6


def test_import_counts_classes_and_takes_names_and_marks(tmp_path: Path) -> None:
    (tmp_path / "edges.csv").write_text("there,here\n1,0\n2,1\n")
    (tmp_path / "labels.csv").write_text("user,kind\n2,dog\n0,cat\n1,?\n")
    how = ["edges.csv", "--labels", "labels.csv", "--output", "mine", "--undirected", "--missing", "?"]
    for pair in ("source=here", "target=there", "id=user", "label=kind"):
        how += ["--column", pair]
    done = gnnkit_here("data", "import", *how, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    assert "2 classes (cat: 1, dog: 1), 1 nodes without, labels.csv, column 'kind'" in text
    assert "4, undirected, with the reverse of each" in text
    assert load_graph(tmp_path / "mine").y.tolist() == [0, -100, 1]
    done = gnnkit_here("data", "import", *how, "--force", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["data"]["edges"].startswith("4, undirected")


def test_a_column_is_given_with_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "edges.csv").write_text("a,b\n1,0\n")
    for pair in ("kind", "=kind", "label="):
        done = gnnkit_here("data", "import", "edges.csv", "--output", "g", "--column", pair, cwd=tmp_path)
        assert done.returncode == 2 and f"--column is {pair!r}, expected" in done.stderr
