"""A split without one label cannot be learned from or judged, whoever asks."""

from __future__ import annotations

from dataclasses import replace

import pytest

import gnnkit
from gnnkit.errors import DataError
from gnnkit.measure import measure
from gnnkit.parity import compare
from tests.graphs import communities, multi_label


def _fit(graph, **settings):
    gnnkit.Trainer(device="cpu", progress=False, epochs=1, **settings).fit(gnnkit.build_model("gcn", graph), graph)


def _unsupervised(graph):
    net = gnnkit.build_model("sage", graph, out_channels=8)
    gnnkit.Trainer(device="cpu", progress=False, epochs=1, task="unsupervised").fit(net, graph)


WAYS = {
    "full": _fit,
    "sampled": lambda graph: _fit(graph, fanouts=[2, 2], batch_size=16),
    "unsupervised": _unsupervised,
    "compare": lambda graph: compare(gnnkit.build_model("gcn", graph), graph, ["reference", "reference"], epochs=1),
    "bench": lambda graph: measure(
        gnnkit.Trainer(device="cpu"), gnnkit.build_model("gcn", graph), graph, num_batches=1
    ),
}


@pytest.mark.parametrize("split", ["train", "valid", "test"])
@pytest.mark.parametrize("way", WAYS)
def test_a_split_without_a_label_is_refused(way: str, split: str) -> None:
    graph = communities(60)
    y = graph.y.clone()
    y[graph.splits[split]] = -100
    with pytest.raises(DataError, match=rf"splits\['{split}'\].*none of its .* nodes has a label"):
        WAYS[way](replace(graph, y=y))


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_a_split_without_an_entry_is_refused(split: str) -> None:
    graph = multi_label(60)
    y = graph.y.clone()
    y[graph.splits[split]] = -100
    with pytest.raises(DataError, match=rf"splits\['{split}'\]"):
        _fit(replace(graph, y=y))


def test_one_label_in_a_split_is_enough() -> None:
    graph = communities(60)
    y = graph.y.clone()
    for nodes in graph.splits.values():
        y[nodes[1:]] = -100
    _fit(replace(graph, y=y))
