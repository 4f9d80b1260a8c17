"""Batches that are parts of the graph, and cutting it into parts."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import gnnkit
from gnnkit.data import from_edge_index, prepare_graph
from gnnkit.errors import ConfigError
from gnnkit.loading import ClusterLoader, grown_parts, plan_padding
from gnnkit.runs import recorded_config
from tests.graphs import communities


def random_graph(num_nodes, num_edges, seed):
    rng = np.random.default_rng(seed)
    pairs = rng.integers(0, num_nodes, (2, num_edges))
    y = torch.arange(num_nodes) % 3
    return from_edge_index(np.unique(pairs, axis=1), num_nodes, x=torch.rand(num_nodes, 2), y=y)


@given(st.integers(2, 40), st.integers(1, 120), st.integers(1, 6), st.integers(1, 3), st.integers(0, 99))
def test_every_node_comes_once_with_all_edges_inside_its_batch(num_nodes, num_edges, num_parts, per_batch, seed):
    graph = random_graph(num_nodes, num_edges, seed)
    parts = torch.from_numpy(np.random.default_rng(seed).integers(0, num_parts, num_nodes))
    loader = ClusterLoader(graph, torch.arange(num_nodes), parts, num_layers=2, per_batch=per_batch, seed=seed)
    dense = torch.zeros(num_nodes, num_nodes)
    destinations = torch.repeat_interleave(torch.arange(num_nodes), graph.indptr.diff())
    dense[destinations, graph.indices] = 1
    seen = []
    for batch in loader.epoch(3):
        nodes, block = batch.nodes, batch.blocks[0]
        own = torch.zeros(len(nodes), len(nodes))
        own[torch.repeat_interleave(torch.arange(len(nodes)), block.indptr.diff()), block.indices] = 1
        assert torch.equal(own, dense[nodes][:, nodes])
        assert torch.equal(batch.x, graph.x[nodes]) and torch.equal(batch.targets.y, graph.y[nodes])
        seen += nodes.tolist()
    assert sorted(seen) == list(range(num_nodes))
    assert [list(size.num_edges) for size in loader.sizes(3)] == [[b.blocks[0].num_edges] * 2 for b in loader.epoch(3)]


def test_targets_are_the_training_nodes_alone():
    graph = random_graph(12, 30, 1)
    parts = torch.arange(12) // 4
    loader = ClusterLoader(graph, torch.tensor([0, 1, 5]), parts, num_layers=1, shuffle=False)
    batches = list(loader.epoch(0))
    assert [batch.num_targets for batch in batches] == [2, 1] and len(loader) == 3, "one part has no target"
    assert batches[1].targets.y.tolist() == [-100, 2, -100, -100]


def test_sums_of_gcn_are_as_large_as_those_of_the_whole_graph():
    graph = prepare_graph(random_graph(30, 150, 7), self_loops=True, gcn_norm=True)
    parts = grown_parts(graph, 3)
    whole = graph.edge_weight
    for batch in ClusterLoader(graph, torch.arange(graph.num_nodes), parts, num_layers=1, rescale=True).epoch(0):
        block = batch.blocks[0]
        for place, node in enumerate(batch.nodes.tolist()):
            begin, end = graph.indptr[node], graph.indptr[node + 1]
            inside = slice(int(block.indptr[place]), int(block.indptr[place + 1]))
            loop = block.indices[inside] == place
            assert torch.isclose(block.edge_weight[inside][loop], whole[begin:end][graph.indices[begin:end] == node])
            kept, neighbours = int((~loop).sum()), int(end - begin) - 1
            ids = batch.nodes[block.indices[inside][~loop]]
            own = torch.stack([whole[begin:end][graph.indices[begin:end] == i].squeeze() for i in ids]) if kept else ids
            assert torch.allclose(block.edge_weight[inside][~loop], own * neighbours / max(kept, 1))


def test_threads_change_nothing_and_epochs_differ():
    graph = communities()
    parts = grown_parts(graph, 8)
    epochs = []
    for epoch, how in ((0, {}), (0, {"num_threads": 3}), (1, {})):
        loader = ClusterLoader(graph, graph.splits["train"], parts, num_layers=1, per_batch=2, **how)
        epochs.append([batch.nodes.tolist() for batch in loader.epoch(epoch)])
    assert epochs[0] == epochs[1] != epochs[2]


def test_all_batches_are_planned_for():
    graph = communities()
    settings = {"num_layers": 2, "per_batch": 2, "seed": 4}
    loader = ClusterLoader(graph, graph.splits["train"], grown_parts(graph, 8), **settings)
    plan = plan_padding(loader, overflow_rate=0.0, epochs=range(1, 5))
    padded = ClusterLoader(graph, graph.splits["train"], grown_parts(graph, 8), pad=plan.spec, **settings)
    assert plan.is_exact and len({b.blocks[0].num_src for e in range(1, 5) for b in padded.epoch(e)}) == 1


@given(st.integers(1, 60), st.integers(0, 150), st.integers(1, 8), st.integers(0, 99))
def test_parts_are_of_about_one_size(num_nodes, num_edges, num_parts, seed):
    graph = random_graph(num_nodes, num_edges, seed)
    if num_parts > num_nodes:
        with pytest.raises(ConfigError, match="expected 1 up to so many parts"):
            grown_parts(graph, num_parts)
        return
    parts = grown_parts(graph, num_parts)
    sizes = torch.bincount(parts, minlength=num_parts)
    assert len(sizes) == num_parts and sizes.min() >= 1 and sizes.max() <= np.ceil(1.1 * num_nodes / num_parts)


def test_fewer_edges_are_cut_than_at_random():
    graph = gnnkit.load_dataset("digits")
    parts = grown_parts(graph, 10)
    destinations = torch.repeat_interleave(torch.arange(graph.num_nodes), graph.indptr.diff())
    cut = float((parts[destinations] != parts[graph.indices]).float().mean())
    assert cut < 0.1  # At random 0.9, with METIS 0.05.


@pytest.mark.parametrize("settings", [{}, {"clusters_per_batch": 3, "num_threads": 2, "evaluation": "full"}])
def test_training(settings):
    graph = communities()
    model = gnnkit.build_model("gcn", graph)
    result = gnnkit.Trainer(device="cpu", epochs=60, clusters=6, progress=False, **settings).fit(model, graph)
    assert result.test["accuracy"] > 0.75  # 0.83 on the whole graph; every second edge is between parts.


@pytest.mark.parametrize(
    "settings, text",
    [
        ({"clusters": 4, "batch_size": 8}, "excludes"),
        ({"clusters": 0}, "at least 1"),
        ({"clusters_per_batch": 2}, "train.clusters"),
        ({"clusters": 4, "overflow_rate": 0.1}, "sampled"),
        ({"clusters": 4, "partition": "auto"}, "expected one of grown, metis"),
    ],
)
def test_settings_that_cannot_be(settings, text):
    graph = communities()
    with pytest.raises(ConfigError, match=text):
        gnnkit.Trainer(device="cpu", progress=False, **settings).fit(gnnkit.build_model("gcn", graph), graph)


def run_on_parts(graph, place, partition, resume=None, epochs=3):
    settings = {"clusters": 6, "partition": partition, "seed": 3, "progress": False}
    trainer = gnnkit.Trainer(device="cpu", epochs=epochs, run_dir=place, **settings)
    return [record.train_loss for record in trainer.fit(gnnkit.build_model("gcn", graph), graph, resume=resume).history]


def recorded(place):
    return recorded_config(place)["train"]["partition"]


def test_a_run_without_dgl_cuts_as_any_other_does(tmp_path, monkeypatch):
    graph = communities()
    losses = run_on_parts(graph, tmp_path / "here", "grown")
    for name in [name for name in sys.modules if name.split(".")[0] == "dgl"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "dgl", None)
    assert run_on_parts(graph, tmp_path / "there", "grown") == losses and recorded(tmp_path / "there") == "grown"
    with pytest.raises(ConfigError, match=r"^train.partition is 'metis', .* Take 'grown', .* not installed") as error:
        run_on_parts(graph, tmp_path / "none", "metis")
    assert "\n" not in str(error.value) and not (tmp_path / "none").exists()


@pytest.mark.skipif(importlib.util.find_spec("dgl") is None, reason="METIS comes with DGL, which is not installed")
def test_metis_is_recorded_and_cuts_the_same_again(tmp_path):
    graph = communities()
    whole = run_on_parts(graph, tmp_path / "whole", "metis")
    assert recorded(tmp_path / "whole") == "metis" and whole != run_on_parts(graph, tmp_path / "grown", "grown")
    run_on_parts(graph, tmp_path / "first", "metis", epochs=2)
    assert run_on_parts(graph, tmp_path / "second", "metis", resume=tmp_path / "first") == whole
