"""``gnnkit data import`` as a user types it, and a training on what it wrote."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from gnnkit.datasets import load_graph
from tests.commands import gnnkit_here, here_and_in_a_process
from tests.graphs import communities


@here_and_in_a_process
def test_import_and_train(command, tmp_path: Path) -> None:
    graph = communities()
    edges = graph.edge_index.numpy()
    (tmp_path / "edges.csv").write_text("source,target\n" + "".join(f"{s},{t}\n" for s, t in edges.T.tolist()))
    np.save(tmp_path / "x.npy", graph.x.half().numpy())
    np.save(tmp_path / "y.npy", graph.y.numpy())
    splits = [f"--{name}={name}.npy" for name in graph.splits]
    for name, ids in graph.splits.items():
        np.save(tmp_path / f"{name}.npy", ids.numpy())
    how = ["edges.csv", "--features", "x.npy", "--labels", "y.npy", *splits, "--output", "mine", "--json"]
    done = command("data", "import", *how, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    assert (values["num_nodes"], values["num_edges"], values["train"]) == (
        240,
        graph.num_edges,
        len(graph.splits["train"]),
    )
    imported = load_graph(tmp_path / "mine")
    assert torch.equal(imported.indices, graph.indices) and imported.x.dtype == torch.float16

    again = command("data", "import", *how, cwd=tmp_path)
    assert again.returncode == 2 and "holds a graph already" in again.stderr and "Traceback" not in again.stderr

    how = ["--model", "sage", "--fanouts", "5,5", "--batch-size", "64", "--epochs", "20", "--device", "cpu"]
    done = command("run", "--dataset", "mine", *how, "--json", cwd=tmp_path)
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


PAIRS = "source,target,split\n0,1,train\n1,2,valid\n2,3,test\n"


def linked_folder(folder: Path, edges: str) -> Path:
    folder.mkdir()
    (folder / "edges.csv").write_text("source,target\n" + edges)
    (folder / "pairs.csv").write_text(PAIRS)
    return folder


def test_check_says_what_data_are_and_that_nothing_leaks(tmp_path: Path) -> None:
    folder = linked_folder(tmp_path / "clean", "0,1\n1,0\n3,3\n")
    done = gnnkit_here("data", "check", str(folder), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    assert "train 1, valid 1, test 1, undirected, pairs.csv" in text
    assert text.endswith("no leaks: none of 2 pairs of valid and test is among 3 edges.")
    done = gnnkit_here("data", "check", str(folder), "--json", cwd=tmp_path)
    values = json.loads(done.stdout)
    assert (values["num_pairs_checked"], values["num_leaks"], values["num_nodes"]) == (2, 0, 4)
    done = gnnkit_here("data", "check", "karate", "--json", cwd=tmp_path)
    assert done.returncode == 0 and json.loads(done.stdout)["num_pairs_checked"] == 0


def test_check_refuses_a_leak_in_one_line(tmp_path: Path) -> None:
    folder = linked_folder(tmp_path / "leaky", "0,1\n1,0\n3,2\n2,3\n")
    done = gnnkit_here("data", "check", str(folder), cwd=tmp_path)
    assert done.returncode == 2 and not done.stdout
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: ") and "1 of 1 pairs of 'test' is among the edges that carry messages" in line
    assert "pair 0 (2, 3), edge row" in line
    one_way = linked_folder(tmp_path / "one way", "0,1\n3,2\n")
    assert (
        gnnkit_here("data", "check", str(one_way), cwd=tmp_path).returncode == 0
    )  # directed: the reverse is another pair
    done = gnnkit_here("data", "check", str(one_way), "dataset.options.undirected=true", cwd=tmp_path)
    assert done.returncode == 2 and "'test' is among" in done.stderr


def test_check_refuses_what_is_no_data(tmp_path: Path) -> None:
    done = gnnkit_here("data", "check", "coral", cwd=tmp_path)
    assert done.returncode == 2 and "Did you mean 'cora'" in done.stderr
