"""The page of scale says what is computed, and what is computed is what graphs take."""

from __future__ import annotations

from pathlib import Path

import pytest

import gnnkit
from benchmarks import needs
from gnnkit.data import prepare_graph
from gnnkit.datasets import save_graph
from gnnkit.sampling.neighbor import MAX_DENSE_NODES

GRAPH = {"num_nodes": 20_000, "num_edges": 60_000, "num_features": 24}


def test_the_page_is_up_to_date() -> None:
    text = needs.PAGE.read_text(encoding="utf-8")
    assert text == needs.updated(text) and "| disk: all | 71.6 GB |" in text


def test_sizes_are_those_of_a_stored_graph(tmp_path: Path) -> None:
    graph = gnnkit.load_dataset("synthetic", **GRAPH)
    data = needs.Data("", graph.num_nodes, graph.num_edges, 24, sum(len(ids) for ids in graph.splits.values()))
    save_graph(graph, tmp_path / "graph")
    stored = sum(file.stat().st_size for file in (tmp_path / "graph").glob("*.npy"))
    headers = 128 * len(list((tmp_path / "graph").glob("*.npy")))
    assert stored == sum(needs.saved(data).values()) + headers
    loops = prepare_graph(graph, self_loops=True, gcn_norm=True)
    made = (loops.indptr, loops.indices, loops.edge_weight)
    assert needs.derived(data, "gcn") == sum(each.numel() * each.element_size() for each in made)
    assert needs.derived(data, "gat") == sum(each.numel() * each.element_size() for each in made[:2])
    assert needs.derived(data, "sage") == 0


def test_parameters_are_those_of_the_model() -> None:
    graph = gnnkit.load_dataset("synthetic", **GRAPH, num_classes=needs.CLASSES)
    model = gnnkit.build_model("sage", graph, num_layers=len(needs.FANOUTS), hidden_channels=needs.HIDDEN)
    assert needs.parameters(24) == sum(each.numel() for each in model.parameters())
    assert needs.DENSE == MAX_DENSE_NODES


@pytest.mark.parametrize("num", [1, 4])
def test_a_single_machine_sends_nothing(num: int) -> None:
    assert bool(needs.gradients(needs.PAPERS, num)) == bool(needs.fetched(needs.PAPERS, num)) == (num > 1)
