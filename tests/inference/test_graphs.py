"""Predictions and embeddings of whole graphs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import gnnkit
from gnnkit.backends import backends
from gnnkit.data import from_edge_index
from gnnkit.devices import devices
from gnnkit.errors import ConfigError, DataError
from gnnkit.inference import open_run, write_graph_embeddings, write_predictions
from gnnkit.inference.graphs import Asked, embed_graphs
from gnnkit.loading import take_graphs
from gnnkit.tasks import METRICS
from tests.graphs import communities
from tests.inference.graph_runs import graph_of, numbers_of_graphs, rings_and_paths, run_of

PLACES = [(name, "cpu") for name in ("pyg", "dgl") if name in backends.names()]
if "ipu" in backends.names() and "ipu-emulator" in devices.names():
    PLACES.append(("ipu", "ipu-emulator"))


def opened(kind: str, backend: str = "reference", device: str = "cpu", **settings):
    return open_run(run_of(kind, **settings), graph=graph_of(kind), backend=backend, device=device)


@pytest.mark.parametrize("backend, device", PLACES)
@pytest.mark.parametrize(
    "kind, settings",
    [
        ("classes", {"conv": "gcn", "pooling": "mean", "jumping_knowledge": "cat"}),
        ("numbers", {"conv": "sage", "pooling": "max"}),
        ("categories", {"virtual_node": True}),
    ],
)
def test_all_places_say_the_same(kind, settings, backend, device) -> None:
    with_all = opened(kind, **settings)
    run = opened(kind, backend, device, **settings)
    graphs = [7, 3, 50, 3]
    expected, found = with_all.predict(), run.predict(graphs=graphs, batch_size=3)
    torch.testing.assert_close(found.outputs, expected.outputs[graphs], atol=1e-5, rtol=1e-5)
    assert found.graphs.tolist() == graphs and found.names == tuple(f"graph {i}" for i in graphs)
    torch.testing.assert_close(found.true, expected.true[graphs], equal_nan=True)
    (pooled,) = run.embed(graphs=graphs).values()
    torch.testing.assert_close(pooled, with_all.embed()["pooled"][graphs], atol=1e-5, rtol=1e-5)
    layers, others = run.embed(layers=[2, 1], graphs=graphs), with_all.embed(layers=[1, 2], graphs=graphs)
    assert list(layers) == [1, 2]
    for layer, values in layers.items():
        torch.testing.assert_close(values, others[layer], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("settings", [{}, {"jumping_knowledge": "cat"}, {"pooling": "attention"}])
def test_embeddings_are_what_the_head_reads(settings) -> None:
    run = opened("classes", **settings)
    weights = run.model.canonical_state()
    pooled = run.embed()["pooled"]
    outputs = pooled @ weights["head.weight"].T + weights["head.bias"]
    torch.testing.assert_close(outputs, run.predict().outputs, atol=1e-5, rtol=1e-5)
    assert pooled.shape == (60, 16 if "jumping_knowledge" in settings else 8)
    if settings:
        return
    torch.testing.assert_close(run.embed(layers=[2])[2], pooled)


def test_what_is_true_and_where_graphs_come_from() -> None:
    run, graph = opened("classes"), graph_of("classes")
    said = run.predict()
    assert torch.equal(said.true, graph.graph_y) and run.differences == []
    for split, ids in graph.graph_splits.items():
        assert {said.splits[i] for i in ids.tolist()} == {split}
    test = run.predict(graphs=graph.graph_splits["test"])
    accuracy = float((test.classes == test.true).double().mean())
    assert accuracy == pytest.approx(run.record.manifest["result"]["test_accuracy"])


def test_numbers_are_in_the_data_s_units() -> None:
    run, graph = opened("numbers"), graph_of("numbers")
    test = run.predict(graphs=graph.graph_splits["test"])
    assert test.are_numbers and test.class_names == ("nodes", "sum") and bool(test.true.isnan().any())
    result = run.record.manifest["result"]
    for name in ("rmse", "mae"):
        assert METRICS[name](test.outputs.double(), test.true) == pytest.approx(result[f"test_{name}"], rel=1e-5)


def test_other_graphs_and_a_single_one() -> None:
    run = opened("classes")
    other = rings_and_paths(20, 5)
    said = run.predict(graph=other)
    torch.testing.assert_close(run.on(other).predict().outputs, said.outputs)
    one = take_graphs(other, [4])
    for alone in (one, replace(one, graph_ptr=None, graph_y=None, class_names=(), graph_names=())):
        torch.testing.assert_close(run.predict(graph=alone).outputs, said.outputs[[4]], atol=1e-5, rtol=1e-5)
    few = open_run(run_of("classes"), graph=replace(take_graphs(other, [1, 2]), graph_y=None, class_names=()))
    assert few.predict().true is None and len(few.predict()) == 2


def test_classes_in_another_order_are_matched() -> None:
    run, graph = opened("classes"), graph_of("classes")
    other = replace(graph, graph_y=1 - graph.graph_y, class_names=("ring", "path"))
    assert torch.equal(run.predict(graph=other).true, graph.graph_y)


def test_results_larger_than_memory_lie_in_a_file() -> None:
    run = opened("classes")
    run.config.train.eval_memory = 1e-9
    expected = opened("classes").predict(graphs=[5, 2, 9])
    torch.testing.assert_close(run.predict(graphs=[5, 2, 9]).outputs, expected.outputs)


def test_a_category_that_the_model_does_not_know_is_named() -> None:
    run = opened("categories")
    fits = rings_and_paths(10, 3, categories=True, node_categories=(9, 9))
    assert len(run.predict(graph=fits)) == 10
    x = fits.x.clone()
    node = int(fits.graph_ptr[6])
    x[node, 1] = 7
    with pytest.raises(
        DataError, match=r"column 1 is 7 in graph 6 \('graph 6'\), and the model knows 0 to 3"
    ) as caught:
        run.predict(graph=replace(fits, x=x))
    assert "train anew" in str(caught.value)
    with pytest.raises(ConfigError, match="numbers in x, and the model reads 2 columns of categories"):
        run.predict(graph=graph_of("classes"))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"nodes": [1]}, "nodes is for runs about nodes"),
        ({"method": "full"}, "every graph is computed whole"),
        ({"fanouts": [1, 1]}, "fanouts is for runs about nodes"),
        ({"graphs": []}, "No graphs"),
        ({"graphs": [0.5]}, "expected integer numbers of graphs"),
        ({"graphs": [60]}, "there is no graph 60, expected 0 to 59"),
        ({"skip_invalid": True}, "skip_invalid is for SMILES"),
        ({"batch_size": 0}, "batch size is 0"),
        ({"smiles": ["C"], "graphs": [1]}, "smiles says which graphs are meant"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, message) -> None:
    with pytest.raises((ConfigError, DataError), match=message):
        opened("classes").predict(**arguments)


def test_more_that_is_refused(trained) -> None:
    with pytest.raises(ConfigError, match="not about whole graphs"):
        open_run(trained("gcn"), graph=communities()).predict(graphs=[1])
    with pytest.raises(ConfigError, match="layer 3; the model has layers 1 to 2"):
        opened("classes").embed(layers=[3])
    with pytest.raises(ConfigError, match="pools by attention"):
        opened("classes", pooling="attention").embed(layers=[1])
    with pytest.raises(ConfigError, match="which is about graphs"):
        opened("classes").predict_pairs([[0, 1]])


def test_files(tmp_path) -> None:
    run = opened("classes")
    said = run.predict(graphs=[8, 1])
    for name in ("p.csv", "p.parquet"):
        write_predictions(said, tmp_path / name)
        table = pd.read_csv(tmp_path / name) if name == "p.csv" else pd.read_parquet(tmp_path / name)
        columns = ["graph", "name", "split", "true", "true_name", "class", "class_name", "probability", "p_0", "p_1"]
        assert list(table.columns) == columns and table["graph"].tolist() == [8, 1]
        assert table["true_name"].tolist() == ["path", "ring"] and table["name"].tolist() == ["graph 8", "graph 1"]
        np.testing.assert_allclose(table[["p_0", "p_1"]], said.probabilities, atol=1e-6)
    write_predictions(said, tmp_path / "p.npy", top=True)
    assert np.load(tmp_path / "p.npy")["class"].tolist() == said.classes.tolist()
    numbers = opened("numbers").predict(graphs=[0, 1])
    write_predictions(numbers, tmp_path / "n.csv")
    table = pd.read_csv(tmp_path / "n.csv")
    assert list(table.columns) == ["graph", "name", "split", "true_nodes", "true_sum", "nodes", "sum"]
    assert np.isnan(table["true_sum"][0]) and table["nodes"].tolist() == pytest.approx(numbers.outputs[:, 0].tolist())
    embedded = embed_graphs(run, Asked(graphs=[4, 2]))
    write_graph_embeddings(embedded, tmp_path / "e.npy")
    array = np.load(tmp_path / "e.npy")
    assert array["graph"].tolist() == [4, 2] and array["name"].tolist() == ["graph 4", "graph 2"]
    np.testing.assert_array_equal(array["pooled"], embedded.values["pooled"])


def test_several_labels_of_a_graph(tmp_path) -> None:
    graph = rings_and_paths(class_names=("ring", "large", "any"))
    size = graph.graph_ptr.diff()
    y = torch.stack([graph.graph_y.float(), (size > 4).float(), (size > 2).float()], dim=1)
    y[0, 1] = -100
    graph = rings_and_paths(graph_y=y, class_names=("ring", "large", "any"))
    model = gnnkit.build_model("gin", graph, out_channels=3, pooling="sum", hidden_channels=8, edge_channels=None)
    gnnkit.Trainer(device="cpu", task="graph_classification", epochs=1, run_dir=tmp_path / "run", progress=False).fit(
        model, graph
    )
    said = open_run(tmp_path / "run", graph=graph).predict()
    assert said.is_multi_label and bool(said.true[0, 1].isnan()) and said.true.shape == (60, 3)
    write_predictions(said, tmp_path / "p.csv")
    assert {"true_ring", "true_large", "classes", "p_2"} <= set(pd.read_csv(tmp_path / "p.csv").columns)


def test_numbers_of_other_data_that_lack_them() -> None:
    other = numbers_of_graphs(10, 2)
    bare = from_edge_index(other.edge_index, other.num_nodes, x=other.x, graph_ptr=other.graph_ptr)
    said = opened("numbers").predict(graph=bare)
    assert said.true is None and said.splits == () and said.names == ()
