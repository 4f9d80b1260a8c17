"""``gnnkit predict``, ``embed`` and ``export`` as a user types them."""

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

NAMES = ("bear", "crow", "deer")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a user's own data, named nodes and classes, and a run on them."""
    home = tmp_path_factory.mktemp("home")
    (home / "mine").mkdir()
    graph = communities()
    columns = {f"f{i}": graph.x[:, i].numpy() for i in range(graph.num_features)}
    labels = [NAMES[label] for label in graph.y]
    nodes = pd.DataFrame({"id": [f"n{i}" for i in range(240)], "label": labels, **columns})
    edges = pd.DataFrame({"source": [f"n{i}" for i in graph.indices], "target": [f"n{i}" for i in graph.dst]})
    nodes.to_csv(home / "mine" / "nodes.csv", index=False)
    edges.to_csv(home / "mine" / "edges.csv", index=False)
    done = gnnkit_here("run", "--dataset", "./mine", "--model", "sage", "--epochs", "3", "--run-dir", "run", cwd=home)
    assert done.returncode == 0, done.stderr
    return home


@pytest.fixture
def workplace(home: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(home, tmp_path / "home"))


def test_predictions_of_all_nodes(workplace: Path, backend_name: str) -> None:
    done = gnnkit_here("predict", "run", "--output", "p.parquet", "--backend", backend_name, "--json", cwd=workplace)
    told = answer(done)
    assert (told["nodes"], told["classes"], told["backend"]) == (240, 3, backend_name)
    assert (told["differences"], told["notes"], told["method"]) == ([], [], "layerwise")
    table = pd.read_parquet(workplace / "p.parquet")
    expected = open_run(workplace / "run", graph=communities(), device="cpu").predict()
    assert table["node"].tolist() == [f"n{i}" for i in range(240)]
    assert table["class_name"].tolist() == [NAMES[number] for number in expected.classes]
    np.testing.assert_allclose(table[["p_0", "p_1", "p_2"]], expected.probabilities, atol=1e-5)


def test_given_nodes_sampled_in_a_process_of_its_own(workplace: Path) -> None:
    (workplace / "wanted.txt").write_text("n7\nn3\n")
    arguments = ["run", "--nodes", "wanted.txt", "--fanouts", "-1,-1", "--output", "p.csv", "--classes-only", "--json"]
    told = answer(gnnkit_command("predict", *arguments, cwd=workplace))
    assert (told["nodes"], told["method"]) == (2, "sampled")
    assert [line.split(",")[0] for line in (workplace / "p.csv").read_text().split()] == ["node", "n7", "n3"]
    assert (
        gnnkit_here(
            "predict", "run", "--output", "q.csv", "--classes-only", "--nodes", "n7,n3", cwd=workplace
        ).returncode
        == 0
    )
    first, second = (pd.read_csv(workplace / name) for name in ("p.csv", "q.csv"))
    pd.testing.assert_frame_equal(first, second, atol=1e-5)


def test_new_nodes(workplace: Path) -> None:
    graph = communities()
    x = graph.x[[0, 100]] + 0.5
    columns = {f"f{i}": x[:, i].numpy() for i in reversed(range(graph.num_features))}
    pd.DataFrame({**columns, "id": ["new a", "new b"]}).to_csv(workplace / "new.csv", index=False)
    (workplace / "joins.csv").write_text("source,target\nn5,new a\nnew a,new b\n")
    new = ["--new-nodes", "new.csv", "--new-edges", "joins.csv", "--output", "p.parquet", "--json"]
    told = answer(gnnkit_here("predict", "run", *new, cwd=workplace))
    assert (told["nodes"], told["notes"], told["differences"]) == (2, [], [])
    table = pd.read_parquet(workplace / "p.parquet")
    assert table["node"].tolist() == ["new a", "new b"]
    # What one neighbour and none makes of SAGE can be said by hand.
    weights = open_run(workplace / "run", graph=graph, device="cpu").model.canonical_state()
    with torch.no_grad():
        hidden = open_run(workplace / "run", graph=graph, device="cpu").embed([5], layers=[1])[1]
        own, near = (x @ weights["convs.0.lin_self.weight"].T, graph.x[[5]] @ weights["convs.0.lin_neigh.weight"].T)
        a = (own[0] + near[0] + weights["convs.0.bias"]).relu()
        out = a @ weights["convs.1.lin_self.weight"].T + hidden[0] @ weights["convs.1.lin_neigh.weight"].T
        chances = (out + weights["convs.1.bias"]).softmax(0)
    np.testing.assert_allclose(table.loc[0, ["p_0", "p_1", "p_2"]].astype(float), chances, atol=1e-5)


