"""``gnnkit predict --pairs`` and ``--top``, and ``gnnkit export`` of runs about pairs, as a user types them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from gnnkit.inference import open_run
from gnnkit.testing import communities
from tests.commands import answer, gnnkit_command, gnnkit_here


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's own data with named nodes, and runs on them: of links, and of nodes."""
    home = tmp_path_factory.mktemp("home")
    (home / "mine").mkdir()
    graph = communities(120)
    columns = {f"f{i}": graph.x[:, i].numpy() for i in range(graph.num_features)}
    pd.DataFrame({"id": [f"n{i}" for i in range(120)], "label": graph.y, **columns}).to_csv(
        home / "mine" / "nodes.csv", index=False
    )
    edges = pd.DataFrame({"source": [f"n{i}" for i in graph.indices], "target": [f"n{i}" for i in graph.dst]})
    edges.to_csv(home / "mine" / "edges.csv", index=False)
    start = ["run", "--dataset", "./mine", "--model", "sage", "--epochs", "2"]
    for name, more in (("links", ["--task", "link_prediction"]), ("nodes", [])):
        done = gnnkit_here(*start, *more, "--run-dir", name, cwd=home)
        assert done.returncode == 0, done.stderr
    pd.DataFrame({"weight": [1, 2, 3], "to": ["n3", "n9", "n0"], "from": ["n7", "n0", "n0"]}).to_csv(
        home / "pairs.csv", index=False
    )
    return home


@pytest.fixture
def workplace(home: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(home, tmp_path / "home"))


def expected_scores(workplace: Path, pairs) -> np.ndarray:
    run = open_run(workplace / "links", device="cpu", data_dir=workplace)
    return run.predict_pairs(pairs).outputs[:, 0].numpy()


@pytest.mark.in_turn
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_pairs_of_a_table(workplace: Path, suffix, backend_name, monkeypatch) -> None:
    monkeypatch.chdir(workplace)
    if suffix == ".parquet":
        pd.read_csv(workplace / "pairs.csv").to_parquet(workplace / "pairs.parquet")
    ask = ["predict", "links", "--pairs", f"pairs{suffix}", "--output", f"s{suffix}", "--backend", backend_name]
    told = answer(gnnkit_here(*ask, "--json", cwd=workplace))
    assert (told["pairs"], told["backend"], told["notes"], told["differences"]) == (3, backend_name, [], [])
    table = pd.read_csv(workplace / "s.csv") if suffix == ".csv" else pd.read_parquet(workplace / "s.parquet")
    assert list(table) == ["source", "target", "score", "probability"]
    assert table[["source", "target"]].to_numpy().tolist() == [["n7", "n3"], ["n0", "n9"], ["n0", "n0"]]
    np.testing.assert_allclose(table["score"], expected_scores(workplace, [[7, 3], [0, 9], [0, 0]]), atol=1e-4)
    np.testing.assert_allclose(table["probability"], 1 / (1 + np.exp(-table["score"])), atol=1e-5)


def test_pairs_of_an_array_in_a_process_of_its_own(workplace: Path, monkeypatch) -> None:
    monkeypatch.chdir(workplace)
    np.save(workplace / "pairs.npy", np.array([[7, 3], [119, 0]]))
    ask = ["predict", "links", "--pairs", "pairs.npy", "--output", "s.npy", "--fanouts", "-1,-1", "--json"]
    told = answer(gnnkit_command(*ask, cwd=workplace))
    assert (told["pairs"], told["method"]) == (2, "sampled")
    array = np.load(workplace / "s.npy")
    assert array["target"].tolist() == ["n3", "n0"]
    np.testing.assert_allclose(array["score"], expected_scores(workplace, [[7, 3], [119, 0]]), atol=1e-4)


def test_recommendations(workplace: Path, monkeypatch) -> None:
    monkeypatch.chdir(workplace)
    ask = ["predict", "links", "--top", "3", "--nodes", "n5,n2", "--output", "t.csv", "--json"]
    told = answer(gnnkit_here(*ask, cwd=workplace))
    assert (told["nodes"], told["top"], told["recommendations"]) == (2, 3, 6)
    table = pd.read_csv(workplace / "t.csv")
    assert table["source"].tolist() == ["n5"] * 3 + ["n2"] * 3 and table["rank"].tolist() == [1, 2, 3] * 2
    found = open_run(workplace / "links", device="cpu", data_dir=workplace).recommend([5, 2], 3)
    assert table["target"].tolist() == [f"n{i}" for i in found.ids.reshape(-1).tolist()]
    np.testing.assert_allclose(table["score"], found.scores.reshape(-1), atol=1e-5)


def test_where_there_are_fewer_recommendations_there_are_fewer_rows(workplace: Path) -> None:
    ask = ["predict", "links", "--top", "500", "--nodes", "n5", "--output", "t.npy", "--json"]
    told = answer(gnnkit_here(*ask, cwd=workplace))
    array = np.load(workplace / "t.npy")
    assert len(array) == told["recommendations"] < 119 and "n5" not in array["target"]
    assert array["rank"].tolist() == list(range(1, len(array) + 1)) and np.isfinite(array["score"]).all()


