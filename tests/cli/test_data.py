"""``gnnkit data import`` as a user types it, and a training on what it wrote."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from gnnkit.datasets import load_graph
from tests.cli.test_run import gnnkit_command
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