def test_edges_in_one_direction_alone_are_told_where_data_have_both(tmp_path: Path) -> None:
    run = gnnkit_here("run", "--dataset", "karate", "--epochs", "2", "--run-dir", "run", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    np.save(tmp_path / "x.npy", np.ones((1, 34), dtype=np.float32))
    (tmp_path / "joins.csv").write_text("source,target\n0,34\n")
    new = ["--new-nodes", "x.npy", "--new-edges", "joins.csv", "--nodes", "0,34"]
    results = []
    for number, more in enumerate([[], ["--undirected"]]):
        done = gnnkit_here("predict", "run", *new, *more, "--output", f"{number}.csv", "--json", cwd=tmp_path)
        results.append((len(answer(done)["notes"]), "--undirected" in done.stdout))
    assert results == [(1, True), (0, False)]
    one, both = (pd.read_csv(tmp_path / f"{number}.csv")["p_0"].tolist() for number in range(2))
    assert one[0] != both[0]  # Node 0 hears of node 34 by the reverse alone.


def test_embeddings(workplace: Path) -> None:
    told = answer(gnnkit_here("embed", "run", "--output", "e.npy", "--nodes", "n9,n1", "--json", cwd=workplace))
    assert (told["nodes"], told["widths"]) == (2, {"1": 64, "2": 3})
    array = np.load(workplace / "e.npy")
    expected = open_run(workplace / "run", graph=communities(), device="cpu").embed([9, 1])
    assert array["node"].tolist() == ["n9", "n1"]
    np.testing.assert_allclose(array["layer_1"], expected[1], atol=1e-5)
    assert gnnkit_here("embed", "run", "--output", "e.parquet", "--layers", "2", cwd=workplace).returncode == 0
    assert list(pd.read_parquet(workplace / "e.parquet")) == ["node", "layer_2"]


def test_an_exported_program(workplace: Path) -> None:
    if not hasattr(getattr(torch, "compiler", None), "is_exporting"):
        pytest.skip(f"torch {torch.__version__} exports no such programs")
    done = gnnkit_here("export", "run", "--output", "model.pt2", "--json", cwd=workplace)
    told = answer(done)
    assert told["difference"] <= 1e-4 and told["checked"] == ["a random graph", "mine"]
    assert "largest difference" in done.stderr
    outputs = torch.export.load(workplace / "model.pt2").module()(
        x=communities().x, edge_index=communities().edge_index
    )
    expected = open_run(workplace / "run", graph=communities(), device="cpu").predict().outputs
    torch.testing.assert_close(outputs, expected, atol=1e-4, rtol=0)


MISTAKES = {
    "an output that exists": (["predict", "run", "--output", "mine/nodes.csv"], "already exists"),
    "an output that exists, embedded": (["embed", "run", "--output", "taken.npy"], "already exists"),
    "an output that exists, exported": (["export", "run", "--output", "taken.pt2"], "already exists"),
    "another kind of output": (["predict", "run", "--output", "p.xlsx"], ".parquet"),
    "an unknown node": (["predict", "run", "--output", "p.csv", "--nodes", "n1,n240"], "'n240'"),
    "no run": (["predict", "nowhere", "--output", "p.csv"], "no run folder"),
    "no run, exported": (["export", "mine", "--output", "p.onnx"], "no run folder"),
    "an unknown method": (["predict", "run", "--output", "p.csv", "--method", "whole"], "layerwise, full, sampled"),
    "an unknown layer": (["embed", "run", "--output", "e.npy", "--layers", "3"], "layers 1 to 2"),
    "layers in words": (["embed", "run", "--output", "e.npy", "--layers", "last"], "--layers is 'last'"),
    "edges that are not there": (["predict", "run", "--output", "p.csv", "--new-edges", "e.csv"], "no file e.csv"),
    "the reverse of no edges": (["embed", "run", "--output", "e.npy", "--undirected"], "--new-edges"),
    "wrong columns": (["predict", "run", "--output", "p.csv", "--new-nodes", "wrong.csv"], "other columns"),
    "an unknown backend": (["predict", "run", "--output", "p.csv", "--backend", "dlg"], "'dlg'"),
    "data without a feature": (["predict", "run", "--output", "p.csv"], "lacks feature 'f0'"),
    "data that are gone": (["embed", "run", "--output", "e.npy"], "no folder"),
    "no checkpoint": (["predict", "run", "--output", "p.csv"], "has no checkpoints/best.safetensors"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_gives_a_line_and_writes_nothing(name: str, workplace: Path) -> None:
    arguments, message = MISTAKES[name]
    for file in ("taken.npy", "taken.pt2"):
        (workplace / file).write_text("mine")
    (workplace / "wrong.csv").write_text("id,f0,colour\nn240,1,2\n")
    if name == "no checkpoint":
        (workplace / "run" / "checkpoints" / "best.safetensors").unlink()
    if name == "data that are gone":
        shutil.rmtree(workplace / "mine")
    if name == "data without a feature":
        nodes = pd.read_csv(workplace / "mine" / "nodes.csv")
        nodes.drop(columns="f0").to_csv(workplace / "mine" / "nodes.csv", index=False)
    before = {path: path.read_bytes() for path in workplace.rglob("*") if path.is_file()}
    done = gnnkit_here(*arguments, cwd=workplace)
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (2, 1), done.stderr
    assert message in done.stderr
    assert {path: path.read_bytes() for path in workplace.rglob("*") if path.is_file()} == before


def test_other_data_are_told(workplace: Path) -> None:
    nodes = pd.read_csv(workplace / "mine" / "nodes.csv")
    nodes["f0"] += 1
    nodes.to_csv(workplace / "mine" / "nodes.csv", index=False)
    done = gnnkit_here("predict", "run", "--output", "p.csv", "--json", cwd=workplace)
    assert answer(done)["differences"] == ["features"]
    assert "not the data of the run; what differs: features" in done.stdout