def test_new_nodes_are_scored_and_get_recommendations(workplace: Path) -> None:
    columns = {f"f{i}": [0.5] for i in range(8)}
    pd.DataFrame({"id": ["new"], **columns}).to_csv(workplace / "new.csv", index=False)
    (workplace / "joins.csv").write_text("source,target\nn5,new\nnew,n5\n")
    (workplace / "asked.csv").write_text("source,target\nnew,n9\n")
    new = ["--new-nodes", "new.csv", "--new-edges", "joins.csv"]
    ask = ["predict", "links", *new, "--output"]
    assert answer(gnnkit_here(*ask, "s.csv", "--pairs", "asked.csv", "--json", cwd=workplace))["pairs"] == 1
    assert answer(gnnkit_here(*ask, "t.csv", "--top", "5", "--json", cwd=workplace))["nodes"] == 1
    table = pd.read_csv(workplace / "t.csv")
    assert table["source"].tolist() == ["new"] * 5 and "n5" not in table["target"].tolist()


def test_learnt_embeddings_know_no_new_nodes(workplace: Path) -> None:
    data = pd.read_csv(workplace / "mine" / "nodes.csv")[["id"]]
    (workplace / "bare").mkdir()
    data.to_csv(workplace / "bare" / "nodes.csv", index=False)
    shutil.copy(workplace / "mine" / "edges.csv", workplace / "bare" / "edges.csv")
    run = ["run", "--dataset", "./bare", "--task", "link_prediction", "--model", "sage", "--epochs", "1"]
    done = gnnkit_here(*run, "--run-dir", "b", cwd=workplace)
    assert done.returncode == 0, done.stderr
    assert gnnkit_here("predict", "b", "--top", "2", "--output", "t.csv", cwd=workplace).returncode == 0
    (workplace / "new.csv").write_text("id\nnew\n")
    for more in (["--top", "2"], ["--pairs", "pairs.csv"]):
        ask = ["predict", "b", *more, "--new-nodes", "new.csv", "--output", "u.csv"]
        refused(gnnkit_here(*ask, cwd=workplace), "learnt an embedding", workplace / "u.csv")
    refused(gnnkit_here("export", "b", "--output", "b.pt2", cwd=workplace), "learnt embeddings", workplace / "b.pt2")


def refused(done, words: str, output: Path) -> None:
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert words in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert not output.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["links", "--pairs", "pairs.csv", "--top", "3"], "--pairs and --top exclude each other"),
        (["links", "--pairs", "pairs.csv", "--nodes", "n1"], "--pairs and --nodes exclude each other"),
        (["links", "--top", "3", "--classes-only"], "--top and --classes-only exclude each other"),
        (["links", "--top", "0"], "--top is 0"),
        (["links"], "which is about pairs of nodes. Predict pairs"),
        (["nodes", "--pairs", "pairs.csv"], "which is about nodes"),
        (["nodes", "--top", "3"], "which is about nodes"),
        (["links", "--pairs", "absent.csv"], "There is no file"),
        (["links", "--pairs", "pairs.txt"], "expected a name that ends in .csv, .parquet, .npy"),
        (["links", "--pairs", "unknown.csv"], "unknown.csv, column 'target', line 3: there is no node 'n999'"),
        (["links", "--pairs", "lonely.csv"], "has no column 'target'"),
        (["links", "--pairs", "empty.csv"], "lists no pairs"),
        (["links", "--pairs", "wide.npy"], "expected pairs of node numbers [M, 2]"),
        (["links", "--pairs", "real.npy"], "expected pairs of node numbers [M, 2]"),
        (["links", "--pairs", "far.npy"], "row 1: there is no node 120"),
        (["links", "--top", "3", "--nodes", "n999"], "there is no node 'n999'"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_line(workplace: Path, arguments, words) -> None:
    (workplace / "pairs.txt").write_text("n1 n2\n")
    (workplace / "unknown.csv").write_text("source,target\nn1,n2\nn1,n999\n")
    (workplace / "lonely.csv").write_text("source\nn1\n")
    (workplace / "empty.csv").write_text("source,target\n")
    np.save(workplace / "wide.npy", np.zeros((2, 3), dtype=np.int64))
    np.save(workplace / "real.npy", np.zeros((2, 2)))
    np.save(workplace / "far.npy", np.array([[0, 1], [2, 120]]))
    refused(gnnkit_here("predict", *arguments, "--output", "x.csv", cwd=workplace), words, workplace / "x.csv")


def test_export_of_encoder_and_head(workplace: Path, monkeypatch) -> None:
    if not hasattr(getattr(torch, "compiler", None), "is_exporting"):
        pytest.skip(f"torch {torch.__version__} exports no such programs")
    monkeypatch.chdir(workplace)
    done = gnnkit_here("export", "links", "--backend", "reference", "--output", "m.pt2", "--json", cwd=workplace)
    assert answer(done)["inputs"] == ["x", "edge_index", "pairs"]
