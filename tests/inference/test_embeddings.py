"""Runs with learnt embeddings: used on the nodes that they know, and refused on any other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import gnnkit
from gnnkit.data import add_nodes, to_undirected
from gnnkit.errors import CapabilityError, ConfigError
from gnnkit.inference import export_program, open_run
from gnnkit.report import write_report
from tests.commands import gnnkit_here
from tests.graphs import communities, featureless


@pytest.fixture(scope="module", params=["gcn", "gat-joined"])
def run(request, tmp_path_factory) -> Path:
    """A run of a model with embeddings on the communities."""
    folder, graph = tmp_path_factory.mktemp("runs") / request.param, featureless()
    more = {"jumping_knowledge": "cat", "norm": "batch"} if request.param == "gat-joined" else {}
    model = gnnkit.build_model(request.param.split("-")[0], graph, embedding_channels=12, hidden_channels=8, **more)
    gnnkit.Trainer(device="cpu", epochs=4, run_dir=folder, progress=False).fit(model, graph)
    return folder


def opened(run: Path, backend: str = "reference", graph=None, **how):
    device = "ipu-emulator" if backend == "ipu" else "cpu"
    return open_run(run, backend=backend, device=device, graph=featureless() if graph is None else graph, **how)


@pytest.mark.in_turn
def test_three_ways_one_answer_on_every_backend(run: Path, backend_name: str) -> None:
    expected = opened(run).predict(method="full").outputs
    mine = opened(run, backend_name)
    nodes = torch.tensor([200, 3, 0])
    ways = {
        "full": mine.predict(nodes, method="full"),
        "layerwise": mine.predict(nodes, method="layerwise", batch_size=50),
        "sampled": mine.predict(nodes, method="sampled", fanouts=[-1, -1], batch_size=50),
    }
    layers = {way: mine.embed(nodes, method=way, **({"fanouts": [-1, -1]} if way == "sampled" else {})) for way in ways}
    mine.close()
    for way, found in ways.items():
        torch.testing.assert_close(found.outputs, expected[nodes], rtol=1e-4, atol=1e-5, msg=way)
        for layer, values in layers[way].items():
            torch.testing.assert_close(values, layers["full"][layer], rtol=1e-4, atol=1e-5)


def test_float64(run: Path) -> None:
    expected = opened(run).predict().outputs
    found = opened(run, precision="float64").predict().outputs
    assert found.dtype == torch.float64
    torch.testing.assert_close(found.float(), expected, rtol=1e-4, atol=1e-5)


def test_other_nodes_are_refused(run: Path, tmp_path: Path) -> None:
    mine, graph = opened(run), featureless()
    grown = add_nodes(communities(), np.zeros((1, 8), dtype=np.float32), [[240], [0]], edge_attr=np.zeros((1, 3)))
    for other in (featureless(100), replace(grown, x=None)):
        with pytest.raises(ConfigError, match=r"embeddings of 240 nodes, .* has (100|241)\. Embeddings belong"):
            mine.on(other)
        with pytest.raises(ConfigError, match="embeddings of 240 nodes"):
            opened(run, graph=other)
    with pytest.raises(ConfigError, match="has 8 features, which it would not read"):
        mine.on(communities())
    rewired = to_undirected(graph)
    assert any(part.startswith("edges") for part in mine.on(rewired).differences)
    with pytest.raises(CapabilityError, match="learnt embeddings of its 240 nodes"):
        export_program(mine.model, graph, tmp_path / "model.pt2")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Data in files: nodes with labels and splits, without features."""
    graph = featureless(60)
    split = {int(node): name for name, nodes in graph.splits.items() for node in nodes}
    nodes = [f"n{node},c{int(label)},{split[node]}" for node, label in enumerate(graph.y)]
    edges = [f"n{src},n{dst}" for src, dst in graph.edge_index.t().tolist()]
    place = tmp_path / "club"
    place.mkdir()
    (place / "nodes.csv").write_text("\n".join(["id,label,split", *nodes]) + "\n")
    (place / "edges.csv").write_text("\n".join(["source,target", *edges]) + "\n")
    return place


def test_from_the_command_line(folder: Path, tmp_path: Path) -> None:
    refused = gnnkit_here("run", "--dataset", str(folder), "--epochs", "2", cwd=tmp_path)
    assert refused.returncode == 2 and "model.embedding_channels=64" in refused.stderr
    train = ("run", "--dataset", str(folder), "model.embedding_channels=8", "device=cpu", "run_dir=run")
    done = gnnkit_here(*train, "--epochs", "3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    config = (tmp_path / "run" / "config.yaml").read_text()
    assert "embedding_channels: 8" in config and "num_embeddings" not in config
    more = gnnkit_here("run", "--resume", "run", "--epochs", "5", "run_dir=more", cwd=tmp_path)
    assert more.returncode == 0, more.stderr
    done = gnnkit_here("predict", "more", "--output", "p.csv", cwd=tmp_path)
    assert done.returncode == 0 and len((tmp_path / "p.csv").read_text().splitlines()) == 61, done.stderr
    (tmp_path / "new.csv").write_text("id\nx1\n")
    (tmp_path / "edges.csv").write_text("source,target\nx1,n1\n")
    new = ("--new-nodes", "new.csv", "--new-edges", "edges.csv")
    refused = gnnkit_here("predict", "run", "--output", "q.csv", *new, cwd=tmp_path)
    assert refused.returncode == 2 and "knows no other node" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    (tmp_path / "edges.csv").write_text("source,target\nn2,n1\n")
    done = gnnkit_here("predict", "run", "--output", "q.csv", "--new-edges", "edges.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    same = ("compare", "--dataset", str(folder), "model.embedding_channels=8", "--backends", "reference,reference")
    done = gnnkit_here(*same, "--device", "cpu", "--epochs", "2", cwd=tmp_path)
    assert done.returncode == 0 and "all within tolerance" in done.stdout, done.stderr


def test_a_report(tmp_path: Path, folder: Path) -> None:
    train = ("run", "--dataset", str(folder), "model.embedding_channels=8", "device=cpu", "run_dir=run")
    assert gnnkit_here(*train, "--epochs", "3", cwd=tmp_path).returncode == 0
    report = write_report(tmp_path / "run", tmp_path / "report.html", map="pca", batches=2)
    assert not any(report.missing.values())
